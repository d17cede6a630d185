# SPDX-License-Identifier: Apache-2.0
"""Exchanges of every type, bindings between everything, and the errors around them."""

import pika

from broker import check, expect_equal, expect_error, skip_on_rabbitmq, unique
from session import bodies, channel_error, exclusive_queue, session


def route(bind, publish, kind, names):
    """Declares an exchange and one queue per name, lets bind and publish work on them, and
    returns what each queue got."""
    with session() as (_connection, channel):
        exchange = unique(kind)
        channel.exchange_declare(exchange, kind, auto_delete=True)
        queues = {name: exclusive_queue(channel) for name in names}
        bind(channel, exchange, queues)
        publish(channel, exchange)
        return {name: bodies(channel, queue) for name, queue in queues.items()}


@check
def direct_exchange():
    def bind(channel, exchange, queues):
        channel.queue_bind(queues["red"], exchange, "red")
        channel.queue_bind(queues["blue"], exchange, "blue")
        channel.queue_bind(queues["both"], exchange, "red")
        channel.queue_bind(queues["both"], exchange, "blue")
        channel.queue_bind(queues["both"], exchange, "blue")  # a second identical one adds nothing

    def publish(channel, exchange):
        for key in ("red", "blue", "green", "re", "red.", ""):
            channel.basic_publish(exchange, key, key.encode())
    got = route(bind, publish, "direct", ("red", "blue", "both"))
    expect_equal(got, {"red": [b"red"], "blue": [b"blue"], "both": [b"red", b"blue"]}, "routing")


@check
def fanout_exchange():
    def bind(channel, exchange, queues):
        channel.queue_bind(queues["one"], exchange, "ignored")
        channel.queue_bind(queues["two"], exchange, "")

    def publish(channel, exchange):
        channel.basic_publish(exchange, "any", b"1")
        channel.basic_publish(exchange, "", b"2")
    got = route(bind, publish, "fanout", ("one", "two", "unbound"))
    expect_equal(got, {"one": [b"1", b"2"], "two": [b"1", b"2"], "unbound": []}, "routing")


@check
def topic_exchange():
    patterns = {"star": "*.orange.*", "rabbit": "*.*.rabbit", "lazy": "lazy.#", "all": "#",
                "empty_word": "a..c", "middle": "lazy.#.end"}

    def bind(channel, exchange, queues):
        for name, pattern in patterns.items():
            channel.queue_bind(queues[name], exchange, pattern)

    def publish(channel, exchange):
        for key in ("quick.orange.rabbit", "lazy.orange.elephant", "lazy", "lazy.end", "orange",
                    "lazy.a.b.end", "a..c", ""):
            channel.basic_publish(exchange, key, key.encode())
    got = route(bind, publish, "topic", patterns)
    expect_equal(got["star"], [b"quick.orange.rabbit", b"lazy.orange.elephant"], "*.orange.*")
    expect_equal(got["rabbit"], [b"quick.orange.rabbit"], "*.*.rabbit")
    expect_equal(got["lazy"], [b"lazy.orange.elephant", b"lazy", b"lazy.end", b"lazy.a.b.end"],
                 "lazy.#")
    expect_equal(got["middle"], [b"lazy.end", b"lazy.a.b.end"], "lazy.#.end")
    expect_equal(got["empty_word"], [b"a..c"], "a..c")
    expect_equal(len(got["all"]), 8, "# matches every key, the empty one too")


@check
def headers_exchange():
    arguments = {
        "all": {"x-match": "all", "format": "pdf", "pages": 3},
        "default": {"format": "pdf"},
        "any": {"x-match": "any", "format": "pdf", "pages": 3},
        "exists": {"x-match": "all", "format": None},
        "none_any": {"x-match": "any"},
        "none_all": {"x-match": "all"},
        "with_x": {"x-match": "all-with-x", "x-tenant": "a"},
    }

    def bind(channel, exchange, queues):
        for name, table in arguments.items():
            channel.queue_bind(queues[name], exchange, "", table)

    def publish(channel, exchange):
        for body, headers in ((b"both", {"format": "pdf", "pages": 3}),
                              (b"format", {"format": "pdf"}),
                              (b"pages", {"pages": 3}),
                              (b"type", {"pages": "3"}),
                              (b"x", {"x-tenant": "a"}),
                              (b"bare", None)):
            channel.basic_publish(exchange, "", body, pika.BasicProperties(headers=headers))
    got = route(bind, publish, "headers", arguments)
    everything = [b"both", b"format", b"pages", b"type", b"x", b"bare"]
    expect_equal(got, {"all": [b"both"], "default": [b"both", b"format"],
                       "any": [b"both", b"format", b"pages"], "exists": [b"both", b"format"],
                       "none_any": [], "none_all": everything, "with_x": [b"x"]}, "routing")


