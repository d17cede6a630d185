#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Publish/subscribe: every subscriber gets a copy of every message.

    pubsub_send.py [MESSAGE...]
"""

import os
import sys

import pika

url = os.environ.get("AMQP_URL", "amqp://guest:guest@127.0.0.1:5672/")
connection = pika.BlockingConnection(pika.URLParameters(url))
channel = connection.channel()

# A fanout exchange copies to all queues bound to it; without any, messages go nowhere.
channel.exchange_declare(exchange="news", exchange_type="fanout")

for message in sys.argv[1:] or ["Rain expected", "Road closed", "All clear"]:
    channel.basic_publish(exchange="news", routing_key="", body=message)
    print(f"Sent '{message}'")

connection.close()
