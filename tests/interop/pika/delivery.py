# SPDX-License-Identifier: Apache-2.0
"""Consuming: prefetch, acknowledgement, requeue, recover, cancel, get, transactions."""

import re

import pika

from broker import check, expect, expect_equal, expect_error, unique
from session import (Consumer, bodies, channel_error, exclusive_queue, get_all, session, wait_for)


def filled_queue(channel, count):
    """A queue with count messages in it for certain: b"0", b"1" ..."""
    queue = exclusive_queue(channel)
    other = channel.connection.channel()
    other.confirm_delivery()
    for number in range(count):
        other.basic_publish("", queue, b"%d" % number)
    other.close()
    return queue


def ready(channel, queue):
    return channel.queue_declare(queue, passive=True).method.message_count


@check
def consume_with_prefetch():
    with session() as (_connection, channel):
        queue = filled_queue(channel, 10)
        channel.basic_qos(prefetch_count=3)
        consumer = Consumer(channel, queue)
        expect(re.fullmatch(r"ctag1\..*", consumer.tag), "pika chose a tag")
        consumer.wait(3)
        # The other seven are still in the queue: the window was not exceeded.
        expect_equal(ready(channel, queue), 7, "ready messages at the limit")
        expect_equal(consumer.tags(), [1, 2, 3], "delivery tags")
        channel.basic_ack(1)
        consumer.wait(4)
        channel.basic_ack(4, multiple=True)
        consumer.wait(7)
        expect_equal(ready(channel, queue), 3, "ready messages after acks")
        channel.basic_ack(7, multiple=True)
        consumer.wait(10)
        expect_equal(consumer.bodies(), [b"%d" % number for number in range(10)], "order")
        expect(not any(method.redelivered for method, _p, _b in consumer.got), "first deliveries")
        channel.basic_ack(0, multiple=True)
        channel.basic_cancel(consumer.tag)
        expect_equal(channel.queue_delete(queue).method.message_count, 0, "all acknowledged")


@check
def prefetch_applies_to_later_consumers():
    with session() as (connection, channel):
        queue = filled_queue(channel, 10)
        channel.basic_qos(prefetch_count=2)
        first = Consumer(channel, queue)
        first.wait(2)
        channel.basic_qos(prefetch_count=5)
        second = Consumer(channel, queue)
        second.wait(5)
        expect_equal(ready(channel, queue), 3, "ready: windows of 2 and 5 are separate")
        expect_equal((len(first.got), len(second.got)), (2, 5), "deliveries")
        expect_equal(connection.is_open, True, "open")


@check
def global_prefetch_is_shared():
    with session() as (_connection, channel):
        one, two = filled_queue(channel, 5), filled_queue(channel, 5)
        channel.basic_qos(prefetch_count=3, global_qos=True)
        consumers = [Consumer(channel, one), Consumer(channel, two)]

        def total():
            return sum(len(consumer.got) for consumer in consumers)
        wait_for(channel.connection, lambda: total() >= 3, "3 deliveries")
        expect_equal(ready(channel, one) + ready(channel, two), 7, "ready at the limit")
        channel.basic_qos(prefetch_count=0, global_qos=True)
        wait_for(channel.connection, lambda: total() >= 10, "all, once the limit is lifted")


@check
def nack_requeues_to_the_original_position():
    with session() as (_connection, channel):
        queue = filled_queue(channel, 4)
        channel.basic_qos(prefetch_count=2)
        consumer = Consumer(channel, queue)
        consumer.wait(2)
        channel.basic_nack(1, requeue=True)  # b"0" comes back before b"2"
        consumer.wait(3)
        method, _properties, body = consumer.got[2]
        expect_equal((body, method.redelivered, method.delivery_tag), (b"0", True, 3), "redelivery")
        channel.basic_nack(3, multiple=True, requeue=True)
        consumer.wait(5)
        expect_equal(consumer.bodies()[3:], [b"0", b"1"], "both came back in order")
        expect(all(method.redelivered for method, _p, _b in consumer.got[3:]), "redelivered")
        channel.basic_ack(5, multiple=True)
        consumer.wait(7)
        expect_equal(consumer.bodies()[5:], [b"2", b"3"], "then the rest")
        expect(not any(method.redelivered for method, _p, _b in consumer.got[5:]), "first time")


