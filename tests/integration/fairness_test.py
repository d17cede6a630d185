#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Clients that send without a pause leave everybody else on their shard served: requests answered,
messages delivered, heartbeats sent and deadlines kept, while the flood lasts."""

import threading

import harness
from harness import BrokerTest, readable
from wire import HEARTBEAT, Client, publish

BURST = publish(1, "q.nowhere", bytes(1000)) * 2000  # dropped by the broker: it costs no memory


class Flood:
    """Sends as fast as the broker reads, until it is told to stop."""

    def __init__(self, port):
        self.client, self.failure, self.enough = Client(port), None, threading.Event()
        self.thread = threading.Thread(target=self._send, daemon=True)
        self.thread.start()

    def _send(self):
        try:
            while not self.enough.is_set():
                self.client.send(BURST)
        except OSError as error:
            self.failure = error

    def stop(self):
        self.enough.set()
        self.thread.join(harness.WAIT_S)
        self.client.socket.close()


class Fairness(BrokerTest):
    def flooded(self, *options):
        """A broker with one shard, so that nobody can evade the flood."""
        broker = self.start_broker("--shards", "1", *options)
        self.floods = [Flood(broker.port) for _ in range(2)]
        for flood in self.floods:
            self.addCleanup(flood.stop)
        return broker

    def assert_still_flooded(self):
        for flood in self.floods:
            self.assertIsNone(flood.failure)
            self.assertTrue(flood.thread.is_alive())

    def test_requests_and_deliveries(self):
        broker = self.flooded()
        client = self.open(Client(broker.port))
        client.declare("q")
        client.consume("q", no_ack=True)
        for number in range(50):
            body = b"%d" % number
            client.send(publish(1, "q", body))
            self.assertEqual(client.read_delivery()[1], body)
        self.assert_still_flooded()

    def test_heartbeats(self):
        broker = self.flooded()
        client = self.open(Client(broker.port, heartbeat=2))
        self.assertEqual(client.read_frame()[0], HEARTBEAT)
        self.assert_still_flooded()

    def test_deadlines(self):
        broker = self.flooded("--set", "connection.handshake_timeout=1s")
        silent = self.connect_raw(broker.port)
        self.assertTrue(readable(silent, harness.WAIT_S))
        self.assertEqual(silent.recv(1), b"")
        self.assert_still_flooded()


if __name__ == "__main__":
    harness.main()
