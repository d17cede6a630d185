#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Routing: prints the log lines of the given severities.

    routing_receive.py SEVERITY...          e.g. warning error
"""

import os
import sys

import pika

severities = sys.argv[1:]
if not severities:
    sys.exit(f"usage: {sys.argv[0]} SEVERITY...")

url = os.environ.get("AMQP_URL", "amqp://guest:guest@127.0.0.1:5672/")
connection = pika.BlockingConnection(pika.URLParameters(url))
channel = connection.channel()
channel.exchange_declare(exchange="logs", exchange_type="direct")

# One queue may be bound many times, here once per severity.
queue = channel.queue_declare(queue="", exclusive=True).method.queue
for severity in severities:
    channel.queue_bind(exchange="logs", queue=queue, routing_key=severity)


def on_message(channel, method, properties, body):
    print(f"Received {method.routing_key}: {body.decode()}")


channel.basic_consume(queue=queue, on_message_callback=on_message, auto_ack=True)
print("Waiting for logs. To exit press CTRL+C")
try:
    channel.start_consuming()
except KeyboardInterrupt:
    connection.close()
