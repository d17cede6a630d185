# SPDX-License-Identifier: Apache-2.0
"""SelectConnection: the same broker from pika's callback interface, all in flight at once."""

import pika
from pika.exceptions import ProbableAuthenticationError

from broker import check, expect, expect_equal, expect_error, unique
from session import parameters

LIMIT_S = 20


class Flow:
    """An I/O loop with one connection. step() runs when it opens; done() ends it all."""

    def __init__(self, step, **overrides):
        self.step = step
        self.failure = None
        self.closed = None
        self.finished = False
        self.connection = pika.SelectConnection(
            parameters(**overrides), on_open_callback=self.guard(lambda _connection: step(self)),
            on_open_error_callback=self.on_open_error, on_close_callback=self.on_close)

    def run(self):
        timeout = self.connection.ioloop.call_later(LIMIT_S, self.out_of_time)
        self.connection.ioloop.start()
        self.connection.ioloop.remove_timeout(timeout)
        if self.failure:
            raise self.failure
        expect(self.finished or self.closed, "the flow ended by itself")
        return self.closed

    def guard(self, callback):
        """An assertion in a callback must end the loop and reach the check."""
        def guarded(*arguments):
            try:
                callback(*arguments)
            except Exception as error:  # kept and raised by run()
                self.fail(error)
        return guarded

    def fail(self, error):
        self.failure = self.failure or error
        if self.connection.is_open:
            self.connection.close()
        else:
            self.connection.ioloop.stop()

    def out_of_time(self):
        self.fail(AssertionError(f"the flow did not end within {LIMIT_S} s"))
        self.connection.ioloop.stop()

    def done(self):
        self.finished = True
        self.connection.close()

    def on_open_error(self, _connection, error):
        self.fail(error)

    def on_close(self, connection, reason):
        self.closed = reason
        connection.ioloop.stop()

    def channel(self, then):
        self.connection.channel(on_open_callback=self.guard(then))


@check
def select_wrong_password():
    try:
        Flow(lambda flow: flow.done(), credentials=pika.PlainCredentials("guest", "wrong")).run()
    except ProbableAuthenticationError as error:
        expect("ACCESS_REFUSED" in str(error), f"403 in {error!r}")
    else:
        raise AssertionError("a wrong password was accepted")


@check
def select_pipelined_setup_publish_confirm_consume():
    """Declare, bind, confirm.select, 1000 publishes and a consumer without waiting in between."""
    count = 1000
    exchange = unique("select")
    confirmed, got = set(), []

    def step(flow):
        def on_confirm(frame):
            tag, method = frame.method.delivery_tag, frame.method
            expect(isinstance(method, pika.spec.Basic.Ack), f"ack and not {method}")
            first = max(confirmed, default=0) + 1 if method.multiple else tag
            tags = set(range(first, tag + 1)) if method.multiple else {tag}
            expect(not tags & confirmed, f"tag {tag} confirmed twice")
            confirmed.update(range(1, tag + 1) if method.multiple else tags)
            finish_if_complete()

        def on_message(channel, method, _properties, body):
            got.append(int(body))
            expect_equal(method.delivery_tag, len(got), "delivery tag")
            if len(got) % 50 == 0:
                channel.basic_ack(method.delivery_tag, multiple=True)
            finish_if_complete()

        def finish_if_complete():
            if len(confirmed) == count and len(got) == count:
                flow.done()

        def on_channel(channel):
            channel.confirm_delivery(flow.guard(on_confirm), callback=lambda _frame: None)
            channel.exchange_declare(exchange, "direct", auto_delete=True,
                                     callback=lambda _frame: None)
            channel.queue_declare("", exclusive=True, callback=flow.guard(on_queue(channel)))

        def on_queue(channel):
            def continuation(frame):
                queue = frame.method.queue
                channel.basic_qos(prefetch_count=100)
                channel.queue_bind(queue, exchange, "key", callback=lambda _frame: None)
                channel.basic_consume(queue, flow.guard(on_message))
                # pika queues synchronous methods behind each other; publishes would overtake.
                channel.queue_declare(queue, passive=True, callback=flow.guard(on_ready(channel)))
            return continuation

        def on_ready(channel):
            def continuation(_frame):
                for number in range(count):
                    channel.basic_publish(exchange, "key", b"%d" % number,
                                          pika.BasicProperties(delivery_mode=1 + number % 2))
            return continuation

        flow.channel(on_channel)
    Flow(step).run()
    expect_equal(got, list(range(count)), "order of deliveries")
    expect_equal(confirmed, set(range(1, count + 1)), "confirmed tags")


