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
SEGMENT_BYTES = 1 << 20
# No checkpoint but at a stop in order: all messages are in the journal when the broker is killed.
OPTIONS = ("--set", "store.segment=1MiB", "--set", "store.checkpoint_interval=1h")
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
        broker = self.start_broker(*OPTIONS, data=str(self.data))
        publisher = Publisher(broker.port, "q")
        # The first file grows as it is written. The others are written ahead.
        harness.wait_until(lambda: any(path.stat().st_size == SEGMENT_BYTES for path in
                                       self.data.glob("journal/*.journal")), "a journal ahead")
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
                 for path in self.data.glob("journal/*.journal")]
        found = [path for count, path in sorted(found) if count > 0]
        self.assertTrue(found, "no journal has the messages in it")
        return found

    def image(self):
        path = self.data / "store.mdb"
        self.assertTrue(path.exists(), "no store.mdb after a stop")
        return path

    def check_refused(self, damaged, *words, messages=MESSAGES):
        """Refused twice with the same words, the file untouched; then whole again."""
        before = damaged.read_bytes() if damaged.exists() else None
        for _ in range(2):
            code, out, err = run_program("serve", "--data", str(self.data),
                                         "--listen", "127.0.0.1:0", *OPTIONS)
            self.assertEqual((code, out), (EXIT_DATA, ""), err)
            self.assertIn(damaged.name, err)
            for word in words:
                self.assertIn(word, err)
            after = damaged.read_bytes() if damaged.exists() else None
            self.assertEqual(after, before, "the damaged file was changed")
        self.check_whole(messages)

    def check_whole(self, messages):
        shutil.rmtree(self.data)
        shutil.copytree(self.whole, self.data)
        broker = self.start_broker(*OPTIONS, data=str(self.data))
        numbers = consume_all(broker.port, "q")
        self.assertEqual(numbers[:MESSAGES], list(range(MESSAGES)))
        self.assertEqual(len(numbers), messages)

    def test_bit_in_the_journal(self):
        self.fill(signal.SIGKILL)
        journal = self.journals()[-1]
        flip_bit(journal, journal.read_bytes().index(b"harrier-%08d" % (MESSAGES // 2)))
        self.check_refused(journal, "restore the data directory from a backup")

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
        self.check_refused(journal, "newer version", "start that version")

    def test_journal_missing_in_the_middle_of_its_chain(self):
        """The first of two journals that are needed: what the second follows is not there."""
        self.fill(signal.SIGKILL)
        # A second life that is killed before its first checkpoint leaves a chain.
        broker = self.start_broker(*OPTIONS, data=str(self.data))
        publisher = Publisher(broker.port, "q")
        publisher.publish_confirmed(1)
        publisher.close()
        broker.expected_to_run = False
        broker.send_signal(signal.SIGKILL)
        broker.wait_for_exit()
        journal = self.journals()[-1]
        shutil.rmtree(self.whole)
        shutil.copytree(self.data, self.whole)
        journal.unlink()
        self.check_refused(journal, "is missing", messages=MESSAGES + 1)

    def test_journal_cut_off(self):
        """A file that was written ahead tells how long it was."""
        self.fill(signal.SIGKILL)
        journal = self.journals()[-1]
        self.assertEqual(journal.stat().st_size, SEGMENT_BYTES)
        at = journal.read_bytes().index(b"harrier-%08d" % (MESSAGES // 2))
        with open(journal, "r+b") as file:
            file.truncate(at + 100)
        self.check_refused(journal, "is truncated", "restore the data directory from a backup")

    def test_growing_journal_cut_off(self):
        """A file that grows as it is written looks like a crash in the middle of that, so the
        broker goes on with what is left; it says so."""
        broker = self.start_broker("--set", "store.checkpoint_interval=1h", data=str(self.data))
        publisher = Publisher(broker.port, "q")  # its queue goes before the message
        publisher.publish_confirmed(1)
        publisher.close()
        broker.expected_to_run = False
        broker.send_signal(signal.SIGKILL)
        broker.wait_for_exit()
        journal = self.journals()[-1]
        if journal.name != "0000000000000001.journal":
            self.skipTest("the next file was written ahead sooner than the first message came")
        with open(journal, "r+b") as file:
            file.truncate(journal.read_bytes().index(b"harrier-0000") + 100)
        again = self.start_broker(*OPTIONS, data=str(self.data))
        again.wait_for_line(r"\[warning\].*not whole: .*" + journal.name)
        self.assertEqual(consume_all(again.port, "q"), [])

    def test_image_cut_off(self):
        self.fill(signal.SIGTERM)
        image = self.image()
        with open(image, "r+b") as file:
            file.truncate(image.stat().st_size // 2)
        self.check_refused(image, "restore the data directory from a backup")

    def test_image_emptied(self):
        self.fill(signal.SIGTERM)
        image = self.image()
        image.write_bytes(b"")
        self.check_refused(image, "restore the data directory from a backup")

    def test_image_is_something_else(self):
        self.fill(signal.SIGTERM)
        image = self.image()
        with open(image, "r+b") as file:
            file.write(b"no database" * 800)
        self.check_refused(image, "restore the data directory from a backup")

    def test_image_gone(self):
        """The journal alone is not the whole state once a checkpoint has been made."""
        self.fill(signal.SIGTERM)
        image = self.image()
        image.unlink()
        self.check_refused(image, "is missing", "restore the data directory from a backup")

    def test_newer_image(self):
        self.fill(signal.SIGTERM)
        image = self.image()
        data = bytearray(image.read_bytes())
        mark = b"harrier image"
        rows = [match.start() for match in re.finditer(mark, data)]
        self.assertTrue(rows, "no format in the image")
        for row in rows:  # checksum, mark, version
            end = row + len(mark) + 4
            struct.pack_into(">I", data, end - 4, struct.unpack_from(">I", data, end - 4)[0] + 1)
            struct.pack_into(">I", data, row - 4, crc32c(b"format" + data[row:end]))
        image.write_bytes(data)
        self.check_refused(image, "start the newer Harrier")

    def test_bit_in_a_definition(self):
        self.fill(signal.SIGTERM)
        image = self.image()
        data = image.read_bytes()
        # The row of the queue's definition: kind, short key, vhost "/", name "q".
        places = [match.start() for match in re.finditer(rb"\x03\x00\x00\x01/q", data)]
        self.assertTrue(places, "no definition of the queue in the image")
        for place in places:
            flip_bit(image, place + 5)
        self.check_refused(image, "restore the data directory from a backup")


if __name__ == "__main__":
    harness.main()
