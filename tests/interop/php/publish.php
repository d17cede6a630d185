<?php
// SPDX-License-Identifier: Apache-2.0
declare(strict_types=1);

require_once __DIR__ . '/support.php';

use PhpAmqpLib\Message\AMQPMessage;
use PhpAmqpLib\Wire\AMQPDecimal;
use PhpAmqpLib\Wire\AMQPTable;

final class PublishTests extends Suite
{
    private const LARGE_BODY_BYTES = 10 * 1024 * 1024;

    public function testConfirms(): void
    {
        $channel = $this->channel();
        $queue = self::exclusiveQueue($channel);
        self::publish($channel, $queue, 'before select: not counted');
        $channel->confirm_select();
        $acknowledged = 0;
        $channel->set_ack_handler(static function () use (&$acknowledged): void {
            ++$acknowledged;
        });
        $channel->set_nack_handler(static fn() => throw new Unexpected('a nack'));
        self::publishConfirmed($channel, $queue, ...array_fill(0, 200, 'confirm me'));
        self::same(200, $acknowledged, 'acknowledged');
        self::same(201, self::messageCount($channel, $queue), 'messages');
    }

    public function testBatchPublish(): void
    {
        $channel = $this->channel();
        $queue = self::exclusiveQueue($channel);
        $channel->confirm_select();
        for ($i = 0; $i < 50; ++$i) {
            $channel->batch_basic_publish(new AMQPMessage("m$i"), '', $queue);
        }
        $channel->publish_batch();
        $channel->wait_for_pending_acks(self::WAIT_SECONDS);
        for ($i = 0; $i < 50; ++$i) {
            self::expectGet($channel, $queue, "m$i");
        }
    }

    public function testMandatoryReturnsBeforeTheAck(): void
    {
        $channel = $this->channel();
        $channel->confirm_select();
        $events = [];
        $channel->set_return_listener(
            static function ($code, $text, $exchange, $key, $message) use (&$events): void {
                $id = $message->get('message_id');
                $events[] = [$code, $text, $exchange, $key, $id, $message->getBody()];
            }
        );
        $channel->set_ack_handler(static function (AMQPMessage $message) use (&$events): void {
            $events[] = ['ack', $message->getBody()];
        });
        $message = new AMQPMessage('come back', ['message_id' => 'u-1']);
        $channel->basic_publish($message, 'amq.direct', 'nowhere', true);
        $channel->wait_for_pending_acks_returns(self::WAIT_SECONDS);
        self::same(
            [[312, 'NO_ROUTE', 'amq.direct', 'nowhere', 'u-1', 'come back'], ['ack', 'come back']],
            $events,
            'events'
        );
    }

    public function testTenMebibytesBothWays(): void
    {
        $channel = $this->channel();
        $queue = self::exclusiveQueue($channel);
        $body = random_bytes(self::LARGE_BODY_BYTES);
        self::publish($channel, $queue, $body, $body);
        $got = $channel->basic_get($queue, true);
        self::check($got !== null && $got->getBody() === $body, 'the body by get differs');
        self::consume($channel, $queue, $deliveries, true);
        $delivered = self::awaitDelivery($channel, $deliveries)->getBody();
        self::check($delivered === $body, 'the delivered body differs');
    }

    public function testPropertiesAndHeaders(): void
    {
        $channel = $this->channel();
        $queue = self::exclusiveQueue($channel);
        $headers = new AMQPTable(); // the library reads floating point, but cannot write it
        $headers->set('array', [1, 'two', [3], null]);
        $headers->set('bool', false);
        $headers->set('bytes', "\x00\xff\x7f\x80", AMQPTable::T_BYTES);
        $headers->set('decimal', new AMQPDecimal(31415, 2));
        $headers->set('int8', -128, AMQPTable::T_INT_SHORTSHORT);
        $headers->set('int16', -32768, AMQPTable::T_INT_SHORT);
        $headers->set('int32', -2147483648, AMQPTable::T_INT_LONG);
        $headers->set('int64', -4611686018427387904, AMQPTable::T_INT_LONGLONG);
        $headers->set('null', null);
        $headers->set('string', 'grüß');
        $headers->set('table', ['deep' => ['deeper' => true]]);
        $headers->set('time', new DateTime('@1700000000'));
        $headers->set('uint8', 255, AMQPTable::T_INT_SHORTSHORT_U);
        $headers->set('uint16', 65535, AMQPTable::T_INT_SHORT_U);
        $headers->set('uint32', 4294967295, AMQPTable::T_INT_LONG_U);
        $sent = [
            'content_type' => 'application/json', 'content_encoding' => 'utf-8',
            'application_headers' => $headers, 'delivery_mode' => 2, 'priority' => 9,
            'correlation_id' => 'c-1', 'reply_to' => 'somewhere', 'expiration' => '60000',
            'message_id' => 'm-1', 'timestamp' => 1700000000, 'type' => 'order.created',
            'user_id' => self::environment('AMQP_USER', 'guest'), 'app_id' => 'interop',
            'cluster_id' => 'c',
        ];
        $channel->basic_publish(new AMQPMessage('{}', $sent), '', $queue);
        $got = self::expectGet($channel, $queue, '{}')->get_properties();
        $gotHeaders = $got['application_headers'];
        // Types and values as they were on the wire, decimals and times as objects.
        foreach ($headers as $name => [$type, $value]) {
            [$gotType, $gotValue] = iterator_to_array($gotHeaders)[$name];
            self::same($type, $gotType, "type of $name");
            self::check(self::plain($value) == self::plain($gotValue), "value of $name");
        }
        self::same(count($headers->getNativeData()), count($gotHeaders->getNativeData()), 'count');
        unset($sent['application_headers'], $got['application_headers']);
        self::same($sent, $got, 'properties');
        self::publish($channel, $queue, 'bare');
        self::same([], self::expectGet($channel, $queue, 'bare')->get_properties(), 'properties');
    }

    private static function plain(mixed $value): mixed
    {
        if ($value instanceof PhpAmqpLib\Wire\AMQPAbstractCollection) {
            return $value->getNativeData();
        }
        return $value instanceof AMQPDecimal ? [$value->getN(), $value->getE()] : $value;
    }

    public function testEmptyBody(): void
    {
        $channel = $this->channel();
        $queue = self::exclusiveQueue($channel);
        self::publish($channel, $queue, '', 'next');
        self::expectGet($channel, $queue, '');
        self::expectGet($channel, $queue, 'next');
    }

    public function testMissingExchangeIs404(): void
    {
        $connection = $this->connect();
        $channel = $connection->channel();
        $name = self::uniqueName('missing');
        $channel->basic_publish(new AMQPMessage('lost'), $name);
        self::expectChannelError(
            404,
            [60, 40],
            "NOT_FOUND - no exchange '$name' in vhost",
            fn() => $channel->wait(null, false, self::WAIT_SECONDS)
        );
        self::exclusiveQueue($connection->channel());
    }

    public function testBadExpirationIs406(): void
    {
        $channel = $this->channel();
        $channel->basic_publish(new AMQPMessage('x', ['expiration' => '-1']), 'amq.fanout');
        self::expectChannelError(
            406,
            [60, 40],
            "PRECONDITION_FAILED - invalid expiration '-1'",
            fn() => $channel->wait(null, false, self::WAIT_SECONDS)
        );
    }
}