@check
def headers_exchange_bad_x_match():
    with session() as (connection, channel):
        queue = exclusive_queue(channel)
        for value in ("some", 1):
            error = channel_error(connection, lambda other: other.queue_bind(
                queue, "amq.headers", "", {"x-match": value}))
            expect_error(error, 406, "PRECONDITION_FAILED - Invalid x-match field", (50, 20))


@check
def predeclared_exchanges():
    with session() as (_connection, channel):
        queue = exclusive_queue(channel)
        for name, kind in (("amq.direct", "direct"), ("amq.fanout", "fanout"),
                           ("amq.topic", "topic"), ("amq.headers", "headers"),
                           ("amq.match", "headers")):
            channel.exchange_declare(name, kind, durable=True)
            channel.queue_bind(queue, name, queue, {"x-match": "all", "to": queue})
            channel.basic_publish(name, queue, name.encode(),
                                  pika.BasicProperties(headers={"to": queue}))
            expect_equal(bodies(channel, queue), [name.encode()], name)
            channel.queue_unbind(queue, name, queue, {"x-match": "all", "to": queue})
            channel.basic_publish(name, queue, b"unbound",
                                  pika.BasicProperties(headers={"to": queue}))
            expect_equal(bodies(channel, queue), [], f"{name} after unbind")
        channel.exchange_declare("amq.rabbitmq.trace", "topic", passive=True)


@check
def default_exchange():
    with session() as (connection, channel):
        queue = exclusive_queue(channel)
        channel.basic_publish("", queue, b"by name")
        method, _properties, body = channel.basic_get(queue, auto_ack=True)
        expect_equal((method.exchange, method.routing_key, body), ("", queue, b"by name"), "get-ok")
        text = "ACCESS_REFUSED - operation not permitted on the default exchange"
        for ids, action in (((50, 20), lambda other: other.queue_bind(queue, "", "key")),
                            ((50, 50), lambda other: other.queue_unbind(queue, "", "key")),
                            ((40, 20), lambda other: other.exchange_delete("")),
                            ((40, 10), lambda other: other.exchange_declare("", "direct"))):
            expect_error(channel_error(connection, action), 403, text, ids)


@check
def exchange_to_exchange():
    with session() as (_connection, channel):
        source, middle, sink = unique("source"), unique("middle"), unique("sink")
        channel.exchange_declare(source, "topic", auto_delete=True)
        channel.exchange_declare(middle, "fanout", auto_delete=True)
        channel.exchange_declare(sink, "direct", auto_delete=True)
        queue = exclusive_queue(channel)
        channel.exchange_bind(middle, source, "log.#")
        channel.exchange_bind(sink, middle)
        channel.exchange_bind(middle, sink, "log.error")  # a cycle: must end
        channel.queue_bind(queue, sink, "log.error")
        channel.queue_bind(queue, middle)  # a second way to the queue: still one copy
        channel.basic_publish(source, "log.error", b"e")
        channel.basic_publish(source, "log.info", b"i")
        channel.basic_publish(source, "other", b"o")
        method, _properties, body = channel.basic_get(queue, auto_ack=True)
        expect_equal((method.exchange, method.routing_key, body), (source, "log.error", b"e"),
                     "a delivery names the exchange that was published to")
        expect_equal(bodies(channel, queue), [b"i"], "the rest")
        channel.exchange_unbind(middle, source, "log.#")
        channel.basic_publish(middle, "log.info", b"direct to middle")
        expect_equal(bodies(channel, queue), [b"direct to middle"], "after unbind")


@check
def alternate_exchange():
    with session() as (_connection, channel):
        main, spare, last = unique("main"), unique("spare"), unique("last")
        channel.exchange_declare(last, "fanout", auto_delete=True)
        channel.exchange_declare(spare, "direct", arguments={"alternate-exchange": last},
                                 auto_delete=True)
        channel.exchange_declare(main, "direct", arguments={"alternate-exchange": spare},
                                 auto_delete=True)
        queues = {name: exclusive_queue(channel) for name in ("main", "spare", "last")}
        channel.queue_bind(queues["main"], main, "main")
        channel.queue_bind(queues["spare"], spare, "spare")
        channel.queue_bind(queues["last"], last)
        channel.confirm_delivery()
        for key in ("main", "spare", "neither"):
            # Reached through an alternate counts as routed: mandatory must not return it.
            channel.basic_publish(main, key, key.encode(), mandatory=True)
        got = {name: bodies(channel, queue) for name, queue in queues.items()}
        expect_equal(got, {"main": [b"main"], "spare": [b"spare"], "last": [b"neither"]}, "routing")


