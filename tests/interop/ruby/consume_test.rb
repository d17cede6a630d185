# SPDX-License-Identifier: Apache-2.0
require_relative "support"

class ConsumeTest < InteropTest
  def setup
    super
    @ch = channel
    @queue = exclusive_queue(@ch)
  end

  def test_prefetch_bounds_what_is_unacked
    publish(@ch, @queue, *%w[m1 m2 m3 m4])
    @ch.prefetch(2)
    events = consume(@queue, manual_ack: true)
    first = assert_delivery(events, "m1")
    assert_delivery(events, "m2")
    assert_equal 2, @queue.message_count
    @ch.ack(first.delivery_tag)
    third = assert_delivery(events, "m3")
    assert_equal 1, @queue.message_count
    @ch.ack(third.delivery_tag, true)
    assert_delivery(events, "m4")
    @ch.basic_ack(0, true) # everything outstanding
    assert_equal 0, @queue.message_count
  end

  def test_requeued_messages_keep_their_place
    publish(@ch, @queue, *%w[m1 m2 m3])
    first, = @queue.pop(manual_ack: true)
    second, = @queue.pop(manual_ack: true)
    @ch.nack(second.delivery_tag, false, true)
    @ch.reject(first.delivery_tag, true)
    events = consume(@queue)
    assert_delivery(events, "m1", redelivered: true)
    assert_delivery(events, "m2", redelivered: true)
    assert_delivery(events, "m3")
  end

  def test_nack_multiple_and_reject
    publish(@ch, @queue, *%w[m1 m2 m3 m4])
    infos = Array.new(4) { @queue.pop(manual_ack: true).first }
    @ch.reject(infos[3].delivery_tag) # dropped
    @ch.nack(infos[2].delivery_tag, true, true)
    assert_equal %w[m1 m2 m3] + [nil], Array.new(4) { @queue.pop.last }
  end

  def test_unacked_return_when_the_channel_closes
    publish(@ch, @queue, *%w[m1 m2])
    other = @ch.connection.create_channel
    events = consume(other.queue(@queue.name, exclusive: true), manual_ack: true)
    first = assert_delivery(events, "m1")
    assert_delivery(events, "m2")
    other.ack(first.delivery_tag)
    other.close
    info, _properties, body = @queue.pop
    assert_equal ["m2", true], [body, info.redelivered?]
    assert_nil @queue.pop.last
  end

  def test_recover_redelivers
    publish(@ch, @queue, *%w[m1 m2])
    events = consume(@queue, manual_ack: true)
    assert_delivery(events, "m1")
    assert_delivery(events, "m2")
    @ch.recover
    assert_delivery(events, "m1", redelivered: true)
    assert_equal 4, assert_delivery(events, "m2", redelivered: true).delivery_tag.to_i
  end

  def test_unknown_delivery_tag_is_406
    { ack: 80, nack: 120, reject: 90 }.each do |method, method_id|
      ch = channel
      closes = Thread::Queue.new
      ch.on_error { |_channel, close| closes << close }
      ch.public_send(:"basic_#{method}", 82)
      assert_close 406, 60, method_id, "PRECONDITION_FAILED - unknown delivery tag 82",
                   await(closes)
      refute_predicate ch, :open?
    end
  end

  def test_deleting_the_queue_cancels_its_consumer
    shared = @ch.queue(unique_name("shared"))
    events = consume(shared, consumer_tag: "watcher")
    channel.queue_delete(shared.name)
    assert_equal [:cancelled, "watcher"], await(events)
  end

  def test_cancel_keeps_what_was_delivered
    publish(@ch, @queue, *%w[m1 m2])
    @ch.prefetch(1)
    events = consume(@queue, manual_ack: true, consumer_tag: "mine")
    info = assert_delivery(events, "m1")
    assert_equal "mine", @ch.basic_cancel("mine").consumer_tag
    @ch.ack(info.delivery_tag)
    assert_equal "m2", @queue.pop.last
    assert_nil @queue.pop.last
  end

  def test_exclusive_consumer_is_alone
    consume(@queue, exclusive: true, consumer_tag: "alone")
    other = @ch.connection.create_channel
    assert_channel_error(403, 60, 20, "in exclusive use") { other.basic_consume(@queue.name) }
    @ch.basic_cancel("alone")
    @ch.connection.create_channel.basic_consume(@queue.name)
  end

  def test_two_consumers_share_the_work
    @ch.prefetch(5)
    events = %w[a b].map { |tag| consume(@queue, manual_ack: true, consumer_tag: tag) }
    publish(@ch, @queue, *Array.new(10) { |i| "m#{i}" })
    bodies = events.map { |queue| Array.new(5) { await(queue).last } }
    assert_equal Array.new(10) { |i| "m#{i}" }, bodies.flatten.sort
    bodies.each { |some| assert_equal some.sort, some, "out of order at one consumer" }
  end
end
