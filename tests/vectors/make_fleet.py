#!/usr/bin/python3
"""Computes fleet.json: signed frames, bundles' shares and records' admission keys, sharing no code with stekd.

Usage: make_fleet.py > fleet.json   (Debian's python3-cryptography)
       make_fleet.py --check fleet.json    exit 1 unless that is what would be written

The layouts are read off the tables in daemon/fleet/*.cpp. HPKE is in hpke.py beside this. Signatures are ECDSA
with the nonce of RFC 6979, which has to give the RFC's own signature of A.2.5 before anything is written.
Private keys and all other bytes are SHA-256 of a text that is given here, so that nobody could have chosen them.
"""

import hashlib
import hmac
import json
import struct
import sys

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

sys.dont_write_bytecode = True  # nothing of it is left in the tree
from hpke import ORDER, i2osp, public, seal

AES_256_GCM = 2
NOWHERE = bytes(65)


def made_up(text, size=32):
    out = b""
    while len(out) < size:
        out += hashlib.sha256(f"stekd fleet vector {text} {len(out)}".encode()).digest()
    return out[:size]


def scalar(text):
    return i2osp(int.from_bytes(made_up(text), "big") % (ORDER - 1) + 1, 32)


# --- signatures ---


def nonce(private, digest):
    """RFC 6979, section 3.2, where the hash is as long as the order."""
    seed = private + i2osp(int.from_bytes(digest, "big") % ORDER, 32)
    k, v = bytes(32), b"\1" * 32
    for between in (b"\0", b"\1"):
        k = hmac.digest(k, v + between + seed, "sha256")
        v = hmac.digest(k, v, "sha256")
    while True:
        v = hmac.digest(k, v, "sha256")
        if 0 < int.from_bytes(v, "big") < ORDER:
            return v
        k = hmac.digest(k, v + b"\0", "sha256")
        v = hmac.digest(k, v, "sha256")


def sign(private, message):
    digest = hashlib.sha256(message).digest()
    k = nonce(private, digest)
    r = int.from_bytes(public(k)[1:33], "big") % ORDER
    s = pow(int.from_bytes(k, "big"), -1, ORDER) * (
        int.from_bytes(digest, "big") + r * int.from_bytes(private, "big")
    )
    return i2osp(r, 32) + i2osp(s % ORDER, 32)


if (
    sign(bytes.fromhex("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721"), b"sample").hex()
    != "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
    "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8"
):
    sys.exit("this is not what RFC 6979, A.2.5 gives")

# --- frames ---

MAGIC = {
    "request": b"stekjoin",
    "list": b"steklist",
    "pre_key": b"stekprek",
    "bundle": b"stekbndl",
    "pair": b"stekpair",
    "record": b"stekrcrd",
    "ceremony_offer": b"stekoffr",
    "ceremony_share": b"stekshre",
}
ROLES = {"origin": 1, "vault": 2, "machine": 3}
STANDINGS = {"active": 1, "retired": 2}
OAEP = {"sha1": 1, "sha256": 2}

ROOT = scalar("root")
FLEET = hashlib.sha256(b"stekd fleet v1" + public(ROOT)).digest()


def frame(what, kind, signer, private, body, fields):
    head = struct.pack(">8sHHI32sI", MAGIC[kind], 1, 0, 52 + len(body) + 64, FLEET, signer)
    signed = head + body
    return {
        "what": what,
        "kind": kind,
        "signer": signer,
        "signer_private": private.hex(),
        "signer_public": public(private).hex(),
        "fields": fields,
        "frame": (signed + sign(private, signed)).hex(),
        "hash": hashlib.sha256(signed).hexdigest(),
    }


def keys(name, role):
    return {
        "signing_key": public(scalar(name + " signing")).hex(),
        "sealing_key": (NOWHERE if role == "origin" else public(scalar(name + " sealing"))).hex(),
    }


def identity(role, name, location):
    return {"role": role, "name": name, "location": location, **keys(name, role)}


def request(what, role, name, location):
    f = identity(role, name, location)
    body = struct.pack(
        ">BB64s64s65s65s",
        ROLES[role],
        0,
        name.encode(),
        location.encode(),
        bytes.fromhex(f["signing_key"]),
        bytes.fromhex(f["sealing_key"]),
    )
    digest = hashlib.sha256(body).hexdigest()[:32]
    f["fingerprint"] = "-".join(digest[i : i + 4] for i in range(0, 32, 4))
    return frame(what, "request", 0, scalar(name + " signing"), body, f)


def party(number, role, standing, name, location=""):
    return {"number": number, "standing": standing, **identity(role, name, location)}


def party_list(what, signer, private, serial, signed_at, location, parties):
    body = struct.pack(">Qq64sI", serial, signed_at, location.encode(), len(parties))
    for p in parties:
        body += struct.pack(
            ">IBB64s64s65s65s",
            p["number"],
            ROLES[p["role"]],
            STANDINGS[p["standing"]],
            p["name"].encode(),
            p["location"].encode(),
            bytes.fromhex(p["signing_key"]),
            bytes.fromhex(p["sealing_key"]),
        )
    fields = {"serial": serial, "signed_at": signed_at, "location": location, "parties": parties}
    return frame(what, "list", signer, private, body, fields)


