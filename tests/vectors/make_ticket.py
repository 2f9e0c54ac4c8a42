#!/usr/bin/python3
"""Computes ticket.json: audiences and tickets by python3-cryptography, sharing no code with stekd.

Usage: make_ticket.py > ticket.json
       make_ticket.py --check ticket.json    exit 1 unless that is what would be written

The audience is read off the table in provider/audience.hpp, the ticket off the one in provider/ticket.hpp.
All bytes are SHA-256 of a text that is given here, so that nobody could have chosen them; certificates are
Ed25519, whose signatures have no chance in them.
"""

import datetime
import hashlib
import hmac
import json
import struct
import sys

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

VERIFY_NONE, VERIFY_PEER, VERIFY_FAIL_IF_NO_PEER_CERT = 0, 1, 2


def made_up(text, size=32):
    out = b""
    while len(out) < size:
        out += hashlib.sha256(f"stekd ticket vector {text} {len(out)}".encode()).digest()
    return out[:size]


def name(common_name):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def certificate(common_name):
    key = ed25519.Ed25519PrivateKey.from_private_bytes(made_up("certificate " + common_name))
    made = (
        x509.CertificateBuilder()
        .subject_name(name(common_name))
        .issuer_name(name(common_name))
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.datetime(2020, 1, 1))
        .not_valid_after(datetime.datetime(2100, 1, 1))
        .sign(key, None)
    )
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return made.public_bytes(Encoding.DER), spki


def framed(part):
    return struct.pack(">Q", len(part)) + part


def audience(case, spki):
    parts = [b"stekd audience v1", case["string"].encode()]
    if not case["replaces"]:
        clients = struct.pack(">Q", case["verify_mode"])
        for ca in case["client_cas"]:
            clients += framed(name(ca).public_bytes())
        parts += [spki, hashlib.sha256(clients).digest(), case["server_name"].lower().encode()]
    return hashlib.sha256(b"".join(framed(part) for part in parts)).digest()


def vector(number, string="", replaces=False, cert="", verify_mode=0, client_cas=(), server_name="", size=200):
    case = {
        "string": string,
        "replaces": replaces,
        "certificate": "",
        "verify_mode": verify_mode,
        "client_cas": list(client_cas),
        "server_name": server_name,
    }
    spki = b""
    if cert:
        der, spki = certificate(cert)
        case["certificate"] = der.hex()
    whom = audience(case, spki)
    stek, key_name = made_up(f"stek {number}"), made_up(f"name {number}", 16)
    admission, iv = made_up(f"admission {number}"), made_up(f"iv {number}", 12)
    session, lineage = made_up(f"session {number}", size), 1700000000 + number
    sealed = AESGCM(stek).encrypt(
        iv, struct.pack(">q", lineage) + session, b"stekd ticket v1" + key_name + whom
    )
    ticket = key_name + iv + sealed
    mac_key = hmac.digest(admission, whom, "sha256")
    case.update(
        audience=whom.hex(),
        stek=stek.hex(),
        key_name=key_name.hex(),
        admission_key=admission.hex(),
        iv=iv.hex(),
        lineage=lineage,
        session=session.hex(),
        ticket=(ticket + hmac.digest(mac_key, ticket, "sha256")).hex(),
    )
    return case


both = VERIFY_PEER | VERIFY_FAIL_IF_NO_PEER_CERT
vectors = [
    vector(0, cert="a.example", server_name="a.example"),
    vector(1, cert="a.example"),
    vector(2, cert="a.example", server_name="WWW.A.Example", size=1),
    vector(3, cert="a.example", server_name="a.example", verify_mode=VERIFY_PEER),
    vector(4, cert="a.example", server_name="a.example", verify_mode=both, client_cas=["CA 1"]),
    vector(5, cert="a.example", server_name="a.example", verify_mode=both, client_cas=["CA 1", "CA 2"]),
    vector(6, cert="b.example", server_name="a.example", size=1400),
    vector(7, cert="b.example", server_name="a.example", string="staging", size=15),
    vector(8, server_name="a.example", string="no certificate", size=16),
    vector(9, string="one for all", replaces=True, size=17),
    vector(10, cert="a.example", verify_mode=both, string="one for all", replaces=True, size=12000),
]
text = json.dumps({"made_by": "make_ticket.py", "vectors": vectors}, indent=1) + "\n"
if sys.argv[1:2] == ["--check"]:
    with open(sys.argv[2], encoding="utf-8") as file:
        sys.exit(file.read() != text)
sys.stdout.write(text)
