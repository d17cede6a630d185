#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""SIGTERM: clients are told with 320, the exit code is 0, and nobody can hold the end up."""

import signal
import struct
import threading

import pika

import harness
from harness import BrokerTest
from wire import CLOSE, CLOSE_OK, PROTOCOL_HEADER, Client, Closed, HungUp, method, publish

SHUTDOWN_TEXT = "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'"
# Far above anything that a test waits for: who waits for it has not been ended early.
LONG_CLOSE_TIMEOUT = ("--set", "connection.close_timeout=1h")
SHORT_CLOSE_TIMEOUT = ("--set", "connection.close_timeout=500ms")


class Shutdown(BrokerTest):
    def assert_told(self, client):
        with self.assertRaises(Closed) as caught:
            client.read_method()
        closed = caught.exception
        self.assertEqual((closed.method, closed.code, closed.text, closed.cause),
                         (CLOSE, 320, SHUTDOWN_TEXT, (0, 0)))

    def test_clients_are_told(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            broker = self.start_broker("--shards", "2", *LONG_CLOSE_TIMEOUT)
            clients = [self.open(Client(broker.port)) for _ in range(5)]
            broker.send_signal(number)
            for client in clients:
                self.assert_told(client)
                client.send(method(0, CLOSE_OK))
                self.assertEqual(client.expect_hang_up(), b"")
            self.assertEqual(broker.wait_for_exit(), 0)

    def test_nothing_goes_out_again_on_the_way_down(self):
        """What one consumer has to give back is not delivered to another that is closed next."""
        broker = self.start_broker("--shards", "2", *LONG_CLOSE_TIMEOUT)
        holders = [self.open(Client(broker.port)) for _ in range(4)]
        holders[0].declare("shared")
        holders[0].send(b"".join(publish(1, "shared", b"held") for _ in range(40)))
        for client in holders:
            client.consume("shared")
            if client is holders[0]:
                for _ in range(40):
                    client.read_delivery()
        broker.send_signal(signal.SIGTERM)
        for client in holders:
            self.assert_told(client)  # the next thing that each of them reads
            client.send(method(0, CLOSE_OK))
        self.assertEqual(broker.wait_for_exit(), 0)

    def test_a_client_library_sees_it(self):
        broker = self.start_broker()
        connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", broker.port))
        broker.send_signal(signal.SIGTERM)
        with self.assertRaises(pika.exceptions.ConnectionClosedByBroker) as caught:
            connection.process_data_events(time_limit=harness.WAIT_S)
        self.assertEqual(caught.exception.args, (320, SHUTDOWN_TEXT))
        self.assertEqual(broker.wait_for_exit(), 0)

    def test_a_client_that_does_not_answer(self):
        broker = self.start_broker(*SHORT_CLOSE_TIMEOUT)
        client = self.open(Client(broker.port))
        broker.send_signal(signal.SIGTERM)
        self.assert_told(client)
        self.assertEqual(broker.wait_for_exit(), 0)

    def test_a_second_signal_ends_at_once(self):
        broker = self.start_broker(*LONG_CLOSE_TIMEOUT)
        client = self.open(Client(broker.port))
        broker.send_signal(signal.SIGTERM)
        self.assert_told(client)  # it is closing now, and waits for an answer that we do not give
        broker.send_signal(signal.SIGTERM)
        self.assertGreater(broker.wait_for_exit(), 0, "cut short is not success, nor a crash")

    def test_half_open_clients(self):
        """At every stage of the handshake."""
        broker = self.start_broker("--shards", "2", *SHORT_CLOSE_TIMEOUT,
                                   "--set", "connection.handshake_timeout=1h")
        silent = [self.connect_raw(broker.port) for _ in range(4)]
        silent[1].sendall(PROTOCOL_HEADER[:5])
        silent[2].sendall(PROTOCOL_HEADER)
        silent[2].recv(4096)
        silent[3].sendall(b"GET / HTTP/1.1\r\n\r\n")
        Client(broker.port).close()  # served after them, so they are known by now
        broker.send_signal(signal.SIGTERM)
        self.assertEqual(broker.wait_for_exit(), 0)

    def test_a_client_that_does_not_read(self):
        """Its connection.close is stuck behind deliveries that it never takes."""
        broker = self.start_broker(*SHORT_CLOSE_TIMEOUT)
        stuck = self.open(Client(broker.port, receive_buffer=4096))
        publisher = self.open(Client(broker.port))
        publisher.declare("q.stuck")
        stuck.consume("q.stuck")
        body = bytes(1 << 20)
        for _ in range(12):  # more than the buffers of both sockets hold
            publisher.send(publish(1, "q.stuck", body))
        publisher.declare("q.stuck", passive=True)  # all have arrived
        broker.send_signal(signal.SIGTERM)
        self.assert_told(publisher)
        self.assertEqual(broker.wait_for_exit(), 0)

    def test_while_clients_keep_coming(self):
        """Whoever is let in after the signal is sent away as well."""
        broker = self.start_broker("--shards", "4", *SHORT_CLOSE_TIMEOUT)
        opened, enough = [], threading.Event()

        def come():
            try:
                while True:
                    client = Client(broker.port)
                    opened.append(client)
                    if len(opened) >= 100:
                        enough.set()
            except (OSError, HungUp, Closed, struct.error):
                enough.set()

        crowd = [threading.Thread(target=come) for _ in range(4)]
        for each in crowd:
            each.start()
        self.assertTrue(enough.wait(harness.WAIT_S))
        broker.send_signal(signal.SIGTERM)
        code = broker.wait_for_exit()
        for each in crowd:
            each.join(harness.WAIT_S)
            self.assertFalse(each.is_alive())
        for client in opened:
            client.socket.close()
        self.assertEqual(code, 0)


if __name__ == "__main__":
    harness.main()
