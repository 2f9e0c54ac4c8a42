"""HPKE for the programs that make vectors, after RFC 9180: base mode, DHKEM(P-256, HKDF-SHA256), HKDF-SHA256,
AES-GCM. By python3-cryptography, sharing no code with stekd. Where it does not give the RFC's own ciphertext of
A.3.1 (with AES-128-GCM), it does not load.
"""

import hmac
import sys

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
KEM, KDF = 0x0010, 0x0001
KEY_SIZES = {0x0001: 16, 0x0002: 32}


def i2osp(number, size):
    return number.to_bytes(size, "big")


def labelled_extract(suite, salt, label, ikm):
    return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + ikm, "sha256")


def labelled_expand(suite, prk, label, info, size):
    info = i2osp(size, 2) + b"HPKE-v1" + suite + label + info
    out, block = b"", b""
    while len(out) < size:
        block = hmac.digest(prk, block + info + bytes([len(out) // 32 + 1]), "sha256")
        out += block
    return out[:size]


def private(scalar):
    return ec.derive_private_key(int.from_bytes(scalar, "big"), ec.SECP256R1())


def public(scalar):
    return private(scalar).public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def agree(scalar, other):
    return private(scalar).exchange(ec.ECDH(), private(other).public_key())


def seal(aead, ephemeral, recipient, info, aad, plaintext):
    suite = b"KEM" + i2osp(KEM, 2)
    prk = labelled_extract(suite, b"", b"eae_prk", agree(ephemeral, recipient))
    shared = labelled_expand(suite, prk, b"shared_secret", public(ephemeral) + public(recipient), 32)
    suite = b"HPKE" + i2osp(KEM, 2) + i2osp(KDF, 2) + i2osp(aead, 2)
    context = b"\0" + labelled_extract(suite, b"", b"psk_id_hash", b"")
    context += labelled_extract(suite, b"", b"info_hash", info)
    secret = labelled_extract(suite, shared, b"secret", b"")
    key = labelled_expand(suite, secret, b"key", context, KEY_SIZES[aead])
    nonce = labelled_expand(suite, secret, b"base_nonce", context, 12)
    return AESGCM(key).encrypt(nonce, plaintext, aad)


RFC = seal(
    0x0001,
    bytes.fromhex("4995788ef4b9d6132b249ce59a77281493eb39af373d236a1fe415cb0c2d7beb"),
    bytes.fromhex("f3ce7fdae57e1a310d87f1ebbde6f328be0a99cdbcadf4d6589cf29de4b8ffd2"),
    b"Ode on a Grecian Urn",
    b"Count-0",
    b"Beauty is truth, truth beauty",
)
if RFC.hex() != "5ad590bb8baa577f8619db35a36311226a896e7342a6d836d8b7bcd2f20b6c7f9076ac232e3ab2523f39513434":
    sys.exit("this is not what RFC 9180, A.3.1 gives")
