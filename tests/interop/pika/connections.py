# SPDX-License-Identifier: Apache-2.0
"""Connecting, refusing, heartbeats, connection errors, channels."""

import pika
from pika import spec
from pika.exceptions import (AMQPConnectionError, ProbableAccessDeniedError,
                             ProbableAuthenticationError)

from broker import (IS_HARRIER, check, expect, expect_equal, expect_error, unique, wait_for_hangup)
from session import connection_error, exclusive_queue, parameters, session, wait_for


@check
def wrong_password():
    credentials = pika.PlainCredentials("guest", "not the password")
    try:
        pika.BlockingConnection(parameters(credentials=credentials))
    except ProbableAuthenticationError as error:
        # pika wraps the close into a text of its own.
        expect("(403) 'ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. "
               "For details see the broker logfile.'" in str(error), f"403 in {error!r}")
    else:
        raise AssertionError("a wrong password was accepted")


@check
def unknown_user():
    try:
        pika.BlockingConnection(parameters(credentials=pika.PlainCredentials("nobody", "guest")))
    except ProbableAuthenticationError as error:
        expect("ACCESS_REFUSED" in str(error), f"403 in {error!r}")
    else:
        raise AssertionError("an unknown user was accepted")


@check
def wrong_vhost():
    vhost = unique("vhost")
    try:
        pika.BlockingConnection(parameters(virtual_host=vhost))
    except ProbableAccessDeniedError as error:
        expect(f"(530) 'NOT_ALLOWED - vhost {vhost} not found'" in str(error), f"530 in {error!r}")
    else:
        raise AssertionError("a missing vhost was accepted")


@check
def server_properties():
    with session() as (connection, _channel):
        properties = connection._impl.server_properties
        expect_equal(properties["product"], "Harrier" if IS_HARRIER else "RabbitMQ", "product")
        for name in ("version", "platform", "copyright", "information", "cluster_name"):
            expect(isinstance(properties[name], str), f"{name} is a string")
        for name in ("publisher_confirms", "exchange_exchange_bindings", "basic.nack",
                     "consumer_cancel_notify", "connection.blocked", "consumer_priorities",
                     "authentication_failure_close", "per_consumer_qos", "direct_reply_to"):
            expect(properties["capabilities"][name] is True, f"capability {name}")


@check
def tune_defaults():
    # With nothing asked for, pika takes what the server proposes.
    with session(heartbeat=None) as (connection, _channel):
        expect_equal(connection._impl.params.channel_max, 2047, "channel_max")
        expect_equal(connection._impl.params.frame_max, 131072, "frame_max")
        expect_equal(connection._impl.params.heartbeat, 60, "heartbeat")


@check
def heartbeat_keeps_idle_connection():
    with session(heartbeat=1) as (connection, channel):
        received = []
        connection._impl._heartbeat_checker.received, original = (
            lambda: received.append(original()), connection._impl._heartbeat_checker.received)
        queue = exclusive_queue(channel)
        connection.process_data_events(time_limit=4)
        expect(connection.is_open, "an idle connection that answers heartbeats stays open")
        # Half the interval between two: 8 in 4 s; 3 are asked for, as the machine may be busy.
        expect(len(received) >= 3, f"heartbeats in 4 s: {len(received)}")
        expect_equal(channel.queue_declare(queue, passive=True).method.message_count, 0, "count")


@check
def silent_client_is_dropped():
    connection = pika.BlockingConnection(parameters(heartbeat=1))
    # Nothing runs pika's timers from here on, so that no heartbeat is sent.
    expect(wait_for_hangup(connection._impl._transport._sock, 8),
           "the broker closed TCP after missed heartbeats")
    try:
        connection.process_data_events(time_limit=1)
    except AMQPConnectionError:
        pass
    expect(connection.is_closed, "pika noticed that the connection is gone")


