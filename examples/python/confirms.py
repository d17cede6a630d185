#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Publisher confirms: the broker says for every message whether it has taken responsibility."""

import os

import pika
import pika.exceptions

url = os.environ.get("AMQP_URL", "amqp://guest:guest@127.0.0.1:5672/")
connection = pika.BlockingConnection(pika.URLParameters(url))
channel = connection.channel()

# From here on basic_publish waits for the broker's answer, and raises if it is not an ack.
channel.confirm_delivery()

queue = channel.queue_declare(queue="", exclusive=True).method.queue
for number in range(1, 4):
    channel.basic_publish(exchange="", routing_key=queue, body=f"Message {number}")
    print(f"Confirmed: Message {number}")

# mandatory: a message that no queue takes comes back instead of being dropped.
try:
    channel.basic_publish(exchange="", routing_key="no.such.queue", body="Lost?", mandatory=True)
except pika.exceptions.UnroutableError as error:
    returned = error.messages[0]
    print(f"Returned: {returned.body.decode()} ({returned.method.reply_text})")

connection.close()