@check
def internal_exchange():
    with session() as (connection, channel):
        outer, inner = unique("outer"), unique("inner")
        channel.exchange_declare(outer, "fanout", auto_delete=True)
        channel.exchange_declare(inner, "fanout", internal=True, auto_delete=True)
        queue = exclusive_queue(channel)
        channel.exchange_bind(inner, outer)
        channel.queue_bind(queue, inner)
        error = channel_error(connection, lambda other: other.basic_publish(inner, "", b"no"))
        expect_error(error, 403, f"ACCESS_REFUSED - cannot publish to internal exchange '{inner}'",
                     (60, 40))
        channel.basic_publish(outer, "", b"through")
        expect_equal(bodies(channel, queue), [b"through"], "by way of a binding")


@check
def sender_selected_distribution():
    with session() as (connection, channel):
        names = ("to", "cc", "bcc", "other")
        queues = {name: exclusive_queue(channel) for name in names}
        headers = {"CC": [queues["cc"], queues["to"]], "BCC": [queues["bcc"]], "kept": 1}
        channel.basic_publish("", queues["to"], b"m", pika.BasicProperties(headers=headers))
        for name in ("to", "cc", "bcc"):
            method, properties, body = channel.basic_get(queues[name], auto_ack=True)
            expect_equal((body, method.routing_key), (b"m", queues["to"]), name)
            expect_equal(properties.headers, {"CC": headers["CC"], "kept": 1},
                         f"headers for {name}: BCC is taken out")
            expect_equal(bodies(channel, queues[name]), [], f"{name} has one copy")
        expect_equal(bodies(channel, queues["other"]), [], "other")
        error = channel_error(connection, lambda bad: bad.basic_publish(
            "", queues["to"], b"", pika.BasicProperties(headers={"CC": "not an array"})))
        expect_error(error, 406, "PRECONDITION_FAILED", (60, 40))


@check
def exchange_errors():
    with session() as (connection, channel):
        name, missing = unique("fixed"), unique("missing")
        channel.exchange_declare(name, "direct")
        for ids, code, text, action in (
                ((40, 10), 404, f"NOT_FOUND - no exchange '{missing}' in vhost '/'",
                 lambda other: other.exchange_declare(missing, passive=True)),
                ((40, 10), 406, f"PRECONDITION_FAILED - inequivalent arg 'type' for exchange "
                 f"'{name}' in vhost '/': received 'fanout' but current is 'direct'",
                 lambda other: other.exchange_declare(name, "fanout")),
                ((40, 10), 406, f"PRECONDITION_FAILED - inequivalent arg 'durable' for exchange "
                 f"'{name}' in vhost '/': received 'true' but current is 'false'",
                 lambda other: other.exchange_declare(name, "direct", durable=True)),
                ((40, 10), 403, "ACCESS_REFUSED - exchange name 'amq.mine' contains reserved "
                 "prefix 'amq.*'", lambda other: other.exchange_declare("amq.mine", "direct")),
                ((40, 20), 403, "ACCESS_REFUSED - deletion of system exchange 'amq.direct' in "
                 "vhost '/' not allowed", lambda other: other.exchange_delete("amq.direct")),
                ((60, 40), 404, f"NOT_FOUND - no exchange '{missing}' in vhost '/'",
                 lambda other: other.basic_publish(missing, "", b"")),
                ((50, 20), 404, f"NOT_FOUND - no exchange '{missing}' in vhost '/'",
                 lambda other: other.queue_bind(exclusive_queue(other), missing, "")),
                ((50, 20), 404, f"NOT_FOUND - no queue '{missing}' in vhost '/'",
                 lambda other: other.queue_bind(missing, name, ""))):
            expect_error(channel_error(connection, action), code, text, ids)
        channel.exchange_delete(name)
        channel.exchange_delete(name)  # deleting what is gone succeeds


@check
def unknown_exchange_type():
    skip_on_rabbitmq("3.10 closes the connection with 503")
    with session() as (connection, _channel):
        error = channel_error(connection, lambda other: other.exchange_declare(
            unique("odd"), "no-such-type"))
        expect_error(error, 406, "PRECONDITION_FAILED - unknown exchange type 'no-such-type'",
                     (40, 10))


@check
def exchange_if_unused_and_auto_delete():
    with session() as (connection, channel):
        name = unique("used")
        channel.exchange_declare(name, "fanout", auto_delete=True)
        queue = exclusive_queue(channel)
        channel.queue_bind(queue, name)
        error = channel_error(connection,
                              lambda other: other.exchange_delete(name, if_unused=True))
        expect_error(error, 406, f"PRECONDITION_FAILED - exchange '{name}' in vhost '/' in use",
                     (40, 20))
        channel.queue_delete(queue)  # the last binding goes, and with it the exchange
        error = channel_error(connection, lambda other: other.exchange_declare(name, passive=True))
        expect_error(error, 404, "NOT_FOUND", (40, 10))
