#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Harrier and the packaged RabbitMQ side by side: `./dev bench brokers`.

Every case gets brokers of its own, freshly started on loopback with empty data folders on the disk
of this checkout; within a case the runs alternate between the two (`harrier bench suite`). Cases
about memory get fresh brokers for every run, because what one run leaves in a heap hides the
next. Results go to build/bench-brokers/results.json after each case, and with --write into the
measured section of docs/benchmarks.md.
"""

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True
from support import (PROGRAM, ROOT, STOP_MAX_S, BenchFailure, Broker, Harrier, free_ports,
                     measured_on, minutes, number, probe_us, run_main, say, write_section)

OUTPUT = ROOT / "build" / "bench-brokers"
FRESH_EACH_RUN = ("idle1k", "idle10k", "q10k", "q10kp")
OWN_SHARE = "bench_cpu_share"  # of the load tool: nothing to compare
PROBE = "flush_probe_us"  # of the disk, before each broker starts
# For the estimate: what both brokers together need for starting and stopping, and for a run beyond
# its measured time; and the runs that are not measured by time, where RabbitMQ takes most of it.
START_S, SETTLE_S = 12, 0.7
RUN_S = {"d1k": 30, "f100k": 60, "idle1k": 8, "idle10k": 50, "churn": 6, "q10k": 70, "q10kp": 50}


class RabbitMq(Broker):
    """With name, ports and data of its own: whatever else runs here is left alone."""

    def __init__(self, folder):
        port, distribution, names = free_ports(3)
        tools = Path("/usr/lib/rabbitmq/bin/rabbitmqctl").resolve().parent
        (folder / "env").touch()
        environment = dict(
            os.environ, HOME=str(folder), LC_ALL="C.UTF-8", ERL_EPMD_PORT=str(names),
            ERL_EPMD_ADDRESS="127.0.0.1", RABBITMQ_NODENAME="harrier-bench@localhost",
            RABBITMQ_DIST_PORT=str(distribution), RABBITMQ_NODE_IP_ADDRESS="127.0.0.1",
            RABBITMQ_NODE_PORT=str(port), RABBITMQ_MNESIA_BASE=str(folder / "data"),
            RABBITMQ_LOG_BASE=str(folder / "log"), RABBITMQ_CONF_ENV_FILE=str(folder / "env"),
            RABBITMQ_ENABLED_PLUGINS_FILE=str(folder / "plugins"),
            RABBITMQ_CONFIG_FILE=str(folder / "none"))
        self.epmd_environment = environment
        super().__init__([str(tools / "rabbitmq-server")], port, folder, environment)

    def worker(self):
        """The virtual machine, among what the start script has started."""
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError, IndexError):
                session = int((entry / "stat").read_text().rpartition(")")[2].split()[3])
                name = (entry / "comm").read_text().strip()
                if session == self.process.pid and name.startswith("beam"):
                    return int(entry.name)
        raise BenchFailure("RabbitMQ runs, but its virtual machine was not found")

    def stop(self):
        super().stop()
        subprocess.run(["epmd", "-kill"], env=self.epmd_environment, capture_output=True,
                       timeout=STOP_MAX_S, check=False)  # only the one on ERL_EPMD_PORT


class Other:
    """A broker that runs already."""

    def __init__(self, address, pid):
        self.host, _, port = address.rpartition(":")
        self.port, self.pid = int(port), pid


class Comparison:
    def __init__(self, options):
        self.options = options
        self.cases = {}  # by id: {"description", "headline", "broker": [runs], "against": [runs]}
        self.starts = {"broker": [], "against": []}  # (seconds, idle RSS)

    @contextlib.contextmanager
    def brokers(self):
        OUTPUT.mkdir(parents=True, exist_ok=True)
        folders = [Path(tempfile.mkdtemp(dir=OUTPUT)) for _ in range(2)]
        running = []
        self.probe = probe_us(folders[0])
        try:
            running.append(Harrier(self.options.program, self.options.serve, folders[0]))
            running[0].wait_until_serving()
            self.starts["broker"].append((running[0].start_s, running[0].idle_rss_bytes))
            if self.options.against:
                yield running[0], Other(self.options.against, self.options.against_pid)
                return
            running.append(RabbitMq(folders[1]))
            running[1].wait_until_serving()
            self.starts["against"].append((running[1].start_s, running[1].idle_rss_bytes))
            yield running
        finally:
            for broker in running:
                broker.stop()
            for folder in folders:
                shutil.rmtree(folder, ignore_errors=True)

    def run(self, case, runs):
        result = OUTPUT / "suite.json"
        result.unlink(missing_ok=True)
        with self.brokers() as (ours, theirs):
            command = [self.options.program, "bench", "suite", "--cases", case, "--runs", str(runs),
                       "--port", str(ours.port), "--broker-pid", str(ours.pid), "--against",
                       f"{getattr(theirs, 'host', '127.0.0.1')}:{theirs.port}", "--json",
                       str(result), "--quiet"]
            for name in ("duration", "warmup", "spin_us", "lead", "against_queue_type"):
                if (value := getattr(self.options, name)) is not None:
                    command += ["--" + name.replace("_", "-"), str(value)]
            if theirs.pid:
                command += ["--against-pid", str(theirs.pid)]
            code = subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode
        if not result.exists():
            raise BenchFailure(f"harrier bench suite ended with exit code {code} and no result")
        outcome = json.loads(result.read_text())[0]
        known = self.cases.setdefault(case, {"description": outcome["description"],
                                             "headline": outcome["headline"], PROBE: [],
                                             "broker": [], "against": []})
        known[PROBE].append(self.probe)
        for side in ("broker", "against"):
            known[side] += outcome[side]["runs"]

    def estimate_s(self, cases):
        warmup = 2 if self.options.warmup is None else self.options.warmup
        duration = 10 if self.options.duration is None else self.options.duration
        timed = 2 * (warmup + duration + SETTLE_S)
        return sum(START_S * (self.options.runs if case in FRESH_EACH_RUN else 1) +
                   self.options.runs * (RUN_S.get(case, 0) if case in RUN_S and case != "f100k"
                                        else timed + RUN_S.get(case, 0)) for case in cases)

    def run_all(self, cases):
        for number, case in enumerate(cases, 1):
            say(f"{case} ({number} of {len(cases)})")
            if case in FRESH_EACH_RUN:
                for _ in range(self.options.runs):
                    self.run(case, 1)
            else:
                self.run(case, self.options.runs)
            (OUTPUT / "results.json").write_text(json.dumps(self.cases, indent=1))

    def failures(self):
        for case, known in self.cases.items():
            for side in ("broker", "against"):
                for run in known[side]:
                    if not run["ok"]:
                        reason = run["error"] or run["violations"]["texts"][0]
                        yield f"{case}, {run['product'] or run['address']}: {reason}"

    def product(self, side):
        names = {run["product"] for known in self.cases.values() for run in known[side]}
        return ", ".join(sorted(names - {""})) or side


def summary(values):
    """(median, text with how far the runs lie apart)"""
    if not values:
        return None, "-"
    middle = statistics.median(values)
    spread = (max(values) - min(values)) / middle * 100 if middle else 0
    return middle, f"{number(middle)} ({spread:.0f} %)"


def rows(comparison):
    for case, known in comparison.cases.items():
        what = known["description"]
        for name in known["headline"]:
            values = {side: [run["figures"][name] for run in known[side]
                             if run["ok"] and name in run["figures"]]
                      for side in ("broker", "against")}
            (ours, our_text), (theirs, their_text) = map(summary, values.values())
            if ours is None and theirs is None:
                continue
            ratio = f"{ours / theirs:.2f}" if ours and theirs and name != OWN_SHARE else "-"
            yield f"| {case} | {what} | {name} | {our_text} | {their_text} | {ratio} |"
            what = ""
        if any(run["workload"].get("durable") for run in known["broker"]):
            text = summary(known[PROBE])[1]
            yield f"| {case} | | {PROBE} | {text} | the same disk | - |"
    if comparison.options.against:
        return
    for index, name, scale in ((0, "start to serving, ms", 1000), (1, "idle RSS, MB", 1e-6)):
        (ours, our_text), (theirs, their_text) = (
            summary([start[index] * scale for start in comparison.starts[side]])
            for side in ("broker", "against"))
        yield f"| start | | {name} | {our_text} | {their_text} | {ours / theirs:.4f} |"


def measured_time(options):
    """How long a run of a timed case is measured, as the load tool's own defaults have it."""
    return (f"{number(options.duration or 10)} s after "
            f"{number(2 if options.warmup is None else options.warmup)} s of warm-up")


