<?php
// SPDX-License-Identifier: Apache-2.0
declare(strict_types=1);

require_once __DIR__ . '/support.php';

use PhpAmqpLib\Exception\AMQPTimeoutException;
use PhpAmqpLib\Message\AMQPMessage;

final class ConnectionTests extends Suite
{
    public function testIdentityAndCapabilities(): void
    {
        $properties = $this->connect()->getServerProperties();
        $product = self::isRabbitMQ() ? 'RabbitMQ' : 'Harrier';
        self::same($product, $properties['product'][1], 'product');
        foreach (
            ['publisher_confirms', 'exchange_exchange_bindings', 'basic.nack',
             'consumer_cancel_notify', 'connection.blocked', 'consumer_priorities',
             'authentication_failure_close', 'per_consumer_qos', 'direct_reply_to'] as $name
        ) {
            self::same(['t', 1], $properties['capabilities'][1][$name] ?? null, $name);
        }
    }

    public function testLoginMechanisms(): void
    {
        foreach (['AMQPLAIN', 'PLAIN'] as $mechanism) {
            self::exclusiveQueue($this->connect(['mechanism' => $mechanism])->channel());
        }
    }

    public function testWrongPassword(): void
    {
        foreach (['AMQPLAIN', 'PLAIN'] as $mechanism) {
            self::expectConnectionError(
                403,
                [0, 0],
                "ACCESS_REFUSED - Login was refused using authentication mechanism $mechanism.",
                fn() => $this->connect(['password' => 'not-it', 'mechanism' => $mechanism])
            );
        }
    }

    public function testWrongVhost(): void
    {
        self::expectConnectionError(
            530,
            [10, 40],
            'NOT_ALLOWED - vhost no-such-vhost not found',
            fn() => $this->connect(['vhost' => 'no-such-vhost'])
        );
    }

    // The library sends heartbeats while it waits, and misses the server's after two intervals.
    public function testHeartbeatsKeepAnIdleConnection(): void
    {
        $connection = $this->connect(['heartbeat' => 1]);
        $channel = $connection->channel();
        $start = microtime(true);
        while (microtime(true) - $start < 4.0) {
            try {
                $channel->wait(null, false, 0.2);
                throw new Unexpected('something came to an idle channel');
            } catch (AMQPTimeoutException) {
                $connection->checkHeartBeat();
            }
        }
        self::check($connection->getLastActivity() > $start + 2.0, 'no heartbeat came');
        self::exclusiveQueue($channel);
    }

    public function testConsumerTagReuseIs530(): void
    {
        $channel = $this->channel();
        $queue = self::exclusiveQueue($channel);
        self::consume($channel, $queue, $deliveries, true, 'twice');
        $channel->callbacks = []; // the library would refuse the second itself
        self::expectConnectionError(
            530,
            [60, 20],
            "NOT_ALLOWED - attempt to reuse consumer tag 'twice'",
            fn() => self::consume($channel, $queue, $deliveries, true, 'twice')
        );
    }

    public function testImmediateIs540(): void
    {
        $channel = $this->channel();
        $channel->basic_publish(new AMQPMessage('now'), 'amq.direct', 'nowhere', false, true);
        self::expectConnectionError(
            540,
            [60, 40],
            'NOT_IMPLEMENTED - immediate=true',
            fn() => $channel->wait(null, false, self::WAIT_SECONDS)
        );
    }

    public function testChannelNumbersAreReusableAtOnce(): void
    {
        $connection = $this->connect();
        for ($round = 0; $round < 20; ++$round) {
            $channel = $connection->channel(7);
            $channel->queue_declare('', false, false, true, true);
            $channel->close();
        }
    }

    public function testFlow(): void
    {
        self::same([true], (array)$this->channel()->flow(true), 'flow-ok');
    }
}