def pre_key(what, vault, name, epoch):
    key = public(scalar(f"{name} pre-key {epoch}"))
    body = struct.pack(">IQ65s", vault, epoch, key)
    fields = {"vault": vault, "epoch": epoch, "key": key.hex()}
    return frame(what, "pre_key", vault, scalar(name + " signing"), body, fields)


def bundle(what, origin, name, epoch, revision, not_before, not_after, before, recipients):
    """Recipients are (vault, name, the pre-key's epoch or 0), in order."""
    hourly = made_up(f"hourly {epoch}.{revision}")
    hourly_hash = hashlib.sha256(b"stekd hourly v1" + hourly).digest()
    head = struct.pack(">QIqq32s32s", epoch, revision, not_before, not_after, hourly_hash, before)
    body, shares = head + struct.pack(">I", len(recipients)), []
    for vault, vault_name, pre_key_epoch in recipients:
        number = pre_key_epoch % 2**32
        recipient = scalar(f"{vault_name} pre-key {pre_key_epoch}" if number else vault_name + " sealing")
        ephemeral = scalar(f"ephemeral {epoch}.{revision} {vault}")
        aad = FLEET + struct.pack(">I", origin) + head + struct.pack(">II", vault, number)
        sealed = seal(AES_256_GCM, ephemeral, recipient, b"stekd bundle v1", aad, hourly)
        body += struct.pack(">II65s48s", vault, number, public(ephemeral), sealed)
        shares.append(
            {
                "vault": vault,
                "pre_key": number,
                "enc": public(ephemeral).hex(),
                "sealed": sealed.hex(),
                "recipient_private": recipient.hex(),
                "recipient_public": public(recipient).hex(),
            }
        )
    fields = {
        "epoch": epoch,
        "revision": revision,
        "not_before": not_before,
        "not_after": not_after,
        "hourly": hourly.hex(),
        "hourly_hash": hourly_hash.hex(),
        "before": before.hex(),
        "shares": shares,
    }
    return frame(what, "bundle", origin, scalar(name + " signing"), body, fields)


