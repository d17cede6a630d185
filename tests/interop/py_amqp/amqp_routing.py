# SPDX-License-Identifier: Apache-2.0
"""py-amqp: exchanges of every type, bindings, declare errors, exclusive queues, counts."""

from broker import check, expect, expect_equal, expect_error, unique
from session import bodies, channel_error, exclusive_queue, expect_ready, get_all, publish, session


def declare(channel, kind, **options):
    name = unique(kind)
    channel.exchange_declare(name, kind, auto_delete=True, **options)
    return name


@check
def direct_and_fanout_exchange():
    with session() as (_connection, channel):
        direct, fanout = declare(channel, "direct"), declare(channel, "fanout")
        red, blue = exclusive_queue(channel), exclusive_queue(channel)
        channel.queue_bind(red, direct, "red")
        channel.queue_bind(blue, direct, "blue")
        for queue in (red, blue):
            channel.queue_bind(queue, fanout)
        for key in ("red", "blue", "green"):
            publish(channel, direct, key, key)
        publish(channel, fanout, "any", "all")
        expect_equal((bodies(channel, red), bodies(channel, blue)),
                     (["red", "all"], ["blue", "all"]), "routing")
        channel.queue_unbind(red, direct, "red")
        publish(channel, direct, "red", "red")
        expect_equal(bodies(channel, red), [], "after unbind")


@check
def topic_exchange():
    with session() as (_connection, channel):
        topic = declare(channel, "topic")
        queues = {pattern: exclusive_queue(channel) for pattern in ("a.*", "#.z", "#", "*.b.#")}
        for pattern, queue in queues.items():
            channel.queue_bind(queue, topic, pattern)
        for key in ("a.b", "a.b.z", "z", "a", ""):
            publish(channel, topic, key, key)
        expect_equal({pattern: bodies(channel, queue) for pattern, queue in queues.items()},
                     {"a.*": ["a.b"], "#.z": ["a.b.z", "z"], "#": ["a.b", "a.b.z", "z", "a", ""],
                      "*.b.#": ["a.b", "a.b.z"]}, "routing")


@check
def headers_exchange():
    with session() as (_connection, channel):
        headers = declare(channel, "headers")
        all_of, any_of = exclusive_queue(channel), exclusive_queue(channel)
        wanted = {"kind": "pdf", "pages": 3, "signed": True}
        channel.queue_bind(all_of, headers, arguments=dict(wanted, **{"x-match": "all"}))
        channel.queue_bind(any_of, headers, arguments=dict(wanted, **{"x-match": "any"}))
        publish(channel, headers, "", "all", application_headers=dict(wanted, more=1))
        publish(channel, headers, "", "one", application_headers={"pages": 3, "signed": False})
        publish(channel, headers, "", "none", application_headers={"pages": "3", "signed": 1})
        publish(channel, headers, "", "bare")
        expect_equal((bodies(channel, all_of), bodies(channel, any_of)), (["all"], ["all", "one"]),
                     "routing")


@check
def exchange_to_exchange_and_alternate():
    with session() as (_connection, channel):
        alternate = declare(channel, "fanout")
        source = declare(channel, "direct", arguments={"alternate-exchange": alternate})
        target = declare(channel, "fanout")
        hit, missed = exclusive_queue(channel), exclusive_queue(channel)
        channel.exchange_bind(target, source, "key")
        channel.exchange_bind(target, source, "kept")  # or unbinding deletes the source
        channel.queue_bind(hit, target)
        channel.queue_bind(missed, alternate)
        publish(channel, source, "key", "bound")
        publish(channel, source, "other", "unbound")
        message = channel.basic_get(missed, no_ack=True)
        expect_equal((message.body, message.delivery_info["exchange"],
                      message.delivery_info["routing_key"]), ("unbound", source, "other"),
                     "by the alternate exchange")
        expect_equal(bodies(channel, hit), ["bound"], "by the bound exchange")
        channel.exchange_unbind(target, source, "key")
        publish(channel, source, "key", "now unbound")
        expect_equal((bodies(channel, hit), bodies(channel, missed)), ([], ["now unbound"]),
                     "after exchange.unbind")


@check
def declare_errors():
    with session() as (connection, channel):
        missing, queue = unique("missing"), unique("fixed")
        channel.queue_declare(queue, durable=True, auto_delete=True)
        for ids, code, text, action in (
                ((40, 10), 404, f"NOT_FOUND - no exchange '{missing}' in vhost '/'",
                 lambda other: other.exchange_declare(missing, "", passive=True)),
                ((40, 10), 406, "PRECONDITION_FAILED - inequivalent arg 'type' for exchange "
                 "'amq.direct' in vhost '/': received 'topic' but current is 'direct'",
                 lambda other: other.exchange_declare("amq.direct", "topic", durable=True,
                                                      auto_delete=False)),
                ((40, 10), 403, "ACCESS_REFUSED - exchange name 'amq.x' contains reserved prefix",
                 lambda other: other.exchange_declare("amq.x", "topic")),
                ((50, 10), 403, "ACCESS_REFUSED - queue name 'amq.q' contains reserved prefix",
                 lambda other: other.queue_declare("amq.q")),
                ((50, 10), 406, f"PRECONDITION_FAILED - inequivalent arg 'durable' for queue "
                 f"'{queue}' in vhost '/': received 'false' but current is 'true'",
                 lambda other: other.queue_declare(queue, durable=False)),
                ((50, 20), 404, f"NOT_FOUND - no exchange '{missing}' in vhost '/'",
                 lambda other: other.queue_bind(queue, missing)),
                ((60, 40), 404, f"NOT_FOUND - no exchange '{missing}' in vhost '/'",
                 lambda other: publish(other, missing, "", "x"))):
            expect_error(channel_error(connection, action), code, text, ids)
        channel.queue_delete(queue)


@check
def exclusive_queue_is_405_elsewhere():
    with session() as (_owner, mine), session() as (connection, _channel):
        name = unique("exclusive")
        mine.queue_declare(name, exclusive=True)
        text = f"RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '{name}'"
        for ids, action in (((50, 10), lambda other: other.queue_declare(name, passive=True)),
                            ((60, 20), lambda other: other.basic_consume(name)),
                            ((50, 40), lambda other: other.queue_delete(name))):
            expect_error(channel_error(connection, action), 405, text, ids)


@check
def server_names_and_counts():
    with session() as (_connection, channel):
        declared = channel.queue_declare(exclusive=True)
        expect(declared.queue.startswith("amq.gen-"), "generated name")
        expect_equal((declared.message_count, declared.consumer_count), (0, 0), "declare-ok")
        for number in range(7):
            publish(channel, "", declared.queue, str(number))
        message = channel.basic_get(declared.queue)
        expect_equal(message.delivery_info["message_count"], 6, "get-ok")
        expect_equal(channel.queue_purge(declared.queue), 6, "purge-ok")
        channel.basic_reject(message.delivery_tag, requeue=True)
        message, = get_all(channel, declared.queue, no_ack=False)
        expect_equal((message.body, message.delivery_info["redelivered"]), ("0", True), "requeued")
        publish(channel, "", declared.queue, "last")
        expect_ready(channel, declared.queue, 1, "in the end")
        expect_equal(channel.queue_delete(declared.queue), 1, "delete-ok")
        expect_equal(channel.basic_get(exclusive_queue(channel)), None, "get-empty")
