#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Streams over the real store: after a kill every confirmed message is at its offset and a consumer
tag goes on where it was; and a long stream that many read from its start costs little memory."""

import signal
import tempfile
import time
from pathlib import Path

import pika

import harness
from harness import MIB, WAIT_S, BrokerTest

STREAM = "events"
MESSAGES = 60
BODY_BYTES = 256 * 1024
LONG = 160 * MIB // BODY_BYTES
READERS = 8
# The store's own, and what the allocator keeps: far less than the stream, however often it is read.
GROWTH_MAX_BYTES = 40 * MIB


def tracked(offset):
    return {"x-stream-offset": offset, "x-stream-automatic-offset-tracking": True}


class Streams(BrokerTest):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="harrier-streams-")
        self.addCleanup(folder.cleanup)
        self.data = str(Path(folder.name) / "data")

    def start(self, *options):
        return self.start_broker("--shards", "2", *options, data=self.data)

    def connect(self, broker):
        connection = pika.BlockingConnection(pika.ConnectionParameters(
            "127.0.0.1", broker.port, heartbeat=0, blocked_connection_timeout=WAIT_S))
        self.addCleanup(self.close, connection)
        return connection

    @staticmethod
    def close(connection):
        try:
            connection.close()
        except pika.exceptions.AMQPError:
            pass  # its broker was killed

    @staticmethod
    def process(connection, done):
        deadline = time.monotonic() + WAIT_S
        while not done():
            if time.monotonic() > deadline:
                raise AssertionError("what was to be delivered did not come")
            connection.process_data_events(1)

    @staticmethod
    def declare(channel):
        channel.queue_declare(STREAM, durable=True, arguments={"x-queue-type": "stream"})

    def read(self, channel, count, prefetch=100, **more):
        """That many deliveries, not acknowledged: (offset, body) of each, and the last tag."""
        channel.basic_qos(prefetch_count=prefetch)
        seen, tag = [], None
        for method, properties, body in channel.consume(STREAM, inactivity_timeout=WAIT_S, **more):
            self.assertIsNotNone(method, f"only {len(seen)} of {count} came")
            seen.append((properties.headers["x-stream-offset"], body))
            tag = method.delivery_tag
            if len(seen) == count:
                return seen, tag
        self.fail("the consumer was cancelled")

    def test_a_kill_takes_nothing(self):
        broker = self.start()
        channel = self.connect(broker).channel()
        self.declare(channel)
        channel.confirm_delivery()
        bodies = [f"message {number}".encode() for number in range(MESSAGES)]
        for number, body in enumerate(bodies[:-1]):
            channel.basic_publish("", STREAM, body,
                                  pika.BasicProperties(delivery_mode=1 + number % 2))
        worker = self.connect(broker).channel()
        worker.basic_qos(prefetch_count=10)
        tags = []
        worker.basic_consume(STREAM, lambda _c, method, _p, _b: tags.append(method.delivery_tag),
                             consumer_tag="billing", arguments=tracked("first"))
        self.process(worker.connection, lambda: len(tags) == 10)
        worker.basic_ack(tags[6], multiple=True)
        # What comes after an acknowledgement on its channel is confirmed after it.
        worker.confirm_delivery()
        worker.basic_publish("", STREAM, bodies[-1])
        broker.expected_to_run = False
        broker.send_signal(signal.SIGKILL)
        broker.process.wait()

        broker = self.start()
        connection = self.connect(broker)
        declared = connection.channel().queue_declare(STREAM, durable=True, passive=True)
        self.assertEqual(declared.method.message_count, MESSAGES)
        seen, _ = self.read(connection.channel(), MESSAGES, arguments={"x-stream-offset": "first"})
        self.assertEqual(seen, list(enumerate(bodies)))
        back = connection.channel()
        back.basic_qos(prefetch_count=1)
        offsets = []
        back.basic_consume(STREAM, lambda _c, _m, properties, _b: offsets.append(
            properties.headers["x-stream-offset"]), consumer_tag="billing")
        self.process(connection, lambda: offsets)
        self.assertEqual(offsets, [7])

    def test_memory_depends_on_neither_length_nor_readers(self):
        broker = self.start("--set", "memory.queue_window=1MiB")
        connection = self.connect(broker)
        channel = connection.channel()
        self.declare(channel)
        channel.confirm_delivery()  # so that nothing waits for the disk in memory
        before = broker.own_bytes()
        filling = bytes(BODY_BYTES - 8)
        for number in range(LONG):
            channel.basic_publish("", STREAM, number.to_bytes(8, "big") + filling)
        readers = []
        for _ in range(READERS):
            reader = connection.channel()
            reader.basic_qos(prefetch_count=4)
            numbers = []

            def on_message(ch, method, properties, body, numbers=numbers):
                numbers.append((properties.headers["x-stream-offset"],
                                int.from_bytes(body[:8], "big")))
                ch.basic_ack(method.delivery_tag)

            reader.basic_consume(STREAM, on_message, arguments={"x-stream-offset": "first"})
            readers.append(numbers)
        most = before
        had, deadline = 0, time.monotonic() + WAIT_S
        while any(len(numbers) < LONG for numbers in readers):
            connection.process_data_events(1)
            most = max(most, broker.own_bytes())
            if sum(map(len, readers)) > had:
                had, deadline = sum(map(len, readers)), time.monotonic() + WAIT_S
            self.assertLess(time.monotonic(), deadline, f"nothing came any more after {had}")
        for numbers in readers:
            self.assertEqual(numbers, [(number, number) for number in range(LONG)])
        print(f"{(most - before) / MIB:.1f} MiB more at most, with {READERS} readers of "
              f"{LONG * BODY_BYTES / MIB:.0f} MiB")
        if harness.MEASURES_MEMORY:
            self.assertLess(most - before, GROWTH_MAX_BYTES)


if __name__ == "__main__":
    harness.main()
