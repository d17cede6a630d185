// SPDX-License-Identifier: Apache-2.0
package interop;

import com.rabbitmq.client.AMQP;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.Delivery;
import com.rabbitmq.client.GetResponse;
import com.rabbitmq.client.ShutdownNotifier;
import com.rabbitmq.client.ShutdownSignalException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/** What every test uses: the broker's address from the environment, connections that are closed
 * after each test, waits that end. Queues are exclusive wherever the test allows it, so that they
 * go with their connection. */
abstract class Suite {
  /** Nothing here takes longer on a working broker; a wait that does is a failure. */
  static final int WAIT_SECONDS = 20;
  private static final AtomicInteger NAMES = new AtomicInteger();

  private final List<Connection> connections = new ArrayList<>();

  interface Action {
    void run() throws Exception;
  }

  void setUp() throws Exception {
  }

  final void tearDown() throws Exception {
    for (Connection connection : connections) {
      if (connection.isOpen()) {
        connection.close();
      }
    }
  }

  static String environment(String name, String otherwise) {
    String value = System.getenv(name);
    return value == null ? otherwise : value;
  }

  static boolean isRabbitMq() {
    return environment("AMQP_PRODUCT", "harrier").equals("rabbitmq");
  }

  static ConnectionFactory factory() {
    ConnectionFactory factory = new ConnectionFactory();
    factory.setHost(environment("AMQP_HOST", "127.0.0.1"));
    factory.setPort(Integer.parseInt(environment("AMQP_PORT", "5672")));
    factory.setUsername(environment("AMQP_USER", "guest"));
    factory.setPassword(environment("AMQP_PASSWORD", "guest"));
    factory.setVirtualHost(environment("AMQP_VHOST", "/"));
    factory.setAutomaticRecoveryEnabled(false);
    factory.setChannelRpcTimeout(WAIT_SECONDS * 1000);
    return factory;
  }

  final Connection connect(ConnectionFactory factory) throws Exception {
    Connection connection = factory.newConnection();
    connections.add(connection);
    return connection;
  }

  final Connection connect() throws Exception {
    return connect(factory());
  }

  final Channel channel() throws Exception {
    return connect().createChannel();
  }

  static String uniqueName(String base) {
    return "interop-java-" + ProcessHandle.current().pid() + "-" + NAMES.incrementAndGet() + "-"
        + base;
  }

  static String exclusiveQueue(Channel channel) throws Exception {
    return channel.queueDeclare(uniqueName("queue"), false, true, false, null).getQueue();
  }

  static byte[] bytes(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }

  static String text(byte[] bytes) {
    return new String(bytes, StandardCharsets.UTF_8);
  }

  static void publish(Channel channel, String queue, String... bodies) throws Exception {
    for (String body : bodies) {
      channel.basicPublish("", queue, null, bytes(body));
    }
  }

  static void awaitConfirms(Channel channel) throws Exception {
    same(true, channel.waitForConfirms(WAIT_SECONDS * 1000), "confirmed");
  }

  /** Deliveries of a consumer; a cancel by the broker is a delivery without a body. */
  static BlockingQueue<Delivery> consume(Channel channel, String queue, boolean autoAck, String tag,
      boolean exclusive, Map<String, Object> arguments) throws Exception {
    BlockingQueue<Delivery> deliveries = new LinkedBlockingQueue<>();
    channel.basicConsume(queue, autoAck, tag, false, exclusive, arguments,
        (consumerTag, delivery) -> deliveries.add(delivery),
        consumerTag -> deliveries.add(new Delivery(null, null, null)));
    return deliveries;
  }

  static BlockingQueue<Delivery> consume(Channel channel, String queue, boolean autoAck)
      throws Exception {
    return consume(channel, queue, autoAck, "", false, null);
  }

  static <T> T await(BlockingQueue<T> events) throws Exception {
    T event = events.poll(WAIT_SECONDS, TimeUnit.SECONDS);
    check(event != null, "nothing came");
    return event;
  }

  static Delivery expectDelivery(BlockingQueue<Delivery> deliveries, String body,
      boolean redelivered) throws Exception {
    Delivery delivery = await(deliveries);
    same(body, text(delivery.getBody()), "body");
    same(redelivered, delivery.getEnvelope().isRedeliver(), "redelivered flag of " + body);
    return delivery;
  }

  static GetResponse expectGet(Channel channel, String queue, String body, boolean autoAck)
      throws Exception {
    GetResponse response = channel.basicGet(queue, autoAck);
    check(response != null, "the queue is empty instead of holding " + body);
    same(body, text(response.getBody()), "body");
    return response;
  }

  static void expectEmpty(Channel channel, String queue) throws Exception {
    GetResponse response = channel.basicGet(queue, true);
    check(response == null, "the queue is not empty");
  }

  /** The call fails with a channel.close of this code, class, method and part of the text. */
  static void expectChannelError(int code, int classId, int methodId, String fragment, Action call)
      throws Exception {
    ShutdownSignalException signal = signalOf(call);
    same(false, signal.isHardError(), "connection error");
    AMQP.Channel.Close close = (AMQP.Channel.Close) signal.getReason();
    expectClose(code, classId, methodId, fragment, close.getReplyCode(), close.getClassId(),
        close.getMethodId(), close.getReplyText());
  }

  static void expectConnectionError(int code, int classId, int methodId, String fragment,
      Action call) throws Exception {
    ShutdownSignalException signal = signalOf(call);
    same(true, signal.isHardError(), "connection error");
    AMQP.Connection.Close close = (AMQP.Connection.Close) signal.getReason();
    expectClose(code, classId, methodId, fragment, close.getReplyCode(), close.getClassId(),
        close.getMethodId(), close.getReplyText());
  }

  private static void expectClose(int code, int classId, int methodId, String fragment,
      int actualCode, int actualClassId, int actualMethodId, String actualText) {
    same(code, actualCode, actualText);
    same(List.of(classId, methodId), List.of(actualClassId, actualMethodId), "class and method");
    check(actualText.contains(fragment), "expected \"" + fragment + "\" in " + actualText);
  }

  private static ShutdownSignalException signalOf(Action call) throws Exception {
    try {
      call.run();
    } catch (Exception error) {
      for (Throwable cause = error; cause != null; cause = cause.getCause()) {
        if (cause instanceof ShutdownSignalException) {
          return (ShutdownSignalException) cause;
        }
      }
      throw error;
    }
    throw new AssertionError("expected an error, the call succeeded");
  }

  /** For errors that no call waits for: returns an action that throws the shutdown signal. */
  static Action shutdownOf(ShutdownNotifier notifier) {
    CompletableFuture<ShutdownSignalException> signal = new CompletableFuture<>();
    notifier.addShutdownListener(signal::complete);
    return () -> {
      throw signal.get(WAIT_SECONDS, TimeUnit.SECONDS);
    };
  }

  static void same(Object expected, Object actual, String what) {
    check(Objects.deepEquals(expected, actual),
        what + ": expected " + expected + ", got " + actual);
  }

  static void check(boolean condition, String otherwise) {
    if (!condition) {
      throw new AssertionError(otherwise);
    }
  }
}
