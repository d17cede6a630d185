# SPDX-License-Identifier: Apache-2.0
"""A small AMQP client over a plain socket, for what client libraries do not let a test do.

Reading happens only when a test asks for it, sending takes any bytes. An answer that is a close
from the broker is raised as Closed with its code, text, class and method. Every wait is bounded.
"""

import socket
import struct

PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"
METHOD, HEADER, BODY, HEARTBEAT, FRAME_END = 1, 2, 3, 8, 0xCE
HEARTBEAT_FRAME = struct.pack(">BHIB", HEARTBEAT, 0, 0, FRAME_END)
FRAME_OVERHEAD = 8
FRAME_MAX = 131072
TIMEOUT_S = 20.0
RECEIVE_BYTES = 1 << 20

START, START_OK, TUNE, TUNE_OK = (10, 10), (10, 11), (10, 30), (10, 31)
OPEN, OPEN_OK, CLOSE, CLOSE_OK = (10, 40), (10, 41), (10, 50), (10, 51)
BLOCKED, UNBLOCKED = (10, 60), (10, 61)
CHANNEL_OPEN, CHANNEL_OPEN_OK = (20, 10), (20, 11)
CHANNEL_CLOSE, CHANNEL_CLOSE_OK = (20, 40), (20, 41)
DECLARE, DECLARE_OK, PURGE, PURGE_OK = (50, 10), (50, 11), (50, 30), (50, 31)
CONSUME, CONSUME_OK, PUBLISH, DELIVER, ACK = (60, 20), (60, 21), (60, 40), (60, 60), (60, 80)


class Closed(Exception):
    """The broker closed the connection or the channel with a frame."""

    def __init__(self, method, code, text, cause):
        super().__init__(f"closed by the broker: {code} {text!r}, class and method {cause}")
        self.method, self.code, self.text, self.cause = method, code, text, cause


class HungUp(Exception):
    """TCP ended."""


def short(text):
    data = text.encode()
    return bytes([len(data)]) + data


def long(data):
    return struct.pack(">I", len(data)) + data


def table(**booleans):
    return long(b"".join(short(key) + b"t" + bytes([value]) for key, value in booleans.items()))


def frame(kind, channel, payload):
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + bytes([FRAME_END])


def method(channel, ids, arguments=b""):
    return frame(METHOD, channel, struct.pack(">HH", *ids) + arguments)


def content(channel, body, frame_max=FRAME_MAX):
    chunk = frame_max - FRAME_OVERHEAD
    header = frame(HEADER, channel, struct.pack(">HHQH", 60, 0, len(body), 0))
    return header + b"".join(frame(BODY, channel, body[at:at + chunk])
                             for at in range(0, len(body), chunk))


def publish(channel, queue, body):
    arguments = b"\x00\x00" + short("") + short(queue) + b"\x00"
    return method(channel, PUBLISH, arguments) + content(channel, body)


def ack(channel, tag, multiple=True):
    return method(channel, ACK, struct.pack(">QB", tag, multiple))


def start_ok(**capabilities):
    nested = table(**capabilities)
    properties = long(short("capabilities") + b"F" + nested)
    arguments = properties + short("PLAIN") + long(b"\0guest\0guest") + short("en_US")
    return method(0, START_OK, arguments)


def tune_ok(heartbeat=0, frame_max=FRAME_MAX):
    return method(0, TUNE_OK, struct.pack(">HIH", 2047, frame_max, heartbeat))


def open_vhost(name="/"):
    return method(0, OPEN, short(name) + short("") + b"\x00")


def queue_declare(queue, passive=False):
    return method(1, DECLARE, b"\x00\x00" + short(queue) + bytes([passive]) + long(b""))


def basic_consume(queue, no_ack=False):
    arguments = b"\x00\x00" + short(queue) + short("") + bytes([2 * no_ack]) + long(b"")
    return method(1, CONSUME, arguments)


