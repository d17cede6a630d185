#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A thousand connections with a channel each, opened and dropped in every way, again and again:
memory and descriptors are where they were, and the broker serves."""

import socket
import struct

import harness
from harness import MIB, BrokerTest, wait_until
from wire import (PROTOCOL_HEADER, Client, Closed, basic_consume, publish, queue_declare, start_ok,
                  tune_ok)

CONNECTIONS = 1000
ROUNDS = 5
TOLERANCE_BYTES = 8 * MIB  # what an allocator keeps or gives back between two rounds
QUEUE = "q.churn"


def politely(port):
    Client(port).close()


def hang_up(port):
    Client(port).socket.close()


def reset(port):
    """Aborts: the broker's next read or write fails."""
    client = Client(port)
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.socket.close()


def within_a_frame(port):
    with Client(port) as client:
        client.send(publish(1, QUEUE, bytes(5000))[:2000])


def with_a_consumer(port):
    with Client(port) as client:
        client.send(queue_declare(QUEUE) + basic_consume(QUEUE))
        client.send(publish(1, "", b"to a queue that does not exist"))


def after_an_error(port):
    with Client(port) as client:
        try:
            client.declare("q.missing", passive=True)
        except Closed as closed:
            if closed.code != 404:
                raise


def within_the_handshake(port, said):
    with socket.create_connection(("127.0.0.1", port)) as raw:
        raw.sendall(said)


HANDSHAKES = [b"", PROTOCOL_HEADER[:3], PROTOCOL_HEADER, PROTOCOL_HEADER + start_ok()[:20],
              PROTOCOL_HEADER + start_ok(), PROTOCOL_HEADER + start_ok() + tune_ok()]
WAYS = [politely, hang_up, reset, within_a_frame, with_a_consumer,
        after_an_error]
WAYS += [lambda port, said=said: within_the_handshake(port, said) for said in HANDSHAKES]


class Churn(BrokerTest):
    def rounds(self, broker, one_round):
        start = broker.descriptors()
        resident = []
        for number in range(ROUNDS):
            one_round()
            wait_until(lambda: broker.descriptors() <= start, "all descriptors are closed")
            resident.append(broker.resident_bytes())
            print(f"round {number}: {resident[-1] / MIB:.1f} MiB, {start} descriptors")
        if harness.MEASURES_MEMORY:
            # The first rounds fill the allocator's pools; a leak would go on growing after them.
            self.assertLess(resident[-1], resident[1] + TOLERANCE_BYTES)
        with Client(broker.port) as client:
            client.declare(QUEUE)
            client.purge(QUEUE)
            client.consume(QUEUE)
            client.send(publish(1, QUEUE, b"still here"))
            self.assertEqual(client.read_delivery()[1], b"still here")

    def test_one_after_the_other(self):
        for shards in ("1", "2"):
            with self.subTest(shards=shards):
                broker = self.start_broker("--shards", shards)

                def one_round():
                    for number in range(CONNECTIONS):
                        WAYS[number % len(WAYS)](broker.port)
                self.rounds(broker, one_round)

    def test_all_at_once(self):
        """Opened before the first is dropped; half of them close, half of them vanish."""
        broker = self.start_broker("--shards", "2")

        def one_round():
            clients = [Client(broker.port) for _ in range(CONNECTIONS)]
            for number, client in enumerate(clients):
                if number % 2:
                    client.close()
                else:
                    client.socket.close()
        self.rounds(broker, one_round)


if __name__ == "__main__":
    import resource
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # the broker inherits it
    harness.main()
