// SPDX-License-Identifier: Apache-2.0

package interop

import (
	"bytes"
	"context"
	"math"
	"math/rand"
	"reflect"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

const largeBodyBytes = 10 * 1024 * 1024

func TestConfirms(t *testing.T) {
	const messages = 200
	ch := connectChannel(t)
	queue := exclusiveQueue(t, ch)
	publish(t, ch, queue, "before select: not counted")
	must(t, ch.Confirm(false))
	confirms := ch.NotifyPublish(make(chan amqp.Confirmation, messages))
	for i := 0; i < messages; i++ {
		publish(t, ch, queue, "confirm me")
	}
	for tag := uint64(1); tag <= messages; tag++ { // the library puts them in order
		equal(t, "confirmation", amqp.Confirmation{DeliveryTag: tag, Ack: true},
			await(t, "confirmation", confirms))
	}
	equal(t, "messages", messages+1, messageCount(t, ch, queue))
}

func TestMandatoryReturnsBeforeTheAck(t *testing.T) {
	ch := connectChannel(t)
	must(t, ch.Confirm(false))
	// Unbuffered: the library hands over one event before it reads the next frame.
	confirms := ch.NotifyPublish(make(chan amqp.Confirmation))
	returns := ch.NotifyReturn(make(chan amqp.Return))
	must(t, ch.PublishWithContext(context.Background(), "amq.direct", "nowhere", true, false,
		amqp.Publishing{MessageId: "u-1", Body: []byte("come back")}))
	select {
	case returned := <-returns:
		equal(t, "code", 312, returned.ReplyCode)
		equal(t, "text", "NO_ROUTE", returned.ReplyText)
		equal(t, "exchange", "amq.direct", returned.Exchange)
		equal(t, "routing key", "nowhere", returned.RoutingKey)
		equal(t, "message id", "u-1", returned.MessageId)
		equal(t, "body", "come back", string(returned.Body))
	case confirmation := <-confirms:
		t.Fatalf("%v came before the return", confirmation)
	case <-time.After(waitLimit):
		t.Fatal("no return")
	}
	equal(t, "confirmation", amqp.Confirmation{DeliveryTag: 1, Ack: true},
		await(t, "confirmation", confirms))
}

func TestTenMebibytesBothWays(t *testing.T) {
	ch := connectChannel(t)
	queue := exclusiveQueue(t, ch)
	body := make([]byte, largeBodyBytes)
	if _, err := rand.New(rand.NewSource(7)).Read(body); err != nil {
		t.Fatal(err)
	}
	for i := 0; i < 2; i++ {
		publishMessage(t, ch, "", queue, amqp.Publishing{Body: body})
	}
	got, ok := get(t, ch, queue, true)
	equal(t, "got a message", true, ok)
	equal(t, "same body by get", true, bytes.Equal(body, got.Body))
	delivered := await(t, "delivery", consume(t, ch, queue, "", true))
	equal(t, "same body by consume", true, bytes.Equal(body, delivered.Body))
}

// Small frames: the same content in pieces of 4 KiB.
func TestSmallFrameMax(t *testing.T) {
	const frameMax = 8192
	conn := connectWith(t, amqp.Config{FrameSize: frameMax})
	equal(t, "frame max", frameMax, conn.Config.FrameSize)
	ch := openChannel(t, conn)
	queue := exclusiveQueue(t, ch)
	for _, size := range []int{0, 1, frameMax - 9, frameMax - 8, frameMax - 7, 100000} {
		body := bytes.Repeat([]byte{'x'}, size)
		publishMessage(t, ch, "", queue, amqp.Publishing{Body: body})
		got, ok := get(t, ch, queue, true)
		equal(t, "got a message", true, ok)
		equal(t, "same body", true, bytes.Equal(body, got.Body))
	}
}

func TestPropertiesAndHeaders(t *testing.T) {
	ch := connectChannel(t)
	queue := exclusiveQueue(t, ch)
	moment := time.Unix(1700000000, 0)
	headers := amqp.Table{
		"array": []interface{}{int32(1), "two", nil, amqp.Table{"three": true}},
		"bool":  false, "byte": byte(255), "bytes": []byte{0, 255, 127, 128},
		"decimal": amqp.Decimal{Scale: 2, Value: 31415}, "double": -1.0e300, "float": float32(0.5),
		"int16": int16(math.MinInt16), "int32": int32(math.MinInt32), "int64": int64(math.MinInt64),
		"int8": int8(-128), "nil": nil, "string": "grüß", "time": moment,
		"table": amqp.Table{"deep": amqp.Table{"deeper": true}},
	}
	sent := amqp.Publishing{Headers: headers, ContentType: "application/json",
		ContentEncoding: "utf-8", DeliveryMode: amqp.Persistent, Priority: 9, CorrelationId: "c-1",
		ReplyTo: "somewhere", Expiration: "60000", MessageId: "m-1", Timestamp: moment,
		Type: "order.created", UserId: environment("AMQP_USER", "guest"), AppId: "interop",
		Body: []byte("{}")}
	publishMessage(t, ch, "", queue, sent)
	got, ok := get(t, ch, queue, true)
	equal(t, "got a message", true, ok)
	back := amqp.Publishing{Headers: got.Headers, ContentType: got.ContentType,
		ContentEncoding: got.ContentEncoding, DeliveryMode: got.DeliveryMode, Priority: got.Priority,
		CorrelationId: got.CorrelationId, ReplyTo: got.ReplyTo, Expiration: got.Expiration,
		MessageId: got.MessageId, Timestamp: got.Timestamp, Type: got.Type, UserId: got.UserId,
		AppId: got.AppId, Body: got.Body}
	if !reflect.DeepEqual(sent, back) {
		t.Fatalf("sent %#v\ngot %#v", sent, back)
	}
}

func TestRefusedProperties(t *testing.T) {
	for fragment, message := range map[string]amqp.Publishing{
		"PRECONDITION_FAILED - invalid expiration 'soon'":               {Expiration: "soon"},
		"PRECONDITION_FAILED - user_id property set to 'somebody else'": {UserId: "somebody else"},
		"PRECONDITION_FAILED - fast reply consumer does not exist":      {ReplyTo: directReplyTo},
		"unacceptable_type_in_header":                                   {Headers: amqp.Table{"CC": "x"}},
	} {
		ch := connectChannel(t)
		closed := ch.NotifyClose(make(chan *amqp.Error, 1))
		publishMessage(t, ch, "amq.fanout", "", message)
		expectError(t, 406, fragment, await(t, "channel.close", closed))
	}
}

func TestCarbonCopies(t *testing.T) {
	ch := connectChannel(t)
	to, copied, blind := exclusiveQueue(t, ch), exclusiveQueue(t, ch), exclusiveQueue(t, ch)
	publishMessage(t, ch, "", to, amqp.Publishing{Headers: amqp.Table{
		"CC": []interface{}{copied, to}, "BCC": []interface{}{blind}}, Body: []byte("hello")})
	for _, queue := range []string{to, copied, blind} {
		got := expectGet(t, ch, queue, "hello", true)
		equal(t, "routing key", to, got.RoutingKey)
		_, hasCopies := got.Headers["CC"]
		_, hasBlindCopies := got.Headers["BCC"]
		equal(t, "CC is visible", true, hasCopies)
		equal(t, "BCC is visible", false, hasBlindCopies)
		expectEmpty(t, ch, queue)
	}
}
