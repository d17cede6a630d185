// SPDX-License-Identifier: Apache-2.0
package interop;

import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Delivery;
import com.rabbitmq.client.GetResponse;
import java.util.List;
import java.util.Map;
import java.util.concurrent.BlockingQueue;

final class ConsumeTests extends Suite {
  private Channel channel;
  private String queue;

  @Override
  void setUp() throws Exception {
    channel = channel();
    queue = exclusiveQueue(channel);
  }

  private static long tag(Delivery delivery) {
    return delivery.getEnvelope().getDeliveryTag();
  }

  private static long tag(GetResponse response) {
    return response.getEnvelope().getDeliveryTag();
  }

  void testPrefetchBoundsWhatIsUnacked() throws Exception {
    publish(channel, queue, "m1", "m2", "m3", "m4");
    channel.basicQos(2);
    BlockingQueue<Delivery> deliveries = consume(channel, queue, false);
    long first = tag(expectDelivery(deliveries, "m1", false));
    expectDelivery(deliveries, "m2", false);
    same(2L, channel.messageCount(queue), "ready");
    channel.basicAck(first, false);
    long third = tag(expectDelivery(deliveries, "m3", false));
    same(1L, channel.messageCount(queue), "ready");
    channel.basicAck(third, true);
    expectDelivery(deliveries, "m4", false);
    channel.basicAck(0, true); // everything outstanding
    same(0L, channel.messageCount(queue), "ready");
  }

  /** A message of basic.get takes no slot of the window. */
  void testGetIsOutsideTheWindow() throws Exception {
    publish(channel, queue, "m1", "m2", "m3");
    long got = tag(expectGet(channel, queue, "m1", false));
    channel.basicQos(1);
    BlockingQueue<Delivery> deliveries = consume(channel, queue, false);
    long delivered = tag(expectDelivery(deliveries, "m2", false));
    channel.basicAck(got, false);
    same(1L, channel.messageCount(queue), "ready");
    channel.basicAck(delivered, false);
    expectDelivery(deliveries, "m3", false);
  }

  void testGlobalPrefetchIsSharedByTheChannel() throws Exception {
    String second = exclusiveQueue(channel);
    publish(channel, queue, "m1", "m2");
    publish(channel, second, "n1", "n2");
    channel.basicQos(3, true);
    BlockingQueue<Delivery> fromFirst = consume(channel, queue, false);
    expectDelivery(fromFirst, "m1", false);
    expectDelivery(fromFirst, "m2", false);
    BlockingQueue<Delivery> fromSecond = consume(channel, second, false);
    expectDelivery(fromSecond, "n1", false);
    same(1L, channel.messageCount(second), "ready");
    channel.basicAck(1, false);
    expectDelivery(fromSecond, "n2", false);
  }

  void testRequeuedMessagesKeepTheirPlace() throws Exception {
    publish(channel, queue, "m1", "m2", "m3");
    long first = tag(expectGet(channel, queue, "m1", false));
    long second = tag(expectGet(channel, queue, "m2", false));
    channel.basicNack(second, false, true);
    channel.basicReject(first, true);
    BlockingQueue<Delivery> deliveries = consume(channel, queue, true);
    expectDelivery(deliveries, "m1", true);
    expectDelivery(deliveries, "m2", true);
    expectDelivery(deliveries, "m3", false);
  }

  void testNackMultipleAndReject() throws Exception {
    publish(channel, queue, "m1", "m2", "m3", "m4");
    long last = 0;
    for (String body : List.of("m1", "m2", "m3", "m4")) {
      last = tag(expectGet(channel, queue, body, false));
    }
    channel.basicReject(last, false); // dropped
    channel.basicNack(last - 1, true, true);
    for (String body : List.of("m1", "m2", "m3")) {
      expectGet(channel, queue, body, true);
    }
    expectEmpty(channel, queue);
  }

  void testUnackedReturnWhenTheChannelCloses() throws Exception {
    publish(channel, queue, "m1", "m2");
    Channel other = channel.getConnection().createChannel();
    BlockingQueue<Delivery> deliveries = consume(other, queue, false);
    other.basicAck(tag(expectDelivery(deliveries, "m1", false)), false);
    expectDelivery(deliveries, "m2", false);
    other.close();
    same(true, expectGet(channel, queue, "m2", true).getEnvelope().isRedeliver(), "redelivered");
    expectEmpty(channel, queue);
  }

  void testRecoverRedelivers() throws Exception {
    publish(channel, queue, "m1", "m2");
    BlockingQueue<Delivery> deliveries = consume(channel, queue, false);
    expectDelivery(deliveries, "m1", false);
    expectDelivery(deliveries, "m2", false);
    channel.basicRecover(true);
    expectDelivery(deliveries, "m1", true);
    same(4L, tag(expectDelivery(deliveries, "m2", true)), "delivery tag");
  }

  void testUnknownDeliveryTagIs406() throws Exception {
    String text = "PRECONDITION_FAILED - unknown delivery tag 82";
    Channel acking = channel();
    Action closed = shutdownOf(acking);
    acking.basicAck(82, false);
    expectChannelError(406, 60, 80, text, closed);
    Channel nacking = channel();
    closed = shutdownOf(nacking);
    nacking.basicNack(82, false, true);
    expectChannelError(406, 60, 120, text, closed);
    Channel rejecting = channel();
    closed = shutdownOf(rejecting);
    rejecting.basicReject(82, true);
    expectChannelError(406, 60, 90, text, closed);
    closed = shutdownOf(channel);
    publish(channel, queue, "m1");
    long tag = tag(expectGet(channel, queue, "m1", false));
    channel.basicAck(tag, false);
    channel.basicAck(tag, false); // the second time it is unknown
    expectChannelError(406, 60, 80, "unknown delivery tag 1", closed);
  }

  void testCancelKeepsWhatWasDelivered() throws Exception {
    publish(channel, queue, "m1", "m2");
    channel.basicQos(1);
    BlockingQueue<Delivery> deliveries = consume(channel, queue, false, "mine", false, null);
    long tag = tag(expectDelivery(deliveries, "m1", false));
    channel.basicCancel("mine");
    channel.basicAck(tag, false);
    expectGet(channel, queue, "m2", true);
    expectEmpty(channel, queue);
  }

  void testDeletingTheQueueCancelsItsConsumer() throws Exception {
    String shared = uniqueName("shared");
    channel.queueDeclare(shared, false, false, false, null);
    BlockingQueue<Delivery> deliveries = consume(channel, shared, false);
    channel().queueDelete(shared);
    check(await(deliveries).getEnvelope() == null, "a delivery from a deleted queue");
  }

  void testExclusiveConsumerIsAlone() throws Exception {
    consume(channel, queue, true, "alone", true, null);
    Channel other = channel.getConnection().createChannel();
    expectChannelError(403, 60, 20, "in exclusive use", () -> consume(other, queue, true));
    channel.basicCancel("alone");
    consume(channel.getConnection().createChannel(), queue, true);
  }

  void testConsumerPriority() throws Exception {
    BlockingQueue<Delivery> ordinary = consume(channel, queue, true);
    BlockingQueue<Delivery> preferred = consume(channel, queue, true, "", false,
        Map.of("x-priority", 10));
    publish(channel, queue, "m1", "m2", "m3");
    for (String body : List.of("m1", "m2", "m3")) {
      expectDelivery(preferred, body, false);
    }
    check(ordinary.isEmpty(), "the ordinary consumer got a message");
  }
}
