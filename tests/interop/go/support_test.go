// SPDX-License-Identifier: Apache-2.0

// Package interop is the amqp091-go suite. This file holds what every test uses: the broker's
// address from the environment, connections that are closed after each test, waits that end.
// Queues are exclusive wherever the test allows it, so that they go with their connection.
package interop

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Nothing here takes longer on a working broker; a wait that does is a failure.
const waitLimit = 20 * time.Second

func environment(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

func isRabbitMQ() bool { return environment("AMQP_PRODUCT", "harrier") == "rabbitmq" }

func dialWith(password, vhost string, config amqp.Config) (*amqp.Connection, error) {
	address := url.URL{
		Scheme: "amqp",
		User:   url.UserPassword(environment("AMQP_USER", "guest"), password),
		Host: net.JoinHostPort(environment("AMQP_HOST", "127.0.0.1"),
			environment("AMQP_PORT", "5672")),
	}
	config.Vhost = vhost
	config.Locale = "en_US"
	if config.Heartbeat == 0 {
		config.Heartbeat = 10 * time.Second
	}
	return amqp.DialConfig(address.String()+"/", config)
}

func connectWith(t *testing.T, config amqp.Config) *amqp.Connection {
	t.Helper()
	conn, err := dialWith(environment("AMQP_PASSWORD", "guest"), environment("AMQP_VHOST", "/"),
		config)
	must(t, err)
	t.Cleanup(func() {
		if err := conn.Close(); err != nil && !errors.Is(err, amqp.ErrClosed) {
			t.Errorf("closing the connection: %v", err)
		}
	})
	return conn
}

func connect(t *testing.T) *amqp.Connection {
	t.Helper()
	return connectWith(t, amqp.Config{})
}

func openChannel(t *testing.T, conn *amqp.Connection) *amqp.Channel {
	t.Helper()
	ch, err := conn.Channel()
	must(t, err)
	return ch
}

func connectChannel(t *testing.T) *amqp.Channel {
	t.Helper()
	return openChannel(t, connect(t))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// For values of interface types, which are not comparable as type arguments before Go 1.20.
func identical(t *testing.T, what string, expected, actual any) {
	t.Helper()
	if expected != actual {
		t.Fatalf("%s: expected %v, got %v", what, expected, actual)
	}
}

func equal[T comparable](t *testing.T, what string, expected, actual T) {
	t.Helper()
	if expected != actual {
		t.Fatalf("%s: expected %v, got %v", what, expected, actual)
	}
}

// The error is the broker's, has this code and its text contains the fragment.
func expectError(t *testing.T, code int, fragment string, err error) {
	t.Helper()
	var failure *amqp.Error
	if !errors.As(err, &failure) {
		t.Fatalf("expected error %d, got %v", code, err)
	}
	equal(t, "reply code of "+failure.Error(), code, failure.Code)
	equal(t, "sent by the broker", true, failure.Server)
	if !strings.Contains(failure.Reason, fragment) {
		t.Fatalf("expected %q in %q", fragment, failure.Reason)
	}
}

func await[T any](t *testing.T, what string, events <-chan T) T {
	t.Helper()
	select {
	case event, open := <-events:
		if !open {
			t.Fatalf("%s: the channel was closed", what)
		}
		return event
	case <-time.After(waitLimit):
		t.Fatalf("%s: nothing came", what)
	}
	panic("unreachable")
}

var nameCounter int64

func uniqueName(base string) string {
	return fmt.Sprintf("interop-go-%d-%d-%s", os.Getpid(), atomic.AddInt64(&nameCounter, 1), base)
}

func exclusiveQueue(t *testing.T, ch *amqp.Channel) string {
	t.Helper()
	queue, err := ch.QueueDeclare(uniqueName("queue"), false, false, true, false, nil)
	must(t, err)
	return queue.Name
}

// Ready messages by a passive declare.
func messageCount(t *testing.T, ch *amqp.Channel, queue string) int {
	t.Helper()
	state, err := ch.QueueDeclarePassive(queue, false, false, true, false, nil)
	must(t, err)
	return state.Messages
}

func publishMessage(t *testing.T, ch *amqp.Channel, exchange, key string, m amqp.Publishing) {
	t.Helper()
	must(t, ch.PublishWithContext(context.Background(), exchange, key, false, false, m))
}

// Publishes these bodies to the queue by the default exchange.
func publish(t *testing.T, ch *amqp.Channel, queue string, bodies ...string) {
	t.Helper()
	for _, body := range bodies {
		publishMessage(t, ch, "", queue, amqp.Publishing{Body: []byte(body)})
	}
}

// Confirms in order. Not by PublishWithDeferredConfirm: in this version of the library it loses
// an ack that arrives before the call has come back from the socket.
func confirming(t *testing.T, ch *amqp.Channel) <-chan amqp.Confirmation {
	t.Helper()
	must(t, ch.Confirm(false))
	return ch.NotifyPublish(make(chan amqp.Confirmation, 1000))
}

func expectConfirmed(t *testing.T, confirms <-chan amqp.Confirmation, count int) {
	t.Helper()
	for i := 0; i < count; i++ {
		equal(t, "acknowledged", true, await(t, "confirmation", confirms).Ack)
	}
}

func consume(t *testing.T, ch *amqp.Channel, queue, tag string, autoAck bool) <-chan amqp.Delivery {
	t.Helper()
	deliveries, err := ch.Consume(queue, tag, autoAck, false, false, false, nil)
	must(t, err)
	return deliveries
}

func expectDelivery(t *testing.T, from <-chan amqp.Delivery, body string,
	redelivered bool) amqp.Delivery {
	t.Helper()
	delivery := await(t, "delivery of "+body, from)
	equal(t, "body", body, string(delivery.Body))
	equal(t, "redelivered", redelivered, delivery.Redelivered)
	return delivery
}

func get(t *testing.T, ch *amqp.Channel, queue string, autoAck bool) (amqp.Delivery, bool) {
	t.Helper()
	delivery, ok, err := ch.Get(queue, autoAck)
	must(t, err)
	return delivery, ok
}

func expectGet(t *testing.T, ch *amqp.Channel, queue, body string, autoAck bool) amqp.Delivery {
	t.Helper()
	delivery, ok := get(t, ch, queue, autoAck)
	equal(t, "got a message", true, ok)
	equal(t, "body", body, string(delivery.Body))
	return delivery
}

func expectEmpty(t *testing.T, ch *amqp.Channel, queue string) {
	t.Helper()
	delivery, ok := get(t, ch, queue, true)
	if ok {
		t.Fatalf("expected %s to be empty, got %q", queue, delivery.Body)
	}
}
