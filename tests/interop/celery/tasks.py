# SPDX-License-Identifier: Apache-2.0
"""The Celery application under test: imported by the checks (producer) and by the worker processes.

INTEROP_QUEUE names the task queue, INTEROP_RESULTS the result backend: rpc:// (results are
messages) or file:// (chords need a backend that can look results up, which rpc:// cannot).
"""

import os
import signal
import time

from celery import Celery

from broker import HOST, PASSWORD, PORT, USER, VHOST

QUEUE = os.environ["INTEROP_QUEUE"]


def make_app(results, queue):
    app = Celery("interop", broker=f"amqp://{USER}:{PASSWORD}@{HOST}:{PORT}/{VHOST}",
                 backend=results)
    app.conf.update(
        task_default_queue=queue,
        task_queues=None,
        task_serializer="json",
        result_serializer="json",
        accept_content=["json"],
        result_expires=600,
        worker_prefetch_multiplier=1,
        worker_send_task_events=True,
        task_send_sent_event=True,
        broker_connection_retry=True,
        broker_connection_max_retries=20,
        broker_pool_limit=4,
        # Publishes of tasks and results wait for the confirm, so that nothing is lost in silence.
        broker_transport_options={"confirm_publish": True},
        worker_hijack_root_logger=False,
        task_publish_retry_policy={"max_retries": 2, "interval_start": 0, "interval_max": 0.2},
    )
    return app


app = make_app(os.environ.get("INTEROP_RESULTS", "rpc://"), QUEUE)


@app.task(name="interop.add")
def add(left, right):
    return left + right


@app.task(name="interop.total")
def total(numbers):
    return sum(numbers)


@app.task(name="interop.flaky", bind=True, max_retries=5)
def flaky(self, failures):
    """Fails that many times, then says how often it was tried again."""
    if self.request.retries < failures:
        raise self.retry(countdown=0.2, exc=ValueError("not yet"))
    return {"retries": self.request.retries, "id": self.request.id}


@app.task(name="interop.hopeless", autoretry_for=(KeyError,), max_retries=2,
          default_retry_delay=0.1, retry_backoff=False)
def hopeless():
    raise KeyError("never works")


@app.task(name="interop.when")
def when():
    return time.time()


@app.task(name="interop.echo", acks_late=True)
def echo(value):
    return value


@app.task(name="interop.dies_once", bind=True, acks_late=True, reject_on_worker_lost=True)
def dies_once(self):
    """Takes its pool process down; the message must come back marked as redelivered."""
    if not self.request.delivery_info["redelivered"]:
        os.kill(os.getpid(), signal.SIGKILL)
    return "redelivered"


@app.task(name="interop.hangs_once", bind=True, acks_late=True)
def hangs_once(self, marker):
    """Waits for its worker to be killed; says so when another worker gets the message."""
    if self.request.delivery_info["redelivered"]:
        return "redelivered"
    with open(marker, "w", encoding="ascii") as file:
        file.write("started")
    signal.pause()
    return "was not killed"
