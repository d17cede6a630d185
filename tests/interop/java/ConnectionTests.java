// SPDX-License-Identifier: Apache-2.0
package interop;

import com.rabbitmq.client.AuthenticationFailureException;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.ShutdownSignalException;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

final class ConnectionTests extends Suite {
  void testIdentityAndCapabilities() throws Exception {
    Connection connection = connect();
    Map<String, Object> properties = connection.getServerProperties();
    same(isRabbitMq() ? "RabbitMQ" : "Harrier", properties.get("product").toString(), "product");
    Map<?, ?> capabilities = (Map<?, ?>) properties.get("capabilities");
    for (String name : List.of("publisher_confirms", "exchange_exchange_bindings", "basic.nack",
        "consumer_cancel_notify", "connection.blocked", "consumer_priorities",
        "authentication_failure_close", "per_consumer_qos", "direct_reply_to")) {
      same(true, capabilities.get(name), name);
    }
    same(2047, connection.getChannelMax(), "channel max");
    same(131072, connection.getFrameMax(), "frame max");
    same(60, connection.getHeartbeat(), "heartbeat");
  }

  void testWrongPassword() throws Exception {
    ConnectionFactory factory = factory();
    factory.setPassword("not-the-password");
    try {
      connect(factory);
    } catch (AuthenticationFailureException error) {
      check(error.getMessage().contains(
          "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN."),
          error.getMessage());
      return;
    }
    throw new AssertionError("the wrong password was accepted");
  }

  void testWrongVhost() throws Exception {
    ConnectionFactory factory = factory();
    factory.setVirtualHost("no-such-vhost");
    expectConnectionError(530, 10, 40, "NOT_ALLOWED - vhost no-such-vhost not found",
        () -> connect(factory));
  }

  /** The client gives up when it hears nothing for twice the interval. */
  void testHeartbeatsKeepAnIdleConnection() throws Exception {
    ConnectionFactory factory = factory();
    factory.setRequestedHeartbeat(1);
    Connection connection = connect(factory);
    same(1, connection.getHeartbeat(), "heartbeat");
    CompletableFuture<ShutdownSignalException> closed = new CompletableFuture<>();
    connection.addShutdownListener(closed::complete);
    try {
      throw closed.get(4, TimeUnit.SECONDS);
    } catch (TimeoutException stillOpen) {
      exclusiveQueue(connection.createChannel());
    }
  }

  void testConsumerTagReuseIs530() throws Exception {
    Channel channel = channel();
    String queue = exclusiveQueue(channel);
    consume(channel, queue, true, "twice", false, null);
    expectConnectionError(530, 60, 20, "NOT_ALLOWED - attempt to reuse consumer tag 'twice'",
        () -> consume(channel, queue, true, "twice", false, null));
  }

  void testImmediateIs540() throws Exception {
    Channel channel = channel();
    Action closed = shutdownOf(channel.getConnection());
    channel.basicPublish("amq.direct", "nowhere", false, true, null, bytes("now"));
    expectConnectionError(540, 60, 40, "NOT_IMPLEMENTED - immediate=true", closed);
  }

  void testPrefetchSizeIs540() throws Exception {
    expectConnectionError(540, 60, 10, "NOT_IMPLEMENTED - prefetch_size!=0 (1000)",
        () -> channel().basicQos(1000, 0, false));
  }

  void testRecoverWithoutRequeueIs540() throws Exception {
    expectConnectionError(540, 60, 110, "NOT_IMPLEMENTED - requeue=false",
        () -> channel().basicRecover(false));
  }

  void testChannelMaxCountsOpenChannels() throws Exception {
    ConnectionFactory factory = factory();
    factory.setRequestedChannelMax(4);
    Connection connection = connect(factory);
    same(4, connection.getChannelMax(), "channel max");
    for (int i = 0; i < 4; ++i) {
      check(connection.createChannel() != null, "no channel");
    }
    check(connection.createChannel() == null, "a fifth channel");
  }

  void testChannelNumbersAreReusableAtOnce() throws Exception {
    Connection connection = connect();
    for (int round = 0; round < 50; ++round) {
      Channel channel = connection.createChannel(3);
      channel.queueDeclare("", false, true, true, null);
      channel.close();
    }
  }
}
