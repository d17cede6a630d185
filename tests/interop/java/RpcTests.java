// SPDX-License-Identifier: Apache-2.0
package interop;

import com.rabbitmq.client.AMQP;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Delivery;
import com.rabbitmq.client.RpcClient;
import com.rabbitmq.client.StringRpcServer;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;

final class RpcTests extends Suite {
  private static final String REPLY_TO = "amq.rabbitmq.reply-to";

  private final BlockingQueue<String> replyTos = new LinkedBlockingQueue<>();
  private Channel server;
  private String requests;

  /** Answers "re: <body>" to whom each request names, and tells whom that was. */
  @Override
  void setUp() throws Exception {
    server = channel();
    requests = exclusiveQueue(server);
    server.basicConsume(requests, true, (tag, request) -> {
      String replyTo = request.getProperties().getReplyTo();
      replyTos.add(replyTo);
      server.basicPublish("", replyTo, new AMQP.BasicProperties.Builder()
          .correlationId(request.getProperties().getCorrelationId()).build(),
          bytes("re: " + text(request.getBody())));
    }, tag -> { });
  }

  private void ask(Channel client, String replyTo, String id, String body) throws Exception {
    client.basicPublish("", requests, new AMQP.BasicProperties.Builder().replyTo(replyTo)
        .correlationId(id).build(), bytes(body));
  }

  private static void expectReply(BlockingQueue<Delivery> replies, String id, String body)
      throws Exception {
    Delivery reply = expectDelivery(replies, body, false);
    same(id, reply.getProperties().getCorrelationId(), "correlation id");
    same("", reply.getEnvelope().getExchange(), "exchange");
  }

  void testExclusiveReplyQueue() throws Exception {
    Channel client = channel();
    String queue = client.queueDeclare().getQueue();
    BlockingQueue<Delivery> replies = consume(client, queue, true);
    ask(client, queue, "1", "first");
    ask(client, queue, "2", "second");
    expectReply(replies, "1", "re: first");
    expectReply(replies, "2", "re: second");
  }

  void testDirectReplyTo() throws Exception {
    Channel client = channel();
    BlockingQueue<Delivery> replies = consume(client, REPLY_TO, true);
    ask(client, REPLY_TO, "42", "question");
    String name = await(replyTos);
    check(name.startsWith(REPLY_TO + "."), name);
    expectReply(replies, "42", "re: question");
    Channel other = channel();
    same(1, other.queueDeclarePassive(name).getConsumerCount(), "consumers");
    client.close();
    expectChannelError(404, 50, 10, "NOT_FOUND", () -> other.queueDeclarePassive(name));
  }

  /** A name whose opaque part was altered reaches nobody, and disturbs nobody. */
  void testForgedReplyName() throws Exception {
    Channel client = channel();
    BlockingQueue<Delivery> replies = consume(client, REPLY_TO, true);
    ask(client, REPLY_TO, "1", "first");
    String name = await(replyTos);
    expectReply(replies, "1", "re: first");
    Channel forger = channel();
    String forged = name.substring(0, name.length() - 5) + "AAAAA";
    forger.basicPublish("", forged, null, bytes("forged"));
    expectChannelError(404, 50, 10, "NOT_FOUND", () -> forger.queueDeclarePassive(forged));
    ask(client, REPLY_TO, "2", "second");
    expectReply(replies, "2", "re: second");
  }

  /** The client library's own classes for it. */
  void testRpcClientAndServer() throws Exception {
    Channel serving = channel();
    StringRpcServer rpcServer = new StringRpcServer(serving, exclusiveQueue(serving)) {
      @Override
      public String handleStringCall(String request, AMQP.BasicProperties properties) {
        return request.toUpperCase();
      }
    };
    Thread thread = new Thread(() -> {
      try {
        rpcServer.mainloop();
      } catch (Exception error) {
        error.printStackTrace(System.out);
      }
    });
    thread.start();
    RpcClient client = new RpcClient(channel(), "", rpcServer.getQueueName(), WAIT_SECONDS * 1000);
    same("HELLO", client.stringCall("hello"), "reply");
    same("AGAIN", client.stringCall("again"), "reply");
    client.close();
    serving.close();
    thread.join(WAIT_SECONDS * 1000L);
    check(!thread.isAlive(), "the server did not end");
  }

  void testDirectReplyToErrors() throws Exception {
    expectChannelError(406, 60, 20, "reply consumer cannot acknowledge",
        () -> consume(channel(), REPLY_TO, false));
    Channel channel = channel();
    Action closed = shutdownOf(channel);
    ask(channel, REPLY_TO, "1", "nobody listens");
    expectChannelError(406, 60, 40, "fast reply consumer does not exist", closed);
    Channel twice = channel();
    consume(twice, REPLY_TO, true);
    expectChannelError(406, 60, 20, "reply consumer already set",
        () -> consume(twice, REPLY_TO, true));
  }
}
