#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""More than the broker can take: `./dev bench overload [--seconds S] ...`.

First the capacity: what a persistent, confirmed flow reaches by itself. Then three times as many
publishers offer three times that, while consumers take a part of it only, so that the backlog grows
all the time; in the end everything is consumed. The broker's memory is sampled throughout. The load
tool keeps the books: every message that was sent must be confirmed and received once, in order.
Ends with exit code 1 if something is missing or the memory went beyond --memory-max.
"""

import argparse
import json
import shutil
import sys
import threading
import time
from pathlib import Path

sys.dont_write_bytecode = True
from support import (DOC, PROGRAM, ROOT, BenchFailure, bench, fresh_broker, measured_on,
                     memory_bytes, minutes, number, probe_us, run_main, say, write_section)

DATA = DOC.parent / "benchmarks" / "overload.json"
TIMES = 3
QUEUES = 4
SAMPLE_S = 0.1
MIB = 1 << 20
DISK_SPARE = 1.5  # times what the backlog will take
DRAIN_SHARE = 2  # of the capacity, at which the rest is assumed to be consumed, for the estimate


class MemorySampler:
    """(seconds, resident, anonymous) of a process every SAMPLE_S, until the end of the block."""

    def __init__(self, pid):
        self.pid, self.samples, self.over = pid, [], threading.Event()
        self.thread = threading.Thread(target=self.sample)

    def sample(self):
        start = time.monotonic()
        while True:
            try:
                self.samples.append((round(time.monotonic() - start, 2), memory_bytes(self.pid),
                                     memory_bytes(self.pid, "RssAnon")))
            except (OSError, TypeError):
                return  # the process has ended, which the load tool tells as well
            if self.over.wait(SAMPLE_S):
                return

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


def flow(options, publishers):
    return ("run", "--persistent", "--durable", "--size", options.size, "--publishers", publishers,
            "--queues", QUEUES, "--consumers", QUEUES, "--confirms", options.window, "--prefetch",
            1000, "--ack-every", 100)


def capacity(options):
    with fresh_broker(options.program, options.serve, options.output) as broker:
        figures = bench(options.program, broker, *flow(options, options.publishers), "--duration",
                        options.find, "--warmup", min(1, options.find))
    if "sustained_per_s" not in figures:
        raise BenchFailure("no flow at all; measure for longer")
    return figures["sustained_per_s"]


def check_disk(options, rate):
    needed = rate * options.seconds * options.size * DISK_SPARE
    free = shutil.disk_usage(options.output).free
    if needed > free:
        raise BenchFailure(f"the backlog may take {needed / 1e9:.0f} GB, and {free / 1e9:.0f} GB "
                           "are free: take fewer --seconds or a smaller --size")


def overload(options, rate):
    """(the load tool's figures, samples of the memory)"""
    check_disk(options, rate)
    with fresh_broker(options.program, options.serve, options.output) as broker:
        with MemorySampler(broker.pid) as sampler:
            figures = bench(
                options.program, broker, *flow(options, TIMES * options.publishers), "--rate",
                TIMES * rate, "--latency-from-sending", "--consume-rate", options.consume * rate,
                "--duration", options.seconds, "--warmup", 0, "--stall", 120, "--settle", 60)
    if "confirm_p99_us" not in figures:
        raise BenchFailure("nothing was confirmed; overload it for longer")
    return figures, sampler.samples


def summary(options, rate, figures, samples):
    # While the load lasts: the first half with all that grows at first, and the second.
    loaded = [sample for sample in samples if sample[0] <= options.seconds]
    first = [sample[2] for sample in loaded if sample[0] <= options.seconds / 2]
    second = [sample[2] for sample in loaded if sample[0] > options.seconds / 2]
    return {"capacity_per_s": rate, "offered_per_s": TIMES * rate,
            "accepted_per_s": figures["confirmed_per_s"],
            "consumed_per_s": figures.get("delivered_per_s", 0),
            "confirm_p50_us": figures["confirm_p50_us"],
            "confirm_p99_us": figures["confirm_p99_us"],
            "confirm_p99.9_us": figures["confirm_p99.9_us"],
            "accepted": figures["confirmed"], "received": figures["delivered"],
            "rss_peak_bytes": max(sample[1] for sample in samples),
            "anonymous_peak_bytes": max(sample[2] for sample in samples),
            "anonymous_peak_first_half_bytes": max(first, default=0),
            "anonymous_peak_second_half_bytes": max(second, default=0),
            "bench_cpu_share": figures["bench_cpu_share"]}


def rows(found):
    yield "| what | figure |"
    yield "|---|---:|"
    for name, key in (("capacity of the flow by itself", "capacity_per_s"),
                      ("offered", "offered_per_s"), ("accepted (confirmed)", "accepted_per_s"),
                      ("consumed meanwhile", "consumed_per_s")):
        yield f"| {name}, messages/s | {number(found[key])} |"
    for name in ("p50", "p99", "p99.9"):
        milliseconds = number(found[f"confirm_{name}_us"] / 1e3)
        yield f"| from sending to confirm, {name}, ms | {milliseconds} |"
    yield f"| accepted in all; received in the end | {found['accepted']:,.0f}; " \
          f"{found['received']:,.0f} |"
    for name, key in (("resident memory, peak (with pages of files)", "rss_peak_bytes"),
                      ("anonymous memory, peak", "anonymous_peak_bytes"),
                      ("the same in the first half of the overload",
                       "anonymous_peak_first_half_bytes"),
                      ("and in the second half", "anonymous_peak_second_half_bytes")):
        yield f"| {name}, MiB | {number(found[key] / MIB)} |"


def arguments():
    parser = argparse.ArgumentParser(prog="./dev bench overload", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=PROGRAM, help="also as HARRIER_PROGRAM")
    parser.add_argument("--seconds", type=float, default=60, help="of overload (60)")
    parser.add_argument("--find", type=float, default=5, help="seconds for the capacity (5)")
    parser.add_argument("--capacity", type=float, help="messages/s, instead of finding it")
    parser.add_argument("--size", type=int, default=1024, help="of bodies, in bytes (1024)")
    parser.add_argument("--publishers", type=int, default=8,
                        help="for the capacity; three times as many for the overload (8)")
    parser.add_argument("--window", type=int, default=100,
                        help="unconfirmed messages per publisher at most (100): what is under way "
                             "waits for its own kind, whatever the broker does")
    parser.add_argument("--consume", type=float, default=0.25,
                        help="what consumers take meanwhile, as a share of the capacity (0.25)")
    parser.add_argument("--memory-max", type=float, default=512,
                        help="MiB of anonymous memory that the broker may take (512)")
    parser.add_argument("--serve", action="append", default=[], metavar="OPTION",
                        help="for `harrier serve`, e.g. --serve=--shards=1 (repeatable)")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "bench-overload",
                        help="where results and the brokers' data go")
    parser.add_argument("--dry-run", action="store_true", help="only say how long it will take")
    parser.add_argument("--write", action="store_true", help="into docs/benchmarks.md")
    options = parser.parse_args()
    if min(options.seconds, options.find, options.consume, options.publishers) <= 0:
        parser.error("no time, no publisher or no consumer")
    return options


