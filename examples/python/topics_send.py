#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Topics: measurements with a key of words, PLACE.ROOM.QUANTITY.

    topics_send.py [KEY MESSAGE]
"""

import os
import sys

import pika

url = os.environ.get("AMQP_URL", "amqp://guest:guest@127.0.0.1:5672/")
connection = pika.BlockingConnection(pika.URLParameters(url))
channel = connection.channel()

# A topic exchange matches the words of the routing key with patterns.
channel.exchange_declare(exchange="measurements", exchange_type="topic")

measurements = [
    ("home.kitchen.humidity", "40 %"),
    ("office.lobby.temperature", "19 C"),
    ("office.lobby.humidity", "55 %"),
    ("home.kitchen.temperature", "21 C"),
]
if len(sys.argv) > 2:
    measurements = [(sys.argv[1], sys.argv[2])]
for key, value in measurements:
    channel.basic_publish(exchange="measurements", routing_key=key, body=value)
    print(f"Sent {key}: {value}")

connection.close()
