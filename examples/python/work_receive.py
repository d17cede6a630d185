#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Work queue: one worker. Start several and see them share the work."""

import os

import pika

url = os.environ.get("AMQP_URL", "amqp://guest:guest@127.0.0.1:5672/")
connection = pika.BlockingConnection(pika.URLParameters(url))
channel = connection.channel()
channel.queue_declare(queue="tasks", durable=True)

# One task at a time: the next one goes to whichever worker is free first.
channel.basic_qos(prefetch_count=1)


def prime_factors(number):
    divisor = 2
    while divisor * divisor <= number:
        while number % divisor == 0:
            yield divisor
            number //= divisor
        divisor += 1
    if number > 1:
        yield number


def on_task(channel, method, properties, body):
    number = int(body)
    print(number, "=", " * ".join(map(str, prime_factors(number))))
    # Only now is the task done. If this worker dies before, another one gets it.
    channel.basic_ack(delivery_tag=method.delivery_tag)


channel.basic_consume(queue="tasks", on_message_callback=on_task)
print("Waiting for tasks. To exit press CTRL+C")
try:
    channel.start_consuming()
except KeyboardInterrupt:
    connection.close()
