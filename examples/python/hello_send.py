#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Hello: sends one message to a queue."""

import os

import pika

url = os.environ.get("AMQP_URL", "amqp://guest:guest@127.0.0.1:5672/")
connection = pika.BlockingConnection(pika.URLParameters(url))
channel = connection.channel()

# Declaring is safe to repeat: the queue is made once, by whoever comes first.
channel.queue_declare(queue="hello")

# The default exchange "" delivers to the queue that is named by the routing key.
channel.basic_publish(exchange="", routing_key="hello", body="Hello World!")
print("Sent 'Hello World!'")

connection.close()
