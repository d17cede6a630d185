#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""RPC: answers requests for Fibonacci numbers."""

import os

import pika

url = os.environ.get("AMQP_URL", "amqp://guest:guest@127.0.0.1:5672/")
connection = pika.BlockingConnection(pika.URLParameters(url))
channel = connection.channel()
channel.queue_declare(queue="fibonacci")
channel.basic_qos(prefetch_count=1)


def fibonacci(n):
    previous, current = 1, 0
    for _ in range(n):
        previous, current = current, previous + current
    return current


def on_request(channel, method, properties, body):
    n = int(body)
    print(f"Asked for fibonacci({n})")
    # The answer goes where the request says, marked so that the client knows what it answers.
    channel.basic_publish(
        exchange="",
        routing_key=properties.reply_to,
        properties=pika.BasicProperties(correlation_id=properties.correlation_id),
        body=str(fibonacci(n)),
    )
    channel.basic_ack(delivery_tag=method.delivery_tag)


channel.basic_consume(queue="fibonacci", on_message_callback=on_request)
print("Waiting for requests. To exit press CTRL+C")
try:
    channel.start_consuming()
except KeyboardInterrupt:
    connection.close()
