# SPDX-License-Identifier: Apache-2.0
"""Publishing: confirms, returns, properties and headers, big bodies, RPC both ways."""

import datetime
import decimal

import pika
from pika.exceptions import UnroutableError

from broker import big_body, check, expect, expect_equal, expect_error, unique
from session import (Consumer, bodies, channel_error, exclusive_queue, session, wait_for)

REPLY_TO = "amq.rabbitmq.reply-to"


@check
def confirms_and_mandatory_return():
    with session() as (_connection, channel):
        queue = exclusive_queue(channel)
        channel.confirm_delivery()
        for number in range(100):
            channel.basic_publish("", queue, b"%d" % number, mandatory=True)
        nowhere = unique("nowhere")
        try:
            # pika raises this only if the return comes before the ack.
            channel.basic_publish("amq.direct", nowhere, b"back", mandatory=True,
                                  properties=pika.BasicProperties(message_id="m1"))
        except UnroutableError as error:
            expect_equal(len(error.messages), 1, "returned messages")
            message = error.messages[0]
            expect_equal((message.method.reply_code, message.method.reply_text), (312, "NO_ROUTE"),
                         "reply code and text")
            expect_equal((message.method.exchange, message.method.routing_key),
                         ("amq.direct", nowhere), "exchange and routing key as published")
            expect_equal((message.properties.message_id, message.body), ("m1", b"back"), "content")
        else:
            raise AssertionError("an unroutable mandatory message was not returned")
        channel.basic_publish("amq.direct", nowhere, b"dropped")  # acked without a return
        expect_equal(len(bodies(channel, queue)), 100, "messages in the queue")


@check
def return_without_confirms():
    with session() as (connection, channel):
        returned = []
        channel.add_on_return_callback(lambda _channel, method, properties, body: returned.append(
            (method.reply_code, method.reply_text, method.routing_key, properties.type, body)))
        key = unique("nowhere")
        channel.basic_publish("", key, b"back", pika.BasicProperties(type="t"), mandatory=True)
        wait_for(connection, lambda: returned, "basic.return")
        expect_equal(returned, [(312, "NO_ROUTE", key, "t", b"back")], "return")


@check
def all_properties_round_trip():
    with session() as (_connection, channel):
        queue = exclusive_queue(channel)
        full = pika.BasicProperties(
            content_type="text/plain", content_encoding="utf-8", headers={"a": 1},
            delivery_mode=2, priority=7, correlation_id="correlation", reply_to="reply.queue",
            expiration="60000", message_id="message", timestamp=1700000000, type="kind",
            user_id="guest", app_id="app", cluster_id="cluster")
        empty = pika.BasicProperties(content_type="", headers={}, correlation_id="", priority=0)
        for sent in (full, pika.BasicProperties(), empty):
            channel.basic_publish("", queue, b"", sent)
            _method, got, body = channel.basic_get(queue, auto_ack=True)
            expect_equal(vars(got), vars(sent), "properties: present ones equal, no others added")
            expect_equal(body, b"", "empty body")


@check
def all_header_types_round_trip():
    headers = {
        "bool": True, "false": False, "int": -5, "int32 low": -2**31, "int32 high": 2**31 - 1,
        "int64": 2**40, "int64 high": 2**63 - 1, "zero": 0,  # pika reads l as unsigned
        "string": "text", "unicode": "grüße, 世界", "empty": "", "bytes": b"\x00\xff\xce",
        "decimal": decimal.Decimal("3.14159"),
        "time": datetime.datetime(2024, 2, 29, 12, 34, 56), "nothing": None,
        "list": [1, "two", None, [3, {"deep": [True]}], []],
        "table": {"inner": {"innermost": {"x": 1}}, "empty": {}},
        "": "empty key", "k" * 128: "long key", "long": "v" * 70000,
    }
    with session() as (_connection, channel):
        queue = exclusive_queue(channel)
        channel.basic_publish("", queue, b"x", pika.BasicProperties(headers=headers))
        _method, got, _body = channel.basic_get(queue, auto_ack=True)
        expect_equal(set(got.headers), set(headers), "header names")
        for name, value in headers.items():
            expect_equal(got.headers[name], value, f"header {name!r}")
            expect(isinstance(got.headers[name], type(value)), f"type of header {name!r}")


@check
def bad_properties_are_406():
    with session() as (connection, channel):
        queue = exclusive_queue(channel)
        cases = [(pika.BasicProperties(expiration=value),
                  "PRECONDITION_FAILED - invalid expiration")
                 for value in ("", "soon", "12ms", "-1", "5.0")]
        cases.append((pika.BasicProperties(user_id="somebody"),
                      "PRECONDITION_FAILED - user_id property set to 'somebody' but authenticated "
                      "user was 'guest'"))
        cases.append((pika.BasicProperties(reply_to=REPLY_TO),
                      "PRECONDITION_FAILED - fast reply consumer does not exist"))
        for properties, text in cases:
            error = channel_error(connection, lambda other: other.basic_publish(
                "", queue, b"x", properties))
            expect_error(error, 406, text, (60, 40), what=f"{properties}")
        expect_equal(bodies(channel, queue), [], "nothing was enqueued")


