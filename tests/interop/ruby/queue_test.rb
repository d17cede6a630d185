# SPDX-License-Identifier: Apache-2.0
require_relative "support"

class QueueTest < InteropTest
  def test_server_named
    ch = channel
    queue = ch.queue("", exclusive: true)
    assert_match(/\Aamq\.gen-[A-Za-z0-9_-]{22}\z/, queue.name)
    publish(ch, queue, "hello")
    assert_equal "hello", queue.pop.last
  end

  def test_exclusive_is_locked_for_others
    owner = connect
    queue = exclusive_queue(owner.create_channel)
    assert_channel_error(405, 50, 10, "RESOURCE_LOCKED - cannot obtain exclusive access") do
      channel.queue(queue.name, passive: true)
    end
    assert_channel_error(405, 50, 40, "RESOURCE_LOCKED") { channel.queue_delete(queue.name) }
    assert_channel_error(405, 60, 20, "RESOURCE_LOCKED") { channel.basic_consume(queue.name) }
    owner.close # close-ok says that the queue is gone
    refute connect.queue_exists?(queue.name)
  end

  def test_redeclare_must_be_equivalent
    ch = channel
    name = unique_name("equivalent")
    ch.queue_declare(name, exclusive: true)
    ch.queue_declare(name, exclusive: true)
    assert_channel_error(406, 50, 10, "PRECONDITION_FAILED - inequivalent arg 'auto_delete'") do
      ch.queue_declare(name, exclusive: true, auto_delete: true)
    end
    assert_channel_error(406, 50, 10, "PRECONDITION_FAILED - invalid arg 'x-expires'") do
      channel.queue_declare(unique_name("bad"), arguments: { "x-expires" => 0 })
    end
    assert_channel_error(403, 50, 10, "contains reserved prefix 'amq.*'") do
      channel.queue_declare("amq.reserved")
    end
    assert_channel_error(404, 50, 10, "NOT_FOUND - no queue") do
      channel.queue_declare(unique_name("missing"), passive: true)
    end
  end

  def test_get_in_order_with_counts
    ch = channel
    queue = exclusive_queue(ch)
    assert_equal [nil, nil, nil], queue.pop
    ch.confirm_select
    publish(ch, queue, "one", "two", "three")
    assert ch.wait_for_confirms
    %w[one two three].each_with_index do |body, i|
      info, _properties, actual = queue.pop(manual_ack: true)
      assert_equal [body, i + 1, "", queue.name, false],
                   [actual, info.delivery_tag.to_i, info.exchange, info.routing_key,
                    info.redelivered?]
      assert_equal 2 - i, queue.message_count
    end
    ch.ack(3, true)
    assert_equal [nil, nil, nil], queue.pop
  end

  def test_purge_and_delete_count
    ch = channel
    queue = exclusive_queue(ch)
    ch.confirm_select
    publish(ch, queue, *%w[a b c d e])
    assert ch.wait_for_confirms
    info, = queue.pop(manual_ack: true) # unacked: purge must leave it alone
    assert_equal 4, ch.queue_purge(queue.name).message_count
    ch.nack(info.delivery_tag, false, true)
    publish(ch, queue, "f")
    assert ch.wait_for_confirms
    assert_equal 2, queue.message_count
    assert_equal 2, ch.queue_delete(queue.name).message_count
    assert_equal 0, ch.queue_delete(queue.name).message_count
  end

  def test_delete_if_empty_and_if_unused
    name = unique_name("conditions")
    channel.queue_declare(name)
    ch = channel
    ch.basic_publish("x", "", name)
    assert_channel_error(406, 50, 40, "not empty") { ch.queue_delete(name, if_empty: true) }
    ch = channel
    ch.basic_consume(name, "", true)
    assert_channel_error(406, 50, 40, "in use") { ch.queue_delete(name, if_unused: true) }
  ensure
    channel.queue_delete(name)
  end

  def test_auto_delete_goes_with_its_last_consumer
    connection = connect
    ch = connection.create_channel
    queue = ch.queue(unique_name("auto-delete"), auto_delete: true)
    consumer = queue.subscribe { raise "nothing was published" }
    assert_equal 1, queue.consumer_count
    consumer.cancel
    refute connection.queue_exists?(queue.name)
  end
end
