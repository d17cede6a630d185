<?php
// SPDX-License-Identifier: Apache-2.0
// What every test class of the php-amqplib suite uses: the broker's address from the environment,
// connections that are closed after each test, waits that end, and a runner that prints one line
// per test. Queues are exclusive wherever the test allows it: they go with their connection.
declare(strict_types=1);

require_once 'PhpAmqpLib/autoload.php';

use PhpAmqpLib\Channel\AMQPChannel;
use PhpAmqpLib\Connection\AMQPStreamConnection;
use PhpAmqpLib\Exception\AMQPConnectionClosedException;
use PhpAmqpLib\Exception\AMQPProtocolChannelException;
use PhpAmqpLib\Message\AMQPMessage;

final class Unexpected extends Exception
{
}

abstract class Suite
{
    // Nothing here takes longer on a working broker; a wait that does is a failure.
    protected const WAIT_SECONDS = 20.0;

    /** @var AMQPStreamConnection[] */
    private array $connections = [];
    private static int $nameCounter = 0;

    public function setUp(): void
    {
    }

    final public function tearDown(): void
    {
        foreach ($this->connections as $connection) {
            if ($connection->isConnected()) {
                $connection->close();
            }
        }
    }

    protected static function environment(string $name, string $otherwise): string
    {
        $value = getenv($name);
        return $value === false ? $otherwise : $value;
    }

    protected static function isRabbitMQ(): bool
    {
        return self::environment('AMQP_PRODUCT', 'harrier') === 'rabbitmq';
    }

    /** @param array $options password, vhost, heartbeat (seconds), mechanism */
    protected function connect(array $options = []): AMQPStreamConnection
    {
        $connection = new AMQPStreamConnection(
            self::environment('AMQP_HOST', '127.0.0.1'),
            (int)self::environment('AMQP_PORT', '5672'),
            self::environment('AMQP_USER', 'guest'),
            $options['password'] ?? self::environment('AMQP_PASSWORD', 'guest'),
            $options['vhost'] ?? self::environment('AMQP_VHOST', '/'),
            false,
            $options['mechanism'] ?? 'AMQPLAIN',
            null,
            'en_US',
            self::WAIT_SECONDS,
            self::WAIT_SECONDS,
            null,
            false,
            $options['heartbeat'] ?? 0,
            self::WAIT_SECONDS
        );
        $this->connections[] = $connection;
        return $connection;
    }

    protected function channel(): AMQPChannel
    {
        return $this->connect()->channel();
    }

    protected static function uniqueName(string $base): string
    {
        return sprintf('interop-php-%d-%d-%s', getmypid(), ++self::$nameCounter, $base);
    }

    protected static function exclusiveQueue(AMQPChannel $channel): string
    {
        return $channel->queue_declare(self::uniqueName('queue'), false, false, true, false)[0];
    }

    /** Ready messages by a passive declare. */
    protected static function messageCount(AMQPChannel $channel, string $queue): int
    {
        return $channel->queue_declare($queue, true)[1];
    }

    protected static function publish(AMQPChannel $channel, string $queue, string ...$bodies): void
    {
        foreach ($bodies as $body) {
            $channel->basic_publish(new AMQPMessage($body), '', $queue);
        }
    }

    protected static function publishConfirmed(
        AMQPChannel $channel,
        string $queue,
        string ...$bodies
    ): void {
        self::publish($channel, $queue, ...$bodies);
        $channel->wait_for_pending_acks(self::WAIT_SECONDS);
    }

    /** Deliveries are appended to the array; returns the consumer tag. */
    protected static function consume(
        AMQPChannel $channel,
        string $queue,
        ?array &$deliveries,
        bool $noAck = false,
        string $tag = '',
        bool $exclusive = false
    ): string {
        $deliveries = [];
        return $channel->basic_consume(
            $queue,
            $tag,
            false,
            $noAck,
            $exclusive,
            false,
            static function (AMQPMessage $message) use (&$deliveries): void {
                $deliveries[] = $message;
            }
        );
    }

