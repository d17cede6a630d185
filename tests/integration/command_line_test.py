#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What the program says on its command line: help, version, start-up line, exit codes, identity."""

import os
import re
import socket
import stat
import tempfile
import unittest
from pathlib import Path

import pika

import harness
from harness import BrokerTest, run_program, speaks_amqp
from wire import Client

EXIT_USAGE, EXIT_DATA, EXIT_LISTEN = 2, 3, 4


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
            return True
    except OSError:
        return False


class Information(unittest.TestCase):
    def test_version(self):
        code, out, err = run_program("--version")
        self.assertEqual((code, err), (0, ""))
        self.assertRegex(out, r"^harrier \d+\.\d+\.\d+\n$")

    def test_help_names_what_there_is(self):
        code, out, err = run_program("--help")
        self.assertEqual((code, err), (0, ""))
        for word in ("serve", "config", "--version", "Exit codes"):
            self.assertIn(word, out)

    def test_help_of_serve(self):
        code, out, _ = run_program("serve", "--help")
        self.assertEqual(code, 0)
        for option in ("--data", "--listen", "--shards", "--config", "--log-level",
                       "--compat-rabbitmq"):
            self.assertIn(option, out)

    def test_no_command_and_unknown_option(self):
        for arguments in ((), ("serve", "--colour"), ("fly",)):
            code, _, err = run_program(*arguments)
            self.assertEqual(code, EXIT_USAGE, arguments)
            self.assertNotEqual(err, "")


class BadStart(BrokerTest):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="harrier-integration-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def serve(self, *options, data=None):
        code, out, err = run_program("serve", "--data", str(data or self.folder / "data"), *options)
        self.assertEqual(out, "")
        return code, err

    def test_port_in_use(self):
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            address = "127.0.0.1:%d" % other.getsockname()[1]
            code, err = self.serve("--listen", address)
        self.assertEqual(code, EXIT_LISTEN)
        self.assertIn(f"cannot listen on {address}: Address already in use", err)
        self.assertIn("--listen", err)

    def test_data_directory_of_a_running_broker(self):
        running = self.start_broker()
        code, err = self.serve("--listen", "127.0.0.1:0", data=running.data)
        self.assertEqual(code, EXIT_DATA)
        self.assertIn(f"'{running.data}' is in use by another broker", err)

    def test_data_directory_is_free_after_the_broker_ended(self):
        data = str(self.folder / "data")
        for _ in range(2):
            self.start_broker(data=data).stop()

    def test_data_directory_below_a_file(self):
        (self.folder / "file").touch()
        code, err = self.serve("--listen", "127.0.0.1:0", data=self.folder / "file" / "data")
        self.assertEqual(code, EXIT_DATA)
        self.assertIn("cannot make the data directory", err)
        self.assertIn("Not a directory", err)

    @unittest.skipIf(os.geteuid() == 0, "root may write anywhere")
    def test_data_directory_not_writable(self):
        data = self.folder / "data"
        data.mkdir()
        data.chmod(stat.S_IRUSR | stat.S_IXUSR)
        code, err = self.serve("--listen", "127.0.0.1:0")
        self.assertEqual(code, EXIT_DATA)
        self.assertIn("is not writable", err)

    def test_unknown_key_in_the_file(self):
        file = self.folder / "harrier.toml"
        file.write_text('listen = ["127.0.0.1:0"]\n\n[limits]\nmesage_max = "1MiB"\n')
        code, err = self.serve("--config", str(file))
        self.assertEqual(code, EXIT_USAGE)
        self.assertIn(f"{file}:4:", err)
        self.assertIn("limits.mesage_max", err)
        self.assertIn('did you mean "limits.message_max"?', err)

    def test_bad_value_in_the_file(self):
        file = self.folder / "harrier.toml"
        file.write_text('[connection]\nheartbeat = "soon"\n')
        code, err = self.serve("--config", str(file))
        self.assertEqual(code, EXIT_USAGE)
        self.assertIn(f"{file}:2:", err)
        self.assertIn("connection.heartbeat", err)

    def test_bad_values_on_the_command_line(self):
        for option in (("--shards", "-1"), ("--listen", "nowhere"), ("--log-level", "loud"),
                       ("--set", "limits.frame_max=1"), ("--set", "limits.frame_maxx=8KiB"),
                       ("--config", str(self.folder / "missing.toml"))):
            code, err = self.serve(*option)
            self.assertEqual(code, EXIT_USAGE, option)
            self.assertIn(option[1].partition("=")[0].rpartition("/")[2], err)

    def test_printed_configuration_is_accepted(self):
        code, text, _ = run_program("config", "--set", "limits.message_max=64MiB")
        self.assertEqual(code, 0)
        file = self.folder / "harrier.toml"
        file.write_text(text)
        self.assertEqual(run_program("config", "--config", str(file))[1], text)
        broker = self.start_broker("--config", str(file))
        self.assertTrue(speaks_amqp("127.0.0.1", broker.port))


class Serving(BrokerTest):
    def test_start_up_line(self):
        broker = self.start_broker("--shards", "3")
        line = broker.start_line
        self.assertEqual(line["version"], run_program("--version")[1].split()[1])
        self.assertRegex(line["addresses"], r"^127\.0\.0\.1:\d+$")
        self.assertEqual(line["data"], broker.data)
        self.assertEqual(line["shards"], "3")
        self.assertGreater(float(line["took"]), 0)
        self.assertTrue(Path(broker.data).is_dir())

    def test_one_start_up_line_only(self):
        broker = self.start_broker()
        broker.stop()
        self.assertEqual(sum(bool(harness.START_LINE.search(line)) for line in broker.lines), 1)

    def test_several_addresses(self):
        wanted = ["127.0.0.1:0", "127.0.0.2:0"] + (["[::1]:0"] if has_ipv6() else [])
        broker = self.start_broker(listen=wanted)
        self.assertEqual(len(broker.addresses), len(wanted))
        for asked, address in zip(wanted, broker.addresses):
            host, _, port = address.rpartition(":")
            self.assertEqual(host, asked.rpartition(":")[0])
            with Client(int(port), host=host.strip("[]")) as client:
                client.declare("q.listen")

    def identity(self, *options):
        broker = self.start_broker(*options)
        connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", broker.port))
        properties = connection._impl.server_properties  # pika has no public way to it
        connection.close()
        return properties

    def test_identity(self):
        properties = self.identity()
        self.assertEqual(properties["product"], "Harrier")
        self.assertTrue(re.match(r"\d+\.\d+\.\d+$", properties["version"]))

    def test_identity_for_tools_that_insist(self):
        properties = self.identity("--compat-rabbitmq")
        self.assertEqual((properties["product"], properties["version"]), ("RabbitMQ", "4.2.0"))
        self.assertTrue(all(properties["capabilities"].values()))

    def test_identity_of_ones_own(self):
        properties = self.identity("--set", "compat.product=Kestrel")
        self.assertEqual(properties["product"], "Kestrel")


if __name__ == "__main__":
    harness.main()
