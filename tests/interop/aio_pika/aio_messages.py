# SPDX-License-Identifier: Apache-2.0
"""aio-pika: confirms, returns, consuming, transactions, content, RPC and worker patterns."""

import asyncio
import datetime
import decimal

import aio_pika
import aiormq
from aio_pika.patterns import RPC, Master

from broker import big_body, check, expect, expect_equal, expect_error, unique
from session import (Consumer, bodies, channel_error, exclusive_queue, publish, session)

REPLY_TO = "amq.rabbitmq.reply-to"


async def filled_queue(channel, count):
    queue = await exclusive_queue(channel)
    for number in range(count):
        await publish(channel, "", queue.name, b"%d" % number)
    return queue


async def ready(channel, queue):
    declared = await channel.declare_queue(queue.name, passive=True)
    return declared.declaration_result.message_count


@check
async def confirms_and_mandatory_return():
    async with session() as (_connection, channel):
        queue = await exclusive_queue(channel)
        sent = [publish(channel, "", queue.name, b"%d" % number, mandatory=True)
                for number in range(200)]
        replies = await asyncio.gather(*sent)
        expect_equal({type(reply).__name__ for reply in replies}, {"Ack"}, "confirmations")
        nowhere = unique("nowhere")
        try:
            await publish(channel, "amq.direct", nowhere, b"back", mandatory=True,
                          correlation_id="c1")
        except aiormq.exceptions.PublishError as error:
            returned = error.message
            expect_equal((returned.delivery.reply_code, returned.delivery.reply_text,
                          returned.delivery.exchange, returned.delivery.routing_key),
                         (312, "NO_ROUTE", "amq.direct", nowhere), "return")
            expect_equal((returned.body, returned.header.properties.correlation_id),
                         (b"back", "c1"), "content")
        else:
            raise AssertionError("an unroutable mandatory message was not returned")
        expect_equal(len(await bodies(queue)), 200, "messages")


@check
async def returns_by_callback():
    async with session(on_return_raises=False) as (_connection, channel):
        returned = asyncio.get_running_loop().create_future()
        channel.return_callbacks.add(lambda _sender, message: returned.set_result(message))
        await publish(channel, "", unique("nowhere"), b"back", mandatory=True)
        message = await asyncio.wait_for(returned, 10)
        expect_equal(message.body, b"back", "returned body")


@check
async def prefetch_requeue_and_order():
    async with session() as (_connection, channel):
        queue = await filled_queue(channel, 6)
        await channel.set_qos(prefetch_count=2)
        consumer = await Consumer.start(queue)
        first, second = await consumer.take(2)
        expect_equal(await ready(channel, queue), 4, "ready at the limit")
        await first.nack(requeue=True)
        again, = await consumer.take(1)
        expect_equal((again.body, again.redelivered), (b"0", True), "back first, redelivered")
        await again.ack(multiple=True)  # both of them
        third, fourth = await consumer.take(2)
        expect_equal([(message.body, message.redelivered) for message in (second, third, fourth)],
                     [(b"1", False), (b"2", False), (b"3", False)], "order")
        await third.reject(requeue=False)
        fifth, = await consumer.take(1)
        await queue.cancel(consumer.tag)
        await fifth.nack(multiple=True, requeue=True)
        expect_equal(await bodies(queue), [b"3", b"4", b"5"], "requeued to their places")


@check
async def queue_iterator():
    async with session() as (_connection, channel):
        queue = await filled_queue(channel, 5)
        await channel.set_qos(prefetch_count=1)
        got = []
        async with queue.iterator() as messages:
            async for message in messages:
                async with message.process():
                    got.append(message.body)
                if len(got) == 5:
                    break
        expect_equal(got, [b"%d" % number for number in range(5)], "messages in order")


@check
async def unknown_delivery_tag_and_recover():
    async with session() as (connection, channel):
        async def ack_unknown(other):
            await other.channel.basic_ack(82)
            await other.declare_queue(exclusive=True)  # the reply is the close
        expect_error(await channel_error(connection, ack_unknown), 406,
                     "PRECONDITION_FAILED - unknown delivery tag 82")
        queue = await filled_queue(channel, 2)
        await queue.get()
        await queue.get()
        await channel.channel.basic_recover(requeue=True)
        again = [await queue.get(), await queue.get()]
        expect_equal([(message.body, message.redelivered, message.delivery_tag)
                      for message in again], [(b"0", True, 3), (b"1", True, 4)], "recovered")


@check
async def consumer_cancelled_by_deletion():
    async with session() as (connection, channel):
        queue, other = await exclusive_queue(channel), await connection.channel()
        consumer = await Consumer.start(queue)
        expect(consumer.tag in channel.channel.consumers, "consumer known to the library")
        await other.queue_delete(queue.name)
        # The notification makes aiormq forget the consumer; a message round trip follows it.
        for _ in range(100):
            await exclusive_queue(channel)
            if consumer.tag not in channel.channel.consumers:
                return
        raise AssertionError("basic.cancel did not reach the consumer's channel")


