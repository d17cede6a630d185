<?php
// SPDX-License-Identifier: Apache-2.0
// Every exchange type routes as declared: after a confirmed publish, purging each queue says which
// got the message and how many copies.
declare(strict_types=1);

require_once __DIR__ . '/support.php';

use PhpAmqpLib\Channel\AMQPChannel;
use PhpAmqpLib\Message\AMQPMessage;
use PhpAmqpLib\Wire\AMQPTable;

final class RoutingTests extends Suite
{
    private AMQPChannel $channel;
    /** @var string[] */
    private array $queues = [];

    public function setUp(): void
    {
        $this->channel = $this->channel();
        $this->channel->confirm_select();
        for ($i = 0; $i < 3; ++$i) {
            $this->queues[] = self::exclusiveQueue($this->channel);
        }
    }

    /** Auto-delete: it goes with its last binding, so with the connection that owns the queues. */
    private function declare(string $type, array $arguments = [], bool $internal = false): string
    {
        $name = self::uniqueName($type);
        $this->channel->exchange_declare(
            $name,
            $type,
            false,
            false,
            true,
            $internal,
            false,
            new AMQPTable($arguments)
        );
        return $name;
    }

    private function bind(
        int $queue,
        string $exchange,
        string $key = '',
        array $arguments = []
    ): void {
        $table = new AMQPTable($arguments);
        $this->channel->queue_bind($this->queues[$queue], $exchange, $key, false, $table);
    }

    /** @param int[] $copies one number per queue */
    private function expectRouted(
        array $copies,
        string $exchange,
        string $key,
        array $headers = []
    ): void {
        $message = new AMQPMessage('routed', ['application_headers' => new AMQPTable($headers)]);
        $this->channel->basic_publish($message, $exchange, $key);
        $this->channel->wait_for_pending_acks(self::WAIT_SECONDS);
        $actual = array_map(fn($queue) => $this->channel->queue_purge($queue), $this->queues);
        self::same($copies, $actual, "copies of \"$key\" " . json_encode($headers));
    }

    public function testDirect(): void
    {
        $exchange = $this->declare('direct');
        $this->bind(0, $exchange, 'red');
        $this->bind(1, $exchange, 'red');
        $this->bind(1, $exchange, 'blue');
        $this->expectRouted([1, 1, 0], $exchange, 'red');
        $this->expectRouted([0, 1, 0], $exchange, 'blue');
        $this->expectRouted([0, 0, 0], $exchange, 'Red');
        $this->expectRouted([0, 0, 1], '', $this->queues[2]);
        $this->channel->queue_unbind($this->queues[0], $exchange, 'red');
        $this->expectRouted([0, 1, 0], $exchange, 'red');
    }

    public function testFanout(): void
    {
        $exchange = $this->declare('fanout');
        $this->bind(0, $exchange);
        $this->bind(1, $exchange, 'ignored');
        $this->bind(1, $exchange, 'second binding, one copy');
        $this->expectRouted([1, 1, 0], $exchange, 'any');
    }

    public function testTopic(): void
    {
        $exchange = $this->declare('topic');
        $this->bind(0, $exchange, '*.orange.*');
        $this->bind(1, $exchange, '*.*.rabbit');
        $this->bind(1, $exchange, 'lazy.#');
        $this->bind(2, $exchange, '#');
        $this->expectRouted([1, 1, 1], $exchange, 'quick.orange.rabbit');
        $this->expectRouted([1, 1, 1], $exchange, 'lazy.orange.elephant');
        $this->expectRouted([0, 1, 1], $exchange, 'lazy');
        $this->expectRouted([0, 0, 1], $exchange, 'quick.orange.male.rabbit');
        $this->expectRouted([0, 0, 1], $exchange, '');
    }

    public function testHeaders(): void
    {
        $exchange = $this->declare('headers');
        $wanted = ['format' => 'pdf', 'pages' => 3];
        $this->bind(0, $exchange, '', ['x-match' => 'all'] + $wanted);
        $this->bind(1, $exchange, '', ['x-match' => 'any'] + $wanted);
        $this->bind(2, $exchange, '', ['x-match' => 'any', 'urgent' => null]);
        $this->expectRouted([1, 1, 0], $exchange, '', $wanted);
        $this->expectRouted([0, 1, 0], $exchange, '', ['format' => 'pdf', 'pages' => 4]);
        $this->expectRouted([0, 0, 1], $exchange, '', ['pages' => '3', 'urgent' => false]);
        $this->expectRouted([0, 0, 0], $exchange, '');
    }

    public function testExchangeToExchange(): void
    {
        $front = $this->declare('fanout');
        $back = $this->declare('topic');
        $this->bind(0, $back, 'a.*');
        $this->channel->exchange_bind($back, $front);
        $this->channel->exchange_bind($front, $back, '#'); // a cycle must end, without more copies
        $this->expectRouted([1, 0, 0], $front, 'a.x');
        $this->expectRouted([0, 0, 0], $front, 'b.x');
        $this->channel->exchange_unbind($front, $back, '#');
        // The last binding of an auto-delete exchange takes it away.
        $this->channel->exchange_unbind($back, $front);
        self::expectChannelError(
            404,
            [40, 10],
            'NOT_FOUND - no exchange',
            fn() => $this->channel->exchange_declare($front, 'fanout', true)
        );
    }

    public function testAlternateExchange(): void
    {
        $spare = $this->declare('fanout');
        $exchange = $this->declare('direct', ['alternate-exchange' => $spare]);
        $this->bind(0, $exchange, 'known');
        $this->bind(1, $spare);
        $this->expectRouted([1, 0, 0], $exchange, 'known');
        $this->expectRouted([0, 1, 0], $exchange, 'unknown');
    }

    public function testInternalExchangeRefusesPublishers(): void
    {
        $exchange = $this->declare('fanout', [], true);
        $this->bind(0, $exchange);
        $this->channel->basic_publish(new AMQPMessage('no'), $exchange);
        self::expectChannelError(
            403,
            [60, 40],
            'ACCESS_REFUSED - cannot publish to internal exchange',
            fn() => $this->channel->wait_for_pending_acks(self::WAIT_SECONDS)
        );
    }

    public function testExchangeErrors(): void
    {
        $name = self::uniqueName('errors');
        self::expectChannelError(
            404,
            [40, 10],
            "NOT_FOUND - no exchange '$name' in vhost",
            fn() => $this->channel()->exchange_declare($name, 'direct', true)
        );
        $this->channel->exchange_declare($name, 'direct');
        self::expectChannelError(
            406,
            [40, 10],
            "PRECONDITION_FAILED - inequivalent arg 'type' for exchange",
            fn() => $this->channel()->exchange_declare($name, 'fanout')
        );
        self::expectChannelError(
            403,
            [40, 10],
            "contains reserved prefix 'amq.*'",
            fn() => $this->channel()->exchange_declare('amq.mine', 'direct')
        );
        $this->channel->exchange_delete($name);
        $this->channel->exchange_delete($name); // deleting what is gone is no error
    }
}