@check
def reject_with_and_without_requeue():
    with session() as (_connection, channel):
        queue = filled_queue(channel, 2)
        method, _properties, body = channel.basic_get(queue)
        expect_equal((body, method.redelivered), (b"0", False), "first get")
        channel.basic_reject(method.delivery_tag, requeue=True)
        method, _properties, body = channel.basic_get(queue)
        expect_equal((body, method.redelivered), (b"0", True), "get after requeue")
        channel.basic_reject(method.delivery_tag, requeue=False)
        expect_equal(bodies(channel, queue), [b"1"], "the rejected message is gone")


@check
def multiple_ack_covers_gets_and_deliveries():
    with session() as (connection, channel):
        one, two = filled_queue(channel, 2), filled_queue(channel, 2)
        get_all(channel, one, auto_ack=False)
        consumer = Consumer(channel, two)
        consumer.wait(2)
        expect_equal(consumer.tags(), [3, 4], "gets and deliveries count together")
        channel.basic_ack(3, multiple=True)
        channel.basic_nack(4, requeue=False)
        channel.close()
        other = connection.channel()
        expect_equal((bodies(other, one), bodies(other, two)), ([], []), "nothing came back")


@check
def unknown_delivery_tag_is_406():
    with session() as (connection, _channel):
        for ids, action in (((60, 80), lambda other: other.basic_ack(82)),
                            ((60, 90), lambda other: other.basic_reject(82)),
                            ((60, 120), lambda other: other.basic_nack(82))):
            expect_error(channel_error(connection, action), 406,
                         "PRECONDITION_FAILED - unknown delivery tag 82", ids)

        def ack_twice(other):
            method, _properties, _body = other.basic_get(filled_queue(other, 1))
            other.basic_ack(method.delivery_tag)
            other.basic_ack(method.delivery_tag)
        expect_error(channel_error(connection, ack_twice), 406,
                     "PRECONDITION_FAILED - unknown delivery tag 1", (60, 80))


@check
def recover_redelivers():
    with session() as (_connection, channel):
        queue = filled_queue(channel, 3)
        get_all(channel, queue, auto_ack=False)
        channel.basic_recover(requeue=True)
        again = get_all(channel, queue, auto_ack=False)
        expect_equal([body for _m, _p, body in again], [b"0", b"1", b"2"], "order after recover")
        expect(all(method.redelivered for method, _p, _b in again), "redelivered")
        expect_equal([method.delivery_tag for method, _p, _b in again], [4, 5, 6], "new tags")


@check
def closed_channel_requeues():
    with session() as (connection, channel):
        queue = filled_queue(channel, 3)
        other = connection.channel()
        Consumer(other, queue).wait(3)
        other.close()
        back = get_all(channel, queue)
        expect_equal([(body, method.redelivered) for method, _p, body in back],
                     [(b"0", True), (b"1", True), (b"2", True)], "back in order, redelivered")


@check
def cancel_keeps_unacked():
    with session() as (_connection, channel):
        queue = filled_queue(channel, 3)
        channel.basic_qos(prefetch_count=1)
        consumer = Consumer(channel, queue)
        consumer.wait(1)
        channel.basic_cancel(consumer.tag)
        expect_equal(ready(channel, queue), 2, "what was delivered stays with the channel")
        channel.basic_ack(1)
        expect_equal(bodies(channel, queue), [b"1", b"2"], "the rest")


@check
def consumer_generator():
    with session() as (_connection, channel):
        queue = filled_queue(channel, 5)
        channel.basic_qos(prefetch_count=2)
        got = []
        for method, _properties, body in channel.consume(queue, inactivity_timeout=10):
            expect(method is not None, "a delivery within 10 s")
            got.append(body)
            channel.basic_ack(method.delivery_tag)
            if len(got) == 5:
                break
        channel.cancel()
        expect_equal(got, [b"%d" % number for number in range(5)], "order")


@check
def no_ack_consumer():
    with session() as (_connection, channel):
        queue = filled_queue(channel, 5)
        channel.basic_qos(prefetch_count=1)  # does not hold for consumers without ack
        consumer = Consumer(channel, queue, auto_ack=True)
        consumer.wait(5)
        channel.basic_cancel(consumer.tag)
        expect_equal(channel.queue_delete(queue).method.message_count, 0, "nothing left")


@check
def consumer_cancel_notification():
    with session() as (connection, channel):
        queue = exclusive_queue(channel)
        cancelled = []
        consumer = Consumer(channel, queue)
        channel.add_on_cancel_callback(lambda frame: cancelled.append(frame.method.consumer_tag))
        connection.channel().queue_delete(queue)
        wait_for(connection, lambda: cancelled, "basic.cancel by the broker")
        expect_equal(cancelled, [consumer.tag], "consumer tag")
        # The channel lives on, and the tag is free.
        Consumer(channel, exclusive_queue(channel), consumer_tag=consumer.tag)


