# SPDX-License-Identifier: Apache-2.0
require_relative "support"

# Every exchange type routes as declared: after a confirmed publish, purging each queue says which
# got the message and how many copies.
class RoutingTest < InteropTest
  def setup
    super
    @ch = channel
    @ch.confirm_select
    @queues = Array.new(3) { exclusive_queue(@ch, "routed") }
    @exchanges = []
  end

  def teardown
    @exchanges.each { |exchange| exchange.delete if @ch.open? }
    super
  end

  def declare(type, options = {})
    exchange = @ch.exchange(unique_name(type), { type: type }.merge(options))
    @exchanges << exchange
    exchange
  end

  # `copies` has one number per queue.
  def assert_routed(copies, exchange, key, headers = {})
    exchange.publish("routed", routing_key: key, headers: headers)
    assert @ch.wait_for_confirms
    actual = @queues.map { |queue| @ch.queue_purge(queue.name).message_count }
    assert_equal copies, actual, "key #{key.inspect}, headers #{headers}"
  end

  def test_direct
    exchange = declare("direct")
    @queues[0].bind(exchange, routing_key: "red")
    @queues[1].bind(exchange, routing_key: "red").bind(exchange, routing_key: "blue")
    assert_routed [1, 1, 0], exchange, "red"
    assert_routed [0, 1, 0], exchange, "blue"
    assert_routed [0, 0, 0], exchange, "Red"
    assert_routed [0, 0, 1], @ch.default_exchange, @queues[2].name
    @queues[0].unbind(exchange, routing_key: "red")
    assert_routed [0, 1, 0], exchange, "red"
  end

  def test_fanout
    exchange = declare("fanout")
    @queues[0].bind(exchange)
    @queues[1].bind(exchange, routing_key: "ignored").bind(exchange, routing_key: "one copy")
    assert_routed [1, 1, 0], exchange, "any"
  end

  def test_topic
    exchange = declare("topic")
    @queues[0].bind(exchange, routing_key: "*.orange.*")
    @queues[1].bind(exchange, routing_key: "*.*.rabbit").bind(exchange, routing_key: "lazy.#")
    @queues[2].bind(exchange, routing_key: "#")
    assert_routed [1, 1, 1], exchange, "quick.orange.rabbit"
    assert_routed [1, 1, 1], exchange, "lazy.orange.elephant"
    assert_routed [0, 1, 1], exchange, "lazy"
    assert_routed [0, 0, 1], exchange, "quick.orange.male.rabbit"
    assert_routed [0, 0, 1], exchange, ""
  end

  def test_headers
    exchange = declare("headers")
    wanted = { "format" => "pdf", "pages" => 3 }
    @queues[0].bind(exchange, arguments: wanted.merge("x-match" => "all"))
    @queues[1].bind(exchange, arguments: wanted.merge("x-match" => "any"))
    @queues[2].bind(exchange, arguments: { "urgent" => nil, "x-match" => "any" })
    assert_routed [1, 1, 0], exchange, "", wanted
    assert_routed [0, 1, 0], exchange, "", "format" => "pdf", "pages" => 4
    assert_routed [0, 0, 1], exchange, "", "pages" => "3", "urgent" => false
    assert_routed [0, 0, 0], exchange, ""
  end

  def test_exchange_to_exchange
    front = declare("fanout")
    back = declare("topic")
    @queues[0].bind(back, routing_key: "a.*")
    back.bind(front)
    front.bind(back, routing_key: "#") # a cycle must end, and must not double the copies
    assert_routed [1, 0, 0], front, "a.x"
    assert_routed [1, 0, 0], back, "a.y"
    back.unbind(front)
    assert_routed [0, 0, 0], front, "a.x"
  end

  def test_alternate_exchange
    spare = declare("fanout")
    exchange = declare("direct", arguments: { "alternate-exchange" => spare.name })
    @queues[0].bind(exchange, routing_key: "known")
    @queues[1].bind(spare)
    assert_routed [1, 0, 0], exchange, "known"
    assert_routed [0, 1, 0], exchange, "unknown"
  end

  def test_internal_exchange_refuses_publishers
    exchange = declare("fanout", internal: true)
    exchange.publish("no")
    assert_close 403, 60, 40, "ACCESS_REFUSED - cannot publish to internal exchange",
                 await_close(@ch)
    channel.exchange_delete(@exchanges.pop.name)
  end

  def test_exchange_errors
    name = unique_name("errors")
    assert_channel_error(404, 40, 10, "NOT_FOUND - no exchange '#{name}' in vhost") do
      channel.exchange_declare(name, "direct", passive: true)
    end
    ch = channel
    ch.exchange_declare(name, "direct")
    assert_channel_error(406, 40, 10, "PRECONDITION_FAILED - inequivalent arg 'type'") do
      ch.exchange_declare(name, "fanout")
    end
    assert_channel_error(403, 40, 10, "ACCESS_REFUSED - exchange name 'amq.mine'") do
      channel.exchange_declare("amq.mine", "direct")
    end
    2.times { @ch.exchange_delete(name) } # deleting what is gone is no error
  end
end