@check
def big_message_both_ways():
    body = big_body()
    with session() as (connection, channel):
        queue = exclusive_queue(channel)
        channel.confirm_delivery()
        channel.basic_publish("", queue, body, mandatory=True)
        _method, _properties, back = channel.basic_get(queue, auto_ack=True)
        expect(back == body, "10 MiB by basic.get")
        channel.basic_publish("", queue, body)
        consumer = Consumer(channel, queue, auto_ack=True)
        consumer.wait(1)
        expect(consumer.bodies()[0] == body, "10 MiB by basic.deliver")


@check
def body_sizes_around_the_frame_limit():
    with session() as (_connection, channel):
        queue = exclusive_queue(channel)
        limit = 131072 - 8
        for size in (0, 1, limit - 1, limit, limit + 1, 2 * limit, 2 * limit + 1):
            body = bytes(number * 7 % 251 for number in range(size))
            channel.basic_publish("", queue, body)
            _method, _properties, back = channel.basic_get(queue, auto_ack=True)
            expect(back == body, f"body of {size} bytes")


@check
def rpc_by_exclusive_reply_queue():
    with session() as (_server_connection, server), session() as (connection, client):
        requests = exclusive_queue(server)
        server.basic_consume(requests, lambda channel, method, properties, body: (
            channel.basic_publish("", properties.reply_to, body.upper(), pika.BasicProperties(
                correlation_id=properties.correlation_id)),
            channel.basic_ack(method.delivery_tag)))
        replies = exclusive_queue(client)
        consumer = Consumer(client, replies, auto_ack=True)
        for number in range(5):
            client.basic_publish("", requests, b"call %d" % number, pika.BasicProperties(
                reply_to=replies, correlation_id=str(number)))
        wait_for(_server_connection, lambda: (connection.process_data_events(0.02),
                                              len(consumer.got) == 5)[1], "five replies")
        expect_equal([(properties.correlation_id, body) for _m, properties, body in consumer.got],
                     [(str(number), b"CALL %d" % number) for number in range(5)], "replies")


@check
def rpc_by_direct_reply_to():
    with session() as (server_connection, server), session() as (connection, client):
        requests = exclusive_queue(server)
        seen = []
        server.basic_consume(requests, lambda channel, _method, properties, body: (
            seen.append(properties.reply_to),
            channel.basic_publish("", properties.reply_to, body.upper(), pika.BasicProperties(
                correlation_id=properties.correlation_id))), auto_ack=True)
        consumer = Consumer(client, REPLY_TO, auto_ack=True)
        for number in range(3):
            client.basic_publish("", requests, b"call %d" % number, pika.BasicProperties(
                reply_to=REPLY_TO, correlation_id=str(number)))
        wait_for(server_connection, lambda: (connection.process_data_events(0.02),
                                             len(consumer.got) == 3)[1], "three replies")
        expect_equal([(properties.correlation_id, body) for _m, properties, body in consumer.got],
                     [(str(number), b"CALL %d" % number) for number in range(3)], "replies")
        expect(all(name.startswith(REPLY_TO + ".") and name == seen[0] for name in seen),
               f"reply names as the responder sees them: {seen}")
        for method, _properties, _body in consumer.got:
            expect_equal((method.exchange, method.routing_key, method.redelivered),
                         ("", seen[0], False), "delivery")
        declared = server.queue_declare(seen[0], passive=True).method
        expect_equal((declared.message_count, declared.consumer_count), (0, 1),
                     "the requester can be asked for")
        client.basic_cancel(consumer.tag)
        Consumer(client, REPLY_TO, auto_ack=True)  # may register again


@check
def direct_reply_to_rules():
    with session() as (connection, channel):
        error = channel_error(connection, lambda other: Consumer(other, REPLY_TO, auto_ack=False))
        expect_error(error, 406, "PRECONDITION_FAILED - reply consumer cannot acknowledge",
                     (60, 20))

        def twice(other):
            Consumer(other, REPLY_TO, auto_ack=True)
            Consumer(other, REPLY_TO, auto_ack=True)
        expect_error(channel_error(connection, twice), 406,
                     "PRECONDITION_FAILED - reply consumer already set", (60, 20))
        # A well-formed name of nobody: dropped in silence.
        channel.basic_publish("", REPLY_TO + ".g2dkABFyYWJiaXRAbG9jYWxob3N0AAAB", b"lost")
        expect_equal(channel.queue_declare(REPLY_TO, passive=True).method.consumer_count, 1,
                     "the bare name always exists")
