# SPDX-License-Identifier: Apache-2.0
"""queue.declare in its forms, who may use a queue, counts of purge and delete."""

import re

from broker import check, expect, expect_equal, expect_error, unique
from session import Consumer, channel_error, exclusive_queue, get_all, session, wait_for


@check
def server_named_queue():
    with session() as (connection, channel):
        names = [channel.queue_declare("", exclusive=True).method.queue for _ in range(3)]
        for name in names:
            expect(re.fullmatch(r"amq\.gen-[A-Za-z0-9_-]{22}", name), f"generated name {name!r}")
        expect_equal(len(set(names)), 3, "distinct names")
        expect_equal(channel.queue_declare(names[0], passive=True).method.queue, names[0],
                     "passive declare of a generated name")
        error = channel_error(connection, lambda other: other.queue_declare(names[0]))
        expect_error(error, 403, f"ACCESS_REFUSED - queue name '{names[0]}' contains reserved "
                     "prefix 'amq.*'", (50, 10))


@check
def last_declared_queue():
    with session() as (connection, channel):
        queue = exclusive_queue(channel)
        channel.queue_bind("", "amq.direct", queue)
        channel.basic_publish("amq.direct", queue, b"x")
        method, _properties, body = channel.basic_get("", auto_ack=True)
        expect(method is not None and body == b"x", "get of the queue declared last")
        error = channel_error(connection, lambda other: other.basic_get(""))
        expect_error(error, 404, "NOT_FOUND - no previously declared queue", (60, 70))


@check
def missing_queue_is_404():
    with session() as (connection, _channel):
        name = unique("missing")
        text = f"NOT_FOUND - no queue '{name}' in vhost '/'"
        for ids, action in (
                ((50, 10), lambda other: other.queue_declare(name, passive=True)),
                ((50, 30), lambda other: other.queue_purge(name)),
                ((60, 20), lambda other: other.basic_consume(name, lambda *_: None)),
                ((60, 70), lambda other: other.basic_get(name))):
            expect_error(channel_error(connection, action), 404, text, ids)
        with session() as (_other, channel):
            expect_equal(channel.queue_delete(name).method.message_count, 0,
                         "deleting a missing queue succeeds")


@check
def inequivalent_declare_is_406():
    with session() as (connection, channel):
        name = unique("fixed")
        channel.queue_declare(name, durable=True, auto_delete=True,
                              arguments={"x-max-length": 5, "free-form": "a"})
        # Arguments that mean nothing are not compared; integers compare by value.
        channel.queue_declare(name, durable=True, auto_delete=True,
                              arguments={"x-max-length": 5, "free-form": "b"})
        start = "PRECONDITION_FAILED - inequivalent arg"
        for text, options in (
                (f"{start} 'durable' for queue '{name}' in vhost '/': received 'false' but "
                 "current is 'true'", dict(auto_delete=True, arguments={"x-max-length": 5})),
                (f"{start} 'auto_delete' for queue '{name}' in vhost '/': received 'false' but "
                 "current is 'true'", dict(durable=True, arguments={"x-max-length": 5})),
                (f"{start} 'x-max-length' for queue '{name}' in vhost '/': received '6' but "
                 "current is '5'",
                 dict(durable=True, auto_delete=True, arguments={"x-max-length": 6})),
                (f"{start} 'x-max-length' for queue '{name}' in vhost '/': received none but "
                 "current is the value '5'", dict(durable=True, auto_delete=True))):
            error = channel_error(connection, lambda other: other.queue_declare(name, **options))
            expect_error(error, 406, text, (50, 10))
        channel.queue_delete(name)


@check
def bad_arguments_are_406():
    with session() as (connection, _channel):
        for arguments in ({"x-message-ttl": -1}, {"x-message-ttl": "10000"}, {"x-expires": 0},
                          {"x-max-length": -1}, {"x-max-length": True}, {"x-max-priority": 256},
                          {"x-overflow": "spill"}, {"x-queue-type": "heap"},
                          {"x-dead-letter-exchange": 1}, {"x-dead-letter-routing-key": "alone"}):
            error = channel_error(connection, lambda other: other.queue_declare(
                unique("bad"), exclusive=True, arguments=arguments))
            expect_error(error, 406, "PRECONDITION_FAILED - ", (50, 10), what=f"{arguments}")


