#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A definitions file as RabbitMQ exported it: imported, imported again, survived, changed, refused.

rabbitmq_definitions.json is the export of a RabbitMQ 3.10 that had users with passwords of the form
NAME-secret, permissions, limits, policies, an operator policy and a small topology.
"""

import json
import shutil
import signal
import tempfile
import unittest
from pathlib import Path

import pika

import harness
from harness import BrokerTest, run_program

SAMPLE = Path(__file__).resolve().parent / "rabbitmq_definitions.json"
EXIT_USAGE = 2
OBJECTS = 30  # of the sample, as the import counts them


class DefinitionsTest(BrokerTest):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="harrier-integration-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.data = str(self.folder / "data")

    def start(self, *options, file=SAMPLE):
        given = ("--definitions", str(file)) if file else ()
        return self.start_broker(*given, *options, data=self.data)

    def write(self, definitions):
        path = self.folder / "definitions.json"
        path.write_text(json.dumps(definitions))
        return path

    def connect(self, broker, user, vhost="shop", password=None):
        credentials = pika.PlainCredentials(user, password or f"{user}-secret")
        connection = pika.BlockingConnection(pika.ConnectionParameters(
            "127.0.0.1", broker.port, vhost, credentials, blocked_connection_timeout=20))
        self.addCleanup(self.hang_up, connection)
        return connection

    @staticmethod
    def hang_up(connection):
        try:
            connection.close()
        except pika.exceptions.AMQPError:
            pass  # the broker was first

    def summary(self, broker):
        found = broker.wait_for_line(r"(\d+) created, (\d+) updated, (\d+) unchanged")
        return tuple(int(count) for count in found.groups())

    def assert_refused(self, code, text, action):
        with self.assertRaises((pika.exceptions.ChannelClosedByBroker,
                                pika.exceptions.ConnectionClosedByBroker,
                                pika.exceptions.ProbableAccessDeniedError)) as caught:
            action()
        self.assertEqual((caught.exception.args[0], caught.exception.args[1]), (code, text))


class Import(DefinitionsTest):
    def test_twice_is_once_and_survives_without_the_file(self):
        broker = self.start("--shards", "2")
        created, updated, unchanged = self.summary(broker)
        self.assertEqual((updated, created + unchanged), (0, OBJECTS))
        broker.wait_for_line(r"created queue 'orders.paid' in vhost 'shop'")
        self.check_users_and_topology(broker)
        broker.stop()

        broker = self.start("--shards", "3")
        self.assertEqual(self.summary(broker), (0, 0, OBJECTS))
        self.assertFalse([line for line in broker.lines if "definitions: created" in line])
        self.check_users_and_topology(broker)
        broker.send_signal(signal.SIGKILL)
        broker.wait_for_exit()

        broker = self.start("--shards", "1", file=None)
        self.check_users_and_topology(broker)

    def check_users_and_topology(self, broker):
        channel = self.connect(broker, "orders").channel()
        for queue in ("orders.new", "orders.paid", "orders.dead"):
            channel.queue_declare(queue, passive=True)
        channel.queue_declare("orders.new", durable=True, arguments={"x-message-ttl": 60000})
        self.assert_refused(
            403, "ACCESS_REFUSED - configure access to queue 'audit.log' in vhost 'shop' refused "
            "for user 'orders'", lambda: channel.queue_delete("audit.log"))
        channel = self.connect(broker, "orders").channel()
        channel.confirm_delivery()
        channel.basic_publish("events", "orders.orders.new", b"x", mandatory=True)
        self.assertEqual(channel.basic_get("orders.new", auto_ack=True)[2], b"x")
        self.assert_refused(
            403, "ACCESS_REFUSED - write access to topic 'orders.audit.new' in exchange 'events' "
            "in vhost 'shop' refused for user 'orders'",
            lambda: channel.basic_publish("events", "orders.audit.new", b"x"))
        with self.assertRaises(pika.exceptions.ProbableAuthenticationError):
            self.connect(broker, "orders", password="wrong")
        with self.assertRaises(pika.exceptions.ProbableAuthenticationError):
            self.connect(broker, "cert-only")
        # guest is in the file, but only for the vhost /.
        self.connect(broker, "guest", "/", "guest").close()
        self.assert_no_connection("NOT_ALLOWED - access to vhost 'shop' refused for user 'guest'",
                                  broker, "guest", "guest")

    def assert_no_connection(self, text, broker, user, password=None):
        with self.assertRaises(pika.exceptions.AMQPConnectionError) as caught:
            self.connect(broker, user, password=password)
        self.assertIn(text, repr(caught.exception) + str(caught.exception))

    def test_limits(self):
        broker = self.start()
        open_ones = [self.connect(broker, "orders") for _ in range(3)]
        self.assert_no_connection("NOT_ALLOWED - connection refused for user 'orders': user "
                                  "connection limit (3) is reached", broker, "orders")
        open_ones.pop().close()
        connection = self.connect(broker, "orders")  # counts what is open now
        for _ in range(5):
            connection.channel()
        self.assert_refused(530, "NOT_ALLOWED - number of channels opened for user 'orders' has "
                            "reached the maximum allowed user limit of (5)", connection.channel)

        admin = self.connect(broker, "admin").channel()
        for number in range(20 - 5):  # five are in the file
            admin.queue_declare(f"q{number}", durable=True)
        self.assert_refused(406, "PRECONDITION_FAILED - cannot declare queue 'one more': queue "
                            "limit in vhost 'shop' (20) is reached",
                            lambda: admin.queue_declare("one more", durable=True))

    def test_hang_up_imports_again(self):
        definitions = json.loads(SAMPLE.read_text())
        path = self.write(definitions)
        broker = self.start(file=path)
        channel = self.connect(broker, "admin").channel()
        channel.confirm_delivery()
        channel.exchange_declare("elsewhere", "fanout", durable=True)
        channel.queue_bind("unrouted", "elsewhere")
        with self.assertRaises(pika.exceptions.UnroutableError):
            channel.basic_publish("events", "nobody.wants.it", b"1", mandatory=True)

        policy = next(each for each in definitions["policies"] if each["name"] == "unroutable")
        policy["definition"]["alternate-exchange"] = "elsewhere"
        definitions["users"] = [{"name": "orders", "password": "new-secret", "tags": ""}]
        self.write(definitions)
        broker.send_signal(signal.SIGHUP)
        broker.wait_for_line(r"updated policy 'unroutable' in vhost 'shop'")
        broker.wait_for_line(r"updated user 'orders'")
        broker.wait_for_line(r"0 created, 2 updated")
        channel.basic_publish("events", "nobody.wants.it", b"2", mandatory=True)
        self.assertEqual(channel.basic_get("unrouted", auto_ack=True)[2], b"2")
        self.connect(broker, "orders", password="new-secret")

        path.write_text("{")
        broker.send_signal(signal.SIGHUP)
        broker.wait_for_line(r"nothing of the definitions in .* is imported")
        broker.check_alive()


class DryRun(DefinitionsTest):
    def test_tells_and_changes_nothing(self):
        for command in (("definitions", "check", str(SAMPLE)),
                        ("definitions", "import", str(SAMPLE), "--data", self.data, "--dry-run"),
                        ("serve", "--data", self.data, "--definitions", str(SAMPLE), "--dry-run")):
            code, out, err = run_program(*command)
            self.assertEqual((code, err), (0, ""), command)
            self.assertIn("would have created user 'orders'\n", out)
            self.assertRegex(out, r"\d+ created, 0 updated, \d+ unchanged; nothing was changed\n$")
        broker = self.start(file=None)
        with self.assertRaises(pika.exceptions.ProbableAuthenticationError):
            self.connect(broker, "orders")
        self.connect(broker, "guest", "/", "guest")

    def test_import_into_a_stopped_broker(self):
        code, out, err = run_program("definitions", "import", str(SAMPLE), "--data", self.data)
        self.assertEqual((code, err), (0, ""))
        self.assertIn("created user 'orders'", out)
        broker = self.start(file=None)
        self.connect(broker, "orders")
        code, _, err = run_program("definitions", "import", str(SAMPLE), "--data", self.data)
        self.assertEqual(code, 3)
        self.assertIn("in use", err)


class Mistakes(DefinitionsTest):
    def assert_error(self, path, *lines):
        code, out, err = run_program("serve", "--data", self.data, "--definitions", str(path))
        self.assertEqual(code, EXIT_USAGE, out)
        for line in lines:
            self.assertIn(line, err)

    def test_all_are_told_with_their_place(self):
        definitions = json.loads(SAMPLE.read_text())
        definitions["users"][0]["password_hash"] = "abc"
        definitions["policies"][1]["definition"] = {"max-lenght": 5}
        path = self.write(definitions)
        self.assert_error(path, f"{path}: /users/0/password_hash: is no base64",
                          f"{path}: /policies/1/definition/max-lenght: is not a key")
        definitions = json.loads(SAMPLE.read_text())
        definitions["queues"][0]["vhost"] = "nowhere"
        path = self.write(definitions)
        self.assert_error(path, f"{path}: /queues/0: there is no vhost 'nowhere'")
        broker = self.start(file=None)  # nothing of it is there
        with self.assertRaises(pika.exceptions.ProbableAuthenticationError):
            self.connect(broker, "orders")

    def test_no_such_file(self):
        self.assert_error(self.folder / "none.json", "cannot read the definitions file")


if __name__ == "__main__":
    harness.main()
