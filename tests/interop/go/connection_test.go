// SPDX-License-Identifier: Apache-2.0

package interop

import (
	"context"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

func TestIdentityAndCapabilities(t *testing.T) {
	conn := connect(t)
	product := "Harrier"
	if isRabbitMQ() {
		product = "RabbitMQ"
	}
	identical(t, "product", product, conn.Properties["product"])
	equal(t, "major", 0, conn.Major)
	equal(t, "minor", 9, conn.Minor)
	capabilities, ok := conn.Properties["capabilities"].(amqp.Table)
	equal(t, "capabilities is a table", true, ok)
	for _, name := range []string{"publisher_confirms", "exchange_exchange_bindings", "basic.nack",
		"consumer_cancel_notify", "connection.blocked", "consumer_priorities",
		"authentication_failure_close", "per_consumer_qos", "direct_reply_to"} {
		identical(t, name, true, capabilities[name])
	}
	equal(t, "frame max", 131072, conn.Config.FrameSize)
	equal(t, "channel max", 2047, conn.Config.ChannelMax)
}

// This client does not announce authentication_failure_close, so the broker says nothing, and
// closes the socket after a few seconds.
func TestWrongPassword(t *testing.T) {
	_, err := dialWith("not-the-password", environment("AMQP_VHOST", "/"), amqp.Config{})
	identical(t, "error", amqp.ErrCredentials, err)
}

func TestWrongPasswordAnnounced(t *testing.T) {
	_, err := dialWith("not-the-password", environment("AMQP_VHOST", "/"), amqp.Config{
		Properties: amqp.Table{"capabilities": amqp.Table{"authentication_failure_close": true}}})
	identical(t, "error", amqp.ErrCredentials, err)
}

func TestWrongVhost(t *testing.T) {
	_, err := dialWith(environment("AMQP_PASSWORD", "guest"), "no-such-vhost", amqp.Config{})
	identical(t, "error", amqp.ErrVhost, err)
}

// The library gives up on a connection that is silent for twice its heartbeat, and sends its own.
func TestHeartbeatsKeepAnIdleConnection(t *testing.T) {
	conn := connectWith(t, amqp.Config{Heartbeat: time.Second})
	equal(t, "heartbeat", time.Second, conn.Config.Heartbeat)
	closed := conn.NotifyClose(make(chan *amqp.Error, 1))
	select {
	case err := <-closed:
		t.Fatalf("closed while idle: %v", err)
	case <-time.After(4 * time.Second):
	}
	exclusiveQueue(t, openChannel(t, conn))
}

func TestConsumerTagReuseIs530(t *testing.T) {
	conn := connect(t)
	ch := openChannel(t, conn)
	closed := conn.NotifyClose(make(chan *amqp.Error, 1))
	queue := exclusiveQueue(t, ch)
	consume(t, ch, queue, "twice", true)
	if _, err := ch.Consume(queue, "twice", true, false, false, true, nil); err != nil {
		t.Fatalf("a consume with no-wait fails later, not at once: %v", err)
	}
	expectError(t, 530, "NOT_ALLOWED - attempt to reuse consumer tag 'twice'",
		await(t, "connection.close", closed))
}

func TestImmediateIs540(t *testing.T) {
	conn := connect(t)
	closed := conn.NotifyClose(make(chan *amqp.Error, 1))
	must(t, openChannel(t, conn).PublishWithContext(context.Background(), "amq.direct", "nowhere",
		false, true, amqp.Publishing{Body: []byte("now")}))
	expectError(t, 540, "NOT_IMPLEMENTED - immediate=true", await(t, "connection.close", closed))
}

func TestRecoverWithoutRequeueIs540(t *testing.T) {
	expectError(t, 540, "NOT_IMPLEMENTED - requeue=false", connectChannel(t).Recover(false))
}

func TestFlow(t *testing.T) {
	must(t, connectChannel(t).Flow(true))
	expectError(t, 540, "NOT_IMPLEMENTED - active=false", connectChannel(t).Flow(false))
}

func TestSecretCanBeUpdated(t *testing.T) {
	conn := connect(t)
	must(t, conn.UpdateSecret(environment("AMQP_PASSWORD", "guest"), "rotation"))
	exclusiveQueue(t, openChannel(t, conn))
}

func TestChannelsComeAndGo(t *testing.T) {
	conn := connect(t)
	for round := 0; round < 50; round++ {
		ch := openChannel(t, conn)
		_, err := ch.QueueDeclare("", false, true, true, false, nil)
		must(t, err)
		must(t, ch.Close())
	}
}

// Publishes pipelined behind the one that closes the channel are dropped; the number is free again
// at once; none of it may become a connection error.
func TestPublishesToAMissingExchange(t *testing.T) {
	conn := connect(t)
	for round := 0; round < 20; round++ {
		ch := openChannel(t, conn)
		closed := ch.NotifyClose(make(chan *amqp.Error, 1))
		missing := uniqueName("missing")
		for i := 0; i < 100; i++ {
			err := ch.PublishWithContext(context.Background(), missing, "key", false, false,
				amqp.Publishing{Body: []byte("lost")})
			if err != nil {
				identical(t, "error of a publish", amqp.ErrClosed, err)
				break
			}
		}
		expectError(t, 404, "NOT_FOUND - no exchange '"+missing+"' in vhost",
			await(t, "channel.close", closed))
	}
	equal(t, "connection closed", false, conn.IsClosed())
}
