#!/usr/bin/python3
"""Computes hpke.json: HPKE by python3-cryptography, sharing no code with stekd.

Usage: make_hpke.py > hpke.json   (Debian's python3-cryptography)
       make_hpke.py --check hpke.json    exit 1 unless that is what would be written

The functions are in hpke.py beside this. Private keys and all other bytes are SHA-256 of a text that is given
here, so that nobody could have chosen them.
"""

import hashlib
import json
import sys

sys.dont_write_bytecode = True  # nothing of it is left in the tree
from hpke import ORDER, agree, i2osp, public, seal


def made_up(text, size=32):
    out = b""
    while len(out) < size:
        out += hashlib.sha256(f"stekd hpke vector {text} {len(out)}".encode()).digest()
    return out[:size]


def scalar(text):
    return i2osp(int.from_bytes(made_up(text), "big") % (ORDER - 1) + 1, 32)


def vector(what, info=24, aad=99, plaintext=32, which=lambda ephemeral, recipient: True):
    """The first ephemeral key, of those that are tried in turn, for which `which` holds."""
    recipient, number = scalar("recipient " + what), 0
    while not which(ephemeral := scalar(f"ephemeral {number} {what}"), recipient):
        number += 1
    info, aad = made_up("info " + what, info), made_up("aad " + what, aad)
    plaintext = made_up("plaintext " + what, plaintext)
    return {
        "what": what,
        "ephemeral": ephemeral.hex(),
        "recipient": recipient.hex(),
        "recipient_public": public(recipient).hex(),
        "info": info.hex(),
        "aad": aad.hex(),
        "plaintext": plaintext.hex(),
        "enc": public(ephemeral).hex(),
        "ciphertext": seal(0x0002, ephemeral, recipient, info, aad, plaintext).hex(),
    }


vectors = [
    vector("hourly key"),
    vector("nothing at all", info=0, aad=0, plaintext=0),
    vector("no info", info=0),
    vector("no aad", aad=0),
    vector("no plaintext", plaintext=0),
    vector("one byte", plaintext=1),
    vector("many bytes", info=3000, aad=5000, plaintext=4099),
    vector("shared x begins with zero", which=lambda e, r: agree(e, r)[0] == 0),
    vector("ephemeral x begins with zero", which=lambda e, r: public(e)[1] == 0),
    vector("ephemeral y begins with zero", which=lambda e, r: public(e)[33] == 0),
]
text = json.dumps({"made_by": "make_hpke.py", "vectors": vectors}, indent=1) + "\n"
if sys.argv[1:2] == ["--check"]:
    with open(sys.argv[2], encoding="utf-8") as file:
        sys.exit(file.read() != text)
sys.stdout.write(text)
