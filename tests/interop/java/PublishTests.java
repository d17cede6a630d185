// SPDX-License-Identifier: Apache-2.0
package interop;

import com.rabbitmq.client.AMQP;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.Delivery;
import com.rabbitmq.client.GetResponse;
import com.rabbitmq.client.LongString;
import java.math.BigDecimal;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Date;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

final class PublishTests extends Suite {
  private static final int LARGE_BODY_BYTES = 10 * 1024 * 1024;

  /** Counts as the client's own suites do: no tag twice, none that was not published. */
  void testConfirms() throws Exception {
    final int messages = 200;
    Channel channel = channel();
    String queue = exclusiveQueue(channel);
    publish(channel, queue, "before select: not counted");
    channel.confirmSelect();
    BlockingQueue<Long> acks = new LinkedBlockingQueue<>();
    channel.addConfirmListener((tag, multiple) -> acks.add(multiple ? -tag : tag),
        (tag, multiple) -> acks.add(0L));
    for (int i = 0; i < messages; ++i) {
      publish(channel, queue, "confirm me");
    }
    boolean[] confirmed = new boolean[messages + 1];
    for (int count = 0; count < messages;) {
      long ack = await(acks);
      int last = (int) Math.abs(ack);
      check(last >= 1 && last <= messages && !confirmed[last], "unexpected confirm " + ack);
      for (int tag = ack < 0 ? 1 : last; tag <= last; ++tag) {
        count += confirmed[tag] ? 0 : 1;
        confirmed[tag] = true;
      }
    }
    same(messages + 1L, channel.messageCount(queue), "messages");
  }

  void testMandatoryReturnsBeforeTheAck() throws Exception {
    Channel channel = channel();
    channel.confirmSelect();
    BlockingQueue<List<Object>> events = new LinkedBlockingQueue<>();
    channel.addReturnListener(returned -> events.add(List.of(returned.getReplyCode(),
        returned.getReplyText(), returned.getExchange(), returned.getRoutingKey(),
        returned.getProperties().getMessageId(), text(returned.getBody()))));
    channel.addConfirmListener((tag, multiple) -> events.add(List.of("ack", tag)),
        (tag, multiple) -> events.add(List.of("nack", tag)));
    channel.basicPublish("amq.direct", "nowhere", true,
        new AMQP.BasicProperties.Builder().messageId("u-1").build(), bytes("come back"));
    same(List.of(312, "NO_ROUTE", "amq.direct", "nowhere", "u-1", "come back"), await(events),
        "first event");
    same(List.of("ack", 1L), await(events), "second event");
  }

  void testTenMebibytesBothWays() throws Exception {
    Channel channel = channel();
    String queue = exclusiveQueue(channel);
    byte[] body = new byte[LARGE_BODY_BYTES];
    new Random(7).nextBytes(body);
    channel.basicPublish("", queue, null, body);
    channel.basicPublish("", queue, null, body);
    GetResponse got = channel.basicGet(queue, true);
    check(got != null && Arrays.equals(body, got.getBody()), "the body by get differs");
    Delivery delivery = await(consume(channel, queue, true));
    check(Arrays.equals(body, delivery.getBody()), "the delivered body differs");
  }

  void testSmallFrameMax() throws Exception {
    final int frameMax = 8192;
    ConnectionFactory factory = factory();
    factory.setRequestedFrameMax(frameMax);
    Connection connection = connect(factory);
    same(frameMax, connection.getFrameMax(), "frame max");
    Channel channel = connection.createChannel();
    String queue = exclusiveQueue(channel);
    for (int size : new int[] {0, 1, frameMax - 9, frameMax - 8, frameMax - 7, 100_000}) {
      byte[] body = new byte[size];
      Arrays.fill(body, (byte) 'x');
      channel.basicPublish("", queue, null, body);
      GetResponse got = channel.basicGet(queue, true);
      check(got != null && Arrays.equals(body, got.getBody()), size + " bytes differ");
    }
  }

  private static Map<String, Object> everyTableType() {
    Map<String, Object> headers = new HashMap<>();
    headers.put("array", Arrays.asList(1, "two", null, Map.of("three", List.of(3L))));
    headers.put("bool", false);
    headers.put("byte", (byte) -128);
    headers.put("bytes", new byte[] {0, -1, 127, -128});
    headers.put("date", new Date(1_700_000_000_000L));
    headers.put("decimal", new BigDecimal("314.15"));
    headers.put("double", -1.0e300);
    headers.put("float", 0.5F);
    headers.put("int", Integer.MIN_VALUE);
    headers.put("long", Long.MIN_VALUE);
    headers.put("null", null);
    headers.put("short", Short.MIN_VALUE);
    headers.put("string", "gr\u00fc\u00df");
    headers.put("table", Map.of("deep", Map.of("deeper", true)));
    return headers;
  }