def report(comparison, command):
    ours, theirs = comparison.product("broker"), comparison.product("against")
    options = comparison.options
    what = (f"{options.runs} runs of each case and broker, in turn, each measured for "
            f"{measured_time(options)} (or as many messages, connections or queues as the case "
            "says)")
    lines = [*measured_on(command, what, OUTPUT), f"`{PROBE}`: 4 KiB and `fdatasync` on the same "
             "disk before the brokers start.", "",
             f"| case | what | figure | {ours} | {theirs} | ratio |",
             "|---|---|---|---:|---:|---:|",
             *rows(comparison)]
    failures = list(comparison.failures())
    if failures:
        lines += ["", "Runs that failed, and are in no figure above:", ""]
        lines += [f"- {each}" for each in failures]
    return "\n".join(lines) + "\n"


def arguments():
    parser = argparse.ArgumentParser(prog="./dev bench brokers", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", help="ids of `harrier bench list`; all if none")
    parser.add_argument("--program", default=PROGRAM)
    parser.add_argument("--dry-run", action="store_true", help="only say how long it will take")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--duration", type=float, help="seconds measured per run (10)")
    parser.add_argument("--warmup", type=float, help="seconds before that (2)")
    parser.add_argument("--lead", type=int, help="see harrier bench run --help")
    parser.add_argument("--spin-us", type=float, help="see harrier bench run --help")
    parser.add_argument("--serve", action="append", default=[], metavar="OPTION",
                        help="for `harrier serve`, e.g. --serve=--shards=1 (repeatable)")
    parser.add_argument("--against", metavar="HOST:PORT",
                        help="a broker that runs already, instead of the packaged RabbitMQ")
    parser.add_argument("--against-pid", type=int, help="its process")
    parser.add_argument("--against-queue-type", help="x-queue-type there, e.g. quorum")
    parser.add_argument("--write", action="store_true", help="into docs/benchmarks.md")
    return parser.parse_args()


def main():
    options = arguments()
    listed = subprocess.run([options.program, "bench", "list"], capture_output=True, text=True,
                            check=True).stdout
    known = [line.split()[0] for line in listed.splitlines()]
    if unknown := set(options.cases) - set(known):
        raise SystemExit(f"no such case: {', '.join(sorted(unknown))}\n{listed}")
    comparison = Comparison(options)
    cases = options.cases or known
    say(f"{len(cases)} cases, {options.runs} runs each against two brokers: about "
        f"{minutes(comparison.estimate_s(cases))}")
    if options.dry_run:
        return 0
    comparison.run_all(cases)
    text = report(comparison, " ".join(["./dev bench brokers", *sys.argv[1:]]))
    print(text)
    if options.write:
        write_section("measured", text)
    return 1 if any(comparison.failures()) else 0


if __name__ == "__main__":
    run_main(main)
