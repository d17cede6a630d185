# SPDX-License-Identifier: Apache-2.0
"""py-amqp: confirms, returns, prefetch, requeue, recover, cancel, transactions, content."""

import datetime
import decimal

import amqp

from broker import (IS_HARRIER, big_body, check, expect, expect_equal, expect_error, unique)
from session import (bodies, channel_error, exclusive_queue, expect_ready, get_all, publish,
                     session, wait_for)

REPLY_TO = "amq.rabbitmq.reply-to"


class Consumer:
    def __init__(self, channel, queue, **options):
        self.connection, self.got = channel.connection, []
        self.tag = channel.basic_consume(queue, callback=self.got.append, **options)

    def wait(self, count):
        wait_for(self.connection, lambda: len(self.got) >= count, f"{count} deliveries")

    def bodies(self):
        return [message.body for message in self.got]


def filled_queue(channel, count):
    queue = exclusive_queue(channel)
    for number in range(count):
        publish(channel, "", queue, str(number))
    return queue


@check
def confirms_and_mandatory_return():
    with session(confirm_publish=True) as (_connection, channel):
        events = []
        channel.events["basic_return"].add(lambda error, exchange, key, message: events.append(
            ("return", error.reply_code, error.reply_text, exchange, key, message.body)))
        channel.events["basic_ack"].add(lambda tag, multiple: events.append(("ack", tag)))
        queue = exclusive_queue(channel)
        nowhere = unique("nowhere")
        publish(channel, "", queue, "1", delivery_mode=2)
        channel.basic_publish(amqp.Message("2"), "amq.topic", nowhere, mandatory=True)
        publish(channel, "amq.topic", nowhere, "3")
        expect_equal(events, [("ack", 1), ("return", 312, "NO_ROUTE", "amq.topic", nowhere, "2"),
                              ("ack", 2), ("ack", 3)], "return before its ack, every publish acked")
        expect_equal(bodies(channel, queue), ["1"], "content")


@check
def consume_with_prefetch_and_multiple_ack():
    with session() as (_connection, channel):
        queue = filled_queue(channel, 10)
        channel.basic_qos(0, 4, False)
        consumer = Consumer(channel, queue)
        expect(consumer.tag.startswith("amq.ctag-"), "tag chosen by the broker")
        consumer.wait(4)
        expect_ready(channel, queue, 6, "at the limit")
        channel.basic_ack(4, multiple=True)
        consumer.wait(8)
        expect_ready(channel, queue, 2, "after acks")
        channel.basic_ack(0, multiple=True)
        consumer.wait(10)
        expect_equal(consumer.bodies(), [str(number) for number in range(10)], "order")
        expect_equal([message.delivery_tag for message in consumer.got], list(range(1, 11)), "tags")


@check
def qos_of_this_client_updates_its_consumers():
    """kombu takes a product that it does not know for one that follows the plain specification,
    where qos changes the consumers that exist; Harrier does that for py-amqp."""
    with session() as (_connection, channel):
        queue = filled_queue(channel, 6)
        channel.basic_qos(0, 1, False)
        consumer = Consumer(channel, queue)
        consumer.wait(1)
        channel.basic_qos(0, 3, not IS_HARRIER)  # RabbitMQ needs the global form for this
        if not IS_HARRIER:
            channel.basic_ack(1)  # and there the first window stays in force too
            consumer.wait(2)
            return
        consumer.wait(3)
        expect_ready(channel, queue, 3, "at the new limit")


@check
def requeue_goes_to_the_original_position():
    with session() as (_connection, channel):
        queue = filled_queue(channel, 4)
        channel.basic_qos(0, 2, False)
        consumer = Consumer(channel, queue)
        consumer.wait(2)
        channel.basic_reject(1, requeue=True)
        consumer.wait(3)
        channel.basic_reject(2, requeue=False)
        consumer.wait(4)
        channel.basic_ack(4, multiple=True)
        consumer.wait(5)
        expect_equal([(message.body, message.delivery_info["redelivered"])
                      for message in consumer.got],
                     [("0", False), ("1", False), ("0", True), ("2", False), ("3", False)],
                     "deliveries")


@check
def recover_redelivers():
    with session() as (_connection, channel):
        queue = filled_queue(channel, 3)
        get_all(channel, queue, no_ack=False)
        channel.basic_recover(requeue=True)
        again = get_all(channel, queue, no_ack=False)
        channel.basic_recover_async(requeue=True)
        third = get_all(channel, queue, no_ack=False)
        for messages in (again, third):
            expect_equal([(message.body, message.delivery_info["redelivered"])
                          for message in messages], [("0", True), ("1", True), ("2", True)],
                         "redelivery")


