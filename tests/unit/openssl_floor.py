#!/usr/bin/env python3
"""Checks that the module runs on OpenSSL 3.0.6 and asks for nothing that OpenSSL 3.5 deprecates:

    openssl_floor.py MODULE INCLUDE_DIRECTORY SOURCE_DIRECTORY COMPILE_COMMANDS

What it imports from libcrypto, and what its source looks up in libssl, must have the symbol version of 3.0.0
(what a later 3.0.x added has its own) and not be marked deprecated in the installed headers, nor in the list
below of what releases after them did. And its source must be built with the deprecated not declared.
"""
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys

# Deprecated in 3.1 to 3.5 (their manual pages): what Debian 12's headers do not know of. There is no other way
# before 3.3 than SSL_SESSION_get_time: it is the second choice where the first is not there.
LATER = {
    "SSL_SESSION_get_time": "SSL_SESSION_get_time_ex",
    "SSL_SESSION_set_time": None,
    "SSL_get_time": None,
    "SSL_set_time": None,
    "SSL_CTX_flush_sessions": None,
    "TS_VERIFY_CTX_set_data": None,
    "TS_VERIFY_CTX_set_store": None,
    "TS_VERIFY_CTX_set_certs": None,
    "TS_VERIFY_CTX_set_imprint": None,
}


def deprecated(include):
    """The functions that the headers mark."""
    names = set()
    for header in sorted((include / "openssl").glob("*.h")):
        text = re.sub(r"/\*.*?\*/", " ", header.read_text(errors="replace"), flags=re.S)
        text = re.sub(r"\\\n", " ", text)
        for declaration in re.findall(r"OSSL_DEPRECATEDIN_\w+(?:\([^)]*\))?\s([^;{]*)", text):
            # The first name before a parenthesis, or that of a function that returns a function.
            found = re.search(r"\(\s*\*\s*(\w+)\s*\(|(\w+)\s*\(", declaration)
            if found:
                names.add(found[1] or found[2])
    return names


def exported(library):
    """name -> version, of a shared library."""
    out = subprocess.run(["readelf", "--dyn-syms", "-W", library], check=True, capture_output=True, text=True)
    return dict(re.findall(r"\s(\w+)@@(OPENSSL_\S+)$", out.stdout, re.M))


def imported(module):
    out = subprocess.run(["readelf", "--dyn-syms", "-W", module], check=True, capture_output=True, text=True)
    return dict(re.findall(r"\sUND\s+(\w+)@(OPENSSL_\S+)(?:\s+\(\d+\))?$", out.stdout, re.M))


def loaded_library(name):
    out = subprocess.run(["ldconfig", "-p"], check=True, capture_output=True, text=True,
                         env={**os.environ, "PATH": os.environ.get("PATH", "") + ":/sbin:/usr/sbin"})
    return re.search(rf"\b{re.escape(name)} .*=> (\S+)", out.stdout)[1]


def compiled_with_deprecated(commands, source):
    """How many files the module has, and those that are built with the deprecated declared."""
    ours = [c for c in commands if pathlib.Path(c["directory"], c["file"]).resolve().parent == source / "provider"]
    flags = {"-DOPENSSL_API_COMPAT=30000", "-DOPENSSL_NO_DEPRECATED"}
    return len(ours), [c["file"] for c in ours if not flags <= set(shlex.split(c["command"]))]


def main(module, include, source, commands):
    source = pathlib.Path(source).resolve()
    problems = []
    marked = deprecated(pathlib.Path(include))
    for known in ("AES_encrypt", "HMAC_Init_ex", "RSA_new", "ENGINE_by_id", "SSL_CTX_use_RSAPrivateKey"):
        if known not in marked:
            problems.append(f"the headers' marks are not understood: {known} is not among {len(marked)}")
    libcrypto = imported(module)
    if "CRYPTO_get_ex_new_index" not in libcrypto:
        problems.append("the module's imports are not understood")
    lookups = set(re.findall(r'"(SSL_\w+)"', (source / "provider" / "libssl.cpp").read_text()))
    if "SSL_CTX_set_tlsext_ticket_key_evp_cb" not in lookups:
        problems.append("the look-ups in libssl.cpp are not understood")
    libssl = exported(loaded_library("libssl.so.3"))
    second_choices = {old: new for old, new in LATER.items() if new in lookups}
    first_choices = set(second_choices.values())
    versions = libcrypto | {name: libssl.get(name, "nothing") for name in lookups - first_choices}
    for name, version in sorted(versions.items()):
        if version != "OPENSSL_3.0.0":
            problems.append(f"{name} is of {version}, later than 3.0.6 or nowhere")
        if name in marked or (name in LATER and name not in second_choices):
            problems.append(f"{name} is deprecated")
    with open(commands, encoding="utf-8") as file:
        count, bad = compiled_with_deprecated(json.load(file), source)
    if count < 30:
        problems.append(f"only {count} files of the module were found")
    problems += [f"{name} is compiled with what is deprecated" for name in bad]
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"{len(libcrypto)} functions of libcrypto, {len(lookups)} of libssl, {count} files, {len(problems)} problems")
    return 1 if problems else 0


sys.exit(main(*sys.argv[1:]))
