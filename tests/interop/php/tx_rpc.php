<?php
// SPDX-License-Identifier: Apache-2.0
declare(strict_types=1);

require_once __DIR__ . '/support.php';

use PhpAmqpLib\Channel\AMQPChannel;
use PhpAmqpLib\Message\AMQPMessage;

final class TxTests extends Suite
{
    private AMQPChannel $channel;
    private string $queue;

    public function setUp(): void
    {
        $this->channel = $this->channel();
        $this->queue = self::exclusiveQueue($this->channel);
    }

    public function testCommitAndRollbackOfPublishes(): void
    {
        $this->channel->tx_select();
        self::publish($this->channel, $this->queue, 'committed');
        self::expectEmpty($this->channel, $this->queue);
        $this->channel->tx_commit();
        self::publish($this->channel, $this->queue, 'rolled back');
        $this->channel->tx_rollback();
        $this->channel->tx_commit();
        self::expectGet($this->channel, $this->queue, 'committed');
        self::expectEmpty($this->channel, $this->queue);
    }

    public function testRollbackForgetsAcks(): void
    {
        self::publish($this->channel, $this->queue, 'acked twice');
        $this->channel->tx_select();
        $message = self::expectGet($this->channel, $this->queue, 'acked twice', false);
        $this->channel->basic_ack($message->getDeliveryTag());
        $this->channel->tx_rollback();
        $other = $this->channel->getConnection()->channel();
        self::expectEmpty($other, $this->queue); // outstanding still, not requeued
        $this->channel->basic_ack($message->getDeliveryTag());
        $this->channel->tx_commit();
        $this->channel->close();
        self::expectEmpty($other, $this->queue);
    }

    public function testTxAndConfirmsDoNotMix(): void
    {
        self::expectChannelError(
            406,
            [90, 20],
            'channel is not transactional',
            fn() => $this->channel()->tx_commit()
        );
        $this->channel->tx_select();
        self::expectChannelError(
            406,
            [85, 10],
            'cannot switch from tx to confirm mode',
            fn() => $this->channel->confirm_select()
        );
        $confirming = $this->channel();
        $confirming->confirm_select();
        self::expectChannelError(
            406,
            [90, 10],
            'cannot switch from confirm to tx mode',
            fn() => $confirming->tx_select()
        );
    }
}

final class RpcTests extends Suite
{
    private const REPLY_TO = 'amq.rabbitmq.reply-to';

    private AMQPChannel $server;
    private string $requests;
    private ?array $received;

    public function setUp(): void
    {
        $this->server = $this->channel();
        $this->requests = self::exclusiveQueue($this->server);
        self::consume($this->server, $this->requests, $this->received, true);
    }

    private function ask(AMQPChannel $client, string $replyTo, string $id, string $body): void
    {
        $message = new AMQPMessage($body, ['reply_to' => $replyTo, 'correlation_id' => $id]);
        $client->basic_publish($message, '', $this->requests);
    }

    /** Answers one request with "re: <body>"; returns whom it named. */
    private function serve(): string
    {
        $request = self::awaitDelivery($this->server, $this->received);
        $properties = ['correlation_id' => $request->get('correlation_id')];
        $reply = new AMQPMessage('re: ' . $request->getBody(), $properties);
        $this->server->basic_publish($reply, '', $request->get('reply_to'));
        return $request->get('reply_to');
    }

    private static function expectReply(
        AMQPChannel $client,
        array &$replies,
        string $id,
        string $body
    ): void {
        $reply = self::expectDelivery($client, $replies, $body);
        self::same($id, $reply->get('correlation_id'), 'correlation id');
        self::same('', $reply->getExchange(), 'exchange');
    }

    public function testExclusiveReplyQueue(): void
    {
        $client = $this->channel();
        [$queue] = $client->queue_declare('', false, false, true, true);
        self::consume($client, $queue, $replies, true);
        $this->ask($client, $queue, '1', 'first');
        $this->ask($client, $queue, '2', 'second');
        $this->serve();
        $this->serve();
        self::expectReply($client, $replies, '1', 're: first');
        self::expectReply($client, $replies, '2', 're: second');
    }

    public function testDirectReplyTo(): void
    {
        $client = $this->channel();
        self::consume($client, self::REPLY_TO, $replies, true);
        $this->ask($client, self::REPLY_TO, '42', 'question');
        $name = $this->serve();
        self::check(str_starts_with($name, self::REPLY_TO . '.'), $name);
        self::expectReply($client, $replies, '42', 're: question');

        self::same(1, $this->server->queue_declare($name, true)[2], 'consumers');
        $client->close();
        self::expectChannelError(
            404,
            [50, 10],
            'NOT_FOUND',
            fn() => $this->server->queue_declare($name, true)
        );
    }

    public function testDirectReplyToErrors(): void
    {
        self::expectChannelError(
            406,
            [60, 20],
            'reply consumer cannot acknowledge',
            fn() => self::consume($this->channel(), self::REPLY_TO, $replies)
        );
        $channel = $this->channel();
        $this->ask($channel, self::REPLY_TO, '1', 'nobody listens');
        self::expectChannelError(
            406,
            [60, 40],
            'fast reply consumer does not exist',
            fn() => $channel->wait(null, false, self::WAIT_SECONDS)
        );
        $channel = $this->channel();
        self::consume($channel, self::REPLY_TO, $replies, true, 'one');
        self::expectChannelError(
            406,
            [60, 20],
            'reply consumer already set',
            fn() => self::consume($channel, self::REPLY_TO, $more, true, 'two')
        );
    }
}
