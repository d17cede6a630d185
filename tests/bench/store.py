#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What the durable store costs: `./dev bench store [--runs N] [--messages N] [--part NAME ...]`.

Parts: rates (confirmed rate by window and by number of queues), memory (anonymous memory and
restart times with a backlog), queues (many durable queues: declaring, memory, restart). Each prints
a probe of the disk beside it, because every durable figure is a figure of the disk as well.
"""

import argparse
import json
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.dont_write_bytecode = True
from support import PROGRAM, ROOT, probe_us

# Until what the store does by itself is done, which it tells nobody: the next journal file, and
# the checkpoint, one every second (store.checkpoint_interval).
REST_S = 3


class Broker:
    def __init__(self, data, *options):
        self.start = time.perf_counter()
        self.process = subprocess.Popen(
            [PROGRAM, "serve", "--data", data, "--listen", "127.0.0.1:0", *options],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.port = 0
        for line in self.process.stdout:
            found = re.search(r"127\.0\.0\.1:(\d+).*ready in ([\d.]+) ms", line)
            if found:
                self.ready_ms = (time.perf_counter() - self.start) * 1e3
                self.port = int(found[1])
                break
        if not self.port:
            raise SystemExit("the broker did not start")

    def anonymous_mib(self):
        rollup = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
        return int(re.search(r"^Anonymous:\s+(\d+) kB", rollup, re.M)[1]) / 1024

    def end(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        self.process.stdout.read()
        self.process.wait()

    def bench(self, *arguments):
        done = subprocess.run(
            [PROGRAM, "bench", *arguments, "--port", str(self.port), "--quiet", "--json", "-",
             "--broker-pid", str(self.process.pid)],
            stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"harrier bench {' '.join(arguments)} ended with {done.returncode}:\n"
                             + done.stdout)
        return json.loads(done.stdout)["figures"]


def median(values):
    return statistics.median(values)


def rates(folder, runs):
    print("confirmed messages/s (p50 us), 1 KiB persistent, consumer acknowledging per 100")
    flushes = []
    for queues in (1, 10, 1000, 10000):
        for window in (1, 100, 1000):
            results = []
            for _ in range(runs):
                with tempfile.TemporaryDirectory(dir=folder) as data:
                    flushes.append(probe_us(data))
                    broker = Broker(data)
                    results.append(broker.bench(
                        "run", "--persistent", "--durable", "--confirms", str(window), "--prefetch",
                        "1000", "--ack-every", "1" if window == 1 else "100", "--queues",
                        str(queues), "--consumers", "1" if queues == 1 else "8", "--duration", "4",
                        "--warmup", "1"))
                    broker.end()
            print(f"  {queues:6} queues, window {window:5}: "
                  f"{median([each['confirmed_per_s'] for each in results]):10.0f} "
                  f"({median([each['confirm_p50_us'] for each in results]):.0f})", flush=True)
    print(f"  probe: 4 KiB + fdatasync {median(flushes):.0f} us")


def restart(broker, data, runs, what):
    """Says how long starts take after both kinds of end; the last one's broker."""
    for name, how in (("stop", signal.SIGTERM), ("kill -9", signal.SIGKILL)):
        ready = []
        for _ in range(runs):
            broker.end(how)
            broker = Broker(data)
            ready.append(broker.ready_ms)
        print(f"  {what} after {name}: {median(ready):.0f} ms", flush=True)
    return broker


def memory(folder, runs, messages):
    with tempfile.TemporaryDirectory(dir=folder) as data:
        print(f"backlog of 1 KiB persistent messages; probe {probe_us(data):.0f} us")
        broker = Broker(data)
        time.sleep(REST_S)
        print(f"  empty: {broker.anonymous_mib():.1f} MiB anonymous", flush=True)
        filled = 0
        for target in sorted({min(1_000_000, messages), messages}):
            figures = broker.bench(
                "run", "--persistent", "--durable", "--confirms", "1000", "--consumers", "0",
                "--queues", "10", "--messages", str(target - filled), "--keep", "--stall", "120")
            filled = target
            peak = broker.anonymous_mib()
            time.sleep(REST_S)
            print(f"  {filled} queued at {figures['confirmed_per_s']:.0f}/s: {peak:.1f} MiB "
                  f"anonymous at the end, {broker.anonymous_mib():.1f} MiB at rest", flush=True)
            broker = restart(broker, data, runs, f"{filled} queued, start to serving")
        broker.bench("run", "--persistent", "--durable", "--confirms", "1000", "--consumers", "0",
                     "--messages", "60000", "--keep")
        broker.end(signal.SIGKILL)  # with as much in the journal as there may be
        broker = Broker(data)
        print(f"  {filled} queued and 60 MB in the journal only: start to serving "
              f"{broker.ready_ms:.0f} ms", flush=True)
        broker.end()


def queues(folder, runs):
    for pipelined in (False, True):
        with tempfile.TemporaryDirectory(dir=folder) as data:
            flush = probe_us(data)
            broker = Broker(data)
            before = broker.anonymous_mib()
            figures = broker.bench("declare", "--count", "10000", "--durable", "--keep",
                                   *(["--pipelined"] if pipelined else []))
            each = (broker.anonymous_mib() - before) * 1024 * 1024 / 10000
            print(f"10,000 durable queues {'pipelined' if pipelined else 'one by one'}: "
                  f"{figures['declared_per_s']:.0f}/s, {each:.0f} B anonymous each "
                  f"(probe {flush:.0f} us)", flush=True)
            broker = restart(broker, data, runs, "start to serving with them")
            broker.end()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--messages", type=int, default=10_000_000)
    parser.add_argument("--part", action="append", choices=("rates", "memory", "queues"))
    given = parser.parse_args()
    folder = ROOT / "build" / "bench-store"
    folder.mkdir(parents=True, exist_ok=True)
    parts = given.part or ["rates", "memory", "queues"]
    if "queues" in parts:
        queues(folder, given.runs)
    if "memory" in parts:
        memory(folder, given.runs, given.messages)
    if "rates" in parts:
        rates(folder, given.runs)


if __name__ == "__main__":
    main()
