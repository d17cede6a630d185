#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Malformed streams of every kind against one broker, while a well-behaved client publishes and
consumes on it without a hiccup. HARRIER_SEED picks other streams; the seed used is printed."""

import os
import random
import struct
import threading

import harness
from harness import MIB, BrokerTest, wait_until
from wire import (BODY, FRAME_END, FRAME_MAX, HEADER, METHOD, PROTOCOL_HEADER, PUBLISH, Client,
                  Closed, HungUp, basic_consume, frame, method, open_vhost, publish, queue_declare,
                  short, start_ok, tune_ok)

SEED = int(os.environ.get("HARRIER_SEED", "91"))
STREAMS = 3000
GROWTH_MAX_BYTES = 64 * MIB
HELLO = PROTOCOL_HEADER + start_ok() + tune_ok() + open_vhost() + method(1, (20, 10), short(""))

FOREIGN = [
    b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"HELO\n\n\n\n", b"amqp\x00\x00\x09\x01",
    bytes.fromhex("16030100c8010000c40303") + bytes(200), b"AMQP\x03\x01\x00\x00",
    b"AMQP\x01\x01\x08\x00", b"SSH-2.0-OpenSSH_9.2\r\n", bytes(4096), b"\xff" * 4096,
]
DELIBERATE = [
    HELLO + struct.pack(">BHI", METHOD, 1, 0xFFFFFFFF) + b"x" * 100,
    HELLO + struct.pack(">BHI", METHOD, 1, FRAME_MAX) + bytes(FRAME_MAX),
    HELLO + struct.pack(">BHI", METHOD, 1, 0) + b"\x00",
    HELLO + struct.pack(">BHIB", 77, 1, 0, FRAME_END),
    HELLO + frame(METHOD, 1, b"") + frame(METHOD, 1, b"\x00\x32\x00"),
    HELLO + method(1, (50, 10)) + method(1, (1, 2)) + method(1, (60, 999)),
    HELLO + method(1, (50, 10), b"\x00\x00\xffshort"),
    HELLO + method(1, (50, 10), b"\x00\x00" + short("q") + b"\0" + struct.pack(">I", 2**32 - 1)),
    HELLO + queue_declare("q")[:-5] + struct.pack(">I", 6) + b"\x01kF\x00\x00\x00" + b"\xce",
    HELLO + frame(BODY, 1, b"unasked") + frame(HEADER, 1, bytes(14)),
    HELLO + method(1, PUBLISH, b"\0\0" + short("") + short("q") + b"\0") + queue_declare("q"),
    HELLO + method(1, PUBLISH, b"\0\0" + short("") + short("q") + b"\0")
    + frame(HEADER, 1, struct.pack(">HHQH", 60, 0, 2**64 - 1, 0)),
    HELLO + method(1, PUBLISH, b"\0\0" + short("") + short("q") + b"\0")
    + frame(HEADER, 1, struct.pack(">HHQH", 60, 7, 1, 0xFFFF) + b"\xff\xff" * 40),
    HELLO + method(0, (20, 10), short("")) + method(0, (50, 10)) + frame(BODY, 0, b"x"),
    HELLO + method(65535, (20, 10), short("")) * 3 + frame(8, 5, b"beat"),
    HELLO + HELLO, HELLO + open_vhost(), HELLO + start_ok(), HELLO + tune_ok(),
    PROTOCOL_HEADER + tune_ok(), PROTOCOL_HEADER + start_ok() + tune_ok(frame_max=1),
    PROTOCOL_HEADER + frame(METHOD, 0, bytes(200_000)),
    HELLO + method(1, (60, 80), struct.pack(">QB", 2**64 - 1, 1)),
    HELLO + method(1, (60, 10), struct.pack(">IHB", 2**32 - 1, 65535, 1)),
    HELLO + basic_consume("q.missing") + method(1, (60, 30), short("no such tag") + b"\0"),
    HELLO + b"".join(method(number, (20, 10), short("")) for number in range(2, 4000)),
]


def damaged(dice):
    """A valid conversation with something wrong in it."""
    stream = bytearray(HELLO + queue_declare("q.abuse") + publish(1, "q.abuse", dice.randbytes(50))
                       + basic_consume("q.abuse") + method(1, (50, 30), b"\0\0\x07q.abuse\0"))
    kind = dice.randrange(4)
    if kind == 0:  # some bits
        for _ in range(dice.randint(1, 8)):
            stream[dice.randrange(len(stream))] ^= 1 << dice.randrange(8)
    elif kind == 1:  # cut short
        del stream[dice.randrange(1, len(stream)):]
    elif kind == 2:  # a piece lost
        first = dice.randrange(len(stream))
        del stream[first:first + dice.randint(1, 40)]
    else:  # a piece too much
        first = dice.randrange(len(stream))
        stream[first:first] = dice.randbytes(dice.randint(1, 40))
    return bytes(stream)


def streams(dice):
    yield from FOREIGN
    yield from DELIBERATE
    for _ in range(STREAMS // 3):
        yield PROTOCOL_HEADER * dice.randrange(2) + dice.randbytes(dice.randint(1, 3000))
        yield HELLO + dice.randbytes(dice.randint(1, 3000))
        yield damaged(dice)


class GoodClient(threading.Thread):
    """One message after the other to itself, each taken, compared and acknowledged."""

    def __init__(self, port, queue):
        super().__init__(daemon=True)
        self.queue = queue
        self.client = Client(port)
        self.client.declare(queue)
        self.client.consume(queue, no_ack=True)
        self.rounds, self.failure, self.enough = 0, None, threading.Event()

    def run(self):
        try:
            while not self.enough.is_set():
                body = b"%d" % self.rounds * 100
                self.client.send(publish(1, self.queue, body))
                if self.client.read_delivery()[1] != body:
                    raise AssertionError(f"another message than number {self.rounds}")
                self.rounds += 1
            self.client.close()
        except Exception as error:
            self.failure = error


class Abuse(BrokerTest):
    def test_malformed_streams(self):
        print(f"seed {SEED}")
        for shards in ("1", "2"):
            with self.subTest(shards=shards):
                self.abuse(self.start_broker("--shards", shards,
                                             "--set", "connection.handshake_timeout=2s",
                                             "--set", "connection.close_timeout=200ms"))

    def abuse(self, broker):
        dice = random.Random(SEED)
        start, before = broker.descriptors(), broker.resident_bytes()
        good = [GoodClient(broker.port, f"q.good.{number}") for number in range(2)]
        for each in good:
            each.start()
        try:
            for number, stream in enumerate(streams(dice)):
                self.attack(broker, dice, stream)
                self.assertIsNone(broker.process.poll(), f"stream {number}: {stream[:4000].hex()}")
        finally:
            for each in good:
                each.enough.set()
        for each in good:
            each.join(harness.WAIT_S)
            self.assertFalse(each.is_alive())
            self.assertIsNone(each.failure)
            self.assertGreater(each.rounds, 0)
        wait_until(lambda: broker.descriptors() <= start, "every bad connection is gone")
        self.assert_memory_below(broker, before + GROWTH_MAX_BYTES, "after all of them")
        self.assertEqual([line for line in broker.lines if "internal error" in line], [])

    def attack(self, broker, dice, stream):
        """In one piece or in a few; then hangs up, or waits for the first answer."""
        raw = self.connect_raw(broker.port)
        try:
            cuts = sorted(dice.randrange(len(stream)) for _ in range(dice.randrange(3)))
            for first, last in zip([0] + cuts, cuts + [len(stream)]):
                raw.sendall(stream[first:last])
            if dice.randrange(2) and len(stream) >= len(PROTOCOL_HEADER):
                raw.recv(4096)  # at least a refusal, or its end
        except ConnectionError:
            pass  # refused before it had said it all
        finally:
            raw.close()


class Answers(BrokerTest):
    """A few of the answers; the scripts have them all."""

    def answer(self, port, data):
        client = Client(port)
        with client, self.assertRaises((Closed, HungUp)) as caught:
            client.send(data)
            while True:
                client.read_method()
        return getattr(caught.exception, "code", None)

    def test_codes(self):
        broker = self.start_broker()
        for data, code in ((frame(METHOD, 1, b"\0\x32\0\x0a")[:-1] + b"\x00", 501),
                           (struct.pack(">BHI", METHOD, 1, FRAME_MAX + 1), 501),
                           (struct.pack(">BHIB", 77, 1, 0, FRAME_END), 501),
                           (method(1, (1, 2)), 503), (method(9, (20, 40), bytes(7)), 504),
                           (frame(BODY, 1, b"unasked"), 505), (frame(8, 5, b""), 505),
                           (open_vhost(), 504)):
            self.assertEqual(self.answer(broker.port, data), code, data[:40])

    def test_foreign_protocols_are_told_ours(self):
        broker = self.start_broker()
        for said in FOREIGN:
            raw = self.connect_raw(broker.port)
            raw.sendall(said)
            received = b""
            try:
                while chunk := raw.recv(4096):
                    received += chunk
            except ConnectionResetError:
                pass
            self.assertEqual(received, PROTOCOL_HEADER, said[:20])
            raw.close()


if __name__ == "__main__":
    harness.main()
