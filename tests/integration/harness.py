# SPDX-License-Identifier: Apache-2.0
"""A broker process per test, and what a test may ask about it: its log, memory, descriptors, end.

The program under test is named by HARRIER_PROGRAM. A broker that a test does not end itself must be
alive at the end of the test and leave with exit code 0 on SIGTERM, or the test fails.
"""

import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "interop"))
sys.dont_write_bytecode = True

from run import Failure, OwnBroker, describe_exit, speaks_amqp  # noqa: E402  (needs the path)

PROGRAM = os.environ.get("HARRIER_PROGRAM", str(HERE.parents[1] / "build/release/harrier"))
# Sanitizers keep freed memory for a while, so what a process holds then says nothing about leaks.
MEASURES_MEMORY = os.environ.get("HARRIER_SANITIZE", "") == ""
WAIT_S = 20.0
LOG_TAIL_LINES = 15
MIB = 1 << 20

START_LINE = re.compile(
    r"Harrier (?P<version>\S+) serves AMQP 0-9-1 on (?P<addresses>.+), data in (?P<data>\S+).*, "
    r"(?P<shards>\d+) shards?, ready in (?P<took>[\d.]+) ms")


class Broker(OwnBroker):
    """`harrier serve` on a port that the system chooses, with its output read line by line."""

    def __init__(self, *options, listen=("127.0.0.1:0",), data=None, environment=()):
        self.folder = Path(tempfile.mkdtemp(prefix="harrier-integration-"))
        self.data = data or str(self.folder / "data")
        command = [PROGRAM, "serve", "--data", self.data]
        for address in listen:
            command += ["--listen", address]
        self.lines, self.news, self.output_ended = [], threading.Condition(), False
        self.process = subprocess.Popen(command + list(options), stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        text=True, errors="replace", start_new_session=True,
                                        env={**os.environ, **dict(environment)})
        threading.Thread(target=self._read_output, daemon=True).start()
        self.expected_to_run = False

    def _read_output(self):
        for line in self.process.stdout:
            with self.news:
                self.lines.append(line.rstrip("\n"))
                self.news.notify_all()
        with self.news:
            self.output_ended = True
            self.news.notify_all()

    def wait_for_line(self, pattern):
        """The match of the first line of the log that has one."""
        def found():
            return next((hit for line in self.lines if (hit := re.search(pattern, line))), None)
        with self.news:
            self.news.wait_for(lambda: found() or self.output_ended, WAIT_S)
            if not found():
                raise Failure(f"no line with {pattern!r} in the broker's log")
            return found()

    def wait_until_serving(self):
        self.start_line = self.wait_for_line(START_LINE)
        self.addresses = self.start_line["addresses"].split(", ")
        self.host = "127.0.0.1"
        self.port = int(self.addresses[0].rpartition(":")[2])
        self.expected_to_run = True
        return self

    def wait_for_exit(self, timeout_s=WAIT_S):
        self.expected_to_run = False
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise Failure(f"the broker did not end within {timeout_s} s") from None

    def send_signal(self, number):
        self.process.send_signal(number)

    def stop(self):
        self.expected_to_run = False
        super().stop()

    def end(self):
        try:
            if self.expected_to_run:
                self.check_alive()
                self.stop()
        finally:
            self.dispose(show_log=True)

    def dispose(self, show_log):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        with self.news:
            self.news.wait_for(lambda: self.output_ended, WAIT_S)
        self.process.stdout.close()
        if show_log:
            print(f"--- broker {describe_exit(self.process.returncode)}, log tail:")
            print("\n".join(self.lines[-LOG_TAIL_LINES:]), flush=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def resident_bytes(self, kind="VmRSS"):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"{kind}:\s+(\d+) kB", status)[1]) * 1024

    def own_bytes(self):
        """Without pages of files, which the kernel takes back when it likes: those of a journal
        stay mapped until the next one is begun."""
        return self.resident_bytes("RssAnon")

    def descriptors(self):
        """Of its sockets: the store opens files when it likes."""
        folder = Path(f"/proc/{self.process.pid}/fd")
        sockets = 0
        for entry in os.listdir(folder):
            try:
                sockets += os.readlink(folder / entry).startswith("socket:")
            except FileNotFoundError:
                pass  # closed meanwhile
        return sockets


class BrokerTest(unittest.TestCase):
    def start_broker(self, *options, **more):
        broker = Broker(*options, **more)
        self.addCleanup(broker.end)
        return broker.wait_until_serving()

    def connect_raw(self, port):
        """A TCP connection that says nothing yet."""
        raw = socket.create_connection(("127.0.0.1", port), WAIT_S)
        self.addCleanup(raw.close)
        return raw

    def open(self, client):
        """Closes the socket of a wire.Client at the end of the test."""
        self.addCleanup(client.socket.close)
        return client

    def assert_memory_below(self, broker, bytes_max, what):
        resident = broker.resident_bytes()
        print(f"{what}: {resident / MIB:.1f} MiB resident, {bytes_max / MIB:.1f} MiB allowed")
        if MEASURES_MEMORY:
            self.assertLess(resident, bytes_max, what)


def run_program(*arguments):
    """A command that ends by itself: (exit code, standard output, standard error)."""
    done = subprocess.run([PROGRAM, *arguments], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=WAIT_S, check=False)
    return done.returncode, done.stdout, done.stderr


def wait_until(condition, what):
    """For what the broker does on its own and nobody is told of, such as freeing descriptors."""
    deadline = time.monotonic() + WAIT_S
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: did not happen within {WAIT_S} s")
        time.sleep(0.01)


def readable(sock, timeout_s):
    return bool(select.select([sock], [], [], timeout_s)[0])


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # a killed test must end its broker
    sys.stdout.reconfigure(line_buffering=True)
    unittest.main(verbosity=2)
