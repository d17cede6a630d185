#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Work queue: hands out numbers to factorise; each goes to one worker.

    work_send.py [NUMBER...]
"""

import os
import sys

import pika

url = os.environ.get("AMQP_URL", "amqp://guest:guest@127.0.0.1:5672/")
connection = pika.BlockingConnection(pika.URLParameters(url))
channel = connection.channel()

# A durable queue with persistent messages: work is not lost when the broker restarts.
channel.queue_declare(queue="tasks", durable=True)
persistent = pika.BasicProperties(delivery_mode=2)

for number in sys.argv[1:] or ["12", "97", "1001", "65536", "999999", "600851475143"]:
    channel.basic_publish(exchange="", routing_key="tasks", body=number, properties=persistent)
    print(f"Sent {number}")

connection.close()