def rsa_spki(text, bits):
    """Not two primes, which nothing here asks for."""
    modulus = int.from_bytes(made_up(text, bits // 8), "big") | 1 << (bits - 1) | 1
    key = rsa.RSAPublicNumbers(65537, modulus).public_key()
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def pair(what, machine, name, location, epoch, oaep, bits):
    spki, pair_id = rsa_spki(f"{name} RSA {epoch}", bits), made_up(f"{name} pair {epoch}", 16)
    body = struct.pack(
        ">I64sQ16sBBH", machine, location.encode(), epoch, pair_id, OAEP[oaep], 0, len(spki)
    )
    fields = {
        "machine": machine,
        "location": location,
        "epoch": epoch,
        "pair": pair_id.hex(),
        "oaep": oaep,
        "public_key": spki.hex(),
    }
    return frame(what, "pair", machine, scalar(name + " signing"), body + spki, fields)


def record(what, vault, vault_name, machine, name, location, counter, epoch, revision, times, period, oaep, size):
    """Times are (not before, seal until, open until). Revoked, if the wrapped key's size is 0."""
    text = f"record {epoch}.{revision}"
    wrapped, admission_key = made_up(text + " wrapped", size), made_up(text + " admission")
    key_name, pair_id = made_up(text + " name", 16), made_up(f"{name} pair {epoch}", 16)
    head = struct.pack(
        ">I64sQQIqqqQ16s16sBBH",
        machine,
        location.encode(),
        counter,
        epoch,
        revision,
        *times,
        period,
        key_name,
        pair_id,
        OAEP[oaep],
        size == 0,
        size,
    )
    enc, sealed = NOWHERE, bytes(48)
    recipient = scalar(name + " sealing")
    if size:
        ephemeral = scalar(f"ephemeral {text} {machine}")
        enc = public(ephemeral)
        sealed = seal(AES_256_GCM, ephemeral, recipient, b"stekd record v1", FLEET + head + wrapped, admission_key)
    fields = {
        "location": location,
        "machine": machine,
        "counter": counter,
        "epoch": epoch,
        "revision": revision,
        "not_before": times[0],
        "seal_until": times[1],
        "open_until": times[2],
        "period": period,
        "name": key_name.hex(),
        "enc": enc.hex(),
        "sealed_admission_key": sealed.hex(),
        "admission_key": admission_key.hex(),
        "pair": pair_id.hex(),
        "oaep": oaep,
        "wrapped_key": wrapped.hex(),
        "revoked": size == 0,
        "recipient_private": recipient.hex(),
        "recipient_public": public(recipient).hex(),
    }
    return frame(what, "record", vault, scalar(vault_name + " signing"), head + enc + sealed + wrapped, fields)


def offer(what, vault, name, location, oaep):
    spki, nonce_of_offer = rsa_spki(f"{name} RSA ceremony", 3072), made_up(f"{name} ceremony", 16)
    body = struct.pack(">I64s16sBB", vault, location.encode(), nonce_of_offer, OAEP[oaep], 0) + spki
    fields = {
        "vault": vault,
        "location": location,
        "nonce": nonce_of_offer.hex(),
        "oaep": oaep,
        "public_key": spki.hex(),
    }
    return frame(what, "ceremony_offer", vault, scalar(name + " signing"), body, fields)


def share(what, signer, signer_name, vault, name, location, epoch, oaep):
    nonce_of_offer, check = made_up(f"{name} ceremony", 16), made_up(f"{location} check", 16)
    wrapped = made_up(f"{name} wrapped seed", 384)
    body = struct.pack(
        ">I64s16sQ16sBB384s", vault, location.encode(), nonce_of_offer, epoch, check, OAEP[oaep], 0, wrapped
    )
    fields = {
        "vault": vault,
        "location": location,
        "nonce": nonce_of_offer.hex(),
        "epoch": epoch,
        "check": check.hex(),
        "oaep": oaep,
        "wrapped": wrapped.hex(),
    }
    return frame(what, "ceremony_share", signer, scalar(signer_name + " signing"), body, fields)


def frames():
    hour, epoch, long = 3600, 500_000, "x" * 64
    yield request("an origin asks", "origin", "origin-1", "")
    yield request("a vault asks", "vault", "ams1-vault", "ams1")
    yield request("a machine with the longest of names asks", "machine", "M" * 64, long)
    yield party_list("a fleet of nobody", 0, ROOT, 1, 0, "", [])
    yield party_list(
        "the fleet's list",
        0,
        ROOT,
        7,
        epoch * hour,
        "",
        [
            party(1, "origin", "active", "origin-1"),
            party(2, "vault", "active", "ams1-vault", "ams1"),
            party(5, "vault", "retired", "fra2_old", "fra-2.example_com"),
            party(6, "vault", "active", "fra2", "fra-2.example_com"),
            party(2**32 - 1, "vault", "active", "X" * 64, long),
        ],
    )
    yield party_list(
        "a location's list",
        2,
        scalar("ams1-vault signing"),
        2**64 - 1,
        2**63 - 1,
        "ams1",
        [party(1, "machine", "active", "web-1", "ams1"), party(3, "machine", "retired", "web-2", "ams1")],
    )
    yield pre_key("a pre-key", 2, "ams1-vault", epoch)
    yield pre_key("the last pre-key of the last vault", 2**32 - 1, "X" * 64, 2**64 - 1)
    first = bundle(
        "a bundle", 1, "origin-1", epoch, 0, epoch * hour, (epoch + 1) * hour, bytes(32),
        [(2, "ams1-vault", epoch), (6, "fra2", 0), (2**32 - 1, "X" * 64, 2**64 - 1)],
    )
    yield first
    yield bundle(
        "a revision behind it", 1, "origin-1", epoch, 1, epoch * hour, (epoch + 1) * hour,
        bytes.fromhex(first["hash"]), [(2, "ams1-vault", 0)],
    )
    yield bundle(
        "a bundle for nobody", 2**32 - 1, "origin-1", 2**64 - 1, 2**32 - 1, 2**63 - 2, 2**63 - 1, bytes(32), []
    )
    yield pair("an RSA-2048 pair", 1, "web-1", "ams1", epoch, "sha1", 2048)
    yield pair("an RSA-8192 pair", 2**32 - 1, "M" * 64, long, 2**64 - 1, "sha256", 8192)
    times = (epoch * hour, (epoch + 1) * hour, (epoch + 3) * hour)
    yield record("a record", 2, "ams1-vault", 1, "web-1", "ams1", 9, epoch, 0, times, hour, "sha1", 256)
    yield record("a revoked record", 2, "ams1-vault", 1, "web-1", "ams1", 10, epoch, 0, times, hour, "sha1", 0)
    yield record(
        "a record with fields at their bounds", 2**32 - 1, "X" * 64, 2**32 - 1, "M" * 64, long, 2**64 - 1,
        2**64 - 1, 2**32 - 1, (2**63 - 1,) * 3, 366 * 86400, "sha256", 1024,
    )
    yield offer("an offer", 7, "ams1-second", "ams1", "sha1")
    yield offer("an offer of the last vault", 2**32 - 1, "X" * 64, long, "sha256")
    yield share("a share", 2, "ams1-vault", 7, "ams1-second", "ams1", epoch, "sha1")
    yield share("a share for the last vault", 1, "x-first", 2**32 - 1, "X" * 64, long, 2**64 - 1, "sha256")


text = (
    json.dumps(
        {
            "made_by": "make_fleet.py",
            "root_public": public(ROOT).hex(),
            "fleet": FLEET.hex(),
            "frames": list(frames()),
        },
        indent=1,
    )
    + "\n"
)
if sys.argv[1:2] == ["--check"]:
    with open(sys.argv[2], encoding="utf-8") as file:
        sys.exit(file.read() != text)
sys.stdout.write(text)
