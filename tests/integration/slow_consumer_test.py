#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Consumers that never read their socket cost a bounded amount and hold nobody else up."""

import struct
import threading

import harness
from harness import MIB, BrokerTest, wait_until
from wire import Client, ack, publish, queue_declare

BODY_BYTES = 10 * 1024
MESSAGES = 20_000  # 200 MB
BATCH = 50
READY_MAX = 500  # what waits in the queue is not what this is about
GROWTH_MAX_BYTES = 100 * MIB
QUEUE = "q.shared"


def number_of(body):
    return struct.unpack_from(">Q", body)[0]


class FastConsumer:
    """Takes and acknowledges all that it is given, on a thread of its own."""

    def __init__(self, port):
        self.client = Client(port)
        self.client.consume(QUEUE)
        self.numbers = []
        self.failure = None
        self.thread = threading.Thread(target=self._take, daemon=True)
        self.thread.start()

    def _take(self):
        try:
            while True:
                tag, body = self.client.read_delivery()
                self.numbers.append(number_of(body))
                self.client.send(ack(1, tag))
        except Exception as error:  # the end of the socket too; the test looks at it
            self.failure = error


class SlowConsumer(BrokerTest):
    def test_beside_a_fast_one(self):
        for shards in (1, 2):
            for no_ack in (False, True):
                with self.subTest(shards=shards, no_ack=no_ack):
                    self.share_with_a_slow_one(shards, no_ack)

    def share_with_a_slow_one(self, shards, no_ack):
        broker = self.start_broker("--shards", str(shards))
        publisher = self.open(Client(broker.port))
        publisher.declare(QUEUE)
        slow = self.open(Client(broker.port))
        slow.consume(QUEUE, no_ack)
        fast = FastConsumer(broker.port)
        self.open(fast.client)
        before = broker.resident_bytes()
        for first in range(0, MESSAGES, BATCH):
            publisher.send(b"".join(publish(1, QUEUE, self.body(first + i)) for i in range(BATCH)))
            wait_until(lambda: publisher.declare(QUEUE, passive=True)[0] <= READY_MAX,
                       "the fast consumer keeps up")
        wait_until(lambda: publisher.declare(QUEUE, passive=True)[0] == 0,
                   "the fast consumer empties the queue")
        self.assert_memory_below(broker, before + GROWTH_MAX_BYTES, "with a slow consumer")
        if no_ack:
            self.take_what_was_meant_for(slow, fast)
        else:
            slow.socket.close()  # what it has not acknowledged goes to the other
            wait_until(lambda: len(fast.numbers) >= MESSAGES, "the fast consumer gets the rest")
            self.assertEqual(sorted(fast.numbers), list(range(MESSAGES)))
        self.assertIsNone(fast.failure)
        broker.stop()

    def body(self, number):
        return struct.pack(">Q", number) + bytes(BODY_BYTES - 8)

    def take_what_was_meant_for(self, slow, fast):
        """It was only slow: once it reads, nothing is missing between the two."""
        self.assertLess(len(fast.numbers), MESSAGES)
        taken = []

        def take():
            try:
                while True:
                    taken.append(number_of(slow.read_delivery()[1]))
            except OSError:
                pass  # the test is over; what came is what counts

        threading.Thread(target=take, daemon=True).start()
        wait_until(lambda: len(fast.numbers) + len(taken) >= MESSAGES, "nothing is missing")
        self.assertEqual(taken, sorted(taken), "in the order of the queue")
        self.assertEqual(sorted(fast.numbers + taken), list(range(MESSAGES)))

    def test_alone(self):
        """What it does not take stays in the queue, once: not copied into buffers as well."""
        broker = self.start_broker("--shards", "2")
        publisher = self.open(Client(broker.port))
        publisher.declare(QUEUE)
        slow = self.open(Client(broker.port))
        slow.consume(QUEUE, no_ack=True)
        before = broker.resident_bytes()
        for first in range(0, MESSAGES, BATCH):
            publisher.send(b"".join(publish(1, QUEUE, self.body(first + i)) for i in range(BATCH)))
        ready, _ = publisher.declare(QUEUE, passive=True)
        self.assertGreater(ready, MESSAGES // 2)
        self.assert_memory_below(broker, before + MESSAGES * BODY_BYTES + GROWTH_MAX_BYTES,
                                 "with the messages in the queue")
        numbers = [number_of(slow.read_delivery()[1]) for _ in range(MESSAGES)]
        self.assertEqual(numbers, list(range(MESSAGES)))

    def test_replies_that_nobody_reads(self):
        """A client that asks and asks without reading is not read any more."""
        broker = self.start_broker("--shards", "2")
        before = broker.resident_bytes()
        client = self.open(Client(broker.port, receive_buffer=4096))
        client.declare(QUEUE)
        question = queue_declare(QUEUE, passive=True) * 32_768
        client.socket.settimeout(2)
        with self.assertRaises(TimeoutError):  # the broker's buffers and the sockets' are full
            for _ in range(400):  # more than any of them holds
                client.send(question)
        self.assert_memory_below(broker, before + 64 * MIB, "with unread replies")
        with Client(broker.port) as other:
            self.assertEqual(other.declare(QUEUE, passive=True), (0, 0))


if __name__ == "__main__":
    harness.main()
