// SPDX-License-Identifier: Apache-2.0
package interop;

import com.rabbitmq.client.AMQP;
import com.rabbitmq.client.Channel;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** Every exchange type routes as declared: after a confirmed publish, purging each queue says which
 * got the message and how many copies. */
final class RoutingTests extends Suite {
  private final List<String> queues = new ArrayList<>();
  private Channel channel;

  @Override
  void setUp() throws Exception {
    channel = channel();
    channel.confirmSelect();
    for (int i = 0; i < 3; ++i) {
      queues.add(exclusiveQueue(channel));
    }
  }

  /** Auto-delete: it goes with its last binding, so with the connection that owns the queues. */
  private String declare(String type, boolean internal, Map<String, Object> arguments)
      throws Exception {
    String name = uniqueName(type);
    channel.exchangeDeclare(name, type, false, true, internal, arguments);
    return name;
  }

  private void bind(int queue, String exchange, String key) throws Exception {
    channel.queueBind(queues.get(queue), exchange, key);
  }

  private void bind(int queue, String exchange, Map<String, Object> arguments) throws Exception {
    channel.queueBind(queues.get(queue), exchange, "", arguments);
  }

  /** The text has one digit per queue: how many copies it must have got. */
  private void expectRouted(String copies, String exchange, String key,
      Map<String, Object> headers) throws Exception {
    AMQP.BasicProperties properties =
        new AMQP.BasicProperties.Builder().headers(headers).build();
    channel.basicPublish(exchange, key, properties, bytes("routed"));
    awaitConfirms(channel);
    StringBuilder actual = new StringBuilder();
    for (String queue : queues) {
      actual.append(channel.queuePurge(queue).getMessageCount());
    }
    same(copies, actual.toString(), "copies of key \"" + key + "\", headers " + headers);
  }

  private void expectRouted(String copies, String exchange, String key) throws Exception {
    expectRouted(copies, exchange, key, null);
  }

  void testDirect() throws Exception {
    String exchange = declare("direct", false, null);
    bind(0, exchange, "red");
    bind(1, exchange, "red");
    bind(1, exchange, "blue");
    expectRouted("110", exchange, "red");
    expectRouted("010", exchange, "blue");
    expectRouted("000", exchange, "Red");
    expectRouted("001", "", queues.get(2));
    channel.queueUnbind(queues.get(0), exchange, "red");
    expectRouted("010", exchange, "red");
  }

  void testFanout() throws Exception {
    String exchange = declare("fanout", false, null);
    bind(0, exchange, "");
    bind(1, exchange, "ignored");
    bind(1, exchange, "second binding, one copy");
    expectRouted("110", exchange, "any");
  }

  void testTopic() throws Exception {
    String exchange = declare("topic", false, null);
    bind(0, exchange, "*.orange.*");
    bind(1, exchange, "*.*.rabbit");
    bind(1, exchange, "lazy.#");
    bind(2, exchange, "#");
    expectRouted("111", exchange, "quick.orange.rabbit");
    expectRouted("111", exchange, "lazy.orange.elephant");
    expectRouted("011", exchange, "lazy");
    expectRouted("001", exchange, "quick.orange.male.rabbit");
    expectRouted("001", exchange, "");
  }

  void testHeaders() throws Exception {
    String exchange = declare("headers", false, null);
    bind(0, exchange, Map.of("x-match", "all", "format", "pdf", "pages", 3));
    bind(1, exchange, Map.of("x-match", "any", "format", "pdf", "pages", 3));
    Map<String, Object> present = new HashMap<>(Map.of("x-match", "any"));
    present.put("urgent", null);
    bind(2, exchange, present);
    expectRouted("110", exchange, "", Map.of("format", "pdf", "pages", 3));
    expectRouted("110", exchange, "", Map.of("format", "pdf", "pages", 3L));
    expectRouted("010", exchange, "", Map.of("format", "pdf", "pages", 4));
    expectRouted("001", exchange, "", Map.of("pages", "3", "urgent", false));
    expectRouted("000", exchange, "", Map.of());
    channel.queueUnbind(queues.get(2), exchange, "", present);
    expectRouted("000", exchange, "", Map.of("urgent", 1));
    expectChannelError(406, 50, 20, "PRECONDITION_FAILED",
        () -> channel.queueBind(queues.get(0), "amq.headers", "", Map.of("x-match", 7)));
  }

  void testExchangeToExchange() throws Exception {
    String front = declare("fanout", false, null);
    String back = declare("topic", true, null);
    bind(0, back, "a.*");
    channel.exchangeBind(back, front, "");
    channel.exchangeBind(front, back, "#"); // a cycle must end, and must not double the copies
    expectRouted("100", front, "a.x");
    expectRouted("000", front, "b.x");
    channel.exchangeUnbind(front, back, "#");
    channel.exchangeUnbind(back, front, ""); // the last binding of an auto-delete exchange
    expectChannelError(404, 40, 10, "NOT_FOUND - no exchange '" + front + "' in vhost",
        () -> channel.exchangeDeclarePassive(front));
  }

  void testAlternateExchange() throws Exception {
    String spare = declare("fanout", false, null);
    String exchange = declare("direct", false, Map.of("alternate-exchange", spare));
    bind(0, exchange, "known");
    bind(1, spare, "");
    expectRouted("100", exchange, "known");
    expectRouted("010", exchange, "unknown");
  }

  void testInternalExchangeRefusesPublishers() throws Exception {
    String exchange = declare("fanout", true, null);
    bind(0, exchange, "");
    Action closed = shutdownOf(channel);
    channel.basicPublish(exchange, "", null, bytes("no"));
    expectChannelError(403, 60, 40, "ACCESS_REFUSED - cannot publish to internal exchange", closed);
  }

  void testExchangeErrors() throws Exception {
    String name = uniqueName("errors");
    expectChannelError(404, 40, 10, "NOT_FOUND - no exchange '" + name + "' in vhost",
        () -> channel().exchangeDeclarePassive(name));
    channel.exchangeDeclare(name, "direct");
    expectChannelError(406, 40, 10, "PRECONDITION_FAILED - inequivalent arg 'type' for exchange",
        () -> channel().exchangeDeclare(name, "fanout"));
    expectChannelError(403, 40, 10, "contains reserved prefix 'amq.*'",
        () -> channel().exchangeDeclare("amq.mine", "direct"));
    channel.queueBind(queues.get(0), name, "key");
    expectChannelError(406, 40, 20, "in use", () -> channel().exchangeDelete(name, true));
    channel.exchangeDelete(name);
    channel.exchangeDelete(name); // deleting what is gone is no error
    expectChannelError(403, 50, 20, "ACCESS_REFUSED",
        () -> channel.queueBind(queues.get(0), "", "key"));
  }
}