@check
def exclusive_consumer_is_403():
    with session() as (connection, channel):
        queue = exclusive_queue(channel)
        consumer = Consumer(channel, queue, exclusive=True)
        text = f"ACCESS_REFUSED - queue '{queue}' in vhost '/' in exclusive use"
        error = channel_error(connection, lambda other: Consumer(other, queue))
        expect_error(error, 403, text, (60, 20))
        channel.basic_cancel(consumer.tag)
        Consumer(channel, queue)
        error = channel_error(connection, lambda other: Consumer(other, queue, exclusive=True))
        expect_error(error, 403, text, (60, 20))


@check
def consumers_share_a_queue_fairly():
    with session() as (connection, channel):
        queue = exclusive_queue(channel)
        consumers = []
        for _ in range(3):
            other = connection.channel()
            other.basic_qos(prefetch_count=4)
            consumers.append(Consumer(other, queue))
        for number in range(12):
            channel.basic_publish("", queue, b"%d" % number)
        for consumer in consumers:
            consumer.wait(4)
        got = sorted(int(body) for consumer in consumers for body in consumer.bodies())
        expect_equal(got, list(range(12)), "each message once")


@check
def consumer_priority():
    with session() as (connection, channel):
        queue = exclusive_queue(channel)
        low = Consumer(connection.channel(), queue)
        preferred = connection.channel()
        preferred.basic_qos(prefetch_count=2)
        high = Consumer(preferred, queue, arguments={"x-priority": 10})
        for number in range(4):
            channel.basic_publish("", queue, b"%d" % number)
        high.wait(2)
        low.wait(2)
        expect_equal((high.bodies(), low.bodies()), ([b"0", b"1"], [b"2", b"3"]),
                     "the higher priority first, up to its window")


@check
def transactions():
    with session() as (connection, channel):
        queue = exclusive_queue(channel)
        watcher = connection.channel()
        channel.tx_select()
        channel.basic_publish("", queue, b"rolled back")
        channel.tx_rollback()
        channel.basic_publish("", queue, b"one")
        channel.basic_publish("", queue, b"two")
        expect_equal(channel.basic_get(queue)[2], None, "nothing before the commit")
        expect_equal(ready(watcher, queue), 0, "nothing for others either")
        channel.tx_commit()
        expect_equal(ready(watcher, queue), 2, "both after the commit")

        method, _properties, body = channel.basic_get(queue)
        channel.basic_ack(method.delivery_tag)
        channel.tx_rollback()  # outstanding again, with the same tag, not requeued
        expect_equal(ready(watcher, queue), 1, "not requeued by rollback")
        channel.basic_ack(method.delivery_tag)
        channel.tx_commit()
        method, _properties, body = channel.basic_get(queue)
        expect_equal((body, method.redelivered), (b"two", False), "the next message")
        channel.basic_ack(method.delivery_tag)
        channel.close()  # uncommitted: the ack is void
        expect_equal([(found, again.redelivered) for again, _p, found in get_all(watcher, queue)],
                     [(b"two", True)], "requeued by the close")


@check
def transaction_returns_at_commit():
    with session() as (connection, channel):
        returned = []
        channel.add_on_return_callback(lambda _channel, method, _properties, body: returned.append(
            (method.reply_code, method.reply_text, body)))
        channel.tx_select()
        channel.basic_publish("", unique("nowhere"), b"back", mandatory=True)
        channel.tx_rollback()
        expect_equal(returned, [], "no return for what was rolled back")
        channel.basic_publish("", unique("nowhere"), b"back", mandatory=True)
        channel.tx_commit()
        wait_for(connection, lambda: returned, "basic.return")
        expect_equal(returned, [(312, "NO_ROUTE", b"back")], "return")


@check
def transaction_misuse_is_406():
    with session() as (connection, _channel):
        def confirm_after_tx(other):
            other.tx_select()
            other.confirm_delivery()

        def tx_after_confirm(other):
            other.confirm_delivery()
            other.tx_select()

        def raw(method):
            return lambda other: other._impl._send_method(method)
        for ids, text, action in (
                ((90, 20), "channel is not transactional", raw(pika.spec.Tx.Commit())),
                ((90, 30), "channel is not transactional", raw(pika.spec.Tx.Rollback())),
                ((85, 10), "cannot switch from tx to confirm mode", confirm_after_tx),
                ((90, 10), "cannot switch from confirm to tx mode", tx_after_confirm)):
            expect_error(channel_error(connection, action), 406, f"PRECONDITION_FAILED - {text}",
                         ids)
