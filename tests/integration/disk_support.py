# SPDX-License-Identifier: Apache-2.0
"""What the tests of trouble with the disk share: persistent messages with confirms, over a raw
connection, and the damage that is done to files."""

import os
import select
import socket
import struct
import subprocess

import harness
import wire
from wire import ACK, BLOCKED, UNBLOCKED, Client, short

CONFIRM_SELECT, CONFIRM_SELECT_OK = (85, 10), (85, 11)
CAPABLE = {"connection.blocked": True}
PERSISTENT = struct.pack(">HB", 0x1000, 2)  # the property flags: a delivery mode, and that


def persistent_publish(queue, body):
    chunk = wire.FRAME_MAX - wire.FRAME_OVERHEAD
    arguments = b"\x00\x00" + short("") + short(queue) + b"\x00"
    header = struct.pack(">HHQ", 60, 0, len(body)) + PERSISTENT
    return (wire.method(1, wire.PUBLISH, arguments) + wire.frame(wire.HEADER, 1, header) +
            b"".join(wire.frame(wire.BODY, 1, body[at:at + chunk])
                     for at in range(0, len(body), chunk)))


def declare_durable(client, queue):
    client.send(wire.method(1, wire.DECLARE, b"\x00\x00" + short(queue) + b"\x02" + wire.long(b"")))
    return struct.unpack(">II", client.expect(wire.DECLARE_OK)[1 + len(queue):])


def numbered(number, size):
    """A body that says which message it is, at its start and all through."""
    return (b"harrier-%08d " % number * (size // 17 + 1))[:size]


def number_of(body):
    number = int(body[8:16])
    if body != numbered(number, len(body)):
        raise AssertionError(f"message {number} is damaged")
    return number


class Publisher:
    """Persistent messages 0, 1, 2 ... to one durable queue, with confirms."""

    def __init__(self, port, queue, size=1024):
        self.client = Client(port, **CAPABLE)
        self.queue, self.size = queue, size
        self.published = self.confirmed = 0  # confirms come in order
        self.blocked = False
        declare_durable(self.client, queue)
        self.client.send(wire.method(1, CONFIRM_SELECT, b"\x00"))
        self.client.expect(CONFIRM_SELECT_OK)
        self._unsent = b""

    def publish(self, count):
        parts = [persistent_publish(self.queue, numbered(self.published + i, self.size))
                 for i in range(count)]
        self.published += count
        self._unsent += b"".join(parts)

    def turn(self, timeout_s=harness.WAIT_S):
        """Sends what can be sent and reads what is there, once; False if nothing happened."""
        reads, writes, _ = select.select([self.client.socket],
                                         [self.client.socket] if self._unsent else [], [],
                                         timeout_s)
        if writes:
            sent = self.client.socket.send(self._unsent[:1 << 20], socket.MSG_DONTWAIT)
            self._unsent = self._unsent[sent:]
        if reads:
            self._read_one()
            while self.client.has_frame():
                self._read_one()
        return bool(reads or writes)

    def _read_one(self):
        ids, arguments = self.client.read_method()
        if ids == ACK:
            tag, multiple = struct.unpack(">QB", arguments)
            if not multiple and tag != self.confirmed + 1:
                raise AssertionError(f"confirm {tag} after {self.confirmed}")
            self.confirmed = tag
        elif ids == BLOCKED:
            self.blocked, self.reason = True, arguments
        elif ids == UNBLOCKED:
            self.blocked = False
        else:
            raise AssertionError(f"a publisher got method {ids}")

    def run_until(self, condition, what):
        while not condition():
            if not self.turn():
                raise AssertionError(f"{what}: nothing happens any more, {self.published} "
                                     f"published, {self.confirmed} confirmed")

    def publish_confirmed(self, count):
        self.publish(count)
        self.run_until(lambda: self.confirmed == self.published, "confirms")

    def publish_until_blocked(self, broker, batch, most):
        """One is told at the first publish of an alarm: what was under way when the disk ran full
        is only not confirmed."""
        alarms = sum("disk alarm: " in line for line in broker.lines)

        def alarmed():
            return sum("disk alarm: " in line for line in broker.lines) > alarms

        while not self.blocked and not alarmed():
            if self.published >= most:
                raise AssertionError("the disk is full and nobody says so")
            self.publish(batch)
            harness.wait_until(lambda: self.turn(0.05) and self.confirmed == self.published or
                               self.blocked or alarmed(), "confirms or an alarm")
        self.publish(1)
        self.run_until(lambda: self.blocked, "connection.blocked")
        if b"low on disk" not in self.reason:
            raise AssertionError(f"blocked for {self.reason}")

    def close(self):
        self.client.socket.close()


def consume_all(port, queue):
    """The numbers of the messages that the queue holds, acknowledged."""
    with Client(port) as client:
        count, _ = declare_durable(client, queue)
        client.consume(queue)
        numbers = []
        for _ in range(count):
            tag, body = client.read_delivery()
            numbers.append(number_of(body))
        if numbers:
            client.send(wire.ack(1, tag))
        if declare_durable(client, queue)[0] != 0:
            raise AssertionError("the queue counts less than it holds")
        return numbers


class Tmpfs:
    """A small file system of our own; None from make() says why there can be none."""

    def __init__(self, folder):
        self.folder = folder

    @classmethod
    def make(cls, folder, size):
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "harrier-test",
                               str(folder)], capture_output=True, text=True, check=False)
        return (cls(folder), "") if done.returncode == 0 else (None, done.stderr.strip())

    def remount_read_only(self):
        subprocess.run(["mount", "-o", "remount,ro", str(self.folder)], check=True)

    def unmount(self):
        subprocess.run(["umount", "-l", str(self.folder)], check=True)

    def fill(self, leave=0):
        """A file that takes all the room there is, but so many bytes."""
        path = self.folder / "ballast"
        with open(path, "ab", buffering=0) as ballast:
            for size in (1 << 20, 1 << 12):
                try:
                    while True:
                        ballast.write(bytes(size))
                except OSError:
                    pass
        os.truncate(path, path.stat().st_size - leave)
        return path


def crc32c(data):
    """As in the headers of journals; slow, for a page."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def flip_bit(path, offset):
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 0x10]))