@check
def recover_without_requeue_is_540():
    error = connection_error(lambda channel: channel.basic_recover(requeue=False))
    expect_error(error, 540, "NOT_IMPLEMENTED - requeue=false", (60, 110))


@check
def prefetch_size_is_540():
    error = connection_error(lambda channel: channel.basic_qos(prefetch_size=4096))
    expect_error(error, 540, "NOT_IMPLEMENTED - prefetch_size!=0 (4096)", (60, 10))


@check
def flow_off_is_540():
    error = connection_error(lambda channel: channel.flow(False))
    expect_error(error, 540, "NOT_IMPLEMENTED - active=false", (20, 20))


@check
def flow_on_is_answered():
    with session() as (_connection, channel):
        expect_equal(channel.flow(True), True, "channel.flow-ok")


@check
def immediate_is_540():
    def publish(channel):
        # pika dropped the parameter from its interface; the bit is still in the method.
        channel._impl._send_method(spec.Basic.Publish(exchange="", routing_key="x", immediate=True),
                                   (pika.BasicProperties(), b"now or never"))
    expect_error(connection_error(publish), 540, "NOT_IMPLEMENTED - immediate=true", (60, 40))


@check
def reused_consumer_tag_is_530():
    def consume_twice(channel):
        queue = exclusive_queue(channel)
        for _ in range(2):  # pika refuses a tag that it knows itself
            channel._impl._send_method(spec.Basic.Consume(queue=queue, consumer_tag="twice"))
    expect_error(connection_error(consume_twice), 530,
                 "NOT_ALLOWED - attempt to reuse consumer tag 'twice'", (60, 20))


@check
def second_channel_open_is_504():
    error = connection_error(lambda channel: channel._impl._send_method(spec.Channel.Open()))
    expect_error(error, 504, "CHANNEL_ERROR - second 'channel.open' seen", (20, 10))


@check
def connection_error_drops_exclusive_queues():
    names = []

    def fail(channel):
        names.append(exclusive_queue(channel))
        channel.basic_recover(requeue=False)
    connection_error(fail)
    with session() as (_connection, channel):
        try:
            channel.queue_declare(names[0], passive=True)
        except pika.exceptions.ChannelClosedByBroker as error:
            expect_equal(error.reply_code, 404, "the queue went with its connection")
        else:
            raise AssertionError("the exclusive queue outlived its connection")


@check
def many_channels():
    with session() as (connection, first):
        queue = exclusive_queue(first)
        channels = [connection.channel() for _ in range(200)]
        for number, channel in enumerate(channels):
            channel.basic_publish("", queue, b"%d" % number)
            method, _properties, body = channel.basic_get(queue, auto_ack=True)
            expect(method is not None, f"channel {number} sees its own publish")
            expect_equal(body, b"%d" % number, "body")
            expect_equal(method.delivery_tag, 1, "delivery tags start at 1 on each channel")
        for channel in channels:
            channel.close()


@check
def channel_numbers_are_reusable_at_once():
    with session() as (connection, _channel):
        for _ in range(100):
            channel = connection.channel(7)
            channel.confirm_delivery()  # state of the last user of the number must be gone
            channel.close()
            channel = connection.channel(7)
            channel.tx_select()
            channel.close()


@check
def reopening_after_channel_error():
    with session() as (connection, _channel):
        for _ in range(50):
            channel = connection.channel(9)
            for _ in range(20):  # all but the first meet a channel that is being closed
                channel._impl.basic_publish("interop.no.such.exchange", "", b"lost")
            wait_for(connection, lambda: channel.is_closed, "channel.close")
        expect(connection.is_open, "the connection survives errors of its channels")


@check
def small_frames():
    for frame_max in (4096, 8192):
        with session(frame_max=frame_max) as (_connection, channel):
            queue = exclusive_queue(channel)
            body = bytes(range(256)) * 400
            channel.basic_publish("", queue, body)
            _method, _properties, back = channel.basic_get(queue, auto_ack=True)
            expect(back == body, f"body in frames of {frame_max}")
