// SPDX-License-Identifier: Apache-2.0
package interop;

import com.rabbitmq.client.Channel;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;

final class TxTests extends Suite {
  private Channel channel;
  private Channel other;
  private String queue;

  @Override
  void setUp() throws Exception {
    channel = channel();
    other = channel.getConnection().createChannel();
    queue = exclusiveQueue(channel);
  }

  void testCommitAndRollbackOfPublishes() throws Exception {
    channel.txSelect();
    publish(channel, queue, "committed");
    expectEmpty(channel, queue);
    channel.txCommit();
    publish(channel, queue, "rolled back");
    channel.txRollback();
    channel.txCommit();
    expectGet(channel, queue, "committed", true);
    expectEmpty(channel, queue);
  }

  void testRollbackForgetsAcks() throws Exception {
    publish(channel, queue, "acked twice");
    channel.txSelect();
    long tag = expectGet(channel, queue, "acked twice", false).getEnvelope().getDeliveryTag();
    channel.basicAck(tag, false);
    channel.txRollback();
    expectEmpty(other, queue); // outstanding still, not requeued
    channel.basicAck(tag, false);
    channel.txCommit();
    channel.close();
    expectEmpty(other, queue);
  }

  void testOutOfOrderSettlementsCommit() throws Exception {
    publish(channel, queue, "m1", "m2", "m3", "m4");
    channel.txSelect();
    for (int i = 1; i <= 4; ++i) {
      expectGet(channel, queue, "m" + i, false);
    }
    channel.basicAck(4, false);
    channel.basicNack(3, false, true);
    channel.basicAck(2, false);
    channel.basicNack(1, false, true);
    expectEmpty(other, queue);
    channel.txCommit();
    expectGet(other, queue, "m1", true);
    expectGet(other, queue, "m3", true);
    expectEmpty(other, queue);
  }

  void testUncommittedAcksReturnWhenTheChannelCloses() throws Exception {
    publish(channel, queue, "never committed");
    channel.txSelect();
    channel.basicAck(
        expectGet(channel, queue, "never committed", false).getEnvelope().getDeliveryTag(), false);
    publish(channel, queue, "discarded");
    channel.close();
    same(true, expectGet(other, queue, "never committed", true).getEnvelope().isRedeliver(),
        "redelivered");
    expectEmpty(other, queue);
  }

  void testReturnsComeAtCommit() throws Exception {
    BlockingQueue<String> returns = new LinkedBlockingQueue<>();
    channel.addReturnListener(returned -> returns.add(text(returned.getBody())));
    channel.txSelect();
    channel.basicPublish("amq.direct", "nowhere", true, null, bytes("back"));
    channel.basicQos(0); // a round trip: nothing came before it
    check(returns.isEmpty(), "returned before the commit");
    channel.txCommit();
    same("back", returns.poll(), "returned before commit-ok");
  }

  void testTxAndConfirmsDoNotMix() throws Exception {
    expectChannelError(406, 90, 20, "channel is not transactional", () -> channel().txCommit());
    expectChannelError(406, 90, 30, "channel is not transactional", () -> channel().txRollback());
    channel.txSelect();
    expectChannelError(406, 85, 10, "cannot switch from tx to confirm mode",
        () -> channel.confirmSelect());
    other.confirmSelect();
    expectChannelError(406, 90, 10, "cannot switch from confirm to tx mode",
        () -> other.txSelect());
  }
}