  /** The client reads long strings as LongString; everything else compares as it is. */
  private static Object plain(Object value) {
    if (value instanceof LongString) {
      return value.toString();
    }
    if (value instanceof byte[]) {
      return Arrays.toString((byte[]) value);
    }
    if (value instanceof Map) {
      Map<Object, Object> result = new HashMap<>();
      ((Map<?, ?>) value).forEach((key, item) -> result.put(key, plain(item)));
      return result;
    }
    if (value instanceof List) {
      List<Object> result = new ArrayList<>();
      ((List<?>) value).forEach(item -> result.add(plain(item)));
      return result;
    }
    return value;
  }

  void testPropertiesAndHeaders() throws Exception {
    Channel channel = channel();
    String queue = exclusiveQueue(channel);
    AMQP.BasicProperties sent = new AMQP.BasicProperties.Builder()
        .contentType("application/json").contentEncoding("utf-8").headers(everyTableType())
        .deliveryMode(2).priority(9).correlationId("c-1").replyTo("somewhere").expiration("60000")
        .messageId("m-1").timestamp(new Date(1_700_000_000_000L)).type("order.created")
        .userId(environment("AMQP_USER", "guest")).appId("interop").clusterId("c").build();
    channel.basicPublish("", queue, sent, bytes("{}"));
    AMQP.BasicProperties got = expectGet(channel, queue, "{}", true).getProps();
    same(plain(sent.getHeaders()), plain(got.getHeaders()), "headers");
    // The text names every property, with null for what is absent.
    same(sent.builder().headers(null).build().toString(),
        got.builder().headers(null).build().toString(), "properties");
    publish(channel, queue, "bare");
    same(new AMQP.BasicProperties().toString(),
        expectGet(channel, queue, "bare", true).getProps().toString(), "bare");
  }

  void testMissingExchangeIs404() throws Exception {
    Channel channel = channel();
    Action closed = shutdownOf(channel);
    String name = uniqueName("missing");
    channel.basicPublish(name, "key", null, bytes("lost"));
    expectChannelError(404, 60, 40, "NOT_FOUND - no exchange '" + name + "' in vhost", closed);
    exclusiveQueue(channel.getConnection().createChannel());
  }

  void testRefusedProperties() throws Exception {
    AMQP.BasicProperties.Builder builder = new AMQP.BasicProperties.Builder();
    Map<String, AMQP.BasicProperties> refused = Map.of(
        "invalid expiration '12ms'", builder.expiration("12ms").build(),
        "user_id property set to 'x'", builder.expiration(null).userId("x").build());
    for (Map.Entry<String, AMQP.BasicProperties> entry : refused.entrySet()) {
      Channel channel = channel();
      Action closed = shutdownOf(channel);
      channel.basicPublish("amq.fanout", "", entry.getValue(), bytes("x"));
      expectChannelError(406, 60, 40, "PRECONDITION_FAILED - " + entry.getKey(), closed);
    }
  }

  /** Threads with a channel each over one connection, every message confirmed and in order. */
  void testThreadsShareAConnection() throws Exception {
    Connection connection = connect();
    ExecutorService threads = Executors.newFixedThreadPool(6);
    try {
      List<Future<Void>> results = new ArrayList<>();
      for (int thread = 0; thread < 6; ++thread) {
        results.add(threads.submit(() -> echo(connection.createChannel(), 200)));
      }
      for (Future<Void> result : results) {
        result.get(3 * WAIT_SECONDS, TimeUnit.SECONDS);
      }
    } finally {
      threads.shutdownNow();
    }
  }

  private static Void echo(Channel channel, int messages) throws Exception {
    String queue = exclusiveQueue(channel);
    channel.confirmSelect();
    BlockingQueue<Delivery> deliveries = consume(channel, queue, false, "", false,
        Collections.emptyMap());
    for (int i = 0; i < messages; ++i) {
      publish(channel, queue, Integer.toString(i));
    }
    for (int i = 0; i < messages; ++i) {
      Delivery delivery = expectDelivery(deliveries, Integer.toString(i), false);
      channel.basicAck(delivery.getEnvelope().getDeliveryTag(), false);
    }
    awaitConfirms(channel);
    channel.close();
    return null;
  }
}
