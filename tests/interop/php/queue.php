<?php
// SPDX-License-Identifier: Apache-2.0
declare(strict_types=1);

require_once __DIR__ . '/support.php';

use PhpAmqpLib\Wire\AMQPTable;

final class QueueTests extends Suite
{
    public function testServerNamed(): void
    {
        $channel = $this->channel();
        [$queue, $messages, $consumers] = $channel->queue_declare('', false, false, true, false);
        self::check(preg_match('/^amq\.gen-[A-Za-z0-9_-]{22}$/', $queue) === 1, "named $queue");
        self::same([0, 0], [$messages, $consumers], 'counts');
        self::publish($channel, $queue, 'hello');
        self::expectGet($channel, '', 'hello'); // the empty name means the last declared queue
    }

    public function testExclusiveIsLockedForOthers(): void
    {
        $owner = $this->connect();
        $queue = self::exclusiveQueue($owner->channel());
        self::expectChannelError(
            405,
            [50, 10],
            'RESOURCE_LOCKED - cannot obtain exclusive access to locked queue',
            fn() => $this->channel()->queue_declare($queue, true)
        );
        self::expectChannelError(
            405,
            [60, 70],
            'RESOURCE_LOCKED',
            fn() => $this->channel()->basic_get($queue)
        );
        self::expectChannelError(
            405,
            [50, 40],
            'RESOURCE_LOCKED',
            fn() => $this->channel()->queue_delete($queue)
        );
        $owner->close(); // close-ok says that the queue is gone
        self::expectChannelError(
            404,
            [50, 10],
            'NOT_FOUND - no queue',
            fn() => $this->channel()->queue_declare($queue, true)
        );
    }

    public function testRedeclareMustBeEquivalent(): void
    {
        $connection = $this->connect();
        $queue = self::exclusiveQueue($connection->channel());
        $connection->channel()->queue_declare($queue, false, false, true, false);
        self::expectChannelError(
            406,
            [50, 10],
            "PRECONDITION_FAILED - inequivalent arg 'auto_delete' for queue",
            fn() => $connection->channel()->queue_declare($queue, false, false, true, true)
        );
        $arguments = new AMQPTable(['x-max-priority' => 256]);
        $bad = self::uniqueName('bad');
        self::expectChannelError(
            406,
            [50, 10],
            "PRECONDITION_FAILED - invalid arg 'x-max-priority' for queue",
            fn() => $connection->channel()
                ->queue_declare($bad, false, false, true, false, false, $arguments)
        );
        self::expectChannelError(
            403,
            [50, 10],
            "contains reserved prefix 'amq.*'",
            fn() => $connection->channel()->queue_declare('amq.reserved')
        );
    }

    public function testGetInOrderWithCounts(): void
    {
        $channel = $this->channel();
        $queue = self::exclusiveQueue($channel);
        self::expectEmpty($channel, $queue);
        $channel->confirm_select();
        self::publishConfirmed($channel, $queue, 'one', 'two', 'three');
        foreach (['one', 'two', 'three'] as $i => $body) {
            $message = self::expectGet($channel, $queue, $body, false);
            self::same($i + 1, $message->getDeliveryTag(), 'delivery tag');
            self::same(2 - $i, $message->getMessageCount(), 'messages left');
            self::same(false, $message->isRedelivered(), 'redelivered');
            self::same(['', $queue], [$message->getExchange(), $message->getRoutingKey()], 'from');
        }
        $channel->basic_ack(3, true);
        self::expectEmpty($channel, $queue);
        self::expectChannelError(
            404,
            [60, 70],
            'NOT_FOUND - no queue',
            fn() => $channel->basic_get(self::uniqueName('missing'))
        );
    }

    public function testPurgeAndDeleteCount(): void
    {
        $connection = $this->connect();
        $channel = $connection->channel();
        $queue = self::exclusiveQueue($channel);
        $channel->confirm_select();
        self::publishConfirmed($channel, $queue, 'a', 'b', 'c', 'd', 'e');
        $unacked = self::expectGet($channel, $queue, 'a', false); // purge must leave it alone
        self::same(4, $channel->queue_purge($queue), 'purged');
        $unacked->nack(true);
        self::publishConfirmed($channel, $queue, 'f');
        self::expectChannelError(
            406,
            [50, 40],
            'not empty',
            fn() => $connection->channel()->queue_delete($queue, false, true)
        );
        self::same(2, $channel->queue_delete($queue), 'deleted');
        self::same(0, $channel->queue_delete($queue), 'deleted a second time');
    }

    public function testAutoDeleteGoesWithItsLastConsumer(): void
    {
        $connection = $this->connect();
        $channel = $connection->channel();
        $queue = self::uniqueName('auto-delete');
        $channel->queue_declare($queue, false, false, false, true);
        self::consume($channel, $queue, $deliveries, true, 'only');
        self::same(1, $channel->queue_declare($queue, true)[2], 'consumers');
        self::expectChannelError(
            406,
            [50, 40],
            'in use',
            fn() => $connection->channel()->queue_delete($queue, true)
        );
        $channel->basic_cancel('only');
        self::expectChannelError(
            404,
            [50, 10],
            'NOT_FOUND - no queue',
            fn() => $channel->queue_declare($queue, true)
        );
    }
}
