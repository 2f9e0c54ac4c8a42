#!/usr/bin/python3
"""Computes schedule.json: the key schedule by python3-cryptography, sharing no code with stekd.

Usage: make_schedule.py > schedule.json   (Debian's python3-cryptography)
       make_schedule.py --check schedule.json    exit 1 unless that is what would be written

All inputs are SHA-256 of a text that is given here, so that nobody could have chosen them.
"""

import hashlib
import json
import sys

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes


def cbc(key, data):
    """AES-256-CBC, IV zero, no padding: what CKM_AES_CBC_ENCRYPT_DATA derives."""
    encryptor = Cipher(algorithms.AES(key), modes.CBC(bytes(16))).encryptor()
    return encryptor.update(data) + encryptor.finalize()


def step(key, label):
    return cbc(key, hashlib.sha256(b"stekd v1 " + label.encode()).digest())


def made_up(text):
    return hashlib.sha256(text.encode()).digest()


def stek(chain_key, revision, hourly_key):
    mixed = step(chain_key, "mix " + str(revision))
    secret = cbc(mixed, hourly_key)
    return {
        "revision": revision,
        "hourly_key": hourly_key.hex(),
        "key_name": step(secret, "name")[:16].hex(),
        "admission_key": step(secret, "admission").hex(),
        "stek": step(secret, "seal").hex(),
    }


def chain(name, index, epoch, epochs, revisions):
    """A chain from one chain key: for each epoch ahead, its chain key and STEKs."""
    first = made_up("stekd test chain key " + name)
    rows = []
    for ahead in epochs:
        key = first
        for _ in range(ahead):
            key = step(key, "chain")
        steks = [
            stek(key, revision, made_up(f"stekd test hourly key {name} {epoch + ahead} {revision}"))
            for revision in revisions
        ]
        rows.append({"epoch": epoch + ahead, "chain_key": key.hex(), "steks": steks})
    return {"chain_key": first.hex(), "index": index, "epoch": epoch, "epochs": rows}


text = json.dumps(
    {
        "made_by": "make_schedule.py",
        "chains": [
            chain("a", 0, 0, [0, 1, 2, 3], [0, 1]),
            chain("b", 484000, 484000, [0, 1, 24, 168], [0, 1, 9, 10, 4294967295]),
            # Index and epoch part ways where the chain counts rotations; large ones do not wrap.
            chain("c", 7, 2**63, [0, 1, 100], [0, 2**31]),
        ],
    },
    indent=1,
) + "\n"
if sys.argv[1:2] == ["--check"]:
    with open(sys.argv[2], encoding="utf-8") as file:
        sys.exit(file.read() != text)
sys.stdout.write(text)
