# SPDX-License-Identifier: Apache-2.0
"""Connections for the checks, and what pika keeps to itself: the ids in a close."""

import contextlib

import pika
from pika import spec

from broker import HOST, PASSWORD, PORT, USER, VHOST, wait_until


def parameters(**overrides):
    settings = dict(host=HOST, port=PORT, virtual_host=VHOST, heartbeat=30, socket_timeout=10,
                    blocked_connection_timeout=20,
                    credentials=pika.PlainCredentials(USER, PASSWORD))
    settings.update(overrides)
    return pika.ConnectionParameters(**settings)


@contextlib.contextmanager
def session(**overrides):
    """A connection and a channel; exclusive queues and auto-delete exchanges go with it."""
    connection = pika.BlockingConnection(parameters(**overrides))
    try:
        yield connection, connection.channel()
    finally:
        if connection.is_open:
            connection.close()


def exclusive_queue(channel):
    return channel.queue_declare("", exclusive=True).method.queue


def wait_for(connection, condition, what):
    wait_until(condition, what, poll=lambda: connection.process_data_events(time_limit=0.05))


def _close_frame(method):
    return method.reply_code, method.reply_text, (method.class_id, method.method_id)


def channel_error(connection, action):
    """action(channel) on a new channel must make the broker close it: (code, text, ids)."""
    channel = connection.channel()
    closed = []
    channel._impl.add_callback(lambda frame: closed.append(_close_frame(frame.method)),
                               [spec.Channel.Close])
    try:
        action(channel)
    except pika.exceptions.ChannelClosedByBroker:
        pass
    wait_for(connection, lambda: closed, "channel.close by the broker")
    # The connection lives on: another channel works.
    connection.channel().close()
    return closed[0]


def connection_error(action):
    """action(channel) on a new connection must make the broker close it: (code, text, ids)."""
    connection = pika.BlockingConnection(parameters())
    closed = []
    connection._impl.callbacks.add(0, spec.Connection.Close,
                                   lambda frame: closed.append(_close_frame(frame.method)))
    try:
        action(connection.channel())
        wait_for(connection, lambda: closed, "connection.close by the broker")
    except pika.exceptions.ConnectionClosedByBroker:
        pass
    wait_until(lambda: closed, "connection.close by the broker", timeout_s=0.1)
    return closed[0]


def get_all(channel, queue, auto_ack=True):
    """Everything that basic.get finds, as (method, properties, body)."""
    found = []
    while True:
        method, properties, body = channel.basic_get(queue, auto_ack=auto_ack)
        if method is None:
            return found
        found.append((method, properties, body))


def bodies(channel, queue):
    return [body for _method, _properties, body in get_all(channel, queue)]


class Consumer:
    """Collects deliveries of one consumer."""

    def __init__(self, channel, queue, **options):
        self.channel, self.got = channel, []
        self.tag = channel.basic_consume(
            queue, lambda _channel, method, properties, body:
            self.got.append((method, properties, body)), **options)

    def wait(self, count):
        wait_for(self.channel.connection, lambda: len(self.got) >= count,
                 f"{count} deliveries (have {len(self.got)})")
        return self.got

    def bodies(self):
        return [body for _method, _properties, body in self.got]

    def tags(self):
        return [method.delivery_tag for method, _properties, _body in self.got]
