# SPDX-License-Identifier: Apache-2.0
"""Celery's native delayed delivery: what kombu 5.5 and later declare for it, and what Celery
publishes. A level for every bit of the delay: a topic exchange, and a queue in which a message
stays 2^level seconds before it goes on to the next level's exchange; who has a 0 there skips the
queue. The level that waits for four years has to be declared like all the others."""

import time

import kombu

from broker import IS_HARRIER, check, expect, expect_equal, skip_on_rabbitmq, unique
from kombu_checks import connection, drain_until

LEVELS = 28
EARLY_S = 0.02  # the broker counts whole milliseconds, on every level


class Delays:
    """The topology in the names of one run; a tenth of a second for a second with unit_ms=100."""

    def __init__(self, link, queue_type, unit_ms=1000):
        self.link, self.queue_type, self.unit_ms = link, queue_type, unit_ms
        self.prefix = unique("celery")
        self.delivery = f"{self.prefix}_celery_delayed_delivery"

    def level(self, level):
        return f"{self.prefix}_celery_delayed_{level}"

    def exchange(self, name, channel):
        return kombu.Exchange(name, type="topic").bind(channel)

    def declare(self):
        channel = self.link.channel()
        key = "1.#"
        for level in range(LEVELS - 1, -1, -1):
            self.exchange(self.level(level), channel).declare()
            arguments = {
                "x-queue-type": self.queue_type,
                "x-overflow": "reject-publish",
                "x-message-ttl": pow(2, level) * self.unit_ms,
                "x-dead-letter-exchange": self.level(level - 1) if level > 0 else self.delivery,
            }
            if self.queue_type == "quorum":
                arguments["x-dead-letter-strategy"] = "at-least-once"
            queue = kombu.Queue(self.level(level), queue_arguments=arguments).bind(channel)
            queue.declare()
            queue.bind_to(self.level(level), key)
            key = "*." + key
        key = "0.#"
        for level in range(LEVELS - 1, 0, -1):
            self.exchange(self.level(level - 1), channel).bind_to(self.level(level), key)
            key = "*." + key
        delivery = self.exchange(self.delivery, channel)
        delivery.declare()
        delivery.bind_to(self.level(0), key)
        channel.close()

    def bind(self, queue):
        """As a worker does for each of its queues, on a topic or fanout exchange."""
        with self.link.channel() as channel:
            bound = queue.bind(channel)
            bound.declare()
            key = f"#.{queue.routing_key}"
            queue.exchange.bind(channel).bind_to(self.delivery, routing_key=key)
            bound.bind_to(queue.exchange.name, routing_key=key)

    def publish(self, producer, countdown, body, routing_key):
        bits = ".".join(f"{countdown:0{LEVELS}b}")
        producer.publish(body, exchange=self.level(LEVELS - 1), delivery_mode=2,
                         routing_key=f"{bits}.{routing_key}")

    def waiting(self, level):
        with self.link.channel() as channel:
            return channel.queue_declare(self.level(level), passive=True).message_count

    def remove(self, *queues):
        with self.link.channel() as channel:
            for level in range(LEVELS):
                channel.queue_delete(self.level(level))
                channel.exchange_delete(self.level(level))
            channel.exchange_delete(self.delivery)
            for queue in queues:
                channel.queue_delete(queue.name)
                channel.exchange_delete(queue.exchange.name)


def levels_of(countdown):
    return [level for level in range(LEVELS) if countdown >> level & 1]


def deaths(message):
    """The levels that a message was delayed on, the last one first, as x-death has them. RabbitMQ
    3.10 has more than two in another order."""
    entries = message.headers["x-death"]
    for entry in entries:
        expect_equal((entry["reason"], entry["count"]), ("expired", 1), "why and how often")
    levels = [int(entry["queue"].rpartition("_")[2]) for entry in entries]
    return levels if IS_HARRIER else sorted(levels)


def run_delays(queue_type, unit_ms, countdowns):
    got = []
    with connection(transport_options={"confirm_publish": True}) as link:
        delays = Delays(link, queue_type, unit_ms)
        queue = kombu.Queue(unique("tasks"), kombu.Exchange(unique("tasks"), "topic"),
                            routing_key="task", queue_arguments={"x-queue-type": queue_type})
        try:
            delays.declare()
            delays.declare()  # a second worker
            delays.bind(queue)
            delays.bind(queue)
            with link.channel() as channel, kombu.Consumer(channel, [queue], callbacks=[
                    lambda body, message: (got.append((body, time.monotonic(), message)),
                                           message.ack())]):
                producer = kombu.Producer(channel)
                published = {}
                delays.publish(producer, 2 ** (LEVELS - 1), "never", "task")
                for countdown in countdowns:
                    published[countdown] = time.monotonic()
                    delays.publish(producer, countdown, countdown, "task")
                drain_until(link, lambda: len(got) == len(countdowns), "all tasks are delivered")
            expect_equal(sorted(body for body, _, _ in got), sorted(countdowns), "each once")
            for countdown, came, message in got:
                delay = countdown * unit_ms / 1000
                expect(came - published[countdown] > delay - EARLY_S,
                       f"{countdown} came after {came - published[countdown]:.3f} s")
                expect_equal(deaths(message), levels_of(countdown), "levels it went through")
                expect(message.delivery_info["routing_key"].endswith(".task"), "its routing key")
                last = min(levels_of(countdown))
                expect_equal(message.delivery_info["exchange"],
                             delays.level(last - 1) if last else delays.delivery,
                             "the exchange that its last queue gave it to")
            expect_equal(delays.waiting(LEVELS - 1), 1, "what waits for four years")
        finally:
            delays.remove(queue)


@check
def celery_delays_on_classic_queues():
    run_delays("classic", 1000, [1, 2, 3])


@check
def celery_delays_on_quorum_queues():
    run_delays("quorum", 1000, [1, 3])


@check
def celery_delays_through_many_levels():
    run_delays("quorum", 10, list(range(1, 128)))


@check
def celery_delay_again_and_again():
    """A retry with a countdown publishes the message with a new key and the headers it came with,
    which are no history for the broker: it takes the same queue again."""
    skip_on_rabbitmq("3.10 goes on from a client's x-death, and drops what expires there again")
    got = []
    with connection(transport_options={"confirm_publish": True}) as link:
        delays = Delays(link, "classic", 50)
        queue = kombu.Queue(unique("tasks"), kombu.Exchange(unique("tasks"), "topic"),
                            routing_key="task")
        try:
            delays.declare()
            delays.bind(queue)
            with link.channel() as channel:
                producer = kombu.Producer(channel)
                delays.publish(producer, 5, "retried", "task")

                def retry(body, message):
                    got.append(message)
                    if len(got) < 5:
                        bits = ".".join(f"{5:0{LEVELS}b}")
                        producer.publish(body, exchange=delays.level(LEVELS - 1), delivery_mode=2,
                                         headers=message.headers, routing_key=f"{bits}.task")
                    message.ack()
                with kombu.Consumer(channel, [queue], callbacks=[retry]):
                    drain_until(link, lambda: len(got) == 5, "five deliveries")
        finally:
            delays.remove(queue)