@check
def double_ack_is_406():
    with session() as (connection, _channel):
        def ack_twice(other):
            message = other.basic_get(filled_queue(other, 1))
            other.basic_ack(message.delivery_tag)
            other.basic_ack(message.delivery_tag)
        expect_error(channel_error(connection, ack_twice), 406,
                     "PRECONDITION_FAILED - unknown delivery tag 1", (60, 80))


@check
def consumer_cancel_notification():
    with session() as (connection, channel):
        queue, cancelled = exclusive_queue(channel), []
        consumer = Consumer(channel, queue, on_cancel=cancelled.append)
        connection.channel().queue_delete(queue)
        wait_for(connection, lambda: cancelled, "basic.cancel by the broker")
        expect_equal(cancelled, [consumer.tag], "cancelled tag")
        channel.basic_cancel(consumer.tag)  # unknown by now: cancel-ok all the same


@check
def transactions():
    with session() as (connection, channel):
        queue, watcher = exclusive_queue(channel), connection.channel()
        channel.tx_select()
        publish(channel, "", queue, "lost")
        channel.tx_rollback()
        publish(channel, "", queue, "kept")
        expect_ready(watcher, queue, 0, "before the commit")
        channel.tx_commit()
        expect_ready(watcher, queue, 1, "after the commit")
        message = channel.basic_get(queue)
        channel.basic_ack(message.delivery_tag)
        channel.tx_rollback()
        channel.basic_ack(message.delivery_tag)
        channel.tx_commit()
        channel.close()
        expect_ready(watcher, queue, 0, "acknowledged for good")
        expect_error(channel_error(connection, lambda other: other.tx_commit()), 406,
                     "PRECONDITION_FAILED - channel is not transactional", (90, 20))


@check
def all_properties_and_headers_round_trip():
    headers = {
        "bool": True, "int": -42, "long": 2**40, "text": "grüße", "float": 0.1, "null": None,
        "decimal": decimal.Decimal("3.1415"), "time": datetime.datetime(2024, 2, 29, 12, 0, 1),
        "list": [1, "two", [3.5], {"k": None}], "table": {"a": {"b": {"c": [True]}}}, "empty": {},
    }
    full = dict(content_type="text/plain", content_encoding="utf-8", application_headers=headers,
                delivery_mode=2, priority=3, correlation_id="c", reply_to="r", expiration="60000",
                message_id="m", timestamp=1700000000, type="t",
                user_id="guest", app_id="a", cluster_id="cl")
    with session() as (_connection, channel):
        queue = exclusive_queue(channel)
        for properties in (full, {}, {"content_type": "", "correlation_id": "", "priority": 0}):
            sent = amqp.Message(b"\x00\xff binary", **properties)
            channel.basic_publish(sent, "", queue)
            got = channel.basic_get(queue, no_ack=True)
            expect_equal(got.properties, sent.properties, "the whole of the properties")
            expect_equal(bytes(got.body), b"\x00\xff binary", "body")


@check
def big_message_both_ways():
    body = big_body()
    with session(confirm_publish=True) as (_connection, channel):
        queue = exclusive_queue(channel)
        channel.basic_publish(amqp.Message(body), "", queue)
        message = channel.basic_get(queue, no_ack=True)
        expect(message.body == body, "10 MiB by basic.get")
        channel.basic_publish(amqp.Message(body), "", queue)
        consumer = Consumer(channel, queue, no_ack=True)
        consumer.wait(1)
        expect(consumer.got[0].body == body, "10 MiB by basic.deliver")


@check
def rpc_by_reply_queue_and_by_direct_reply_to():
    with session() as (server_connection, server), session() as (connection, client):
        requests = exclusive_queue(server)

        def answer(message):
            publish(server, "", message.reply_to, message.body.upper(),
                    correlation_id=message.correlation_id)
            server.basic_ack(message.delivery_tag)
        server.basic_consume(requests, callback=answer)
        for replies in (exclusive_queue(client), REPLY_TO):
            consumer = Consumer(client, replies, no_ack=True)
            for number in range(3):
                publish(client, "", requests, f"call {number}", reply_to=replies,
                        correlation_id=str(number))
                server_connection.drain_events(timeout=10)
            consumer.wait(3)
            expect_equal([(message.correlation_id, message.body) for message in consumer.got],
                         [(str(number), f"CALL {number}") for number in range(3)],
                         f"replies by {replies}")
        error = channel_error(connection, lambda other: publish(other, "", requests, "x",
                                                                reply_to=REPLY_TO))
        expect_error(error, 406, "PRECONDITION_FAILED - fast reply consumer does not exist",
                     (60, 40))
