#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What each feature of queues costs beside a plain queue: `./dev bench features [--runs N] ...`.

The same flow through a plain queue and through one with each feature, in turn, every run on a
freshly started broker with an empty folder on the disk of this checkout, and verified by the load
tool. The rate, and the broker's CPU time per message, as percent of the plain queue's. Results go
to build/bench-features/, and with --write to docs/benchmarks/features.json and into
docs/benchmarks.md.
"""

import argparse
import json
import statistics
import sys
from pathlib import Path

sys.dont_write_bytecode = True
from support import (DOC, PROGRAM, ROOT, BenchFailure, bench, fresh_broker, measured_on, minutes,
                     number, probe_us, run_main, say, write_section)

DATA = DOC.parent / "benchmarks" / "features.json"
GOAL = 0.7  # of the plain queue's rate
PLAIN = "plain"
ACKNOWLEDGED = ("--prefetch", 1000, "--ack-every", 100)
FLOWS = {"transient": ("--lead", 20_000, *ACKNOWLEDGED),
         "persistent": ("--persistent", "--durable", "--confirms", 1000, *ACKNOWLEDGED)}
AN_HOUR_MS = 3_600_000
PENDING_PER_S = 50_000  # at least, for the estimate
RATE, CPU = "sustained_per_s", "broker_cpu_s_per_million_delivered"


def queue_argument(name, value):
    return "--queue-argument", f"{name}={value}"


def features(options):
    """(id, (what it is, the load tool's arguments, how many queues each message goes through))"""
    return {
        PLAIN: ("a plain queue", (), 1),
        "queue-ttl": ("time to live of the queue", queue_argument("x-message-ttl", AN_HOUR_MS), 1),
        "message-ttl": ("time to live of each message", ("--expiration", AN_HOUR_MS), 1),
        "dead-letters": ("rejected into a dead letter queue, and received from there",
                         ("--reject",), 2),
        "priorities": ("10 priorities, one of them at random",
                       (*queue_argument("x-max-priority", 9), "--priorities", 10), 1),
        "delayed": (f"through a delaying exchange that keeps {options.pending:,} more",
                    ("--exchange", "x-delayed-message", "--exchange-argument",
                     "x-delayed-type=direct", "--header", "x-delay=1", "--pending",
                     options.pending), 1),
        "deduplication": ("each message with an id of its own",
                          (*queue_argument("x-message-deduplication", "true"), "--message-id"), 1),
        "groups": ("1,000 message groups",
                   (*queue_argument("x-message-group-header", "customer"), "--groups",
                    "customer=1000"), 1),
        "single-active": ("single active consumer",
                          queue_argument("x-single-active-consumer", "true"), 1),
        "stream": ("a stream, read from its start",
                   (*queue_argument("x-queue-type", "stream"), "--durable", "--consumer-argument",
                    "x-stream-offset=first"), 1),
    }


class Comparison:
    def __init__(self, options):
        self.options, self.all = options, features(options)
        self.runs = {flow: {name: [] for name in options.only} for flow in options.flows}
        self.failures = []

    def estimate_s(self):
        each = self.options.duration + self.options.warmup + 0.8
        pending = self.options.pending / PENDING_PER_S if "delayed" in self.options.only else 0
        return self.options.runs * len(self.options.flows) * (len(self.options.only) * each
                                                              + pending)

    def run_one(self, flow, name):
        _, arguments, queues = self.all[name]
        # A flag is given once.
        extra = [word for word in arguments if word != "--durable" or word not in FLOWS[flow]]
        with fresh_broker(self.options.program, (), self.options.output) as broker:
            figures = bench(self.options.program, broker, "run", "--size", self.options.size,
                            *FLOWS[flow], *extra, "--duration", self.options.duration, "--warmup",
                            self.options.warmup, "--stall", 120)
        if RATE not in figures:
            raise BenchFailure(f"{flow}, {name}: a run without {RATE}; measure for longer")
        return {RATE: figures[RATE] * queues, CPU: figures[CPU] / queues}

    def run_all(self):
        for turn in range(self.options.runs):
            # What the machine does slowly meanwhile hits the first and the last alike.
            names = self.options.only if turn % 2 == 0 else self.options.only[::-1]
            for flow in self.options.flows:
                for name in names:
                    try:
                        self.runs[flow][name].append(self.run_one(flow, name))
                        say(f"run {turn + 1} of {self.options.runs}, {flow}, {name}: "
                            f"{number(self.runs[flow][name][-1][RATE])}/s")
                    except BenchFailure as failure:
                        say(str(failure))
                        self.failures.append(f"{flow}, {name}: {failure}")

    def results(self):
        out = {}
        for flow, runs in self.runs.items():
            plain = runs[PLAIN]
            for name, measured in runs.items():
                if not measured:
                    continue
                rates = [each[RATE] for each in measured]
                entry = {"what": self.all[name][0], "rate": statistics.median(rates),
                         "min": min(rates), "max": max(rates), "runs": len(rates)}
                if plain:
                    for key, figure in (("share", RATE), ("cpu_share", CPU)):
                        entry[key] = (statistics.median(each[figure] for each in measured) /
                                      statistics.median(each[figure] for each in plain))
                out.setdefault(flow, {})[name] = entry
        return out


def rows(results):
    for flow, entries in results.items():
        for name, entry in entries.items():
            spread = (entry["max"] - entry["min"]) / entry["rate"]
            share, cpu = (f"{entry[key]:.0%}" if key in entry else "-"
                          for key in ("share", "cpu_share"))
            yield (f"| {flow} | {name} | {entry['what']} | "
                   f"{number(entry['rate'])} ({spread:.0%}) | {share} | {cpu} |")


def report(comparison, results, measured):
    lines = [*measured, "",
             "| messages | feature | what | deliveries/s | of plain | CPU time of plain |",
             "|---|---|---|---:|---:|---:|", *rows(results)]
    below = [f"{flow}, {name} ({entry['share']:.0%})" for flow, entries in results.items()
             for name, entry in entries.items() if entry.get("share", 1) < GOAL]
    lines += ["", f"Below the goal of {GOAL:.0%}: {'; '.join(below) or 'none'}."]
    if comparison.failures:
        lines += ["", "Not measured:", "", *(f"- {each}" for each in comparison.failures)]
    return "\n".join(lines) + "\n"


def chosen(parser, given, known, what):
    names = given.split(",")
    if unknown := set(names) - set(known):
        parser.error(f"no such {what}: {', '.join(sorted(unknown))}")
    return names


def arguments():
    parser = argparse.ArgumentParser(prog="./dev bench features", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=PROGRAM, help="also as HARRIER_PROGRAM")
    parser.add_argument("--runs", type=int, default=3, help="of each: the median counts (3)")
    parser.add_argument("--duration", type=float, default=2, help="seconds measured per run (2)")
    parser.add_argument("--warmup", type=float, default=0.5, help="seconds before that (0.5)")
    parser.add_argument("--size", type=int, default=1024, help="of bodies, in bytes (1024)")
    parser.add_argument("--pending", type=int, default=1_000_000,
                        help="what the delaying exchange keeps meanwhile (1000000)")
    parser.add_argument("--flows", default=",".join(FLOWS), help="some of " + ",".join(FLOWS))
    parser.add_argument("--only", help="some features, beside the plain queue")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "bench-features",
                        help="where results and the brokers' data go")
    parser.add_argument("--dry-run", action="store_true", help="only say how long it will take")
    parser.add_argument("--write", action="store_true", help="into docs/benchmarks.md")
    options = parser.parse_args()
    if options.runs < 1 or options.duration <= 0 or options.warmup < 0 or options.pending < 1:
        parser.error("no run, no time, or nothing pending")
    known = list(features(options))
    wanted = chosen(parser, options.only or ",".join(known), known, "feature")
    options.only = [name for name in known if name in wanted or name == PLAIN]
    options.flows = chosen(parser, options.flows, FLOWS, "flow")
    return options


def main():
    options = arguments()
    comparison = Comparison(options)
    say(f"{len(options.only)} kinds of queues with {len(options.flows)} flows, {options.runs} runs "
        f"each: about {minutes(comparison.estimate_s())}")
    if options.dry_run:
        return 0
    options.output.mkdir(parents=True, exist_ok=True)
    probe = probe_us(options.output)
    comparison.run_all()
    results = comparison.results()
    measured = measured_on(
        " ".join(["./dev bench features", *sys.argv[1:]]),
        f"{options.runs} runs of each in turn, {number(options.duration)} s after "
        f"{number(options.warmup)} s of warm-up, bodies of {options.size:,} B; 4 KiB and "
        f"`fdatasync` took {number(probe)} us", options.output)
    data = json.dumps({"measured": measured, "flows": results, "failures": comparison.failures},
                      indent=1) + "\n"
    (options.output / DATA.name).write_text(data)
    text = report(comparison, results, measured)
    print(text)
    if options.write:
        DATA.parent.mkdir(parents=True, exist_ok=True)
        DATA.write_text(data)
        write_section("features", text)
    return 1 if comparison.failures else 0


if __name__ == "__main__":
    run_main(main)
