#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Files of the data directory that are damaged, cut off or from a newer version: the broker says
which and ends with exit code 3, twice the same, leaves them as they are, and has everything once
they are whole again. Nothing that was confirmed is ever left out in silence."""

import re
import shutil
import signal
import struct
import tempfile
from pathlib import Path

import harness
from disk_support import Publisher, consume_all, crc32c, flip_bit
from harness import BrokerTest, run_program

EXIT_DATA = 3
MESSAGES = 200
PAGE_BYTES = 4096
HEADER_VERSION_AT = 12  # of a journal's header, behind magic and checksum


class Damage(BrokerTest):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="harrier-disk-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.data = self.folder / "data"
        self.whole = self.folder / "whole"

    def fill(self, how):
        """Messages confirmed one by one, then an end by this signal; and a copy of all."""
        broker = self.start_broker(data=str(self.data))
        publisher = Publisher(broker.port, "q")
        for _ in range(MESSAGES):
            publisher.publish_confirmed(1)
        publisher.close()
        if how == signal.SIGTERM:
            broker.stop()
        else:
            broker.expected_to_run = False
            broker.send_signal(how)
            broker.wait_for_exit()
        shutil.copytree(self.data, self.whole)

    def journals(self):
        """Those with messages in them, the fullest last."""
        found = [(path.read_bytes().count(b"harrier-0000"), path)
                 for path in self.data.glob("*.journal")]
        found = [path for count, path in sorted(found) if count > 0]
        self.assertTrue(found, "no journal has the messages in it")
        return found

    def image(self):
        path = self.data / "store.mdb"
        self.assertTrue(path.exists(), "no store.mdb after a stop")
        return path

    def check_refused(self, damaged, *words):
        """Refused twice with the same words, the file untouched; then whole again."""
        before = damaged.read_bytes()
        for _ in range(2):
            code, out, err = run_program("serve", "--data", str(self.data),
                                         "--listen", "127.0.0.1:0")
            self.assertEqual(code, EXIT_DATA, out + err)
            self.assertIn(damaged.name, err)
            for word in words:
                self.assertIn(word, err)
            self.assertEqual(damaged.read_bytes(), before, "the damaged file was changed")
        self.check_whole()

    def check_whole(self):
        shutil.rmtree(self.data)
        shutil.copytree(self.whole, self.data)
        broker = self.start_broker(data=str(self.data))
        self.assertEqual(consume_all(broker.port, "q"), list(range(MESSAGES)))

    def test_bit_in_the_journal(self):
        self.fill(signal.SIGKILL)
        journal = self.journals()[-1]
        flip_bit(journal, journal.read_bytes().index(b"harrier-%08d" % (MESSAGES // 2)))
        self.check_refused(journal)

    def test_newer_journal(self):
        self.fill(signal.SIGKILL)
        journal = self.journals()[-1]
        with open(journal, "r+b") as file:
            page = bytearray(file.read(PAGE_BYTES))
            self.assertEqual(page[:8], b"HARRJRNL")
            version, = struct.unpack_from(">I", page, HEADER_VERSION_AT)
            struct.pack_into(">I", page, HEADER_VERSION_AT, version + 1)
            struct.pack_into(">I", page, 8, crc32c(page[HEADER_VERSION_AT:]))
            file.seek(0)
            file.write(page)
        self.check_refused(journal, "newer")

    def test_journal_missing_in_the_middle_of_its_chain(self):
        """The first of two journals that are needed: what the second follows is not there."""
        self.fill(signal.SIGKILL)
        # A second life that is killed before its first checkpoint leaves a chain.
        broker = self.start_broker(data=str(self.data))
        publisher = Publisher(broker.port, "q")
        publisher.publish_confirmed(1)
        publisher.close()
        broker.expected_to_run = False
        broker.send_signal(signal.SIGKILL)
        broker.wait_for_exit()
        journal = self.journals()[-1]
        journal.unlink()
        code = self.start_and_look(journal)
        if code is None:  # a checkpoint had come in between: nothing of it was needed
            again = self.start_broker(data=str(self.data))
            self.assertEqual(len(consume_all(again.port, "q")), MESSAGES + 1)

    def start_and_look(self, journal):
        """The exit code, after a look at what was said; None if it serves."""
        broker = harness.Broker(data=str(self.data))
        try:
            broker.wait_until_serving()
        except harness.Failure:
            self.assertEqual(broker.wait_for_exit(), EXIT_DATA)
            self.assertIn(journal.name, "\n".join(broker.lines))
            return EXIT_DATA
        else:
            broker.stop()
            return None
        finally:
            broker.dispose(show_log=True)

    def test_journal_cut_off(self):
        """A file that ends early looks like a crash while it was written, so the broker may go on
        with what is left; it must say so."""
        self.fill(signal.SIGKILL)
        journal = self.journals()[-1]
        at = journal.read_bytes().index(b"harrier-%08d" % (MESSAGES // 2))
        with open(journal, "r+b") as file:
            file.truncate(at + 100)
        broker = harness.Broker(data=str(self.data))
        self.addCleanup(broker.dispose, show_log=True)
        try:
            broker.wait_until_serving()
        except harness.Failure:
            self.assertEqual(broker.wait_for_exit(), EXIT_DATA)
            self.assertIn(journal.name, "\n".join(broker.lines))
            return
        said = [line for line in broker.lines if re.search(r"\[(warning|error)\]", line)]
        self.assertTrue(any(journal.name in line for line in said), "half a journal, and no word")
        numbers = consume_all(broker.port, "q")
        self.assertEqual(numbers, list(range(len(numbers))))
        self.assertGreaterEqual(len(numbers), MESSAGES // 2)
        broker.stop()

    def test_image_cut_off(self):
        self.fill(signal.SIGTERM)
        image = self.image()
        with open(image, "r+b") as file:
            file.truncate(image.stat().st_size // 2)
        self.check_refused(image)

    def test_image_emptied(self):
        self.fill(signal.SIGTERM)
        image = self.image()
        image.write_bytes(b"")
        self.check_refused(image)

    def test_image_is_something_else(self):
        self.fill(signal.SIGTERM)
        image = self.image()
        with open(image, "r+b") as file:
            file.write(b"no database" * 800)
        self.check_refused(image)

    def test_image_gone(self):
        """The journal alone is not the whole state once a checkpoint has been made."""
        self.fill(signal.SIGTERM)
        self.image().unlink()
        code, out, err = run_program("serve", "--data", str(self.data), "--listen", "127.0.0.1:0")
        self.assertEqual(code, EXIT_DATA, out + err)
        self.check_whole()

    def test_bit_in_a_definition(self):
        self.fill(signal.SIGTERM)
        image = self.image()
        data = image.read_bytes()
        # The row of the queue's definition: kind, short key, vhost "/", name "q".
        places = [match.start() for match in re.finditer(rb"\x03\x00\x00\x01/q", data)]
        self.assertTrue(places, "no definition of the queue in the image")
        for place in places:
            flip_bit(image, place + 5)
        self.check_refused(image)


if __name__ == "__main__":
    harness.main()