@check
def select_return_comes_before_ack():
    events = []

    def step(flow):
        def on_channel(channel):
            channel.add_on_return_callback(lambda _channel, method, _properties, body:
                                           events.append(("return", method.reply_code,
                                                          method.reply_text, body)))
            channel.confirm_delivery(flow.guard(on_confirm), callback=flow.guard(
                lambda _frame: [channel.basic_publish("", unique("nowhere"), b"%d" % number,
                                                      mandatory=True) for number in range(3)]))

        def on_confirm(frame):
            expect(isinstance(frame.method, pika.spec.Basic.Ack), "an ack")
            events.append(("ack", frame.method.delivery_tag, frame.method.multiple))
            if frame.method.delivery_tag == 3:
                flow.done()
        flow.channel(on_channel)
    Flow(step).run()
    returns = [index for index, event in enumerate(events) if event[0] == "return"]
    expect_equal([events[index] for index in returns],
                 [("return", 312, "NO_ROUTE", b"%d" % number) for number in range(3)], "returns")
    for index, event in enumerate(events):
        if event[0] == "ack":
            before = sum(position < index for position in returns)
            expect(before >= event[1], f"ack {event[1]} comes after its return: {events}")


@check
def select_channel_error_then_new_channel():
    errors = []

    def step(flow):
        missing = unique("missing")

        def on_channel(channel):
            channel.add_on_close_callback(flow.guard(on_close))
            channel.queue_declare(missing, passive=True, callback=flow.guard(
                lambda _frame: flow.fail(AssertionError("a missing queue was found"))))

        def on_close(_channel, reason):
            errors.append((reason.reply_code, reason.reply_text))
            expect_error(errors[-1], 404, f"NOT_FOUND - no queue '{missing}' in vhost '/'")
            if len(errors) == 10:
                flow.done()
            else:
                flow.channel(on_channel)
        flow.channel(on_channel)
    Flow(step).run()
    expect_equal(len(errors), 10, "channel errors on one connection")


@check
def select_connection_error():
    def step(flow):
        flow.channel(lambda channel: channel.basic_qos(prefetch_size=1))
    reason = Flow(step).run()
    expect_error((reason.reply_code, reason.reply_text), 540,
                 "NOT_IMPLEMENTED - prefetch_size!=0 (1)")


@check
def select_cancel_by_broker_and_interleaved_channels():
    cancelled, counts = [], {}

    def step(flow):
        def on_channel(channel):
            channel.add_on_cancel_callback(flow.guard(on_cancel))
            channel.queue_declare("", exclusive=True, callback=flow.guard(
                lambda frame: on_queue(channel, frame.method.queue)))

        def on_queue(channel, queue):
            counts[queue] = 0
            channel.basic_consume(queue, flow.guard(
                lambda _channel, _method, _properties, body: on_message(channel, queue, body)),
                auto_ack=True)
            for number in range(20):
                channel.basic_publish("", queue, b"%d" % number + b"." * 50000)

        def on_message(channel, queue, body):
            expect_equal(body, b"%d" % counts[queue] + b"." * 50000, "body")
            counts[queue] += 1
            if counts[queue] == 20:
                channel.queue_delete(queue)

        def on_cancel(frame):
            cancelled.append(frame.method.consumer_tag)
            if len(cancelled) == 8:
                flow.done()
        for _ in range(8):
            flow.channel(on_channel)
    Flow(step).run()
    expect_equal((len(cancelled), set(counts.values())), (8, {20}), "cancels and deliveries")


@check
def select_heartbeats():
    def step(flow):
        flow.connection.ioloop.call_later(3, flow.done)
    reason = Flow(step, heartbeat=1).run()
    expect_equal((reason.reply_code, reason.reply_text), (200, "Normal shutdown"),
                 "closed by the client after three idle seconds")
