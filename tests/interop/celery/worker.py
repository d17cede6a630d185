# SPDX-License-Identifier: Apache-2.0
"""A Celery worker as a process group of its own, its log kept for a failing check."""

import os
import signal
import subprocess
import sys

from broker import HOST, PASSWORD, PORT, USER, VHOST, expect, unique, wait_until

START_TIMEOUT_S = 40
STOP_TIMEOUT_S = 20


class Worker:
    def __init__(self, app, queue, results, folder, concurrency=2):
        self.app, self.queue = app, queue
        self.name = f"{unique('worker')}@localhost"
        self.log_path = folder / f"{self.name}.log"
        environment = dict(os.environ, INTEROP_QUEUE=queue, INTEROP_RESULTS=results,
                           C_FORCE_ROOT="1")
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "celery", "-A", "tasks", "worker", "--hostname", self.name,
                 "--concurrency", str(concurrency), "--loglevel", "INFO", "--task-events"],
                env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                start_new_session=True)

    def inspect(self, timeout_s=10.0):
        """Remote control of this worker alone; it ends with the reply, not with the timeout."""
        return self.app.control.inspect(destination=[self.name], timeout=timeout_s)

    def wait_until_ready(self):
        """Ready is what remote control says: the worker answers a ping through its pidbox."""
        def answers():
            expect(self.process.poll() is None,
                   f"the worker ended at start with exit code {self.process.returncode}")
            return bool(self.inspect(timeout_s=1.0).ping())
        wait_until(answers, "the worker answers a ping", timeout_s=START_TIMEOUT_S)

    def stop(self):
        """Warm shutdown; returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError(f"no warm shutdown within {STOP_TIMEOUT_S} s") from None
        return self.process.returncode

    def kill(self):
        """Everything of it at once, as a crash of the machine would do."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()

    def print_log(self):
        print(f"--- log of {self.name}")
        print(self.log_path.read_text(errors="replace"))
        print("--- end of log", flush=True)


def delete_queues(app, *names):
    with app.connection_for_write() as connection:
        channel = connection.default_channel
        for name in names:
            channel.queue_delete(name)
            channel.exchange_delete(name)  # Celery declares a direct exchange of the same name
