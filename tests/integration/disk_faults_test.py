#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""System calls that fail on command (faults.cpp): a full disk is an alarm that ends by itself; a
failed flush or write ends the broker, and nothing is confirmed after it."""

import errno
import os
import tempfile
from pathlib import Path

import harness
from disk_support import Publisher, consume_all
from harness import BrokerTest, wait_until
from wire import Closed, HungUp

MESSAGES = 300
MESSAGES_MAX = 100_000


class Faults(BrokerTest):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="harrier-disk-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(os.path.realpath(folder.name))
        self.data = str(self.folder / "data")
        self.switch = self.folder / "switch"

    def start(self):
        return self.start_broker(data=self.data, environment={
            "LD_PRELOAD": os.environ["HARRIER_FAULTS"],
            "HARRIER_FAULT_SWITCH": str(self.switch),
            "HARRIER_FAULT_DIRECTORY": self.data})

    def break_disk(self, call, error):
        ready = self.folder / "ready"
        ready.write_text(f"{call} {error}")
        ready.rename(self.switch)  # at once, never half of it

    def test_full_disk_is_an_alarm(self):
        broker = self.start()
        publisher = Publisher(broker.port, "q")
        self.addCleanup(publisher.close)
        publisher.publish_confirmed(MESSAGES)
        for _ in range(3):
            self.break_disk("write", errno.ENOSPC)
            publisher.publish_until_blocked(broker, 1, MESSAGES_MAX)
            self.switch.unlink()
            publisher.run_until(lambda: not publisher.blocked, "the alarm's end")
            publisher.run_until(lambda: publisher.confirmed == publisher.published, "confirms")
            publisher.publish_confirmed(MESSAGES)
        self.assertEqual(consume_all(broker.port, "q"), list(range(publisher.published)))

    def ends_without_confirms(self, call, error):
        broker = self.start()
        publisher = Publisher(broker.port, "q")
        self.addCleanup(publisher.close)
        publisher.publish_confirmed(MESSAGES)
        broker.expected_to_run = False
        self.break_disk(call, error)
        publisher.publish(MESSAGES)
        with self.assertRaises((HungUp, Closed, OSError)):
            publisher.run_until(lambda: publisher.confirmed == publisher.published, "the end")
        self.assertEqual(publisher.confirmed, MESSAGES, "confirmed after the disk had failed")
        self.assertNotEqual(broker.wait_for_exit(), 0)
        wait_until(lambda: broker.output_ended, "the end of the broker's output")
        self.assertRegex("\n".join(broker.lines), r"\[critical\].*" + os.strerror(error))

        self.switch.unlink()
        again = self.start()
        numbers = consume_all(again.port, "q")
        self.assertGreaterEqual(len(numbers), MESSAGES)
        self.assertEqual(numbers, list(range(len(numbers))))

    def test_a_failed_flush_is_the_end(self):
        self.ends_without_confirms("flush", errno.EIO)

    def test_a_failed_write_is_the_end(self):
        self.ends_without_confirms("write", errno.EIO)


if __name__ == "__main__":
    harness.main()