@check
async def transactions():
    async with session(confirms=False) as (connection, channel):
        watcher = await connection.channel()
        queue = await exclusive_queue(channel)
        async with channel.transaction():
            await publish(channel, "", queue.name, b"1")
            await publish(channel, "", queue.name, b"2")
            expect_equal(await ready(watcher, queue), 0, "before the commit")
        expect_equal(await ready(watcher, queue), 2, "after the commit")
        try:
            async with channel.transaction():
                await publish(channel, "", queue.name, b"3")
                raise KeyError("rolls back")
        except KeyError:
            pass
        expect_equal(await ready(watcher, queue), 2, "after the rollback")


@check
async def properties_and_headers_round_trip():
    when = datetime.datetime(2024, 2, 29, 12, 30, 1)
    headers = {
        "bool": True, "int": -300, "big": 2**40, "negative": -2**40, "text": "grüße",
        "float": 1.5, "none": None, "bytes": bytearray(b"\x00\xff"),
        "decimal": decimal.Decimal("2.5"), "time": when, "list": [1, "two", [True]],
        "table": {"a": {"b": None}}, "": "empty key",
    }
    async with session() as (_connection, channel):
        queue = await exclusive_queue(channel)
        sent = aiormq.spec.Basic.Properties(
            content_type="text/plain", content_encoding="utf-8", headers=headers, delivery_mode=2,
            priority=5, correlation_id="c", reply_to="r", expiration="60000", message_id="m",
            timestamp=when, message_type="t", user_id="guest", app_id="a")
        bare = aiormq.spec.Basic.Properties(message_id="set, or aiormq makes one up")
        for properties in (sent, bare):
            await channel.channel.basic_publish(b"\x00\xffx", routing_key=queue.name,
                                                properties=properties)
            got = await channel.channel.basic_get(queue.name, no_ack=True)
            wanted, found = dict(properties), dict(got.header.properties)
            expect_equal(set(found), set(wanted), "names of the properties")
            for name, value in wanted.items():
                expect_equal(found[name], value, f"property {name}")
            expect_equal(got.body, b"\x00\xffx", "body")


@check
async def big_message_both_ways():
    body = big_body()
    async with session() as (_connection, channel):
        queue = await exclusive_queue(channel)
        await publish(channel, "", queue.name, body)
        message = await queue.get(no_ack=True, timeout=20)
        expect(message.body == body, "10 MiB by basic.get")
        await publish(channel, "", queue.name, body)
        consumer = await Consumer.start(queue, no_ack=True)
        message, = await consumer.take(1)
        expect(message.body == body, "10 MiB by basic.deliver")


@check
async def rpc_pattern():
    async with session(on_return_raises=False) as (_one, server), \
            session(on_return_raises=False) as (_two, client):
        async def multiply(*, left, right):
            return left * right

        async def fails():
            raise ValueError("on the other side")
        name = unique("rpc")
        serving, calling = await RPC.create(server), await RPC.create(client)
        await serving.register(name, multiply, auto_delete=True)
        await serving.register(f"{name}.fails", fails, auto_delete=True)
        expect_equal(await asyncio.gather(*(calling.call(name, dict(left=number, right=3))
                                            for number in range(20))),
                     [number * 3 for number in range(20)], "results")
        try:
            await calling.call(f"{name}.fails")
        except ValueError as error:
            expect_equal(str(error), "on the other side", "exception")
        else:
            raise AssertionError("the exception of the other side did not come back")
        try:  # nobody serves this: it comes back by basic.return
            await calling.call(unique("nobody"))
        except aio_pika.exceptions.MessageProcessError as error:
            expect("Message has been returned" in str(error), f"return in {error!r}")
        else:
            raise AssertionError("a call to nobody was answered")
        await serving.close()
        await calling.close()


@check
async def rpc_by_direct_reply_to():
    async with session() as (_one, server), session() as (_two, client):
        requests = await exclusive_queue(server)

        async def answer(message):
            await publish(server, "", message.reply_to, message.body.upper(),
                          correlation_id=message.correlation_id)
        await requests.consume(answer, no_ack=True)
        replies = await Consumer.start(await client.get_queue(REPLY_TO, ensure=False), no_ack=True)
        for number in range(3):
            await publish(client, "", requests.name, b"call %d" % number, reply_to=REPLY_TO,
                          correlation_id=str(number))
        got = await replies.take(3)
        expect_equal([(message.correlation_id, message.body) for message in got],
                     [(str(number), b"CALL %d" % number) for number in range(3)], "replies")


@check
async def worker_pattern():
    async with session() as (_one, channel), session() as (_two, producer):
        done, name = asyncio.Queue(), unique("work")
        await channel.set_qos(prefetch_count=1)
        worker = await Master(channel).create_worker(
            name, lambda *, task: done.put(task), auto_delete=True)
        master = Master(producer)
        for number in range(10):
            await master.create_task(name, {"task": number})
        expect_equal([await asyncio.wait_for(done.get(), 10) for _ in range(10)], list(range(10)),
                     "tasks in order")
        await worker.close()
