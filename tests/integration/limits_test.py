#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Deadlines and limits: the handshake, the number of connections, heartbeats both ways."""

import time

import harness
from harness import BrokerTest, readable, wait_until
from wire import (HEARTBEAT, HEARTBEAT_FRAME, OPEN, PROTOCOL_HEADER, Client, Closed,
                  HungUp, open_vhost, start_ok, tune_ok)


class HandshakeDeadline(BrokerTest):
    def test_half_open_clients_are_dropped(self):
        """Whatever part of the handshake they got to, and without a word."""
        broker = self.start_broker("--shards", "2", "--set", "connection.handshake_timeout=500ms")
        start = broker.descriptors()
        stages = [b"", PROTOCOL_HEADER[:4], PROTOCOL_HEADER, PROTOCOL_HEADER + start_ok()[:9],
                  PROTOCOL_HEADER + start_ok(), PROTOCOL_HEADER + start_ok() + tune_ok()]
        for said in stages:
            raw = self.connect_raw(broker.port)
            raw.sendall(said)
            self.assertNotIn(bytes([10, 0, 50]), self.read_to_end(raw), said)
            raw.close()
        wait_until(lambda: broker.descriptors() <= start, "their descriptors are closed")

    def test_dripping_does_not_prolong_it(self):
        broker = self.start_broker("--set", "connection.handshake_timeout=500ms")
        raw = self.connect_raw(broker.port)
        deadline = time.monotonic() + harness.WAIT_S
        for byte in PROTOCOL_HEADER + start_ok() * 50:
            try:
                raw.sendall(bytes([byte]))
                if readable(raw, 0.02) and not raw.recv(4096):
                    return
            except (ConnectionResetError, BrokenPipeError):
                return
            self.assertLess(time.monotonic(), deadline)
        self.fail("the broker waited for the whole of it")

    def test_an_open_connection_is_not_meant(self):
        broker = self.start_broker("--set", "connection.handshake_timeout=2s")
        client = self.open(Client(broker.port))
        silent = self.connect_raw(broker.port)
        self.assertEqual(silent.recv(1), b"")  # its deadline, which is after the client's
        client.declare("q")

    def read_to_end(self, raw):
        received = b""
        try:
            while chunk := raw.recv(4096):
                received += chunk
        except ConnectionResetError:
            pass
        return received


class ConnectionLimit(BrokerTest):
    LIMIT = 5
    TEXT = "NOT_ALLOWED - connection refused: node connection limit (5) is reached"

    def test_one_too_many(self):
        broker = self.start_broker("--shards", "2", "--set",
                                   f"limits.connections_max={self.LIMIT}")
        start = broker.descriptors()
        clients = [self.open(Client(broker.port)) for _ in range(self.LIMIT)]
        for _ in range(3):
            with self.assertRaises(Closed) as caught:
                Client(broker.port)
            self.assertEqual((caught.exception.code, caught.exception.text,
                              caught.exception.cause), (530, self.TEXT, OPEN))
        for client in clients:
            client.declare("q")  # none of them has noticed
        clients.pop().close()
        wait_until(lambda: broker.descriptors() < start + self.LIMIT, "the place is free")
        self.open(Client(broker.port)).declare("q")

    def test_a_flood_of_silent_ones_is_bounded(self):
        """They are closed at once, rather than kept until their handshake is overdue."""
        broker = self.start_broker("--set", f"limits.connections_max={self.LIMIT}",
                                   "--set", "connection.handshake_timeout=1h")
        start = broker.descriptors()
        flood = [self.connect_raw(broker.port) for _ in range(200)]
        closed_ones = 0
        for raw in flood[100:]:
            self.assertTrue(readable(raw, harness.WAIT_S))
            closed_ones += self.is_closed(raw)
        self.assertEqual(closed_ones, 100)
        self.assertLess(broker.descriptors() - start, 100)
        for raw in flood:
            raw.close()
        wait_until(lambda: broker.descriptors() <= start, "all places are free")
        Client(broker.port).close()

    def is_closed(self, raw):
        try:
            return raw.recv(1) == b""
        except ConnectionResetError:
            return True


class Heartbeats(BrokerTest):
    def test_proposed_interval(self):
        broker = self.start_broker("--set", "connection.heartbeat=7s")
        client = self.open(Client(broker.port))
        self.assertEqual(client.tune[-2:], b"\x00\x07")

    def test_silence_is_fatal_after_two_to_three_intervals(self):
        broker = self.start_broker()
        began = time.monotonic()
        client = self.open(Client(broker.port, heartbeat=1))
        beats = 0
        with self.assertRaises(HungUp):
            while client.read_frame()[0] == HEARTBEAT:
                beats += 1
        # Never earlier; how much later depends on the machine.
        self.assertGreaterEqual(time.monotonic() - began, 2)
        self.assertGreaterEqual(beats, 1)

    def test_heartbeats_and_any_other_bytes_keep_it_alive(self):
        broker = self.start_broker()
        beating = self.open(Client(broker.port, heartbeat=2))
        asking = self.open(Client(broker.port, heartbeat=2))
        silent = self.open(Client(broker.port, heartbeat=0))  # has asked for none
        doomed = self.open(Client(broker.port, heartbeat=2))  # the clock of this test
        while not self.has_ended(doomed):
            beating.send(HEARTBEAT_FRAME)
            asking.declare("q")
        for client in (beating, asking, silent):
            client.declare("q")

    def has_ended(self, client):
        if not readable(client.socket, 0.2):
            return False
        try:
            return client.read_frame()[0] != HEARTBEAT
        except HungUp:
            return True

    def test_half_of_a_handshake_has_no_heartbeat_yet(self):
        """The deadline of the handshake is what counts before tune-ok."""
        broker = self.start_broker("--set", "connection.heartbeat=1s",
                                   "--set", "connection.handshake_timeout=1h")
        raw = self.connect_raw(broker.port)
        raw.sendall(PROTOCOL_HEADER)
        doomed = self.open(Client(broker.port, heartbeat=1))
        while not self.has_ended(doomed):
            pass
        raw.sendall(start_ok() + tune_ok(heartbeat=0) + open_vhost())
        received = b""
        while bytes([0, 10, 0, 41]) not in received:
            chunk = raw.recv(4096)
            self.assertNotEqual(chunk, b"")
            received += chunk


if __name__ == "__main__":
    harness.main()
