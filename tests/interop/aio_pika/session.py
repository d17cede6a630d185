# SPDX-License-Identifier: Apache-2.0
"""Connections for the checks, and what aio-pika makes of a close sent by the broker."""

import asyncio
import contextlib

import aio_pika
import aiormq
from yarl import URL

from broker import HOST, PASSWORD, PORT, USER, VHOST

# aiormq gives one exception class per reply code and keeps the text only.
CHANNEL_CODES = {
    aiormq.exceptions.ChannelAccessRefused: 403, aiormq.exceptions.ChannelNotFoundEntity: 404,
    aiormq.exceptions.ChannelLockedResource: 405, aiormq.exceptions.ChannelPreconditionFailed: 406,
}
CONNECTION_CODES = {
    aiormq.exceptions.ConnectionFrameError: 501, aiormq.exceptions.ConnectionCommandInvalid: 503,
    aiormq.exceptions.ConnectionChannelError: 504, aiormq.exceptions.ConnectionNotAllowed: 530,
    aiormq.exceptions.ConnectionNotImplemented: 540,
}


def url(user=USER, password=PASSWORD, vhost=VHOST, port=PORT, **query):
    return URL.build(scheme="amqp", host=HOST, port=port, user=user, password=password,
                     path=f"/{vhost}", query={key: str(value) for key, value in query.items()})


@contextlib.asynccontextmanager
async def session(robust=False, confirms=True, on_return_raises=None, **options):
    if on_return_raises is None:
        on_return_raises = confirms  # the library refuses the one without the other
    connect = aio_pika.connect_robust if robust else aio_pika.connect
    connection = await connect(url(**options), timeout=10)
    async with connection:
        yield connection, await connection.channel(publisher_confirms=confirms,
                                                   on_return_raises=on_return_raises)


class Proxy:
    """Stands between client and broker to be a bad network: it can swallow what the client sends
    and break connections without a word."""

    async def __aenter__(self):
        self.muted = False
        self.dropped_by_broker = asyncio.Event()
        self.links = set()
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self.server.close()
        self.cut()

    def cut(self):
        for writer in self.links:
            writer.transport.abort()
        self.links.clear()

    async def serve(self, client_reader, client_writer):
        broker_reader, broker_writer = await asyncio.open_connection(HOST, PORT)
        self.links |= {client_writer, broker_writer}
        await asyncio.gather(self.forward(client_reader, broker_writer, lambda: self.muted),
                             self.forward(broker_reader, client_writer, lambda: False),
                             return_exceptions=True)

    async def forward(self, reader, writer, muted):
        try:
            while data := await reader.read(65536):
                if not muted():
                    writer.write(data)
        finally:
            if self.muted:
                self.dropped_by_broker.set()
            writer.close()


async def exclusive_queue(channel):
    return await channel.declare_queue(exclusive=True)


async def channel_error(connection, action):
    """action(channel) on a new channel must make the broker close it: (code, text)."""
    channel = await connection.channel()
    try:
        await asyncio.wait_for(action(channel), 10)
    except tuple(CHANNEL_CODES) as error:
        return CHANNEL_CODES[type(error)], str(error)
    raise AssertionError("the broker did not close the channel")


async def publish(channel, exchange, routing_key, body, **properties):
    """To an exchange by name, without declaring it."""
    mandatory = properties.pop("mandatory", False)
    target = await channel.get_exchange(exchange, ensure=False) if exchange \
        else channel.default_exchange
    return await target.publish(aio_pika.Message(body, **properties), routing_key,
                                mandatory=mandatory, timeout=20)


async def bodies(queue):
    found = []
    while (message := await queue.get(no_ack=True, fail=False, timeout=10)) is not None:
        found.append(message.body)
    return found


class Consumer:
    """Deliveries of one consumer, to be awaited one by one."""

    @classmethod
    async def start(cls, queue, **options):
        self = cls()
        self.arrived = asyncio.Queue()
        self.tag = await queue.consume(self.arrived.put, **options)
        return self

    async def take(self, count):
        return [await asyncio.wait_for(self.arrived.get(), 10) for _ in range(count)]
