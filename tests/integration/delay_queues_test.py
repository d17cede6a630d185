#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Throw-away delay queues, as Laravel makes them: one for every delay, with a time to live for its
messages, twice that for itself, and the queue of the jobs as its dead-letter target. Hundreds of
them leave nothing behind, and neither a kill nor a broker that is held up loses a job."""

import json
import signal
import struct
import tempfile
import time
from pathlib import Path

import harness
from disk_support import numbered, number_of, persistent_publish
from harness import MIB, BrokerTest, run_program, wait_until
from wire import ACK, DECLARE, Client, Closed, ack, long, method, short

JOBS = "jobs"
DURABLE, NOWAIT = 0x02, 0x10
CONFIRM_SELECT, CONFIRM_SELECT_OK = (85, 10), (85, 11)
BODY_BYTES = 200
BATCH = 100
ROUNDS = 3
QUEUES = 300  # of a round
TTL_MS = 1000  # and a queue is to get its message within twice that
TOLERANCE_BYTES = 4 * MIB  # what an allocator keeps or gives back between two rounds


def text_argument(name, value):
    return short(name) + b"S" + long(value.encode())


def number_argument(name, value):
    return short(name) + b"l" + struct.pack(">q", value)


def declare(queue, arguments=b""):
    return method(1, DECLARE, b"\x00\x00" + short(queue) + bytes([DURABLE | NOWAIT]) +
                  long(arguments))


def declare_delay(queue, ttl_ms):
    return declare(queue, text_argument("x-dead-letter-exchange", "") +
                   text_argument("x-dead-letter-routing-key", JOBS) +
                   number_argument("x-message-ttl", ttl_ms) +
                   number_argument("x-expires", 2 * ttl_ms))


def later(client, first, count, ttl_ms):
    """So many jobs, each in a delay queue of its own; returns when all are confirmed."""
    confirmed = 0
    for start in range(first, first + count, BATCH):
        numbers = range(start, min(start + BATCH, first + count))
        client.send(b"".join(
            declare_delay(f"{JOBS}.delay.{number}", ttl_ms) +
            persistent_publish(f"{JOBS}.delay.{number}", numbered(number, BODY_BYTES))
            for number in numbers))
        while confirmed < numbers[-1] + 1 - first:
            tag, multiple = struct.unpack(">QB", client.expect(ACK))
            confirmed = confirmed + 1 if not multiple else tag - client.base
    client.base += count


class DelayQueues(BrokerTest):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="harrier-delays-")
        self.addCleanup(folder.cleanup)
        self.data = str(Path(folder.name) / "data")

    def start(self, shards=2):
        return self.start_broker("--shards", str(shards), data=self.data)

    def publisher(self, broker):
        client = self.open(Client(broker.port))
        client.base = 0  # confirms of earlier rounds
        client.send(declare(JOBS) + method(1, CONFIRM_SELECT, b"\x00"))
        client.expect(CONFIRM_SELECT_OK)
        return client

    def take(self, client, count):
        """The numbers of so many jobs, acknowledged."""
        numbers = []
        for _ in range(count):
            tag, body = client.read_delivery()
            numbers.append(number_of(body))
            if len(numbers) % BATCH == 0 or len(numbers) == count:
                client.send(ack(1, tag))
        return numbers

    def wait_until_gone(self, broker, queue):
        """Purging is no use of a queue, so asking for it does not keep it."""
        def is_gone():
            with Client(broker.port) as client:
                try:
                    client.purge(queue)
                except Closed as closed:
                    self.assertEqual(closed.code, 404)
                    return True
            return False
        wait_until(is_gone, f"{queue} goes")

    def check_nothing_is_left(self, broker):
        broker.stop()
        code, out, err = run_program("inspect", self.data, "--json", "--verify")
        self.assertEqual(code, 0, err)
        found = json.loads(out)
        self.assertEqual([(queue["name"], queue["messages"]) for queue in found["queues"]],
                         [(JOBS, 0)])
        self.assertIn({"vhost": "/", "queue": 1}, found["definitions"])
        self.assertEqual((found["image"]["message_rows"], found["image"]["contents"]), (0, 0))

    def test_thousands_leave_nothing_behind(self):
        for shards in (1, 2):
            with self.subTest(shards=shards):
                self.data += f".{shards}"
                self.come_and_go(self.start(shards))

    def come_and_go(self, broker):
        publisher = self.publisher(broker)
        consumer = self.open(Client(broker.port))
        consumer.consume(JOBS)
        start, own = broker.descriptors(), []
        for number in range(ROUNDS):
            first = number * QUEUES
            later(publisher, first, QUEUES, TTL_MS)
            self.assertEqual(sorted(self.take(consumer, QUEUES)),
                             list(range(first, first + QUEUES)))
            for each in (first, first + QUEUES // 2, first + QUEUES - 1):
                self.wait_until_gone(broker, f"{JOBS}.delay.{each}")
            wait_until(lambda: broker.descriptors() <= start, "all descriptors are closed")
            own.append(broker.own_bytes())
            print(f"round {number}: {own[-1] / MIB:.1f} MiB")
        if harness.MEASURES_MEMORY:
            self.assertLess(own[-1], own[0] + TOLERANCE_BYTES)
        consumer.close()
        self.check_nothing_is_left(broker)

    def test_a_kill_loses_none_and_doubles_none(self):
        """Whether it comes before, while or after they become due; nobody consumes till then."""
        first = 0
        for ttl_ms in (500, 2000):
            broker = self.start()
            later(self.publisher(broker), first, QUEUES // 2, ttl_ms)
            broker.expected_to_run = False
            broker.send_signal(signal.SIGKILL)
            broker.wait_for_exit()
            again = self.start()
            consumer = self.open(Client(again.port))
            consumer.consume(JOBS)
            self.assertEqual(sorted(self.take(consumer, QUEUES // 2)),
                             list(range(first, first + QUEUES // 2)))
            self.wait_until_gone(again, f"{JOBS}.delay.{first}")
            self.assertEqual(consumer.declare(JOBS, passive=True), (0, 1))
            consumer.close()
            again.stop()
            first += QUEUES // 2

    def test_a_broker_that_was_held_up_loses_none(self):
        """When it goes on, messages and queues are overdue alike: the messages go first."""
        broker = self.start()
        later(self.publisher(broker), 0, QUEUES // 2, TTL_MS)
        broker.send_signal(signal.SIGSTOP)
        time.sleep(3 * TTL_MS / 1000)  # longer than the queues may live
        broker.send_signal(signal.SIGCONT)
        consumer = self.open(Client(broker.port))
        consumer.consume(JOBS)
        self.assertEqual(sorted(self.take(consumer, QUEUES // 2)), list(range(QUEUES // 2)))
        for each in (0, QUEUES // 2 - 1):
            self.wait_until_gone(broker, f"{JOBS}.delay.{each}")
        consumer.close()
        self.check_nothing_is_left(broker)


if __name__ == "__main__":
    harness.main()
