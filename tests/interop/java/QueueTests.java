// SPDX-License-Identifier: Apache-2.0
package interop;

import com.rabbitmq.client.AMQP;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.GetResponse;
import java.util.List;
import java.util.Map;

final class QueueTests extends Suite {
  void testServerNamed() throws Exception {
    Channel channel = channel();
    AMQP.Queue.DeclareOk ok = channel.queueDeclare();
    check(ok.getQueue().matches("amq\\.gen-[A-Za-z0-9_-]{22}"), "named " + ok.getQueue());
    same(0, ok.getMessageCount(), "messages");
    same(0, ok.getConsumerCount(), "consumers");
    channel.queueBind("", "amq.direct", ""); // the queue's name, and as the key too
    channel.basicPublish("amq.direct", ok.getQueue(), null, bytes("by its name"));
    expectGet(channel, "", "by its name", true);
  }

  void testExclusiveIsLockedForOthers() throws Exception {
    Connection owner = connect();
    String queue = exclusiveQueue(owner.createChannel());
    Connection other = connect();
    expectChannelError(405, 50, 10, "RESOURCE_LOCKED - cannot obtain exclusive access",
        () -> other.createChannel().queueDeclarePassive(queue));
    expectChannelError(405, 50, 20, "RESOURCE_LOCKED",
        () -> other.createChannel().queueBind(queue, "amq.direct", ""));
    expectChannelError(405, 50, 30, "RESOURCE_LOCKED",
        () -> other.createChannel().queuePurge(queue));
    expectChannelError(405, 50, 40, "RESOURCE_LOCKED",
        () -> other.createChannel().queueDelete(queue));
    expectChannelError(405, 60, 20, "RESOURCE_LOCKED",
        () -> consume(other.createChannel(), queue, true));
    expectChannelError(405, 60, 70, "RESOURCE_LOCKED",
        () -> other.createChannel().basicGet(queue, true));
    owner.close(); // close-ok says that the queue is gone
    expectChannelError(404, 50, 10, "NOT_FOUND - no queue '" + queue + "' in vhost",
        () -> other.createChannel().queueDeclarePassive(queue));
  }

  void testRedeclareMustBeEquivalent() throws Exception {
    Connection connection = connect();
    String queue = uniqueName("equivalent");
    Map<String, Object> arguments = Map.of("x-max-length", 5);
    connection.createChannel().queueDeclare(queue, false, true, false, arguments);
    connection.createChannel().queueDeclare(queue, false, true, false,
        Map.of("x-max-length", 5L)); // equal across widths
    expectChannelError(406, 50, 10, "inequivalent arg 'x-max-length' for queue",
        () -> connection.createChannel().queueDeclare(queue, false, true, false, null));
    expectChannelError(406, 50, 10, "inequivalent arg 'auto_delete' for queue",
        () -> connection.createChannel().queueDeclare(queue, false, true, true, arguments));
    expectChannelError(406, 50, 10, "invalid arg 'x-message-ttl' for queue",
        () -> connection.createChannel().queueDeclare(uniqueName("bad"), false, true, false,
            Map.of("x-message-ttl", "1000")));
    expectChannelError(403, 50, 10, "contains reserved prefix 'amq.*'",
        () -> connection.createChannel().queueDeclare("amq.mine", false, true, false, null));
  }

  void testGetInOrderWithCounts() throws Exception {
    Channel channel = channel();
    String queue = exclusiveQueue(channel);
    expectEmpty(channel, queue);
    channel.confirmSelect();
    publish(channel, queue, "one", "two", "three");
    awaitConfirms(channel);
    long tag = 0;
    for (String body : List.of("one", "two", "three")) {
      GetResponse got = expectGet(channel, queue, body, false);
      same(++tag, got.getEnvelope().getDeliveryTag(), "delivery tag");
      same((int) (3 - tag), got.getMessageCount(), "messages left");
      same(false, got.getEnvelope().isRedeliver(), "redelivered");
      same("", got.getEnvelope().getExchange(), "exchange");
      same(queue, got.getEnvelope().getRoutingKey(), "routing key");
    }
    channel.basicAck(3, true);
    expectEmpty(channel, queue);
    expectChannelError(404, 60, 70, "NOT_FOUND - no queue",
        () -> channel.basicGet(uniqueName("missing"), true));
  }

  void testPurgeAndDeleteCount() throws Exception {
    Channel channel = channel();
    String queue = exclusiveQueue(channel);
    channel.confirmSelect();
    publish(channel, queue, "a", "b", "c", "d", "e");
    awaitConfirms(channel);
    GetResponse unacked = expectGet(channel, queue, "a", false); // purge must leave it alone
    same(4, channel.queuePurge(queue).getMessageCount(), "purged");
    channel.basicNack(unacked.getEnvelope().getDeliveryTag(), false, true);
    publish(channel, queue, "f");
    awaitConfirms(channel);
    expectChannelError(406, 50, 40, "not empty",
        () -> channel.getConnection().createChannel().queueDelete(queue, false, true));
    same(2, channel.queueDelete(queue).getMessageCount(), "deleted");
    same(0, channel.queueDelete(queue).getMessageCount(), "deleted a second time");
  }

  void testAutoDeleteGoesWithItsLastConsumer() throws Exception {
    Connection connection = connect();
    Channel channel = connection.createChannel();
    String queue = uniqueName("auto-delete");
    channel.queueDeclare(queue, false, false, true, null);
    consume(channel, queue, true, "only", false, null);
    same(1L, channel.consumerCount(queue), "consumers");
    expectChannelError(406, 50, 40, "in use",
        () -> connection.createChannel().queueDelete(queue, true, false));
    channel.basicCancel("only");
    expectChannelError(404, 50, 10, "NOT_FOUND - no queue",
        () -> channel.queueDeclarePassive(queue));
  }

  void testNoWaitMethodsTakeEffectInOrder() throws Exception {
    Channel channel = channel();
    String queue = uniqueName("no-wait");
    String exchange = uniqueName("no-wait");
    channel.queueDeclareNoWait(queue, false, true, false, null);
    channel.exchangeDeclareNoWait(exchange, "fanout", false, true, false, null);
    channel.queueBindNoWait(queue, exchange, "", null);
    channel.basicPublish(exchange, "", null, bytes("routed"));
    expectGet(channel, queue, "routed", true);
    channel.queueDeleteNoWait(queue, false, false);
    expectChannelError(404, 50, 10, "NOT_FOUND", () -> channel.queueDeclarePassive(queue));
  }
}
