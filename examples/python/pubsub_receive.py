#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Publish/subscribe: one subscriber. It sees what is published while it runs."""

import os

import pika

url = os.environ.get("AMQP_URL", "amqp://guest:guest@127.0.0.1:5672/")
connection = pika.BlockingConnection(pika.URLParameters(url))
channel = connection.channel()
channel.exchange_declare(exchange="news", exchange_type="fanout")

# A queue of our own: the broker picks the name and deletes it with this connection.
queue = channel.queue_declare(queue="", exclusive=True).method.queue
channel.queue_bind(exchange="news", queue=queue)


def on_message(channel, method, properties, body):
    print(f"Received '{body.decode()}'")


channel.basic_consume(queue=queue, on_message_callback=on_message, auto_ack=True)
print("Waiting for news. To exit press CTRL+C")
try:
    channel.start_consuming()
except KeyboardInterrupt:
    connection.close()
