// SPDX-License-Identifier: Apache-2.0

package interop

import (
	"fmt"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

func TestPrefetchBoundsWhatIsUnacked(t *testing.T) {
	ch := connectChannel(t)
	queue := exclusiveQueue(t, ch)
	publish(t, ch, queue, "m1", "m2", "m3", "m4")
	must(t, ch.Qos(2, 0, false))
	deliveries := consume(t, ch, queue, "", false)
	first := expectDelivery(t, deliveries, "m1", false)
	expectDelivery(t, deliveries, "m2", false)
	equal(t, "ready", 2, messageCount(t, ch, queue))
	must(t, first.Ack(false))
	third := expectDelivery(t, deliveries, "m3", false)
	equal(t, "ready", 1, messageCount(t, ch, queue))
	must(t, third.Ack(true))
	expectDelivery(t, deliveries, "m4", false)
	must(t, ch.Ack(0, true)) // everything outstanding
	equal(t, "ready", 0, messageCount(t, ch, queue))
}

func TestGlobalPrefetchIsSharedByTheChannel(t *testing.T) {
	ch := connectChannel(t)
	first, second := exclusiveQueue(t, ch), exclusiveQueue(t, ch)
	publish(t, ch, first, "m1", "m2")
	publish(t, ch, second, "n1", "n2")
	must(t, ch.Qos(3, 0, true))
	fromFirst := consume(t, ch, first, "", false)
	expectDelivery(t, fromFirst, "m1", false)
	expectDelivery(t, fromFirst, "m2", false)
	fromSecond := consume(t, ch, second, "", false)
	expectDelivery(t, fromSecond, "n1", false)
	equal(t, "ready", 1, messageCount(t, ch, second))
	must(t, ch.Ack(1, false))
	expectDelivery(t, fromSecond, "n2", false)
}

func TestRequeuedMessagesKeepTheirPlace(t *testing.T) {
	ch := connectChannel(t)
	queue := exclusiveQueue(t, ch)
	publish(t, ch, queue, "m1", "m2", "m3")
	first := expectGet(t, ch, queue, "m1", false)
	second := expectGet(t, ch, queue, "m2", false)
	must(t, second.Nack(false, true))
	must(t, first.Reject(true))
	deliveries := consume(t, ch, queue, "", true)
	expectDelivery(t, deliveries, "m1", true)
	expectDelivery(t, deliveries, "m2", true)
	expectDelivery(t, deliveries, "m3", false)
}

func TestNackMultipleAndReject(t *testing.T) {
	ch := connectChannel(t)
	queue := exclusiveQueue(t, ch)
	publish(t, ch, queue, "m1", "m2", "m3", "m4")
	var got []amqp.Delivery
	for i := 1; i <= 4; i++ {
		got = append(got, expectGet(t, ch, queue, fmt.Sprintf("m%d", i), false))
	}
	must(t, got[3].Reject(false)) // dropped
	must(t, got[2].Nack(true, true))
	for i := 1; i <= 3; i++ {
		expectGet(t, ch, queue, fmt.Sprintf("m%d", i), true)
	}
	expectEmpty(t, ch, queue)
}

func TestUnackedMessagesReturnWhenTheChannelCloses(t *testing.T) {
	conn := connect(t)
	ch, other := openChannel(t, conn), openChannel(t, conn)
	queue := exclusiveQueue(t, ch)
	publish(t, ch, queue, "m1", "m2")
	deliveries := consume(t, other, queue, "", false)
	must(t, expectDelivery(t, deliveries, "m1", false).Ack(false))
	expectDelivery(t, deliveries, "m2", false)
	must(t, other.Close())
	equal(t, "redelivered", true, expectGet(t, ch, queue, "m2", true).Redelivered)
	expectEmpty(t, ch, queue)
}

func TestRecoverRedelivers(t *testing.T) {
	ch := connectChannel(t)
	queue := exclusiveQueue(t, ch)
	publish(t, ch, queue, "m1", "m2")
	deliveries := consume(t, ch, queue, "", false)
	expectDelivery(t, deliveries, "m1", false)
	expectDelivery(t, deliveries, "m2", false)
	must(t, ch.Recover(true))
	expectDelivery(t, deliveries, "m1", true)
	equal(t, "delivery tag", 4, expectDelivery(t, deliveries, "m2", true).DeliveryTag)
}

func TestUnknownDeliveryTagIs406(t *testing.T) {
	conn := connect(t)
	for name, settle := range map[string]func(*amqp.Channel) error{
		"ack":    func(ch *amqp.Channel) error { return ch.Ack(82, false) },
		"nack":   func(ch *amqp.Channel) error { return ch.Nack(82, false, true) },
		"reject": func(ch *amqp.Channel) error { return ch.Reject(82, true) },
	} {
		ch := openChannel(t, conn)
		closed := ch.NotifyClose(make(chan *amqp.Error, 1))
		must(t, settle(ch))
		expectError(t, 406, "PRECONDITION_FAILED - unknown delivery tag 82",
			await(t, "channel.close after "+name, closed))
	}
	ch := openChannel(t, conn)
	closed := ch.NotifyClose(make(chan *amqp.Error, 1))
	queue := exclusiveQueue(t, ch)
	publish(t, ch, queue, "m1")
	got := expectGet(t, ch, queue, "m1", false)
	must(t, got.Ack(false))
	must(t, got.Ack(false)) // the second time it is unknown
	expectError(t, 406, "unknown delivery tag 1", await(t, "channel.close", closed))
}

func TestCancelKeepsWhatWasDelivered(t *testing.T) {
	ch := connectChannel(t)
	queue := exclusiveQueue(t, ch)
	publish(t, ch, queue, "m1", "m2")
	must(t, ch.Qos(1, 0, false))
	delivery := expectDelivery(t, consume(t, ch, queue, "mine", false), "m1", false)
	must(t, ch.Cancel("mine", false))
	must(t, ch.Cancel("never existed", false))
	must(t, delivery.Ack(false))
	expectGet(t, ch, queue, "m2", true)
	expectEmpty(t, ch, queue)
}

func TestDeletingTheQueueCancelsItsConsumer(t *testing.T) {
	ch := connectChannel(t)
	queue, err := ch.QueueDeclare(uniqueName("deleted"), false, false, false, false, nil)
	must(t, err)
	cancels := ch.NotifyCancel(make(chan string, 1))
	deliveries := consume(t, ch, queue.Name, "watcher", false)
	_, err = connectChannel(t).QueueDelete(queue.Name, false, false, false)
	must(t, err)
	equal(t, "cancelled", "watcher", await(t, "cancel", cancels))
	if delivery, open := <-deliveries; open {
		t.Fatalf("a delivery from a deleted queue: %v", delivery)
	}
}

func TestExclusiveConsumerIsAlone(t *testing.T) {
	conn := connect(t)
	ch := openChannel(t, conn)
	queue := exclusiveQueue(t, ch)
	_, err := ch.Consume(queue, "alone", true, true, false, false, nil)
	must(t, err)
	_, err = openChannel(t, conn).Consume(queue, "late", true, false, false, false, nil)
	expectError(t, 403, "in exclusive use", err)
	must(t, ch.Cancel("alone", false))
	consume(t, openChannel(t, conn), queue, "late", true)
}

// Each of eight goroutines publishes and consumes on channels of its own over one connection.
func TestManyGoroutinesShareAConnection(t *testing.T) {
	const workers, messages = 8, 200
	conn := connect(t)
	failures := make(chan error, workers)
	for worker := 0; worker < workers; worker++ {
		go func() { failures <- echo(conn, messages) }()
	}
	for worker := 0; worker < workers; worker++ {
		if err := await(t, "worker", failures); err != nil {
			t.Fatal(err)
		}
	}
}
