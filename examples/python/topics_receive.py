#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Topics: prints the measurements whose key matches a pattern. In patterns * stands for one word
and # for any number of words.

    topics_receive.py PATTERN...            e.g. 'home.#' '*.*.temperature'
"""

import os
import sys

import pika

patterns = sys.argv[1:]
if not patterns:
    sys.exit(f"usage: {sys.argv[0]} PATTERN...")

url = os.environ.get("AMQP_URL", "amqp://guest:guest@127.0.0.1:5672/")
connection = pika.BlockingConnection(pika.URLParameters(url))
channel = connection.channel()
channel.exchange_declare(exchange="measurements", exchange_type="topic")

# A message comes once, even if several patterns of the queue match it.
queue = channel.queue_declare(queue="", exclusive=True).method.queue
for pattern in patterns:
    channel.queue_bind(exchange="measurements", queue=queue, routing_key=pattern)


def on_message(channel, method, properties, body):
    print(f"Received {method.routing_key}: {body.decode()}")


channel.basic_consume(queue=queue, on_message_callback=on_message, auto_ack=True)
print("Waiting for measurements. To exit press CTRL+C")
try:
    channel.start_consuming()
except KeyboardInterrupt:
    connection.close()
