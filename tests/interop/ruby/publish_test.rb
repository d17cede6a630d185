# SPDX-License-Identifier: Apache-2.0
require_relative "support"

class PublishTest < InteropTest
  LARGE_BODY_BYTES = 10 * 1024 * 1024

  def test_confirms
    ch = channel
    queue = exclusive_queue(ch)
    publish(ch, queue, "before select: not counted")
    confirmed = []
    ch.confirm_select(proc { |tag, _multiple, nack| confirmed << [tag, nack] })
    200.times { publish(ch, queue, "confirm me") }
    assert ch.wait_for_confirms
    assert_empty ch.unconfirmed_set
    assert_empty ch.nacked_set
    # Bunny counts an acknowledgement of several from the oldest open one, so none comes twice.
    assert_equal((1..200).map { |tag| [tag, false] }, confirmed.sort)
    assert_equal 201, queue.message_count
  end

  def test_mandatory_returns_before_the_ack
    ch = channel
    events = Thread::Queue.new
    ch.confirm_select(proc { |tag, _multiple, nack| events << [:confirm, tag, nack] })
    exchange = ch.direct("amq.direct", durable: true)
    exchange.on_return do |info, properties, body|
      events << [:return, info.reply_code, info.reply_text, info.exchange, info.routing_key,
                 properties[:message_id], body]
    end
    exchange.publish("come back", routing_key: "nowhere", mandatory: true, message_id: "u-1")
    assert_equal [:return, 312, "NO_ROUTE", "amq.direct", "nowhere", "u-1", "come back"],
                 await(events)
    assert_equal [:confirm, 1, false], await(events)
  end

  def test_ten_mebibytes_both_ways
    ch = channel
    queue = exclusive_queue(ch)
    body = Random.new(7).bytes(LARGE_BODY_BYTES)
    publish(ch, queue, body, body)
    _info, _properties, got = queue.pop
    assert body == got.b, "the body from basic.get differs"
    _info, _properties, delivered = await(consume(queue))
    assert body == delivered.b, "the delivered body differs"
  end

  def test_properties_and_headers
    ch = channel
    queue = exclusive_queue(ch)
    headers = { "array" => [1, "two", [3.5]], "double" => -1.0e300, "false" => false,
                "integer" => -(2**62), "nil" => nil, "string" => "gr\u00fc\u00df".b,
                "table" => { "deep" => { "deeper" => true } }, "time" => Time.at(1_700_000_000) }
    sent = { content_type: "application/json", content_encoding: "utf-8", headers: headers,
             delivery_mode: 2, priority: 9, correlation_id: "c-1", reply_to: "somewhere",
             expiration: "60000", message_id: "m-1", timestamp: 1_700_000_000,
             type: "order.created", user_id: Broker::USER, app_id: "interop" }
    ch.default_exchange.publish("{}", sent.merge(routing_key: queue.name))
    _info, properties, body = queue.pop
    assert_equal "{}", body
    expected = sent.merge(timestamp: Time.at(1_700_000_000)) # the client reads it as a Time
    assert_equal expected, properties.to_h
  end

  def test_empty_body
    ch = channel
    queue = exclusive_queue(ch)
    publish(ch, queue, "")
    assert_equal "", queue.pop.last
  end

  def test_missing_exchange_is_404
    ch = channel
    name = unique_name("missing")
    ch.basic_publish("lost", name, "key")
    assert_close 404, 60, 40, "NOT_FOUND - no exchange '#{name}' in vhost", await_close(ch)
    refute_predicate ch, :open?
  end
end