@check
def exclusive_queue_is_405_elsewhere():
    with session() as (_owner, mine), session() as (connection, _theirs):
        name = unique("exclusive")
        mine.queue_declare(name, exclusive=True)
        text = f"RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '{name}' in vhost"
        for ids, action in (
                ((50, 10), lambda other: other.queue_declare(name, exclusive=True)),
                ((50, 10), lambda other: other.queue_declare(name, passive=True)),
                ((50, 20), lambda other: other.queue_bind(name, "amq.direct", "key")),
                ((50, 30), lambda other: other.queue_purge(name)),
                ((50, 40), lambda other: other.queue_delete(name)),
                ((60, 20), lambda other: other.basic_consume(name, lambda *_: None)),
                ((60, 70), lambda other: other.basic_get(name))):
            expect_error(channel_error(connection, action), 405, text, ids)
        # Exclusive concerns access, not publishing.
        _theirs.confirm_delivery()
        _theirs.basic_publish("", name, b"from outside", mandatory=True)
        expect_equal([body for _m, _p, body in get_all(mine, name)], [b"from outside"], "content")
        error = channel_error(_owner, lambda other: other.queue_declare(name, exclusive=False))
        expect_error(error, 405, text, (50, 10))


@check
def exclusive_queue_ends_with_connection():
    name = unique("exclusive")
    with session() as (_connection, channel):
        channel.queue_declare(name, exclusive=True)
        channel.close()
        # It survives its channel.
        _connection.channel().queue_declare(name, passive=True)
    with session() as (connection, _channel):  # close-ok said that it is gone
        error = channel_error(connection, lambda other: other.queue_declare(name, passive=True))
        expect_error(error, 404, f"NOT_FOUND - no queue '{name}'", (50, 10))


@check
def auto_delete_queue():
    with session() as (connection, channel):
        name = unique("auto")
        channel.queue_declare(name, auto_delete=True)
        first, second = Consumer(channel, name), Consumer(channel, name)
        channel.basic_cancel(first.tag)
        declared = channel.queue_declare(name, passive=True).method
        expect_equal(declared.consumer_count, 1, "consumers")
        channel.basic_cancel(second.tag)
        error = channel_error(connection, lambda other: other.queue_declare(name, passive=True))
        expect_error(error, 404, "NOT_FOUND", (50, 10))


@check
def counts():
    with session() as (connection, channel):
        queue = exclusive_queue(channel)
        channel.confirm_delivery()
        for number in range(10):
            channel.basic_publish("", queue, b"%d" % number)
        declared = channel.queue_declare(queue, passive=True).method
        expect_equal((declared.message_count, declared.consumer_count), (10, 0), "declare-ok")
        method, _properties, _body = channel.basic_get(queue)
        expect_equal(method.message_count, 9, "get-ok counts what remains")
        expect_equal(channel.queue_declare(queue, passive=True).method.message_count, 9,
                     "an unacked message is not ready")
        expect_equal(channel.queue_purge(queue).method.message_count, 9, "purge-ok")
        expect_equal(channel.basic_get(queue), (None, None, None), "get-empty")
        channel.basic_nack(method.delivery_tag, requeue=True)
        channel.basic_publish("", queue, b"another")
        wait_for(connection, lambda: channel.queue_declare(queue, passive=True)
                 .method.message_count == 2, "the unacked message came back")
        expect_equal(channel.queue_delete(queue).method.message_count, 2, "delete-ok")
        expect_equal(channel.queue_delete(queue).method.message_count, 0, "delete-ok, again")


@check
def delete_if_unused_if_empty():
    with session() as (connection, channel):
        queue = exclusive_queue(channel)
        channel.confirm_delivery()
        channel.basic_publish("", queue, b"x")
        error = channel_error(connection, lambda other: other.queue_delete(queue, if_empty=True))
        expect_error(error, 406, f"PRECONDITION_FAILED - queue '{queue}' in vhost '/' not empty",
                     (50, 40))
        consumer = Consumer(channel, queue)
        consumer.wait(1)
        error = channel_error(connection, lambda other: other.queue_delete(queue, if_unused=True))
        expect_error(error, 406, f"PRECONDITION_FAILED - queue '{queue}' in vhost '/' in use",
                     (50, 40))
        # One unacked message: the queue counts as empty.
        channel.basic_cancel(consumer.tag)
        channel.queue_delete(queue, if_unused=True, if_empty=True)
