#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Routing: log lines with a severity, for those who asked for that severity.

    routing_send.py [SEVERITY MESSAGE]
"""

import os
import sys

import pika

url = os.environ.get("AMQP_URL", "amqp://guest:guest@127.0.0.1:5672/")
connection = pika.BlockingConnection(pika.URLParameters(url))
channel = connection.channel()

# A direct exchange delivers to the queues bound with exactly the message's routing key.
channel.exchange_declare(exchange="logs", exchange_type="direct")

lines = [("info", "Started"), ("warning", "Disk almost full"), ("error", "Disk full")]
if len(sys.argv) > 2:
    lines = [(sys.argv[1], sys.argv[2])]
for severity, message in lines:
    channel.basic_publish(exchange="logs", routing_key=severity, body=message)
    print(f"Sent {severity}: {message}")

connection.close()
