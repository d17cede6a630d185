<?php
// SPDX-License-Identifier: Apache-2.0
declare(strict_types=1);

require_once __DIR__ . '/support.php';

use PhpAmqpLib\Channel\AMQPChannel;
use PhpAmqpLib\Exception\AMQPBasicCancelException;

final class ConsumeTests extends Suite
{
    private AMQPChannel $channel;
    private string $queue;

    public function setUp(): void
    {
        $this->channel = $this->channel();
        $this->queue = self::exclusiveQueue($this->channel);
    }

    public function testPrefetchBoundsWhatIsUnacked(): void
    {
        self::publish($this->channel, $this->queue, 'm1', 'm2', 'm3', 'm4');
        $this->channel->basic_qos(0, 2, false);
        self::consume($this->channel, $this->queue, $deliveries);
        $first = self::expectDelivery($this->channel, $deliveries, 'm1');
        self::expectDelivery($this->channel, $deliveries, 'm2');
        self::same(2, self::messageCount($this->channel, $this->queue), 'ready');
        $first->ack();
        $third = self::expectDelivery($this->channel, $deliveries, 'm3');
        self::same(1, self::messageCount($this->channel, $this->queue), 'ready');
        $third->ack(true);
        self::expectDelivery($this->channel, $deliveries, 'm4');
        $this->channel->basic_ack(0, true); // everything outstanding
        self::same(0, self::messageCount($this->channel, $this->queue), 'ready');
        self::same([], $deliveries, 'more deliveries');
    }

    public function testRequeuedMessagesKeepTheirPlace(): void
    {
        self::publish($this->channel, $this->queue, 'm1', 'm2', 'm3');
        $first = self::expectGet($this->channel, $this->queue, 'm1', false);
        $second = self::expectGet($this->channel, $this->queue, 'm2', false);
        $second->nack(true);
        $first->reject(true);
        self::consume($this->channel, $this->queue, $deliveries, true);
        self::expectDelivery($this->channel, $deliveries, 'm1', true);
        self::expectDelivery($this->channel, $deliveries, 'm2', true);
        self::expectDelivery($this->channel, $deliveries, 'm3');
    }

    public function testNackMultipleAndReject(): void
    {
        self::publish($this->channel, $this->queue, 'm1', 'm2', 'm3', 'm4');
        $messages = [];
        foreach (['m1', 'm2', 'm3', 'm4'] as $body) {
            $messages[] = self::expectGet($this->channel, $this->queue, $body, false);
        }
        $messages[3]->reject(false); // dropped
        $messages[2]->nack(true, true);
        foreach (['m1', 'm2', 'm3'] as $body) {
            self::expectGet($this->channel, $this->queue, $body);
        }
        self::expectEmpty($this->channel, $this->queue);
    }

    public function testUnackedReturnWhenTheChannelCloses(): void
    {
        self::publish($this->channel, $this->queue, 'm1', 'm2');
        $other = $this->channel->getConnection()->channel();
        self::consume($other, $this->queue, $deliveries);
        self::expectDelivery($other, $deliveries, 'm1')->ack();
        self::expectDelivery($other, $deliveries, 'm2');
        $other->close();
        $message = self::expectGet($this->channel, $this->queue, 'm2');
        self::same(true, $message->isRedelivered(), 'redelivered');
        self::expectEmpty($this->channel, $this->queue);
    }

    public function testRecoverRedelivers(): void
    {
        self::publish($this->channel, $this->queue, 'm1', 'm2');
        self::consume($this->channel, $this->queue, $deliveries);
        self::expectDelivery($this->channel, $deliveries, 'm1');
        self::expectDelivery($this->channel, $deliveries, 'm2');
        $this->channel->basic_recover(true);
        self::expectDelivery($this->channel, $deliveries, 'm1', true);
        $last = self::expectDelivery($this->channel, $deliveries, 'm2', true);
        self::same(4, $last->getDeliveryTag(), 'delivery tag');
    }

    public function testUnknownDeliveryTagIs406(): void
    {
        $connection = $this->connect();
        $calls = [
            80 => fn(AMQPChannel $channel) => $channel->basic_ack(82),
            120 => fn(AMQPChannel $channel) => $channel->basic_nack(82),
            90 => fn(AMQPChannel $channel) => $channel->basic_reject(82, true),
        ];
        foreach ($calls as $method => $call) {
            $channel = $connection->channel();
            $call($channel);
            self::expectChannelError(
                406,
                [60, $method],
                'PRECONDITION_FAILED - unknown delivery tag 82',
                fn() => $channel->wait(null, false, self::WAIT_SECONDS)
            );
        }
    }

    public function testCancelKeepsWhatWasDelivered(): void
    {
        self::publish($this->channel, $this->queue, 'm1', 'm2');
        $this->channel->basic_qos(0, 1, false);
        self::consume($this->channel, $this->queue, $deliveries, false, 'mine');
        $message = self::expectDelivery($this->channel, $deliveries, 'm1');
        self::same('mine', $this->channel->basic_cancel('mine'), 'cancelled');
        $message->ack();
        self::expectGet($this->channel, $this->queue, 'm2');
        self::expectEmpty($this->channel, $this->queue);
    }

    public function testDeletingTheQueueCancelsItsConsumer(): void
    {
        $queue = self::uniqueName('deleted');
        $this->channel->queue_declare($queue, false, false, false, false);
        self::consume($this->channel, $queue, $deliveries, false, 'watcher');
        $this->channel()->queue_delete($queue);
        try {
            $this->channel->wait(null, false, self::WAIT_SECONDS);
        } catch (AMQPBasicCancelException $cancel) {
            self::same('watcher', $cancel->getConsumerTag(), 'cancelled');
            return;
        }
        throw new Unexpected('no cancel came');
    }

    public function testExclusiveConsumerIsAlone(): void
    {
        self::consume($this->channel, $this->queue, $deliveries, true, 'alone', true);
        $connection = $this->channel->getConnection();
        self::expectChannelError(
            403,
            [60, 20],
            'in exclusive use',
            fn() => self::consume($connection->channel(), $this->queue, $late, true)
        );
        $this->channel->basic_cancel('alone');
        self::consume($connection->channel(), $this->queue, $late, true);
    }
}
