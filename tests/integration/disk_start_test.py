#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Starts that cannot be: a read-only file system (needs root), a directory in use. And the one that
must be: after SIGKILL."""

import signal
import tempfile
from pathlib import Path

import harness
from disk_support import Publisher, Tmpfs, consume_all
from harness import BrokerTest, run_program

EXIT_DATA = 3
MESSAGES = 50


class Start(BrokerTest):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="harrier-disk-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.data = str(self.folder / "data")

    def fill(self, data):
        broker = self.start_broker(data=data)
        publisher = Publisher(broker.port, "q")
        publisher.publish_confirmed(MESSAGES)
        publisher.close()
        return broker

    def refused(self, data):
        code, out, err = run_program("serve", "--data", data, "--listen", "127.0.0.1:0")
        self.assertEqual((code, out), (EXIT_DATA, ""), err)
        self.assertIn(data, err)
        return err

    def test_read_only_file_system(self):
        mounted = self.folder / "mounted"
        mounted.mkdir()
        disk, why = Tmpfs.make(mounted, "512m")
        if disk is None:
            self.skipTest(f"no file system can be mounted: {why}")
        self.addCleanup(disk.unmount)
        data = str(mounted / "data")
        self.fill(data).stop()
        disk.remount_read_only()
        for _ in range(2):
            self.assertIn("Read-only file system", self.refused(data))

    def test_in_use(self):
        running = self.fill(self.data)
        self.assertIn("in use by another broker", self.refused(self.data))
        self.assertEqual(consume_all(running.port, "q"), list(range(MESSAGES)))

    def test_killed_leaves_nothing_locked(self):
        for turn in range(3):
            broker = self.start_broker(data=self.data)
            publisher = Publisher(broker.port, f"q.{turn}")
            publisher.publish_confirmed(MESSAGES)
            publisher.close()
            broker.expected_to_run = False
            broker.send_signal(signal.SIGKILL)
            broker.wait_for_exit()
        broker = self.start_broker(data=self.data)
        for turn in range(3):
            self.assertEqual(consume_all(broker.port, f"q.{turn}"), list(range(MESSAGES)))


if __name__ == "__main__":
    harness.main()
