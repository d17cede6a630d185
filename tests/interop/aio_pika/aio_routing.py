# SPDX-License-Identifier: Apache-2.0
"""aio-pika: exchanges of every type, bindings between exchanges, alternate exchange, counts."""

from aio_pika import ExchangeType, Message

from broker import check, expect, expect_equal, unique
from session import bodies, exclusive_queue, publish, session


async def declare(channel, kind, **options):
    return await channel.declare_exchange(unique(kind.value), kind, auto_delete=True, **options)


@check
async def every_exchange_type():
    async with session() as (_connection, channel):
        direct = await declare(channel, ExchangeType.DIRECT)
        fanout = await declare(channel, ExchangeType.FANOUT)
        topic = await declare(channel, ExchangeType.TOPIC)
        headers = await declare(channel, ExchangeType.HEADERS)
        one, two = await exclusive_queue(channel), await exclusive_queue(channel)
        await one.bind(direct, "a")
        await two.bind(direct, "b")
        for queue in (one, two):
            await queue.bind(fanout)
        await one.bind(topic, "log.*.error")
        await two.bind(topic, "log.#")
        await one.bind(headers, arguments={"x-match": "all", "kind": "pdf", "pages": 2})
        await two.bind(headers, arguments={"x-match": "any", "kind": "pdf", "pages": 2})
        for exchange, key, table in (
                (direct, "a", None), (direct, "b", None), (direct, "c", None),
                (fanout, "f", None),
                (topic, "log.db.error", None), (topic, "log", None), (topic, "logs", None),
                (headers, "both", {"kind": "pdf", "pages": 2}), (headers, "pages", {"pages": 2}),
                (headers, "neither", {"kind": "txt"})):
            confirmation = await exchange.publish(Message(key.encode(), headers=table), key,
                                                  mandatory=False)
            expect_equal(type(confirmation).__name__, "Ack", "confirmation")
        expect_equal(await bodies(one), [b"a", b"f", b"log.db.error", b"both"], "first queue")
        expect_equal(await bodies(two), [b"b", b"f", b"log.db.error", b"log", b"both", b"pages"],
                     "second queue")
        await one.unbind(direct, "a")
        await publish(channel, direct.name, "a", b"unbound")
        expect_equal(await bodies(one), [], "after unbind")


@check
async def exchange_to_exchange():
    async with session() as (_connection, channel):
        source = await declare(channel, ExchangeType.TOPIC)
        target = await declare(channel, ExchangeType.FANOUT)
        queue = await exclusive_queue(channel)
        await target.bind(source, "in.#")
        await target.bind(source, "kept")
        await queue.bind(target)
        await publish(channel, source.name, "in.side", b"in")
        await publish(channel, source.name, "out.side", b"out")
        message = await queue.get(no_ack=True)
        expect_equal((message.exchange, message.routing_key, message.body),
                     (source.name, "in.side", b"in"), "delivery")
        await target.unbind(source, "in.#")
        await publish(channel, source.name, "in.side", b"gone")
        expect_equal(await bodies(queue), [], "after unbind")


@check
async def alternate_exchange():
    async with session() as (_connection, channel):
        alternate = await declare(channel, ExchangeType.FANOUT)
        queue, other = await exclusive_queue(channel), await exclusive_queue(channel)
        main = await declare(channel, ExchangeType.DIRECT,
                             arguments={"alternate-exchange": alternate.name})
        await queue.bind(alternate)
        await other.bind(main, "known")
        await publish(channel, main.name, "known", b"known", mandatory=True)
        await publish(channel, main.name, "unknown", b"unknown", mandatory=True)
        expect_equal((await bodies(other), await bodies(queue)), ([b"known"], [b"unknown"]),
                     "routing; nothing was returned")


@check
async def names_and_counts():
    async with session() as (_connection, channel):
        queue = await exclusive_queue(channel)
        expect(queue.name.startswith("amq.gen-"), f"generated name {queue.name}")
        for number in range(6):
            await publish(channel, "", queue.name, b"%d" % number)
        declared = await channel.declare_queue(queue.name, passive=True)
        expect_equal(declared.declaration_result.message_count, 6, "declare-ok")
        await queue.get()
        expect_equal((await queue.purge()).message_count, 5, "purge-ok leaves the unacked message")
        await publish(channel, "", queue.name, b"last")
        deleted = await queue.delete(if_unused=False, if_empty=False)
        expect_equal(deleted.message_count, 1, "delete-ok")
