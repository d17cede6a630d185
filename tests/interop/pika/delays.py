# SPDX-License-Identifier: Apache-2.0
"""Delayed delivery as frameworks build it from queues with a time to live: NServiceBus, which has a
level of exchange and quorum queue for every bit of the delay, and Laravel, which makes a queue for
every delay and lets it go."""

import time

import pika

from broker import IS_HARRIER, check, expect, expect_equal, unique, wait_until
from session import Consumer, session

LEVELS = 28
EARLY_S = 0.02  # the broker counts whole milliseconds, on every level
PERSISTENT = pika.BasicProperties(delivery_mode=2)


class NServiceBus:
    """The delay infrastructure 2 of NServiceBus.RabbitMQ, in the names of one run."""

    def __init__(self, channel, unit_ms=1000):
        self.channel, self.unit_ms, self.run = channel, unit_ms, unique("nsb")
        self.delivery = f"{self.run}.nsb.v2.delay-delivery"
        self.endpoint = f"{self.run}.endpoint"

    def level(self, level):
        return f"{self.run}.nsb.v2.delay-level-{level:02}"

    def build(self):
        key = "1.#"
        for level in range(LEVELS - 1, -1, -1):
            name = self.level(level)
            self.channel.exchange_declare(name, "topic", durable=True)
            self.channel.queue_declare(name, durable=True, arguments={
                "x-queue-type": "quorum",
                "x-dead-letter-strategy": "at-least-once",
                "x-overflow": "reject-publish",
                "x-message-ttl": (1 << level) * self.unit_ms,
                "x-dead-letter-exchange": self.level(level - 1) if level else self.delivery})
            self.channel.queue_bind(name, name, key)
            key = "*." + key
        key = "0.#"
        for level in range(LEVELS - 1, 0, -1):
            self.channel.exchange_bind(self.level(level - 1), self.level(level), key)
            key = "*." + key
        self.channel.exchange_declare(self.delivery, "topic", durable=True)
        self.channel.exchange_bind(self.delivery, self.level(0), key)

    def add_endpoint(self):
        self.channel.exchange_declare(self.endpoint, "fanout", durable=True)
        self.channel.queue_declare(self.endpoint, durable=True,
                                   arguments={"x-queue-type": "quorum"})
        self.channel.queue_bind(self.endpoint, self.endpoint, "")
        self.channel.exchange_bind(self.endpoint, self.delivery, f"#.{self.endpoint}")

    def send(self, channel, delay, body):
        """To the exchange of the highest bit that is set; the channel confirms."""
        start = max(delay.bit_length() - 1, 0)
        bits = ".".join(f"{delay:0{LEVELS}b}")
        channel.basic_publish(self.level(start), f"{bits}.{self.endpoint}", body, mandatory=True,
                              properties=PERSISTENT)

    def tear_down(self):
        self.channel.exchange_delete(self.delivery)
        for level in range(LEVELS):
            self.channel.queue_delete(self.level(level))
            self.channel.exchange_delete(self.level(level))
        self.channel.queue_delete(self.endpoint)
        self.channel.exchange_delete(self.endpoint)


def run_nservicebus(unit_ms, delays):
    with session() as (connection, channel):
        bus = NServiceBus(channel, unit_ms)
        try:
            bus.build()
            bus.build()  # every endpoint does, at its start
            bus.add_endpoint()
            came = {}
            channel.basic_consume(bus.endpoint, lambda _channel, method, properties, body: (
                came.setdefault(int(body), []).append((time.monotonic(), properties)),
                channel.basic_ack(method.delivery_tag)))
            sender = connection.channel()
            sender.confirm_delivery()
            sent = {}
            for delay in delays:
                sent[delay] = time.monotonic()
                bus.send(sender, delay, b"%d" % delay)
            wait_until(lambda: len(came) == len(delays), "all are delivered",
                       poll=lambda: connection.process_data_events(0.05), timeout_s=60)
            for delay, ((when, properties),) in came.items():
                expect(when - sent[delay] > delay * unit_ms / 1000 - EARLY_S,
                       f"{delay} came after {when - sent[delay]:.3f} s")
                deaths = [(death["queue"], death["reason"], death["count"])
                          for death in (properties.headers or {}).get("x-death", [])]
                expect_equal(deaths if IS_HARRIER else sorted(deaths),  # 3.10 mixes them up
                             [(bus.level(level), "expired", 1) for level in range(LEVELS)
                              if delay >> level & 1], "the levels, the last one first")
        finally:
            bus.tear_down()


@check
def nservicebus_delays():
    run_nservicebus(1000, [0, 1, 2, 3])


@check
def nservicebus_delays_through_many_levels():
    run_nservicebus(10, list(range(0, 128)))


@check
def nservicebus_far_future():
    """The longest delay that there is: not a number of 32 bits, neither given nor counted."""
    with session() as (connection, channel):
        bus = NServiceBus(channel)
        try:
            bus.build()
            bus.add_endpoint()
            sender = connection.channel()
            sender.confirm_delivery()
            bus.send(sender, (1 << LEVELS) - 1, b"one day")
            expect_equal(channel.queue_declare(bus.level(LEVELS - 1), passive=True)
                         .method.message_count, 1, "messages of the highest level")
            _method, properties, body = channel.basic_get(bus.level(LEVELS - 1))
            headers = properties.headers if IS_HARRIER else None  # 3.10: x-delivery-count
            expect_equal((body, headers), (b"one day", None), "as it was sent")
        finally:
            bus.tear_down()


@check
def laravel_delay_queues():
    """A job for later: a durable queue named after its delay, whose messages go to the queue of the
    jobs, and which goes itself when nobody has used it for twice as long."""
    with session() as (connection, channel):
        jobs = unique("jobs")
        try:
            channel.queue_declare(jobs, durable=True)
            channel.confirm_delivery()
            later = []
            for ttl in (600, 300):
                name = f"{jobs}.delay.{ttl}"
                later.append(name)
                for body in (b"%d first" % ttl, b"%d second" % ttl):
                    channel.queue_declare(name, durable=True, arguments={
                        "x-dead-letter-exchange": "", "x-dead-letter-routing-key": jobs,
                        "x-message-ttl": ttl, "x-expires": 2 * ttl})
                    channel.basic_publish("", name, body, properties=PERSISTENT)
            consumer = Consumer(channel, jobs, auto_ack=True)
            got = consumer.wait(4)
            for ttl in (300, 600):
                expect_equal([body for body in consumer.bodies() if body.startswith(b"%d" % ttl)],
                             [b"%d first" % ttl, b"%d second" % ttl], "in their order")
            for method, properties, body in got:
                expect_equal((method.exchange, method.routing_key), ("", jobs), "how it came")
                expect_equal(properties.headers["x-first-death-reason"], "expired", "why it came")
            for name in later:  # purging is no use that would keep it
                wait_until(lambda: is_gone(connection, name), "the delay queue goes",
                           poll=lambda: connection.process_data_events(0.05))
        finally:
            channel.queue_delete(jobs)


def is_gone(connection, queue):
    purged = []
    other = connection.channel()
    try:
        purged.append(other.queue_purge(queue))
        other.close()
    except pika.exceptions.ChannelClosedByBroker as error:
        expect_equal(error.reply_code, 404, "why the queue cannot be purged")
    return not purged