def main():
    options = arguments()
    rest = options.seconds * (1 - min(1, options.consume)) / DRAIN_SHARE
    say(f"capacity, {number(options.seconds)} s of overload, then the rest is consumed: about "
        f"{minutes((0 if options.capacity else options.find + 2) + options.seconds + rest + 2)}")
    if options.dry_run:
        return 0
    options.output.mkdir(parents=True, exist_ok=True)
    probe = probe_us(options.output)
    rate = options.capacity or capacity(options)
    say(f"capacity {number(rate)}/s; offering {number(TIMES * rate)}/s")
    figures, samples = overload(options, rate)
    found = summary(options, rate, figures, samples)
    what = (f"{TIMES} x {options.publishers} publishers with a window of {options.window:,}, "
            f"bodies of {options.size:,} B, {QUEUES} queues, {number(options.seconds)} s; 4 KiB "
            f"and `fdatasync` took {number(probe)} us")
    command = " ".join(["./dev bench overload", *sys.argv[1:]])
    measured = measured_on(command, what, options.output)
    text = "\n".join([*measured, "", *rows(found)]) + "\n"
    data = json.dumps({"measured": measured, "figures": found, "memory": samples}) + "\n"
    (options.output / DATA.name).write_text(data)
    print(text)
    if options.write:
        DATA.parent.mkdir(parents=True, exist_ok=True)
        DATA.write_text(data)
        write_section("overload", text)
    if found["anonymous_peak_bytes"] > options.memory_max * MIB:
        say(f"failed: more than {number(options.memory_max)} MiB of anonymous memory")
        return 1
    return 0


if __name__ == "__main__":
    run_main(main)
