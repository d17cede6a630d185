# SPDX-License-Identifier: Apache-2.0
"""Connections for the checks and waiting for events with py-amqp."""

import contextlib
import socket

import amqp

from broker import HOST, IS_HARRIER, PASSWORD, PORT, USER, VHOST, expect_equal, wait_until


def connect(**overrides):
    settings = dict(host=f"{HOST}:{PORT}", userid=USER, password=PASSWORD, virtual_host=VHOST,
                    connect_timeout=10, read_timeout=20, write_timeout=20)
    settings.update(overrides)
    connection = amqp.Connection(**settings)
    connection.connect()
    return connection


@contextlib.contextmanager
def session(**overrides):
    """A connection and a channel; exclusive queues and auto-delete exchanges go with it."""
    connection = connect(**overrides)
    try:
        yield connection, connection.channel()
    finally:
        if connection.connected:
            connection.close()


def exclusive_queue(channel):
    return channel.queue_declare(exclusive=True, auto_delete=False).queue


def wait_for(connection, condition, what):
    def drain():
        try:
            connection.drain_events(timeout=0.1)
        except socket.timeout:
            pass
    wait_until(condition, what, poll=drain)


def _refusal(connection, action, kind):
    try:
        action()
        wait_for(connection, lambda: False, f"{kind.__name__} by the broker")
    except kind as error:
        return error.reply_code, error.reply_text, error.method_sig
    raise AssertionError("unreachable: wait_for raises")


def channel_error(connection, action):
    """action(channel) on a new channel must make the broker close it: (code, text, ids)."""
    channel = connection.channel()
    try:
        return _refusal(connection, lambda: action(channel), amqp.exceptions.ChannelError)
    finally:
        channel.close()  # py-amqp opened the number again at once


def connection_error(action, **overrides):
    """action(channel) on a new connection must make the broker close it: (code, text, ids)."""
    connection = connect(**overrides)
    try:
        return _refusal(connection, lambda: action(connection.channel()),
                        amqp.exceptions.ConnectionError)
    finally:
        connection.collect()


def publish(channel, exchange, routing_key, body, **properties):
    channel.basic_publish(amqp.Message(body, **properties), exchange, routing_key)


def get_all(channel, queue, no_ack=True):
    found = []
    while (message := channel.basic_get(queue, no_ack=no_ack)) is not None:
        found.append(message)
    return found


def bodies(channel, queue):
    return [message.body for message in get_all(channel, queue)]


def expect_ready(channel, queue, count, what):
    """The number of ready messages. Harrier's is exact at once; RabbitMQ's lags behind publishes
    that were not confirmed, even those of the same channel."""
    def ready():
        return channel.queue_declare(queue, passive=True).message_count
    if not IS_HARRIER:
        wait_until(lambda: ready() == count, f"{count} ready messages {what}")
    expect_equal(ready(), count, f"ready messages {what}")
