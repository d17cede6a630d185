#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The memory alarm: publishers wait and are told so, consumers go on, nothing is lost, and what the
broker holds stays near its limit whoever publishes what to which queue."""

import select
import signal
import socket
import struct
import threading

import harness
from harness import MIB, BrokerTest, readable
from wire import BLOCKED, UNBLOCKED, Client, Closed, ack, publish

LIMIT_BYTES = 64 * MIB  # the smallest that the configuration takes
# Above the limit: what may be under way between two shards, what was published until the alarm was
# noticed (it looks ten times a second), allocator overhead and the program itself.
SLACK_BYTES = 160 * MIB
BODY_BYTES = 10 * 1024
MESSAGES_MAX = 8 * LIMIT_BYTES // BODY_BYTES
ACK_EVERY = 50
OPTIONS = ("--set", "memory.limit=64MiB", "--set", "memory.shard_window=4MiB",
           "--set", "memory.page_out_above=0.0")
CAPABLE = {"connection.blocked": True}


def numbered(number, size=BODY_BYTES):
    return struct.pack(">Q", number) + bytes(size - 8)


def publish_until_blocked(client, queue, size=BODY_BYTES, messages_max=MESSAGES_MAX):
    """Publishes numbered messages until the broker says that it is blocked. Returns how many, the
    reason given, and the bytes of them that could not be sent yet."""
    number, unsent = 0, memoryview(b"")
    batch = max(50, 256 * 1024 // (size + 60))
    while number < messages_max:
        if not unsent:
            unsent = memoryview(b"".join(publish(1, queue, numbered(number + i, size))
                                         for i in range(batch)))
            number += batch
        read, write, _ = select.select([client.socket], [client.socket], [], harness.WAIT_S)
        if read:
            return number, client.expect(BLOCKED), bytes(unsent)
        if not write:
            raise AssertionError("neither blocked nor read from")
        unsent = unsent[client.socket.send(unsent, socket.MSG_DONTWAIT):]
    raise AssertionError(f"{messages_max} messages of {size} bytes published and no alarm")


class MemoryAlarm(BrokerTest):
    def test_blocked_drained_unblocked(self):
        broker = self.start_broker("--shards", "2", *OPTIONS)
        publisher = self.open(Client(broker.port, **CAPABLE))
        consumer = self.open(Client(broker.port, **CAPABLE))
        publisher.declare("q")
        number, reason, unsent = publish_until_blocked(publisher, "q")
        self.assertEqual(reason, b"\x0dlow on memory")
        rest = threading.Thread(target=publisher.send, args=(unsent,))
        rest.start()  # goes on once the broker reads again

        consumer.consume("q")
        self.assertEqual(self.drain(consumer, number), list(range(number)))
        rest.join(harness.WAIT_S)
        self.assertFalse(rest.is_alive())
        self.assertEqual(publisher.expect(UNBLOCKED), b"")

        publisher.send(publish(1, "q", numbered(number)))
        self.assertEqual(self.drain(consumer, 1), [number])
        self.assertEqual(publisher.declare("q", passive=True), (0, 1))

    def drain(self, consumer, count):
        numbers = []
        for _ in range(count):
            tag, body = consumer.read_delivery()
            numbers.append(struct.unpack_from(">Q", body)[0])
            if len(numbers) % ACK_EVERY == 0 or len(numbers) == count:
                consumer.send(ack(1, tag))
        return numbers

    def test_who_comes_during_the_alarm(self):
        """A new publisher is told at its first message; who declares and consumes is not."""
        broker = self.start_broker("--shards", "2", *OPTIONS)
        first = self.open(Client(broker.port, **CAPABLE))
        first.declare("q")
        publish_until_blocked(first, "q")
        with Client(broker.port, **CAPABLE) as other:
            self.assertGreater(other.declare("q", passive=True)[0], 0)
            other.declare("q.other")
            other.consume("q.other")
            other.send(publish(1, "q.other", b"late"))
            self.assertEqual(other.expect(BLOCKED), b"\x0dlow on memory")
            with Client(broker.port) as janitor:
                self.assertGreater(janitor.purge("q"), 0)
                self.assertEqual(other.expect(UNBLOCKED), b"")
                self.assertEqual(other.read_delivery()[1], b"late")

    def test_a_client_without_the_capability_is_just_not_read(self):
        broker = self.start_broker("--shards", "1", *OPTIONS)
        capable = self.open(Client(broker.port, **CAPABLE))
        capable.declare("q")
        publish_until_blocked(capable, "q")
        simple = self.open(Client(broker.port))
        simple.declare("q.simple")
        simple.send(publish(1, "q.simple", b"patience"))
        janitor = self.open(Client(broker.port))
        # That message has not come in by the time at which others have been served for a while.
        for _ in range(100):
            self.assertEqual(janitor.declare("q.simple", passive=True), (0, 0))
        self.assertFalse(readable(simple.socket, 0))
        janitor.purge("q")
        self.assertEqual(simple.declare("q.simple", passive=True), (1, 0))

    def test_shutdown_during_the_alarm(self):
        broker = self.start_broker("--shards", "2", *OPTIONS)
        publisher = self.open(Client(broker.port, **CAPABLE))
        publisher.declare("q")
        publish_until_blocked(publisher, "q")
        broker.send_signal(signal.SIGTERM)
        with self.assertRaises(Closed) as caught:
            publisher.read_method()
        self.assertEqual(caught.exception.code, 320)
        publisher.socket.close()
        self.assertEqual(broker.wait_for_exit(), 0)

    def test_every_pair_of_shards_has_the_alarm(self):
        """No publisher gets past it, wherever its connection and its queue live."""
        broker = self.start_broker("--shards", "2", *OPTIONS)
        janitor = self.open(Client(broker.port))
        before = broker.resident_bytes()
        for turn in range(2):  # connections go to the shards in turn
            publisher = self.open(Client(broker.port, **CAPABLE))
            for queue in (f"q.{turn}.{number}" for number in range(4)):
                print(f"connection {turn} floods {queue}")
                publisher.declare(queue)
                self.flood_and_purge(broker, publisher, janitor, queue, before)

    def flood_and_purge(self, broker, publisher, janitor, queue, before):
        _, _, unsent = publish_until_blocked(publisher, queue)
        self.assert_memory_below(broker, before + LIMIT_BYTES + SLACK_BYTES, "during the alarm")
        rest = threading.Thread(target=publisher.send, args=(unsent,))
        rest.start()
        janitor.purge(queue)
        publisher.expect(UNBLOCKED)
        rest.join(harness.WAIT_S)
        publisher.declare(queue, passive=True)  # all of it has been read
        janitor.purge(queue)

    def test_small_messages_count_with_what_they_cost(self):
        broker = self.start_broker("--shards", "2", *OPTIONS)
        publisher = self.open(Client(broker.port, **CAPABLE))
        publisher.declare("q.small")
        before = broker.resident_bytes()
        publish_until_blocked(publisher, "q.small", size=8, messages_max=1_000_000)
        self.assert_memory_below(broker, before + LIMIT_BYTES + SLACK_BYTES, "during the alarm")


if __name__ == "__main__":
    harness.main()