    protected static function awaitDelivery(AMQPChannel $channel, array &$deliveries): AMQPMessage
    {
        while ($deliveries === []) {
            $channel->wait(null, false, self::WAIT_SECONDS);
        }
        return array_shift($deliveries);
    }

    protected static function expectDelivery(
        AMQPChannel $channel,
        array &$deliveries,
        string $body,
        bool $redelivered = false
    ): AMQPMessage {
        $message = self::awaitDelivery($channel, $deliveries);
        self::same($body, $message->getBody(), 'body');
        self::same($redelivered, $message->isRedelivered(), "redelivered flag of $body");
        return $message;
    }

    protected static function expectGet(
        AMQPChannel $channel,
        string $queue,
        string $body,
        bool $noAck = true
    ): AMQPMessage {
        $message = $channel->basic_get($queue, $noAck);
        self::check($message !== null, "the queue is empty instead of holding $body");
        self::same($body, $message->getBody(), 'body');
        return $message;
    }

    protected static function expectEmpty(AMQPChannel $channel, string $queue): void
    {
        self::same(null, $channel->basic_get($queue, true)?->getBody(), 'message in the queue');
    }

    /** @param int[] $ids class and method of the channel.close */
    protected static function expectChannelError(
        int $code,
        array $ids,
        string $fragment,
        callable $call
    ): void {
        try {
            $call();
        } catch (AMQPProtocolChannelException $error) {
            self::same($code, $error->amqp_reply_code, $error->amqp_reply_text);
            self::same($ids, $error->amqp_method_sig, 'class and method');
            self::contains($fragment, $error->amqp_reply_text);
            return;
        }
        throw new Unexpected("expected error $code, nothing was thrown");
    }

    /** @param int[] $ids class and method of the connection.close */
    protected static function expectConnectionError(
        int $code,
        array $ids,
        string $fragment,
        callable $call
    ): void {
        try {
            $call();
        } catch (AMQPConnectionClosedException $error) {
            self::same($code, $error->getCode(), $error->getMessage());
            self::contains($fragment, $error->getMessage());
            self::contains(sprintf('(%d, %d)', ...$ids), $error->getMessage());
            return;
        }
        throw new Unexpected("expected error $code, nothing was thrown");
    }

    protected static function same(mixed $expected, mixed $actual, string $what): void
    {
        if ($expected !== $actual) {
            throw new Unexpected(sprintf(
                '%s: expected %s, got %s',
                $what,
                var_export($expected, true),
                var_export($actual, true)
            ));
        }
    }

    protected static function check(bool $condition, string $otherwise): void
    {
        if (!$condition) {
            throw new Unexpected($otherwise);
        }
    }

    protected static function contains(string $fragment, string $text): void
    {
        self::check(str_contains($text, $fragment), "expected \"$fragment\" in \"$text\"");
    }

    /** Runs each method whose name begins with "test"; returns how many failed. */
    final public static function runAll(string $only): int
    {
        $failed = 0;
        foreach (get_class_methods(static::class) as $method) {
            $name = static::class . '::' . $method;
            if (!str_starts_with($method, 'test') || !str_contains($name, $only)) {
                continue;
            }
            try {
                $test = new static();
                $test->setUp();
                $test->$method();
                $test->tearDown();
                echo "ok $name\n";
            } catch (Throwable $error) {
                ++$failed;
                $where = basename($error->getFile()) . ':' . $error->getLine();
                foreach ($error->getTrace() as $frame) {
                    if (($frame['function'] ?? '') === $method) {
                        break;
                    }
                    $where = basename($frame['file'] ?? '') . ':' . ($frame['line'] ?? 0);
                }
                $text = strtok($error->getMessage(), "\n");
                printf("not ok %s: %s %s: %s\n", $name, $where, get_class($error), $text);
            }
        }
        return $failed;
    }
}
