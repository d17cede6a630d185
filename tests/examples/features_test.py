#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Every example in docs/features.md does what the document says.

How to write one: a section "## ..." of the document has a block of some five lines of Python in
which at least one line ends with what it shows: `# -> value`, `# soon -> value` or
`# raises Error`; documented.py beside this file has the details. Each section runs in a virtual
host of its own, so that names may repeat, and nothing has to be cleaned up. It begins with these
names: pika, parameters (for further connections), connection, channel; and for consumers handle, a
callback that appends the body to the list got:

    channel.basic_consume("q", handle, auto_ack=True)
    got    # soon -> [b"one", b"two"]

To run it:

    HARRIER_PROGRAM=build/release/harrier tests/examples/features_test.py
"""

import json
import signal
import sys
import tempfile
import unittest
from pathlib import Path

import pika

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "integration"))
sys.dont_write_bytecode = True
import harness  # noqa: E402  (needs the path)
from documented import Runner, Wrong, check_shape, sections_of  # noqa: E402

DOCUMENT = ROOT / "docs" / "features.md"
SECTION_LIMIT_S = 60


def definitions(vhosts):
    """What the broker starts with: a virtual host per section, and the guest in all of them."""
    return {"users": [{"name": "guest", "password": "guest", "tags": ["administrator"]}],
            "vhosts": [{"name": name} for name in vhosts],
            "permissions": [{"user": "guest", "vhost": name, "configure": ".*", "write": ".*",
                             "read": ".*"} for name in vhosts]}


class Features(harness.BrokerTest):
    def test_every_example_does_what_it_says(self):
        sections = sections_of(DOCUMENT.read_text(encoding="utf-8"))
        self.assertGreater(len(sections), 4)
        vhosts = [f"section-{section.line}" for section in sections]
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(definitions(vhosts), file)
            file.flush()
            broker = self.start_broker("--shards", "2", "--definitions", file.name)
        for section, vhost in zip(sections, vhosts):
            with self.subTest(section.title):
                self.run_section(broker, section, vhost)
                print(f"ok {section.title}")

    def run_section(self, broker, section, vhost):
        parameters = pika.ConnectionParameters("127.0.0.1", broker.port, vhost, heartbeat=0,
                                               blocked_connection_timeout=harness.WAIT_S)
        connection = pika.BlockingConnection(parameters)
        got = []
        names = {"pika": pika, "parameters": parameters, "connection": connection,
                 "channel": connection.channel(), "got": got,
                 "handle": lambda _channel, _method, _properties, body: got.append(body)}

        def reopen(names):
            if names["channel"].is_closed:
                names["channel"] = connection.channel()

        signal.signal(signal.SIGALRM, out_of_time)
        signal.alarm(SECTION_LIMIT_S)
        wrong = None
        try:
            Runner(names, reopen, lambda: connection.process_data_events(0.01)).run(section)
        except Wrong as error:
            wrong = f"{DOCUMENT.name}, section \"{section.title}\": {error}"
        finally:
            signal.alarm(0)
            for each in list(names.values()):
                if isinstance(each, pika.BlockingConnection) and each.is_open:
                    each.close()
        if wrong:
            self.fail(wrong)


def out_of_time(_signal, _frame):
    raise TimeoutError(f"the section did not end within {SECTION_LIMIT_S} s")


class TheRunner(unittest.TestCase):
    """It would notice."""

    def run_text(self, *lines, names=None):
        section, = sections_of("\n".join(["## Title", "", *(f"    {line}" for line in lines)]))
        Runner(names or {}, wait_s=0.1).run(section)

    def assert_wrong(self, pattern, *lines, names=None):
        with self.assertRaisesRegex(Wrong, pattern):
            self.run_text(*lines, names=names)

    def test_what_holds(self):
        self.run_text("x = 1 + 1  # -> 2", "", "for i in range(3):", "    x += i",
                      "x  # -> 5", "[x, {'a': x}]  # -> [..., {'a': 5}]",
                      "1 / 0  # raises ZeroDivisionError", "{}['k']  # raises KeyError: 'k'")

    def test_what_does_not(self):
        self.assert_wrong(r"line 3: 1 \+ 1\s+was to give 3\s+and gave 2", "1 + 1  # -> 3")
        self.assert_wrong("was to give 3", "1 + 1  # soon -> 3")
        self.assert_wrong(r"line 4: x\s+was to give \(2,\)", "x = 2  # -> 2", "x  # -> (2,)")
        self.assert_wrong("was to give", "{'a': 1, 'b': 2}  # -> {'a': 1}")

    def test_errors(self):
        self.assert_wrong("was to raise KeyError\n  and gave 1", "1  # raises KeyError")
        self.assert_wrong("and raised ZeroDivisionError", "1 / 0  # raises KeyError")
        self.assert_wrong("was to raise KeyError: k", "{}['j']  # raises KeyError: k")
        self.assert_wrong("line 4: 1 / 0\n  raised ZeroDivisionError", "1  # -> 1", "1 / 0")

    def test_what_takes_its_time(self):
        bodies = [None, None, b"one", b"two"]
        self.run_text("get()  # soon -> b'one'", "get()  # -> b'two'",
                      names={"get": lambda: bodies.pop(0)})
        bodies = [None, b"two", b"one"]
        self.assert_wrong("and gave b'two'", "get()  # soon -> b'one'",
                          names={"get": lambda: bodies.pop(0)})

    def test_what_shows_nothing(self):
        self.assert_wrong("line 1: the example shows nothing that can be checked: end a line with",
                          "1 + 1  # a comment")
        with self.assertRaisesRegex(Wrong, "line 1: the section has no example"):
            check_shape(sections_of("## Title\n\nProse.\n\n```sh\nls\n```\n")[0])

    def test_checks_that_cannot_be(self):
        self.assert_wrong("line 3: only an expression", "for i in range(3):", "    i  # -> 3")
        self.assert_wrong("two checks", "[1,  # -> 1", " 2]  # -> 2")
        self.assert_wrong("belongs to no statement", "1  # -> 1", "# -> 2")
        self.assert_wrong("line 4: invalid syntax", "1  # -> 1", "1 +")

    def test_blocks(self):
        section, other = sections_of("# T\n\n## A\n\n    x = 1\n\n    y = 2\n\nText.\n\n```python\n"
                                     "if x:\n    z = 3\n```\n\n    z  # -> 3\n\n## B\nx\n    q\n")
        self.assertEqual([(block.line, block.code.strip()) for block in section.blocks],
                         [(5, "x = 1\n\ny = 2"), (12, "if x:\n    z = 3"), (16, "z  # -> 3")])
        Runner({}).run(section)
        self.assertEqual(len(other.blocks), 1)
        with self.assertRaisesRegex(Wrong, "before the first section"):
            sections_of("    x = 1\n")


if __name__ == "__main__":
    harness.main()
