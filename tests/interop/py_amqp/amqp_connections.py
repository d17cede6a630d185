# SPDX-License-Identifier: Apache-2.0
"""py-amqp: login by both mechanisms, refusals, heartbeats, connection errors, channels."""

import socket
import time

import amqp

from broker import (IS_HARRIER, check, expect, expect_equal, expect_error, unique, wait_for_hangup)
from session import (channel_error, connect, connection_error, exclusive_queue, expect_ready,
                     publish, session)


@check
def login_by_each_mechanism():
    for mechanism in ("AMQPLAIN", "PLAIN"):
        with session(login_method=mechanism) as (connection, channel):
            expect(mechanism.encode() in connection.mechanisms, f"{mechanism} is offered")
            exclusive_queue(channel)


@check
def wrong_password():
    for mechanism in ("AMQPLAIN", "PLAIN"):
        try:
            connect(password="wrong", login_method=mechanism)
        except amqp.exceptions.AccessRefused as error:
            expect_error((error.reply_code, error.reply_text, error.method_sig), 403,
                         "ACCESS_REFUSED - Login was refused using authentication mechanism "
                         f"{mechanism}. For details see the broker logfile.", (0, 0))
        else:
            raise AssertionError(f"a wrong password was accepted by {mechanism}")


@check
def wrong_vhost():
    vhost = unique("vhost")
    try:
        connect(virtual_host=vhost)
    except amqp.exceptions.NotAllowed as error:
        expect_error((error.reply_code, error.reply_text, error.method_sig), 530,
                     f"NOT_ALLOWED - vhost {vhost} not found", (10, 40))
    else:
        raise AssertionError("a missing vhost was accepted")


@check
def server_properties():
    with session() as (connection, _channel):
        expect_equal(connection.server_properties["product"],
                     "Harrier" if IS_HARRIER else "RabbitMQ", "product")
        expect(connection.server_capabilities["consumer_cancel_notify"], "capability")
        expect_equal((connection.version_major, connection.version_minor), (0, 9), "version")
        expect_equal(connection.locales, ["en_US"], "locales")


@check
def heartbeat_keeps_idle_connection():
    with session(heartbeat=1) as (connection, channel):
        expect_equal(connection.heartbeat, 1, "negotiated interval")
        before, deadline = connection.bytes_recv, time.monotonic() + 4
        while time.monotonic() < deadline:
            try:
                connection.drain_events(timeout=0.2)
            except socket.timeout:
                pass
            connection.heartbeat_tick()  # raises after two silent intervals
        # Half the interval between two: 8 in 4 s; 3 are asked for, as the machine may be busy.
        expect(connection.bytes_recv - before >= 3, "heartbeats from the broker in 4 s")
        exclusive_queue(channel)


@check
def silent_client_is_dropped():
    connection = connect(heartbeat=1)
    # py-amqp sends heartbeats only from heartbeat_tick(), which nobody calls here.
    expect(wait_for_hangup(connection.sock, 8), "the broker closed TCP after missed heartbeats")
    connection.collect()


@check
def no_heartbeat_if_not_wanted():
    connection = connect(heartbeat=0)
    expect(not wait_for_hangup(connection.sock, 3), "a silent connection without heartbeats stays")
    expect_equal(connection.heartbeat, 0, "negotiated interval")
    connection.close()


@check
def reused_consumer_tag_is_530():
    def consume_twice(channel):
        queue = exclusive_queue(channel)
        channel.basic_consume(queue, "amq.ctag-PCmzXGkhCw_v0Zq7jXyvkg")
        channel.basic_consume(queue, "amq.ctag-PCmzXGkhCw_v0Zq7jXyvkg")
    expect_error(connection_error(consume_twice), 530,
                 "NOT_ALLOWED - attempt to reuse consumer tag 'amq.ctag-PCmzXGkhCw_v0Zq7jXyvkg'",
                 (60, 20))


@check
def immediate_is_540():
    error = connection_error(lambda channel: channel.basic_publish(
        amqp.Message("x"), "", unique("nowhere"), immediate=True))
    expect_error(error, 540, "NOT_IMPLEMENTED - immediate=true", (60, 40))


@check
def recover_without_requeue_is_540():
    error = connection_error(lambda channel: channel.basic_recover(requeue=False))
    expect_error(error, 540, "NOT_IMPLEMENTED - requeue=false", (60, 110))


@check
def many_channels():
    with session() as (connection, first):
        queue = exclusive_queue(first)
        channels = [connection.channel() for _ in range(100)]
        for number, channel in enumerate(channels):
            publish(channel, "", queue, str(number))
            message = channel.basic_get(queue, no_ack=True)
            expect(message is not None, f"channel {number} sees its own publish")
            expect_equal((message.body, message.delivery_tag), (str(number), 1), "message")
        for channel in channels:
            channel.close()


@check
def channel_error_then_the_same_number():
    with session() as (connection, channel):
        for _ in range(20):
            missing = unique("missing")
            try:
                channel.queue_declare(missing, passive=True)
            except amqp.exceptions.NotFound as error:
                expect_error((error.reply_code, error.reply_text, error.method_sig), 404,
                             f"NOT_FOUND - no queue '{missing}' in vhost '/'", (50, 10))
            # py-amqp opened the number again in one go with its close-ok.
            queue = exclusive_queue(channel)
            expect_ready(channel, queue, 0, "on the reopened channel")
        error = channel_error(connection, lambda other: other.basic_ack(99))
        expect_error(error, 406, "PRECONDITION_FAILED - unknown delivery tag 99", (60, 80))


@check
def channel_flow():
    with session() as (_connection, channel):
        channel.flow(True)
    expect_error(connection_error(lambda channel: channel.flow(False)), 540,
                 "NOT_IMPLEMENTED - active=false", (20, 20))
