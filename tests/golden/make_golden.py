#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/golden/methods.txt: every method's bytes as pika's own encoder makes them.

    make_golden.py          write methods.txt
    make_golden.py --check  exit 1 if methods.txt is not what would be written

The texts come from the protocol definition and the sample values below, the bytes from pika, so
that nothing in the file depends on Harrier's code. Each entry is two lines: the printed
method, the bytes of a method frame's payload in hex.
"""

import argparse
import json
import pathlib
import struct
import sys

import pika.spec

HERE = pathlib.Path(__file__).resolve().parent
DEFINITION = HERE.parent.parent / "protocol" / "spec" / "amqp-rabbitmq-0.9.1.json"
OUTPUT = HERE / "methods.txt"

TABLES = [
    ({}, "{}"),
    ({"x-max-length": 5}, '{"x-max-length": 5}'),
    ({"a": "text", "b": True, "c": None, "d": [1, "two", False], "e": {"f": -7}},
     '{"a": "text", "b": true, "c": null, "d": [1, "two", false], "e": {"f": -7}}'),
]
STRINGS = [("", '""'), ("orders", "orders"), ("with blank", '"with blank"'), ('q"\\', r'"q\"\\"')]
NUMBERS = {"octet": [0, 9, 255], "short": [0, 1, 65535], "long": [0, 70000, 4294967295],
           "longlong": [0, 1, 18446744073709551615], "timestamp": [0, 1700000000, 2 ** 63]}
ROUNDS = 3


class UpdateSecret:
    """connection.update-secret, which pika 1.2 does not know: a long string and a short one."""

    new_secret = reason = None

    def encode(self):
        secret, reason = self.new_secret.encode(), self.reason.encode()
        return [struct.pack(">I", len(secret)), secret, struct.pack("B", len(reason)), reason]


class UpdateSecretOk:
    """connection.update-secret-ok: no fields."""

    def encode(self):
        return []


EXTRA = {"UpdateSecret": UpdateSecret, "UpdateSecretOk": UpdateSecretOk}


def camel(name):
    return "".join(part.capitalize() for part in name.split("-"))


def sample(wire, turn):
    """A value for pika and its text."""
    if wire == "bit":
        return turn % 2 == 1, "true" if turn % 2 == 1 else "false"
    if wire == "table":
        return TABLES[turn % len(TABLES)]
    if wire in ("shortstr", "longstr"):
        return STRINGS[turn % len(STRINGS)]
    value = NUMBERS[wire][turn % len(NUMBERS[wire])]
    return value, str(value)


def entries(definition):
    domains = dict(definition["domains"])
    for klass in sorted(definition["classes"], key=lambda c: c["id"]):
        for method in sorted(klass["methods"], key=lambda m: m["id"]):
            rounds = ROUNDS if method["arguments"] else 1
            for turn in range(rounds):
                yield entry(klass, method, domains, turn)


def entry(klass, method, domains, turn):
    name = camel(method["name"])
    encoder = (EXTRA.get(name) or getattr(getattr(pika.spec, camel(klass["name"])), name))()
    text = f"{klass['name']}.{method['name']}"
    for position, argument in enumerate(method["arguments"]):
        wire = argument.get("type") or domains[argument["domain"]]
        member = argument["name"].replace("-", "_")
        reserved = member == "ticket" and klass["name"] != "access"
        value, value_text = (0, "") if reserved else sample(wire, turn + position)
        # pika respells names that are Python words.
        for name in (member, member + "_", member + "_qos"):
            if hasattr(encoder, name):
                setattr(encoder, name, value)
                break
        else:
            raise SystemExit(f"pika has no {text} {member}")
        if not reserved:
            text += f" {member}={value_text}"
    payload = struct.pack(">HH", klass["id"], method["id"]) + b"".join(encoder.encode())
    return f"{text}\n{payload.hex()}\n"


def main():
    parser = argparse.ArgumentParser(
        description="Write tests/golden/methods.txt with pika's encoder.")
    parser.add_argument("--check", action="store_true",
                        help="only say whether the file is up to date")
    options = parser.parse_args()
    definition = json.loads(DEFINITION.read_text(encoding="utf-8"))
    wanted = "# Written by make_golden.py; bytes by pika.\n" + "\n".join(entries(definition))
    if options.check:
        return 0 if OUTPUT.exists() and OUTPUT.read_text(encoding="utf-8") == wanted else 1
    OUTPUT.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