class Client:
    """A connection with channel 1 open; capabilities= as a client tells them in start-ok."""

    def __init__(self, port, heartbeat=0, host="127.0.0.1", receive_buffer=None, **capabilities):
        self.socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(TIMEOUT_S)
        self._buffer, self._at = b"", 0
        try:
            self.socket.connect((host, port))
            self._shake_hands(heartbeat, capabilities)
        except BaseException:
            self.socket.close()
            raise

    def _shake_hands(self, heartbeat, capabilities):
        self.send(PROTOCOL_HEADER)
        self.start = self.expect(START)
        self.send(start_ok(**capabilities))
        self.tune = self.expect(TUNE)
        self.send(tune_ok(heartbeat) + open_vhost())
        self.expect(OPEN_OK)
        self.send(method(1, CHANNEL_OPEN, short("")))
        self.expect(CHANNEL_OPEN_OK)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def has_frame(self):
        """Whether read_frame() would return without reading from the socket."""
        left = len(self._buffer) - self._at
        return left >= FRAME_OVERHEAD and left >= FRAME_OVERHEAD + struct.unpack_from(
            ">I", self._buffer, self._at + 3)[0]

    def read_frame(self):
        """(type, channel, payload) of the next frame; heartbeats too."""
        while True:
            left = len(self._buffer) - self._at
            if left >= FRAME_OVERHEAD:
                kind, channel, size = struct.unpack_from(">BHI", self._buffer, self._at)
                if left >= size + FRAME_OVERHEAD:
                    first = self._at + 7
                    self._at = first + size + 1
                    if self._buffer[self._at - 1] != FRAME_END:
                        raise AssertionError(f"frame end is {self._buffer[self._at - 1]:#x}")
                    return kind, channel, self._buffer[first:first + size]
            chunk = self.socket.recv(RECEIVE_BYTES)
            if not chunk:
                raise HungUp("the broker ended the connection")
            self._buffer, self._at = self._buffer[self._at:] + chunk, 0

    def read_method(self):
        """(ids, arguments) of the next method, passing over heartbeats."""
        while True:
            kind, _, payload = self.read_frame()
            if kind == HEARTBEAT:
                continue
            if kind != METHOD:
                raise AssertionError(f"expected a method frame, got frame type {kind}")
            ids, arguments = struct.unpack_from(">HH", payload), payload[4:]
            if ids in (CLOSE, CHANNEL_CLOSE):
                code, size = struct.unpack_from(">HB", arguments)
                text = arguments[3:3 + size].decode()
                raise Closed(ids, code, text, struct.unpack_from(">HH", arguments, 3 + size))
            return ids, arguments

    def expect(self, ids):
        """The arguments of the next method, which must be this one."""
        got, arguments = self.read_method()
        if got != ids:
            raise AssertionError(f"expected method {ids}, got {got}")
        return arguments

    def expect_hang_up(self):
        """Reads to the end of TCP; a reset counts as one. Returns what was still to be read."""
        rest = [self._buffer[self._at:]]
        try:
            while chunk := self.socket.recv(RECEIVE_BYTES):
                rest.append(chunk)
        except ConnectionResetError:
            pass
        return b"".join(rest)

    def declare(self, queue, passive=False):
        """(ready messages, consumers) of the queue."""
        self.send(queue_declare(queue, passive))
        return struct.unpack(">II", self.expect(DECLARE_OK)[1 + len(queue):])

    def purge(self, queue):
        self.send(method(1, PURGE, b"\x00\x00" + short(queue) + b"\x00"))
        return struct.unpack(">I", self.expect(PURGE_OK))[0]

    def consume(self, queue, no_ack=False):
        self.send(basic_consume(queue, no_ack))
        self.expect(CONSUME_OK)

    def read_delivery(self):
        """(delivery tag, body) of the next message."""
        arguments = self.expect(DELIVER)
        tag = struct.unpack_from(">Q", arguments, 1 + arguments[0])[0]
        _, _, header = self.read_frame()
        size = struct.unpack_from(">Q", header, 4)[0]
        parts = []
        while size > 0:
            kind, _, payload = self.read_frame()
            if kind != BODY:
                raise AssertionError(f"expected a body frame, got frame type {kind}")
            parts.append(payload)
            size -= len(payload)
        return tag, b"".join(parts)

    def close(self):
        """A polite end: close, close-ok, end of TCP from our side."""
        self.send(method(0, CLOSE, struct.pack(">H", 200) + short("") + b"\0\0\0\0"))
        self.expect(CLOSE_OK)
        self.socket.close()
