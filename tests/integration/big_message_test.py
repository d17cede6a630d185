#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Messages far larger than a frame and than any buffer, up to the limit and one byte above it."""

import hashlib
import random
import struct

import pika

import harness
from harness import MIB, BrokerTest
from wire import (HEADER, PUBLISH, Client, Closed, content, frame, method, publish, short)

OPTIONS = ("--set", "limits.message_max=64MiB")
CHANNEL_CLOSE_TEXT = "PRECONDITION_FAILED - message size "


class BigMessages(BrokerTest):
    def test_round_trip(self):
        for shards in ("1", "2"):
            broker = self.start_broker("--shards", shards, *OPTIONS)
            body = random.Random(40).randbytes(40 * MIB)
            parameters = pika.ConnectionParameters("127.0.0.1", broker.port)
            with pika.BlockingConnection(parameters) as connection:
                channel = connection.channel()
                channel.confirm_delivery()
                channel.queue_declare("q.big")
                channel.basic_publish("", "q.big", body, mandatory=True)
                _, _, got = channel.basic_get("q.big", auto_ack=True)
                self.assertEqual(len(got), len(body))
                self.assertEqual(hashlib.sha256(got).digest(), hashlib.sha256(body).digest())

    def test_smallest_frames(self):
        broker = self.start_broker(*OPTIONS)
        parameters = pika.ConnectionParameters("127.0.0.1", broker.port, frame_max=4096)
        body = random.Random(4).randbytes(5 * MIB + 1)
        with pika.BlockingConnection(parameters) as connection:
            channel = connection.channel()
            channel.queue_declare("q.big")
            channel.basic_publish("", "q.big", body)
            self.assertTrue(channel.basic_get("q.big", auto_ack=True)[2] == body)

    def test_the_limit_itself(self):
        broker = self.start_broker("--set", "limits.message_max=1MiB")
        client = self.open(Client(broker.port))
        client.declare("q.big")
        client.consume("q.big")
        body = bytes(MIB)
        client.send(publish(1, "q.big", body))
        self.assertTrue(client.read_delivery()[1] == body)
        other = self.open(Client(broker.port))
        with self.assertRaises(Closed) as caught:
            other.send(publish(1, "q.big", bytes(MIB + 1)))
            other.declare("q.big", passive=True)
        self.assertEqual((caught.exception.code, caught.exception.cause), (406, PUBLISH))

    def test_too_large(self):
        """The channel is closed, the connection and its other channels live."""
        broker = self.start_broker(*OPTIONS)
        size = 64 * MIB + 1
        with pika.BlockingConnection(
                pika.ConnectionParameters("127.0.0.1", broker.port)) as connection:
            other = connection.channel()
            other.queue_declare("q.big")
            channel = connection.channel()
            channel.confirm_delivery()
            with self.assertRaises(pika.exceptions.ChannelClosedByBroker) as caught:
                channel.basic_publish("", "q.big", bytes(size))
            self.assertEqual(caught.exception.reply_code, 406)
            self.assertEqual(caught.exception.reply_text, CHANNEL_CLOSE_TEXT +
                             f"{size} is larger than configured max size {64 * MIB}")
            other.basic_publish("", "q.big", b"small")
            self.assertEqual(other.basic_get("q.big", auto_ack=True)[2], b"small")
            self.assertEqual(other.queue_declare("q.big", passive=True).method.message_count, 0)

    def test_an_announced_size_takes_no_memory(self):
        """Only what arrives is held, whatever a header promises."""
        broker = self.start_broker("--set", "limits.message_max=512MiB")
        before = broker.resident_bytes()
        clients = [self.open(Client(broker.port)) for _ in range(20)]
        for client in clients:
            client.declare("q.big")
            arguments = b"\x00\x00" + short("") + short("q.big") + b"\x00"
            client.send(method(1, PUBLISH, arguments) +
                        frame(HEADER, 1, struct.pack(">HHQH", 60, 0, 512 * MIB, 0)))
            client.send(content(1, bytes(100))[22:])  # its body frame alone
        with Client(broker.port) as client:
            client.declare("q.big")
        self.assert_memory_below(broker, before + 100 * MIB, "20 announced messages of 512 MiB")


if __name__ == "__main__":
    harness.main()
