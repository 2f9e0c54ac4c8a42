#!/usr/bin/python3
"""Computes ring.json: key ring files by struct and hashlib alone, sharing no code with stekd.

Usage: make_ring.py > ring.json
       make_ring.py --check ring.json    exit 1 unless that is what would be written

The layout is read off the table in provider/ring_codec.cpp. All bytes are SHA-256 of a text that is given
here, so that nobody could have chosen them.
"""

import hashlib
import json
import struct
import sys


def made_up(text, size):
    out = b""
    while len(out) < size:
        out += hashlib.sha256(f"{text} {len(out)}".encode()).digest()
    return out[:size]


def record(epoch, revision, period, window, oaep, wrapped_size):
    text = f"ring vector {epoch}.{revision}"
    return {
        "epoch": epoch,
        "revision": revision,
        "not_before": epoch * period,
        "seal_until": (epoch + 1) * period,
        "open_until": (epoch + 1) * period + window,
        "destroy_at": 1000 + (epoch + 1) * period + window,
        "name": made_up(text + " name", 16).hex(),
        "admission_key": made_up(text + " admission", 32).hex(),
        "pair": made_up(text + " pair", 16).hex(),
        "oaep": oaep,
        "wrapped_key": made_up(text + " wrapped", wrapped_size).hex(),
    }


def encode(ring):
    out = struct.pack(
        ">8sHHQqQ64s16s",
        b"stekring",
        1,
        len(ring["records"]),
        ring["generation"],
        ring["written_at"],
        ring["period"],
        ring["location"].encode(),
        ring["token_serial"].encode(),
    )
    for r in ring["records"]:
        wrapped = bytes.fromhex(r["wrapped_key"])
        out += struct.pack(
            ">QIqqqQ16s32s16sBH",
            r["epoch"],
            r["revision"],
            r["not_before"],
            r["seal_until"],
            r["open_until"],
            r["destroy_at"],
            bytes.fromhex(r["name"]),
            bytes.fromhex(r["admission_key"]),
            bytes.fromhex(r["pair"]),
            {"sha1": 1, "sha256": 2}[r["oaep"]],
            len(wrapped),
        )
        out += wrapped
    return out + hashlib.sha256(out).digest()


def ring(what, location, serial, generation, written_at, period, records):
    made = {
        "what": what,
        "location": location,
        "token_serial": serial,
        "generation": generation,
        "written_at": written_at,
        "period": period,
        "records": records,
    }
    made["file"] = encode(made).hex()
    return made


def rings():
    hour, epoch = 3600, 500_000
    yield ring("no records", "ams1", "0123456789abcdef", 1, epoch * hour, hour, [])
    yield ring(
        "three records of an hour each, one of them a revision",
        "fra-2.example_com",
        "3b6f5a8e0c1d2e4f",
        42,
        epoch * hour + 17,
        hour,
        [
            record(epoch - 1, 0, hour, 7200, "sha1", 384),
            record(epoch, 0, hour, 7200, "sha1", 384),
            record(epoch, 1, hour, 7200, "sha256", 384),
        ],
    )
    yield ring(
        "fields at their bounds",
        "x" * 64,
        "",
        2**64 - 1,
        2**63 - 1,
        366 * 86400,
        [
            record(0, 0, 1, 0, "sha1", 256),
            record(2**62, 2**32 - 1, 1, 64800, "sha256", 1024),
        ],
    )


def main():
    text = json.dumps({"rings": list(rings())}, indent=1) + "\n"
    if sys.argv[1:2] == ["--check"]:
        with open(sys.argv[2], encoding="ascii") as file:
            sys.exit(None if file.read() == text else "not what make_ring.py writes")
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
