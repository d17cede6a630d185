// SPDX-License-Identifier: Apache-2.0

package interop

import (
	"context"
	"fmt"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// echo publishes to a queue of its own with confirms and consumes what it published, in order.
func echo(conn *amqp.Connection, messages int) error {
	ch, err := conn.Channel()
	if err != nil {
		return err
	}
	queue, err := ch.QueueDeclare("", false, false, true, false, nil)
	if err != nil {
		return err
	}
	if err := ch.Confirm(false); err != nil {
		return err
	}
	confirms := ch.NotifyPublish(make(chan amqp.Confirmation, messages))
	deliveries, err := ch.Consume(queue.Name, "", false, false, false, false, nil)
	if err != nil {
		return err
	}
	for i := 0; i < messages; i++ {
		if err := ch.PublishWithContext(context.Background(), "", queue.Name, false, false,
			amqp.Publishing{Body: []byte(fmt.Sprint(i))}); err != nil {
			return err
		}
	}
	limit := time.After(waitLimit)
	for delivered, confirmed := 0, 0; delivered < messages || confirmed < messages; {
		select {
		case delivery := <-deliveries:
			if string(delivery.Body) != fmt.Sprint(delivered) {
				return fmt.Errorf("expected message %d, got %q", delivered, delivery.Body)
			}
			if err := delivery.Ack(false); err != nil {
				return err
			}
			delivered++
		case confirmation := <-confirms:
			if !confirmation.Ack {
				return fmt.Errorf("publish %d was refused", confirmation.DeliveryTag)
			}
			confirmed++
		case <-limit:
			return fmt.Errorf("only %d delivered, %d confirmed", delivered, confirmed)
		}
	}
	return ch.Close()
}
