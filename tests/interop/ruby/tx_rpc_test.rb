# SPDX-License-Identifier: Apache-2.0
require_relative "support"

class TxTest < InteropTest
  def setup
    super
    @ch = channel
    @queue = exclusive_queue(@ch)
  end

  def test_commit_and_rollback_of_publishes
    @ch.tx_select
    publish(@ch, @queue, "committed")
    assert_nil @queue.pop.last
    @ch.tx_commit
    publish(@ch, @queue, "rolled back")
    @ch.tx_rollback
    @ch.tx_commit
    assert_equal ["committed", nil], [@queue.pop.last, @queue.pop.last]
  end

  def test_rollback_forgets_acks
    publish(@ch, @queue, "acked twice")
    @ch.tx_select
    info, = @queue.pop(manual_ack: true)
    @ch.ack(info.delivery_tag)
    @ch.tx_rollback
    assert_nil @queue.pop.last # outstanding still, not requeued
    @ch.ack(info.delivery_tag)
    @ch.tx_commit
    connection = @ch.connection
    @ch.close
    assert_nil connection.create_channel.basic_get(@queue.name).last
  end

  def test_tx_and_confirms_do_not_mix
    assert_channel_error(406, 90, 20, "channel is not transactional") { channel.tx_commit }
    @ch.tx_select
    assert_channel_error(406, 85, 10, "cannot switch from tx to confirm mode") do
      @ch.confirm_select
    end
    confirming = channel
    confirming.confirm_select
    assert_channel_error(406, 90, 10, "cannot switch from confirm to tx mode") do
      confirming.tx_select
    end
  end
end

class RpcTest < InteropTest
  REPLY_TO = "amq.rabbitmq.reply-to"

  # A server that answers "re: <body>" to whom the request names, and tells whom that was.
  def start_server
    ch = channel
    requests = ch.queue(unique_name("requests"), auto_delete: true)
    reply_tos = Thread::Queue.new
    requests.subscribe do |_info, properties, body|
      reply_tos << properties.reply_to
      ch.default_exchange.publish("re: #{body}", routing_key: properties.reply_to,
                                                 correlation_id: properties.correlation_id)
    end
    [requests, reply_tos]
  end

  def ask(ch, requests, reply_to, id, body)
    ch.default_exchange.publish(body, routing_key: requests.name, reply_to: reply_to,
                                      correlation_id: id)
  end

  def assert_reply(events, id, body)
    info, properties, actual = await(events)
    assert_equal [id, body, ""], [properties.correlation_id, actual, info.exchange]
    refute info.redelivered?
  end

  def test_exclusive_reply_queue
    requests, = start_server
    ch = channel
    replies = ch.queue("", exclusive: true)
    events = consume(replies)
    ask(ch, requests, replies.name, "1", "first")
    ask(ch, requests, replies.name, "2", "second")
    assert_reply(events, "1", "re: first")
    assert_reply(events, "2", "re: second")
  end

  def test_direct_reply_to
    requests, reply_tos = start_server
    ch = channel
    events = Thread::Queue.new
    ch.basic_consume(REPLY_TO, "direct", true) do |info, properties, body|
      events << [info, properties, body]
    end
    ask(ch, requests, REPLY_TO, "42", "question")
    name = await(reply_tos)
    assert name.start_with?("#{REPLY_TO}."), name
    assert_reply(events, "42", "re: question")
    assert connect.queue_exists?(name)
    ch.close
    refute connect.queue_exists?(name)
  end

  def test_direct_reply_to_errors
    assert_channel_error(406, 60, 20, "reply consumer cannot acknowledge") do
      channel.basic_consume(REPLY_TO, "", false)
    end
    ch = channel
    ch.basic_consume(REPLY_TO, "one", true)
    assert_channel_error(406, 60, 20, "reply consumer already set") do
      ch.basic_consume(REPLY_TO, "two", true)
    end
  end
end
