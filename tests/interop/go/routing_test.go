// SPDX-License-Identifier: Apache-2.0

package interop

import (
	"fmt"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// A confirming channel and a few queues. After a confirmed publish, purging each queue says which
// got the message and how many copies.
type fixture struct {
	*testing.T
	ch       *amqp.Channel
	confirms <-chan amqp.Confirmation
	queues   []string
}

func newFixture(t *testing.T) *fixture {
	f := &fixture{T: t, ch: connectChannel(t)}
	f.confirms = confirming(t, f.ch)
	for i := 0; i < 3; i++ {
		f.queues = append(f.queues, exclusiveQueue(t, f.ch))
	}
	return f
}

func (f *fixture) declare(kind string, internal bool, args amqp.Table) string {
	f.Helper()
	name := uniqueName(kind)
	must(f.T, f.ch.ExchangeDeclare(name, kind, false, false, internal, false, args))
	f.Cleanup(func() { // runs before the clean-up that closes the connection
		if !f.ch.IsClosed() {
			must(f.T, f.ch.ExchangeDelete(name, false, false))
		}
	})
	return name
}

func (f *fixture) bind(queue int, exchange, key string, args amqp.Table) {
	f.Helper()
	must(f.T, f.ch.QueueBind(f.queues[queue], key, exchange, false, args))
}

func (f *fixture) expectRouted(expected, exchange, key string, headers amqp.Table) {
	f.Helper()
	publishMessage(f.T, f.ch, exchange, key, amqp.Publishing{Headers: headers})
	expectConfirmed(f.T, f.confirms, 1)
	copies := ""
	for _, queue := range f.queues {
		count, err := f.ch.QueuePurge(queue, false)
		must(f.T, err)
		copies += fmt.Sprint(count)
	}
	equal(f.T, fmt.Sprintf("copies of key %q, headers %v", key, headers), expected, copies)
}

func TestDirect(t *testing.T) {
	f := newFixture(t)
	exchange := f.declare("direct", false, nil)
	f.bind(0, exchange, "red", nil)
	f.bind(1, exchange, "red", nil)
	f.bind(1, exchange, "blue", nil)
	f.expectRouted("110", exchange, "red", nil)
	f.expectRouted("010", exchange, "blue", nil)
	f.expectRouted("000", exchange, "Red", nil)
	f.expectRouted("001", "", f.queues[2], nil)
	must(t, f.ch.QueueUnbind(f.queues[0], "red", exchange, nil))
	f.expectRouted("010", exchange, "red", nil)
}

func TestFanout(t *testing.T) {
	f := newFixture(t)
	exchange := f.declare("fanout", false, nil)
	f.bind(0, exchange, "", nil)
	f.bind(1, exchange, "ignored", nil)
	f.bind(1, exchange, "second binding, one copy", nil)
	f.expectRouted("110", exchange, "any", nil)
}

func TestTopic(t *testing.T) {
	f := newFixture(t)
	exchange := f.declare("topic", false, nil)
	f.bind(0, exchange, "*.orange.*", nil)
	f.bind(1, exchange, "*.*.rabbit", nil)
	f.bind(1, exchange, "lazy.#", nil)
	f.bind(2, exchange, "#", nil)
	f.expectRouted("111", exchange, "quick.orange.rabbit", nil)
	f.expectRouted("111", exchange, "lazy.orange.elephant", nil)
	f.expectRouted("011", exchange, "lazy", nil)
	f.expectRouted("001", exchange, "quick.orange.male.rabbit", nil)
	f.expectRouted("001", exchange, "", nil)
}

func TestHeaders(t *testing.T) {
	f := newFixture(t)
	exchange := f.declare("headers", false, nil)
	f.bind(0, exchange, "", amqp.Table{"x-match": "all", "format": "pdf", "pages": int32(3)})
	f.bind(1, exchange, "", amqp.Table{"x-match": "any", "format": "pdf", "pages": int32(3)})
	f.bind(2, exchange, "", amqp.Table{"x-match": "any", "urgent": nil})
	f.expectRouted("110", exchange, "", amqp.Table{"format": "pdf", "pages": int32(3)})
	// Integers are equal across widths.
	f.expectRouted("110", exchange, "", amqp.Table{"format": "pdf", "pages": int64(3)})
	f.expectRouted("010", exchange, "", amqp.Table{"format": "pdf", "pages": int32(4)})
	f.expectRouted("001", exchange, "", amqp.Table{"pages": "3", "urgent": false})
	f.expectRouted("000", exchange, "", nil)
}

func TestExchangeToExchange(t *testing.T) {
	f := newFixture(t)
	front := f.declare("fanout", false, nil)
	back := f.declare("topic", true, nil)
	f.bind(0, back, "a.*", nil)
	must(t, f.ch.ExchangeBind(back, "", front, false, nil))
	// A cycle must end, and must not double the copies.
	must(t, f.ch.ExchangeBind(front, "#", back, false, nil))
	f.expectRouted("100", front, "a.x", nil)
	f.expectRouted("000", front, "b.x", nil)
	must(t, f.ch.ExchangeUnbind(back, "", front, false, nil))
	f.expectRouted("000", front, "a.x", nil)
}

func TestAlternateExchange(t *testing.T) {
	f := newFixture(t)
	spare := f.declare("fanout", false, nil)
	exchange := f.declare("direct", false, amqp.Table{"alternate-exchange": spare})
	f.bind(0, exchange, "known", nil)
	f.bind(1, spare, "", nil)
	f.expectRouted("100", exchange, "known", nil)
	f.expectRouted("010", exchange, "unknown", nil)
}

func TestExchangeErrors(t *testing.T) {
	name := uniqueName("errors")
	conn := connect(t)
	expectError(t, 404, "NOT_FOUND - no exchange '"+name+"' in vhost",
		openChannel(t, conn).ExchangeDeclarePassive(name, "direct", false, false, false, false, nil))
	must(t, openChannel(t, conn).ExchangeDeclare(name, "direct", false, false, false, false, nil))
	expectError(t, 406, "PRECONDITION_FAILED - inequivalent arg 'type' for exchange",
		openChannel(t, conn).ExchangeDeclare(name, "fanout", false, false, false, false, nil))
	expectError(t, 406, "PRECONDITION_FAILED - inequivalent arg 'durable' for exchange",
		openChannel(t, conn).ExchangeDeclare(name, "direct", true, false, false, false, nil))
	expectError(t, 403, "contains reserved prefix 'amq.*'", openChannel(t, conn).ExchangeDeclare(
		"amq.mine", "direct", false, false, false, false, nil))
	expectError(t, 404, "NOT_FOUND - no queue",
		openChannel(t, conn).QueueBind(uniqueName("missing"), "key", name, false, nil))
	ch := openChannel(t, conn)
	must(t, ch.ExchangeDelete(name, false, false))
	must(t, ch.ExchangeDelete(name, false, false)) // deleting what is gone is no error
	expectError(t, 403, "ACCESS_REFUSED", ch.ExchangeDelete("amq.fanout", false, false))
}
