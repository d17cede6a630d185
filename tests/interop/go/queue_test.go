// SPDX-License-Identifier: Apache-2.0

package interop

import (
	"regexp"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

func TestServerNamedQueue(t *testing.T) {
	ch := connectChannel(t)
	queue, err := ch.QueueDeclare("", false, false, true, false, nil)
	must(t, err)
	if !regexp.MustCompile(`^amq\.gen-[A-Za-z0-9_-]{22}$`).MatchString(queue.Name) {
		t.Fatalf("unexpected name %q", queue.Name)
	}
	// The empty name means this queue, in bind also as the key.
	must(t, ch.QueueBind("", "", "amq.direct", false, nil))
	publishMessage(t, ch, "amq.direct", queue.Name, amqp.Publishing{Body: []byte("by its name")})
	expectGet(t, ch, "", "by its name", true)
}

func TestExclusiveQueueIsLockedForOthers(t *testing.T) {
	owner := connect(t)
	queue := exclusiveQueue(t, openChannel(t, owner))
	other := connect(t)
	_, err := openChannel(t, other).QueueDeclarePassive(queue, false, false, true, false, nil)
	expectError(t, 405, "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue", err)
	_, err = openChannel(t, other).Consume(queue, "", true, false, false, false, nil)
	expectError(t, 405, "RESOURCE_LOCKED", err)
	_, err = openChannel(t, other).QueuePurge(queue, false)
	expectError(t, 405, "RESOURCE_LOCKED", err)
	must(t, owner.Close()) // close-ok says that the queue is gone
	_, err = openChannel(t, other).QueueDeclarePassive(queue, false, false, true, false, nil)
	expectError(t, 404, "NOT_FOUND - no queue", err)
}

func TestRedeclareMustBeEquivalent(t *testing.T) {
	conn := connect(t)
	queue := exclusiveQueue(t, openChannel(t, conn))
	_, err := openChannel(t, conn).QueueDeclare(queue, false, false, true, false, nil)
	must(t, err)
	_, err = openChannel(t, conn).QueueDeclare(queue, false, true, true, false, nil)
	expectError(t, 406, "PRECONDITION_FAILED - inequivalent arg 'auto_delete' for queue", err)
	_, err = openChannel(t, conn).QueueDeclare(uniqueName("bad"), false, false, true, false,
		amqp.Table{"x-max-length": int32(-1)})
	expectError(t, 406, "PRECONDITION_FAILED - invalid arg 'x-max-length' for queue", err)
	_, err = openChannel(t, conn).QueueDeclare("amq.reserved", false, false, true, false, nil)
	expectError(t, 403, "contains reserved prefix 'amq.*'", err)
}

func TestGetInOrderWithCounts(t *testing.T) {
	ch := connectChannel(t)
	queue := exclusiveQueue(t, ch)
	expectEmpty(t, ch, queue)
	confirms := confirming(t, ch)
	bodies := []string{"one", "two", "three"}
	publish(t, ch, queue, bodies...)
	expectConfirmed(t, confirms, len(bodies))
	for i, body := range bodies {
		got := expectGet(t, ch, queue, body, false)
		equal(t, "delivery tag", uint64(i+1), got.DeliveryTag)
		equal(t, "messages left", uint32(2-i), got.MessageCount)
		equal(t, "redelivered", false, got.Redelivered)
		equal(t, "exchange", "", got.Exchange)
		equal(t, "routing key", queue, got.RoutingKey)
	}
	must(t, ch.Ack(3, true))
	expectEmpty(t, ch, queue)
	_, _, err := ch.Get(uniqueName("missing"), true)
	expectError(t, 404, "NOT_FOUND - no queue", err)
}

func TestPurgeAndDeleteCount(t *testing.T) {
	conn := connect(t)
	ch := openChannel(t, conn)
	queue := exclusiveQueue(t, ch)
	confirms := confirming(t, ch)
	publish(t, ch, queue, "counted", "counted", "counted", "counted", "counted")
	expectConfirmed(t, confirms, 5)
	unacked := expectGet(t, ch, queue, "counted", false)
	purged, err := ch.QueuePurge(queue, false)
	must(t, err)
	equal(t, "purged", 4, purged)
	must(t, unacked.Nack(false, true))
	publish(t, ch, queue, "counted")
	expectConfirmed(t, confirms, 1)
	_, err = openChannel(t, conn).QueueDelete(queue, false, true, false)
	expectError(t, 406, "not empty", err)
	for _, expected := range []int{2, 0} {
		deleted, err := ch.QueueDelete(queue, false, false, false)
		must(t, err)
		equal(t, "deleted", expected, deleted)
	}
}

func TestAutoDeleteQueueGoesWithItsLastConsumer(t *testing.T) {
	conn := connect(t)
	ch := openChannel(t, conn)
	queue, err := ch.QueueDeclare(uniqueName("auto-delete"), false, true, false, false, nil)
	must(t, err)
	consume(t, ch, queue.Name, "only", true)
	_, err = openChannel(t, conn).QueueDelete(queue.Name, true, false, false)
	expectError(t, 406, "in use", err)
	must(t, ch.Cancel("only", false))
	_, err = ch.QueueDeclarePassive(queue.Name, false, true, false, false, nil)
	expectError(t, 404, "NOT_FOUND - no queue", err)
}
