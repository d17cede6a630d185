# SPDX-License-Identifier: Apache-2.0
require_relative "support"

class ConnectionTest < InteropTest
  def test_identity_and_capabilities
    properties = connect.server_properties
    assert_equal Broker::IS_RABBITMQ ? "RabbitMQ" : "Harrier", properties["product"]
    assert_match(/\A\d+\.\d+/, properties["version"])
    %w[publisher_confirms exchange_exchange_bindings basic.nack consumer_cancel_notify
       connection.blocked consumer_priorities authentication_failure_close per_consumer_qos
       direct_reply_to].each do |name|
      assert_equal true, properties["capabilities"][name], name
    end
  end

  def test_wrong_password
    assert_raises(Bunny::AuthenticationFailureError) { connect(password: "not-the-password") }
  end

  def test_wrong_vhost
    error = assert_raises(Bunny::NotAllowedError) { connect(vhost: "no-such-vhost") }
    assert_close 530, 10, 40, "NOT_ALLOWED - vhost no-such-vhost not found",
                 error.connection_close
  end

  # Bunny's socket reads time out after 2.2 heartbeat intervals and then raise here.
  def test_heartbeats_keep_an_idle_connection
    connection = connect(heartbeat: 1)
    assert_equal 1, connection.heartbeat
    sleep 4
    assert_predicate connection, :open?
    queue = exclusive_queue(connection.create_channel)
    assert_equal 0, queue.message_count
  end

  def test_consumer_tag_reuse_is_530
    ch = channel
    queue = exclusive_queue(ch)
    ch.basic_consume(queue.name, "twice", true)
    error = assert_raises(Bunny::NotAllowedError) { ch.basic_consume(queue.name, "twice", true) }
    assert_close 530, 60, 20, "NOT_ALLOWED - attempt to reuse consumer tag 'twice'",
                 error.connection_close
  end

  def test_channel_numbers_are_reusable_at_once
    connection = connect
    20.times do
      ch = connection.create_channel(5)
      exclusive_queue(ch, "reuse", auto_delete: true)
      ch.close
    end
  end

  def test_secret_can_be_updated
    connection = connect
    assert_instance_of AMQ::Protocol::Connection::UpdateSecretOk,
                       connection.update_secret(Broker::PASSWORD, "rotation")
    exclusive_queue(connection.create_channel)
  end

  def test_channel_flow_active
    assert_equal true, channel.flow(true).active
  end
end
