# SPDX-License-Identifier: Apache-2.0
"""aio-pika: connecting, refusals, heartbeats, errors of channels and connections."""

import asyncio

import aio_pika
import aiormq
import pamqp.exceptions

from broker import IS_HARRIER, check, expect, expect_equal, expect_error, unique
from session import (CONNECTION_CODES, Proxy, bodies, channel_error, exclusive_queue, publish,
                     session, url)


@check
async def wrong_password():
    try:
        await aio_pika.connect(url(password="wrong"), timeout=10)
    except aiormq.exceptions.ProbableAuthenticationError as error:
        expect("ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN"
               in str(error), f"403 in {error!r}")
    else:
        raise AssertionError("a wrong password was accepted")


@check
async def wrong_vhost():
    vhost = unique("vhost")
    try:
        await aio_pika.connect(url(vhost=vhost), timeout=10)
    except pamqp.exceptions.AMQPInternalError as error:
        # This version of aiormq looks for open-ok only; the close is what it got instead.
        close = error.args[1]
        expect_error((close.reply_code, close.reply_text, (close.class_id, close.method_id)), 530,
                     f"NOT_ALLOWED - vhost {vhost} not found", (10, 40))
    else:
        raise AssertionError("a missing vhost was accepted")


@check
async def server_properties():
    async with session() as (connection, _channel):
        properties = connection.transport.connection.server_properties
        expect_equal(properties["product"], "Harrier" if IS_HARRIER else "RabbitMQ", "product")
        expect(all(properties["capabilities"].values()), f"{properties['capabilities']}")


@check
async def heartbeat_keeps_idle_connection():
    async with session(heartbeat=1) as (connection, channel):
        await asyncio.sleep(3.5)
        expect(not connection.is_closed, "open after 3.5 idle seconds")
        await exclusive_queue(channel)


@check
async def silent_client_is_dropped():
    async with Proxy() as proxy:
        connection = await aio_pika.connect(url(heartbeat=1, port=proxy.port), timeout=10)
        closed = asyncio.Event()
        connection.close_callbacks.add(lambda *_: closed.set())
        proxy.muted = True  # heartbeats of the client are lost from here on
        await asyncio.wait_for(proxy.dropped_by_broker.wait(), 8)
        await asyncio.wait_for(closed.wait(), 8)


@check
async def robust_connection_comes_back():
    async with Proxy() as proxy, session(robust=True, port=proxy.port,
                                         reconnect_interval=0.1) as (connection, channel):
        reconnected = asyncio.Event()
        connection.reconnect_callbacks.add(lambda *_: reconnected.set())
        queue = await channel.declare_queue(unique("robust"), auto_delete=True)
        consumed = asyncio.Queue()
        await queue.consume(consumed.put, no_ack=True)
        proxy.cut()
        await asyncio.wait_for(reconnected.wait(), 20)
        await publish(channel, "", queue.name, b"after the break")
        message = await asyncio.wait_for(consumed.get(), 10)
        expect_equal(message.body, b"after the break", "delivery to the consumer set up again")


@check
async def update_secret():
    async with session() as (connection, channel):
        reply = await connection.transport.connection.update_secret("guest", reason="rotation")
        expect_equal(type(reply).__name__, "UpdateSecretOk", "reply")
        await exclusive_queue(channel)


async def connection_error(frame_or_action):
    async with session() as (connection, channel):
        closed = asyncio.get_running_loop().create_future()
        connection.close_callbacks.add(lambda _sender, error: closed.done()
                                       or closed.set_result(error))
        try:
            await asyncio.wait_for(frame_or_action(channel), 10)
        except (aiormq.exceptions.AMQPError, asyncio.CancelledError):
            pass
        error = await asyncio.wait_for(closed, 10)
        expect(type(error) in CONNECTION_CODES, f"a connection error with a code, not {error!r}")
        return CONNECTION_CODES[type(error)], str(error)


@check
async def connection_errors():
    expect_error(await connection_error(lambda channel: channel.channel.basic_qos(prefetch_size=9)),
                 540, "NOT_IMPLEMENTED - prefetch_size!=0 (9)")
    expect_error(await connection_error(lambda channel: channel.channel.basic_recover(
        requeue=False)), 540, "NOT_IMPLEMENTED - requeue=false")
    expect_error(await connection_error(lambda channel: channel.channel.basic_publish(
        b"x", immediate=True)), 540, "NOT_IMPLEMENTED - immediate=true")


@check
async def channel_errors():
    async with session() as (connection, channel):
        missing, fixed = unique("missing"), unique("fixed")
        await channel.declare_queue(fixed, durable=True, auto_delete=True)
        for code, text, action in (
                (404, f"NOT_FOUND - no queue '{missing}' in vhost '/'",
                 lambda other: other.declare_queue(missing, passive=True)),
                (404, f"NOT_FOUND - no exchange '{missing}' in vhost '/'",
                 lambda other: publish(other, missing, "", b"x")),
                (406, f"PRECONDITION_FAILED - inequivalent arg 'durable' for queue '{fixed}' in "
                 "vhost '/': received 'false' but current is 'true'",
                 lambda other: other.declare_queue(fixed, durable=False)),
                (406, "PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'amq.topic'",
                 lambda other: other.declare_exchange("amq.topic", "fanout", durable=True)),
                (403, "ACCESS_REFUSED - queue name 'amq.q' contains reserved prefix 'amq.*'",
                 lambda other: other.declare_queue("amq.q"))):
            expect_error(await channel_error(connection, action), code, text)
        await channel.queue_delete(fixed)


@check
async def exclusive_queue_is_405_elsewhere():
    async with session() as (_owner, mine), session() as (connection, _channel):
        queue = await exclusive_queue(mine)
        expect_error(await channel_error(
            connection, lambda other: other.declare_queue(queue.name, passive=True)), 405,
            f"RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '{queue.name}'")


@check
async def many_channels_at_once():
    async with session() as (connection, first):
        queue = await exclusive_queue(first)

        async def use(number):
            async with connection.channel() as channel:
                await publish(channel, "", queue.name, b"%d" % number)
        await asyncio.gather(*(use(number) for number in range(100)))
        expect_equal(sorted(int(body) for body in await bodies(queue)), list(range(100)),
                     "one message of each channel")
