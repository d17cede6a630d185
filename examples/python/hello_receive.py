#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Hello: prints the messages of a queue as they come."""

import os

import pika

url = os.environ.get("AMQP_URL", "amqp://guest:guest@127.0.0.1:5672/")
connection = pika.BlockingConnection(pika.URLParameters(url))
channel = connection.channel()
channel.queue_declare(queue="hello")


def on_message(channel, method, properties, body):
    print(f"Received '{body.decode()}'")


channel.basic_consume(queue="hello", on_message_callback=on_message, auto_ack=True)
print("Waiting for messages. To exit press CTRL+C")
try:
    channel.start_consuming()
except KeyboardInterrupt:
    connection.close()
