# SPDX-License-Identifier: Apache-2.0
# What every test of the Bunny suite uses: the broker's address from the environment, connections
# that are closed after each test, and waits that end. Queues are exclusive wherever the test
# allows it, so that they go with their connection even if the test fails.

require "bunny"
require "logger"
require "minitest/autorun"
require "timeout"

module Broker
  # Nothing here takes longer on a working broker; a wait that does is a failure.
  WAIT_SECONDS = 20

  HOST = ENV.fetch("AMQP_HOST", "127.0.0.1")
  PORT = Integer(ENV.fetch("AMQP_PORT", "5672"))
  USER = ENV.fetch("AMQP_USER", "guest")
  PASSWORD = ENV.fetch("AMQP_PASSWORD", "guest")
  VHOST = ENV.fetch("AMQP_VHOST", "/")
  IS_RABBITMQ = ENV.fetch("AMQP_PRODUCT", "harrier") == "rabbitmq"
end

# One line per test, as the runner of the suites counts them.
class LineReporter < Minitest::StatisticsReporter
  def record(result)
    super
    name = "#{result.klass}##{result.name}"
    io.puts(result.passed? ? "ok #{name}" : "not ok #{name}: #{result.failure.message.lines.first}")
    io.flush
  end

  def report
    super
    results.each { |result| io.puts("", result.to_s) }
    io.puts("ruby: #{count} tests, #{assertions} assertions, #{failures + errors} failed")
  end
end

module Minitest
  def self.plugin_lines_init(options)
    reporter.reporters.replace([LineReporter.new(options[:io], options)])
  end
  extensions << "lines"
end

class InteropTest < Minitest::Test
  def setup
    @connections = []
  end

  def teardown
    @connections.each { |connection| connection.close if connection.open? }
  end

  # Bunny recovers from connection.close by connecting again; here the error is what is looked at.
  # Connection errors are raised in the thread that made the session.
  def session(options = {})
    connection = Bunny.new({ host: Broker::HOST, port: Broker::PORT, vhost: Broker::VHOST,
                             username: Broker::USER, password: Broker::PASSWORD,
                             automatically_recover: false, recover_from_connection_close: false,
                             continuation_timeout: Broker::WAIT_SECONDS * 1000,
                             logger: Logger.new(IO::NULL) }.merge(options))
    @connections << connection
    connection
  end

  def connect(options = {})
    session(options).start
  end

  def channel
    connect.create_channel
  end

  def unique_name(base)
    @@counter = (defined?(@@counter) ? @@counter : 0) + 1
    "interop-ruby-#{Process.pid}-#{@@counter}-#{base}"
  end

  def exclusive_queue(channel, base = "queue", options = {})
    channel.queue(unique_name(base), { exclusive: true }.merge(options))
  end

  def publish(channel, queue, *bodies)
    bodies.each { |body| channel.default_exchange.publish(body, routing_key: queue.name) }
  end

  # A consumer whose deliveries (and cancellation) arrive in the returned Thread::Queue.
  def consume(queue, options = {})
    events = Thread::Queue.new
    cancelled = proc { |cancel| events << [:cancelled, cancel.consumer_tag] }
    queue.subscribe({ on_cancellation: cancelled }.merge(options)) do |info, properties, body|
      events << [info, properties, body]
    end
    events
  end

  def await(events)
    Timeout.timeout(Broker::WAIT_SECONDS) { events.pop }
  end

  # The next delivery has this body and redelivered flag; returns its delivery info.
  def assert_delivery(events, body, redelivered: false)
    info, _properties, actual = await(events)
    assert_equal body, actual
    assert_equal redelivered, info.redelivered?
    info
  end

  # The channel.close of an error that no call was waiting for (a refused publish). Bunny keeps it
  # for the next caller without an event of its own, hence the polling.
  def await_close(channel)
    Timeout.timeout(Broker::WAIT_SECONDS) do
      sleep 0.005 until (error = channel.instance_variable_get(:@last_channel_error))
      error.channel_close
    end
  end

  # The block raises this channel error with the code, class and method ids of its channel.close.
  def assert_channel_error(code, class_id, method_id, text, &block)
    error = assert_raises(Bunny::ChannelLevelException, &block)
    assert_close(code, class_id, method_id, text, error.channel_close)
  end

  def assert_close(code, class_id, method_id, text, close)
    assert_equal [code, class_id, method_id],
                 [close.reply_code, close.class_id, close.method_id], close.reply_text
    assert_includes close.reply_text, text
  end
end
