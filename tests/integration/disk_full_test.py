#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A disk without room, on a small file system of its own (needs root): publishers are blocked and
told so, consumers go on, it ends by itself when there is room again, and nothing is lost."""

import signal
import tempfile
from pathlib import Path

import harness
from disk_support import CAPABLE, Publisher, Tmpfs, consume_all, declare_durable, number_of
from harness import BrokerTest
from wire import Client, ack

SIZE = "640m"  # of the file system: room for journals that are written ahead
BODY_BYTES = 16 * 1024
BEFORE = 500  # messages before the trouble
BATCH = 100
MESSAGES_MAX = 60_000


class DiskFull(BrokerTest):
    def setUp(self):
        folder = Path(tempfile.mkdtemp(prefix="harrier-disk-"))
        self.addCleanup(folder.rmdir)
        self.disk, why = Tmpfs.make(folder, SIZE)
        if self.disk is None:
            self.skipTest(f"no file system can be mounted: {why}")
        self.addCleanup(self.disk.unmount)
        self.data = str(folder / "data")

    def publish_until_blocked(self, publisher):
        while not publisher.blocked and publisher.published < MESSAGES_MAX:
            publisher.publish(BATCH)
            publisher.run_until(
                lambda: publisher.blocked or publisher.confirmed == publisher.published, "publish")
        self.assertTrue(publisher.blocked, "the disk is full and nobody says so")
        self.assertIn(b"low on disk", publisher.reason)

    def test_blocked_consumed_unblocked(self):
        broker = self.start_broker(data=self.data)
        publisher = Publisher(broker.port, "q", BODY_BYTES)
        self.addCleanup(publisher.close)
        publisher.publish_confirmed(BEFORE)
        ballast = self.disk.fill()
        self.publish_until_blocked(publisher)

        # Consumers go on: they get and acknowledge what was there before.
        consumer = self.open(Client(broker.port, **CAPABLE))
        consumer.consume("q")
        first = []
        for _ in range(BEFORE):
            tag, body = consumer.read_delivery()
            first.append(number_of(body))
        consumer.send(ack(1, tag))
        self.assertEqual(first, list(range(BEFORE)))
        consumer.close()
        self.assertTrue(publisher.blocked)

        ballast.unlink()
        publisher.run_until(lambda: not publisher.blocked, "the alarm's end")
        publisher.run_until(lambda: publisher.confirmed == publisher.published, "confirms")
        publisher.publish_confirmed(BATCH)
        broker.expected_to_run = False
        broker.send_signal(signal.SIGKILL)
        broker.wait_for_exit()

        again = self.start_broker(data=self.data)
        numbers = consume_all(again.port, "q")
        # The acks had no answer: what they were for may come back.
        self.assertEqual([n for n in numbers if n >= BEFORE],
                         list(range(BEFORE, publisher.published)))
        self.assertEqual(len(numbers), len(set(numbers)))

    def test_killed_while_full(self):
        """The start after it makes do with the room there is, or says what is wrong."""
        broker = self.start_broker(data=self.data)
        publisher = Publisher(broker.port, "q", BODY_BYTES)
        self.addCleanup(publisher.close)
        publisher.publish_confirmed(BEFORE)
        ballast = self.disk.fill()
        self.publish_until_blocked(publisher)
        broker.expected_to_run = False
        broker.send_signal(signal.SIGKILL)
        broker.wait_for_exit()
        code, _, err = self.run_once_full()
        if code is not None:
            self.assertEqual(code, 3, err)
            self.assertIn("No space left on device", err)
        ballast.unlink()
        again = self.start_broker(data=self.data)
        numbers = consume_all(again.port, "q")
        self.assertEqual(numbers[:publisher.confirmed], list(range(publisher.confirmed)))

    def run_once_full(self):
        """(exit code, None, output) of a start without room; code None if it serves."""
        broker = harness.Broker(data=self.data)
        try:
            broker.wait_until_serving()
        except harness.Failure:
            code = broker.wait_for_exit()
            return code, None, "\n".join(broker.lines)
        else:
            with Client(broker.port) as client:
                self.assertGreaterEqual(declare_durable(client, "q")[0], BEFORE)
            broker.expected_to_run = False
            broker.send_signal(signal.SIGKILL)
            broker.wait_for_exit()
            return None, None, ""
        finally:
            broker.dispose(show_log=True)


if __name__ == "__main__":
    harness.main()
