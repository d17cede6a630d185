#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A disk without room, on a small file system of its own (needs root): publishers are blocked and
told so, consumers go on, it ends by itself when there is room again, and nothing is lost."""

import os
import signal
import struct
import tempfile
from pathlib import Path

import harness
from disk_support import CAPABLE, Publisher, Tmpfs, consume_all, declare_durable, number_of
from harness import BrokerTest, run_program
from wire import Client, ack, method

MIB = 1 << 20
SIZE = "96m"  # of the file system: room for journals that are written ahead
OPTIONS = ("--set", "store.segment=4MiB", "--set", "store.disk_free_min=0")
PAGE_BYTES = 4096
EXIT_INTERNAL, EXIT_DATA = 1, 3
BODY_BYTES = 16 * 1024
BEFORE = 500  # messages that are consumed during the trouble, half of those before it
BATCH = 100
MESSAGES_MAX = 60_000
QOS, QOS_OK = (60, 10), (60, 11)


class DiskFull(BrokerTest):
    def setUp(self):
        folder = Path(tempfile.mkdtemp(prefix="harrier-disk-"))
        self.addCleanup(folder.rmdir)
        self.disk, why = Tmpfs.make(folder, SIZE)
        if self.disk is None:
            self.skipTest(f"no file system can be mounted: {why}")
        self.addCleanup(self.disk.unmount)
        self.data = str(folder / "data")

    def start(self, *options):
        return self.start_broker(*(options or OPTIONS), data=self.data)

    def kill(self, broker):
        broker.expected_to_run = False
        broker.send_signal(signal.SIGKILL)
        broker.wait_for_exit()

    def publisher(self, broker):
        publisher = Publisher(broker.port, "q", BODY_BYTES)
        self.addCleanup(publisher.close)
        publisher.publish_confirmed(2 * BEFORE)
        return publisher

    def consume_some(self, broker):
        """Consumers go on: they get what was there before, and more for their acknowledgement."""
        consumer = self.open(Client(broker.port, **CAPABLE))
        consumer.send(method(1, QOS, struct.pack(">IHB", 0, BEFORE, 0)))
        consumer.expect(QOS_OK)
        consumer.consume("q")
        numbers = []
        for _ in range(BEFORE):
            tag, body = consumer.read_delivery()
            numbers.append(number_of(body))
        self.assertEqual(numbers, list(range(BEFORE)))
        consumer.send(ack(1, tag))
        self.assertEqual(number_of(consumer.read_delivery()[1]), BEFORE)
        consumer.socket.close()

    def go_on(self, broker, publisher):
        """The alarm ends by itself and all is confirmed; what the disk has is what was said."""
        publisher.run_until(lambda: not publisher.blocked, "the alarm's end")
        publisher.run_until(lambda: publisher.confirmed == publisher.published, "confirms")
        publisher.publish_confirmed(BATCH)
        self.kill(broker)
        again = self.start()
        self.assertEqual(consume_all(again.port, "q"), list(range(BEFORE, publisher.published)))

    def test_blocked_consumed_unblocked(self):
        broker = self.start()
        publisher = self.publisher(broker)
        ballast = self.disk.fill()
        publisher.publish_until_blocked(broker, BATCH, MESSAGES_MAX)
        self.consume_some(broker)
        self.assertTrue(publisher.blocked)
        ballast.unlink()
        self.go_on(broker, publisher)

    def test_stopped_while_it_is_full(self):
        """What is still waiting cannot be stored: the exit code says so, and nothing that was
        confirmed is lost."""
        broker = self.start(*OPTIONS, "--set", "store.checkpoint_interval=1h")
        publisher = self.publisher(broker)
        ballast = self.disk.fill()
        publisher.publish_until_blocked(broker, BATCH, MESSAGES_MAX)
        self.assertLess(publisher.confirmed, publisher.published)
        publisher.close()  # or its close is waited for
        broker.expected_to_run = False
        broker.send_signal(signal.SIGTERM)
        self.assertEqual(broker.wait_for_exit(), EXIT_INTERNAL)
        broker.wait_for_line(r"\[critical\] the store has failed, .*No space left on device; "
                             "stopped before there was room")
        ballast.unlink()
        self.check_confirmed(publisher)

    def test_low_before_it_is_full(self):
        """The limit that is set comes first; soon after it a checkpoint finds room for a part."""
        broker = self.start("--set", "store.segment=4MiB", "--set", "store.disk_free_min=16MiB")
        publisher = self.publisher(broker)
        ballast = self.disk.fill(leave=15 * MIB)
        publisher.publish_until_blocked(broker, 1, MESSAGES_MAX)
        self.consume_some(broker)
        self.assertTrue(publisher.blocked)
        ballast.unlink()
        self.go_on(broker, publisher)

    def fill_and_kill(self):
        broker = self.start()
        publisher = self.publisher(broker)
        ballast = self.disk.fill()
        publisher.publish_until_blocked(broker, BATCH, MESSAGES_MAX)
        self.kill(broker)
        return publisher, ballast

    def refused_for_room(self):
        code, out, err = run_program("serve", "--data", self.data, "--listen", "127.0.0.1:0",
                                     *OPTIONS)
        self.assertEqual((code, out), (EXIT_DATA, ""), err)
        self.assertIn(self.data, err)
        self.assertIn("No space left on device", err)
        self.assertIn("make room", err)

    def check_confirmed(self, publisher):
        again = self.start()
        numbers = consume_all(again.port, "q")
        self.assertEqual(numbers, list(range(len(numbers))))
        self.assertGreaterEqual(len(numbers), publisher.confirmed)

    def test_start_without_room(self):
        publisher, ballast = self.fill_and_kill()
        for _ in range(2):  # with a journal that can be used again it starts
            code = self.start_and_kill()
            if code is not None:
                self.assertEqual(code, EXIT_DATA)
                self.refused_for_room()
        ballast.unlink()
        self.check_confirmed(publisher)

    def start_and_kill(self):
        """The exit code of a start; None if it serves."""
        broker = harness.Broker(*OPTIONS, data=self.data)
        try:
            broker.wait_until_serving()
        except harness.Failure:
            return broker.wait_for_exit()
        else:
            self.kill(broker)
            return None
        finally:
            broker.dispose(show_log=True)

    def test_one_page_is_enough_to_start(self):
        publisher, ballast = self.fill_and_kill()
        os.truncate(ballast, ballast.stat().st_size - PAGE_BYTES)
        broker = self.start()
        with Client(broker.port) as client:
            self.assertGreaterEqual(declare_durable(client, "q")[0], publisher.confirmed)
        again = Publisher(broker.port, "q", BODY_BYTES)
        self.addCleanup(again.close)
        again.publish_until_blocked(broker, BATCH, MESSAGES_MAX)
        self.kill(broker)
        ballast.unlink()
        broker = self.start()
        numbers = consume_all(broker.port, "q")
        self.assertGreaterEqual(len(numbers), publisher.confirmed + again.confirmed)
        self.assertEqual(numbers[:publisher.confirmed], list(range(publisher.confirmed)))

    def test_first_start_without_room(self):
        """Whatever the start gets to before the room ends: a message, not a crash."""
        os.mkdir(self.data)
        for pages in range(0, 24):
            ballast = self.disk.fill(leave=pages * PAGE_BYTES)
            code = self.start_and_kill()
            if code is None:
                break
            self.assertEqual(code, EXIT_DATA, f"with {pages} pages")
            self.refused_for_room()
            ballast.unlink()
        self.assertGreater(pages, 0, "it starts on a full disk")
        self.assertIsNone(code, "it does not start")


if __name__ == "__main__":
    harness.main()
