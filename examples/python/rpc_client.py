#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""RPC: asks the server for Fibonacci numbers.

    rpc_client.py [N...]
"""

import os
import sys
import uuid

import pika

url = os.environ.get("AMQP_URL", "amqp://guest:guest@127.0.0.1:5672/")
connection = pika.BlockingConnection(pika.URLParameters(url))
channel = connection.channel()

# Answers come to a queue of our own; the correlation id says which request they belong to.
replies = channel.queue_declare(queue="", exclusive=True).method.queue
answers = {}


def on_reply(channel, method, properties, body):
    answers[properties.correlation_id] = int(body)


channel.basic_consume(queue=replies, on_message_callback=on_reply, auto_ack=True)


def fibonacci(n):
    request_id = str(uuid.uuid4())
    channel.basic_publish(
        exchange="",
        routing_key="fibonacci",
        properties=pika.BasicProperties(reply_to=replies, correlation_id=request_id),
        body=str(n),
    )
    while request_id not in answers:
        connection.process_data_events(time_limit=None)
    return answers.pop(request_id)


for n in map(int, sys.argv[1:] or ["1", "10", "50"]):
    print(f"fibonacci({n}) = {fibonacci(n)}")

connection.close()
