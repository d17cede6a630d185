// SPDX-License-Identifier: Apache-2.0

package interop

import (
	"context"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

const directReplyTo = "amq.rabbitmq.reply-to"

func TestTxCommitAndRollbackOfPublishes(t *testing.T) {
	ch := connectChannel(t)
	queue := exclusiveQueue(t, ch)
	must(t, ch.Tx())
	publish(t, ch, queue, "committed")
	expectEmpty(t, ch, queue)
	must(t, ch.TxCommit())
	publish(t, ch, queue, "rolled back")
	must(t, ch.TxRollback())
	must(t, ch.TxCommit())
	expectGet(t, ch, queue, "committed", true)
	expectEmpty(t, ch, queue)
}

func TestTxRollbackForgetsAcks(t *testing.T) {
	conn := connect(t)
	ch, other := openChannel(t, conn), openChannel(t, conn)
	queue := exclusiveQueue(t, ch)
	publish(t, ch, queue, "acked twice")
	must(t, ch.Tx())
	got := expectGet(t, ch, queue, "acked twice", false)
	must(t, got.Ack(false))
	must(t, ch.TxRollback())
	expectEmpty(t, other, queue) // outstanding still, not requeued
	must(t, got.Ack(false))
	must(t, ch.TxCommit())
	must(t, ch.Close())
	expectEmpty(t, other, queue)
}

func TestTxAcksReturnWhenTheChannelCloses(t *testing.T) {
	conn := connect(t)
	ch, other := openChannel(t, conn), openChannel(t, conn)
	queue := exclusiveQueue(t, other)
	publish(t, other, queue, "never committed")
	must(t, ch.Tx())
	must(t, expectGet(t, ch, queue, "never committed", false).Ack(false))
	publish(t, ch, queue, "discarded")
	must(t, ch.Close())
	equal(t, "redelivered", true, expectGet(t, other, queue, "never committed", true).Redelivered)
	expectEmpty(t, other, queue)
}

func TestTxReturnsAtCommit(t *testing.T) {
	ch := connectChannel(t)
	returns := ch.NotifyReturn(make(chan amqp.Return, 1))
	must(t, ch.Tx())
	must(t, ch.PublishWithContext(context.Background(), "amq.direct", "nowhere", true, false,
		amqp.Publishing{Body: []byte("back")}))
	must(t, ch.Qos(0, 0, false)) // a round trip: nothing came before it
	equal(t, "returns before the commit", 0, len(returns))
	must(t, ch.TxCommit())
	equal(t, "returns after the commit", 1, len(returns))
	equal(t, "body", "back", string((<-returns).Body))
}

func TestTxAndConfirmsDoNotMix(t *testing.T) {
	conn := connect(t)
	expectError(t, 406, "channel is not transactional", openChannel(t, conn).TxCommit())
	ch := openChannel(t, conn)
	must(t, ch.Tx())
	expectError(t, 406, "cannot switch from tx to confirm mode", ch.Confirm(false))
	ch = openChannel(t, conn)
	must(t, ch.Confirm(false))
	expectError(t, 406, "cannot switch from confirm to tx mode", ch.Tx())
}

// Answers "re: <body>" to whom each request names, and tells whom that was.
func startServer(t *testing.T) (requests string, replyTos <-chan string) {
	ch := connectChannel(t)
	queue := exclusiveQueue(t, ch)
	deliveries := consume(t, ch, queue, "", true)
	names := make(chan string, 10)
	go func() {
		for request := range deliveries {
			names <- request.ReplyTo
			reply := amqp.Publishing{CorrelationId: request.CorrelationId,
				Body: []byte("re: " + string(request.Body))}
			if err := ch.PublishWithContext(context.Background(), "", request.ReplyTo, false, false,
				reply); err != nil {
				t.Errorf("reply: %v", err)
			}
		}
	}()
	return queue, names
}

func ask(t *testing.T, ch *amqp.Channel, requests, replyTo, id, body string) {
	t.Helper()
	publishMessage(t, ch, "", requests,
		amqp.Publishing{ReplyTo: replyTo, CorrelationId: id, Body: []byte(body)})
}

func expectReply(t *testing.T, replies <-chan amqp.Delivery, id, body string) {
	t.Helper()
	reply := expectDelivery(t, replies, body, false)
	equal(t, "correlation id", id, reply.CorrelationId)
	equal(t, "exchange", "", reply.Exchange)
}

func TestRpcByExclusiveReplyQueue(t *testing.T) {
	requests, _ := startServer(t)
	ch := connectChannel(t)
	replyQueue := exclusiveQueue(t, ch)
	replies := consume(t, ch, replyQueue, "", true)
	ask(t, ch, requests, replyQueue, "1", "first")
	ask(t, ch, requests, replyQueue, "2", "second")
	expectReply(t, replies, "1", "re: first")
	expectReply(t, replies, "2", "re: second")
}

func TestRpcByDirectReplyTo(t *testing.T) {
	requests, replyTos := startServer(t)
	ch := connectChannel(t)
	replies := consume(t, ch, directReplyTo, "direct", true)
	ask(t, ch, requests, directReplyTo, "42", "question")
	name := await(t, "request", replyTos)
	equal(t, "prefix of "+name, true, strings.HasPrefix(name, directReplyTo+"."))
	expectReply(t, replies, "42", "re: question")

	other := connectChannel(t)
	queue, err := other.QueueDeclarePassive(name, false, false, false, false, nil)
	must(t, err)
	equal(t, "consumers", 1, queue.Consumers)
	must(t, ch.Close())
	_, err = other.QueueDeclarePassive(name, false, false, false, false, nil)
	expectError(t, 404, "NOT_FOUND", err)
}

func TestDirectReplyToErrors(t *testing.T) {
	_, err := connectChannel(t).Consume(directReplyTo, "", false, false, false, false, nil)
	expectError(t, 406, "reply consumer cannot acknowledge", err)
	ch := connectChannel(t)
	consume(t, ch, directReplyTo, "one", true)
	_, err = ch.Consume(directReplyTo, "two", true, false, false, false, nil)
	expectError(t, 406, "reply consumer already set", err)
}
