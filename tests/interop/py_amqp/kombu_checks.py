# SPDX-License-Identifier: Apache-2.0
"""kombu over py-amqp: what Celery and friends build on."""

import socket

import kombu
from kombu.pools import producers

from broker import HOST, PASSWORD, PORT, USER, VHOST, check, expect, expect_equal, unique


def connection(**options):
    return kombu.Connection(hostname=HOST, port=PORT, userid=USER, password=PASSWORD,
                            virtual_host=VHOST, connect_timeout=10, **options)


def drain_until(link, condition, what):
    for _ in range(200):
        if condition():
            return
        try:
            link.drain_events(timeout=0.1)
        except socket.timeout:
            pass
    raise AssertionError(f"{what}: did not happen")


@check
def kombu_publish_consume_with_serializers():
    exchange = kombu.Exchange(unique("kombu"), "topic", durable=False, auto_delete=True)
    queue = kombu.Queue(unique("kombu"), exchange, routing_key="task.#", durable=False,
                        auto_delete=True, max_priority=5)
    payload = {"text": "grüße", "list": [1, 2.5, None, True], "nested": {"a": {}}}
    got = []
    with connection() as link, link.channel() as channel:
        producer = kombu.Producer(channel, exchange)
        with kombu.Consumer(channel, [queue], accept=["json", "yaml", "pickle"],
                            prefetch_count=10,
                            callbacks=[lambda body, message: (got.append((body, message.headers)),
                                                              message.ack())]):
            producer.publish(payload, routing_key="task.new", serializer="json",
                             compression="zlib", headers={"id": 1})
            producer.publish(payload, routing_key="task", serializer="pickle", priority=3)
            producer.publish("dropped", routing_key="other")
            drain_until(link, lambda: len(got) == 2, "two messages")
        expect_equal([body for body, _headers in got], [payload, payload], "payloads")
        expect_equal(got[0][1]["id"], 1, "headers")


@check
def kombu_declares_lazily_and_retries():
    queue = kombu.Queue(unique("kombu"), kombu.Exchange(unique("kombu"), auto_delete=True),
                        routing_key="k", exclusive=True)
    with connection(transport_options={"confirm_publish": True}) as link:
        with producers[link].acquire(block=True, timeout=5) as producer:
            producer.publish({"n": 1}, exchange=queue.exchange, routing_key="k", retry=True,
                             declare=[queue(producer.channel)])
            message = queue(producer.channel).get(no_ack=True)
            expect_equal(message.payload, {"n": 1}, "payload")
            expect_equal(queue(producer.channel).get(), None, "empty queue")
    link.close()


@check
def kombu_simple_queue_and_requeue():
    name = unique("kombu")
    with connection() as link:
        simple = link.SimpleQueue(name, queue_opts={"durable": False, "auto_delete": True},
                                  exchange_opts={"auto_delete": True, "durable": False})
        for number in range(3):
            simple.put(number)
        first = simple.get(timeout=5)
        first.requeue()
        order = []
        for _ in range(3):
            message = simple.get(timeout=5)
            order.append(message.payload)
            message.ack()
        # The consumer has no prefetch limit: 1 and 2 were on their way before the requeue.
        expect_equal(sorted(order), [0, 1, 2], "everything once, the requeued message too")
        simple.close()


@check
def kombu_heartbeat():
    with connection(heartbeat=2) as link:
        link.connect()
        expect(link.supports_heartbeats, "heartbeats")
        for _ in range(12):
            link.heartbeat_check(rate=2)
            try:
                link.drain_events(timeout=0.25)
            except socket.timeout:
                pass
        expect(link.connected, "connected after 3 s")


@check
def kombu_wrong_password():
    link = kombu.Connection(hostname=HOST, port=PORT, userid=USER, password="wrong",
                            virtual_host=VHOST, connect_timeout=10)
    try:
        link.ensure_connection(max_retries=1, interval_start=0)
    except link.channel_errors + link.connection_errors as error:
        expect("ACCESS_REFUSED" in str(error), f"403 in {error!r}")
    else:
        raise AssertionError("a wrong password was accepted")
    finally:
        link.release()
