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
import datetime
import json
import os
import platform
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.dont_write_bytecode = True
ROOT = Path(__file__).resolve().parents[2]
OUTPUT = ROOT / "build" / "bench-brokers"
DOC = ROOT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
FRESH_EACH_RUN = ("idle1k", "idle10k", "q10k", "q10kp")
OWN_SHARE = "bench_cpu_share"  # of the load tool: nothing to compare
START_MAX_S, STOP_MAX_S = 90, 60


def say(text):
    print(f"== {text}", file=sys.stderr, flush=True)


def free_ports(count):
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in held]
    for each in held:
        each.close()
    return ports


def answers_amqp(port):
    """True once a connection is answered with connection.start."""
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as probe:
            probe.sendall(b"AMQP\x00\x00\x09\x01")
            return probe.recv(1) == b"\x01"
    except OSError:
        return False


def resident_bytes(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) * 1024


class Broker:
    """A process group with a folder of its own; `pid` is the process that does the work."""

    def __init__(self, command, port, folder, environment=None):
        self.port, self.folder = port, folder
        self.log = open(folder / "output", "wb")
        self.started = time.monotonic()
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.log,
                                        stderr=subprocess.STDOUT, env=environment,
                                        start_new_session=True)

    def wait_until_serving(self):
        while not answers_amqp(self.port):
            if self.process.poll() is not None or time.monotonic() > self.started + START_MAX_S:
                self.stop()
                raise SystemExit(f"the broker did not start:\n{self.tail()}")
            time.sleep(0.001)
        self.start_s = time.monotonic() - self.started
        self.pid = self.worker()
        self.idle_rss_bytes = resident_bytes(self.pid)

    def worker(self):
        return self.process.pid

    def tail(self):
        return (self.folder / "output").read_text(errors="replace")[-2000:]

    def stop(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(STOP_MAX_S)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.log.close()


class Harrier(Broker):
    def __init__(self, program, options, folder):
        port = free_ports(1)[0]
        super().__init__([program, "serve", "--listen", f"127.0.0.1:{port}", "--data",
                          str(folder / "data"), "--log-level", "warn", *options], port, folder)


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
        raise SystemExit("RabbitMQ runs, but its virtual machine was not found")

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
            raise SystemExit(f"harrier bench suite ended with exit code {code} and no result")
        outcome = json.loads(result.read_text())[0]
        known = self.cases.setdefault(case, {"description": outcome["description"],
                                             "headline": outcome["headline"],
                                             "broker": [], "against": []})
        for side in ("broker", "against"):
            known[side] += outcome[side]["runs"]

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


def number(value):
    size = abs(value)
    if size >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 10 else f"{value:.2f}" if size >= 0.1 else f"{value:.4f}"


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
    if comparison.options.against:
        return
    for index, name, scale in ((0, "start to serving, ms", 1000), (1, "idle RSS, MB", 1e-6)):
        (ours, our_text), (theirs, their_text) = (
            summary([start[index] * scale for start in comparison.starts[side]])
            for side in ("broker", "against"))
        yield f"| start | | {name} | {our_text} | {their_text} | {ours / theirs:.4f} |"


def machine():
    cpu = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    memory = int(re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())[1]) / 2**20
    system = re.search(r'PRETTY_NAME="(.+)"', Path("/etc/os-release").read_text())
    disk = subprocess.run(["stat", "-f", "-c", "%T", str(OUTPUT)], capture_output=True, text=True,
                          check=False).stdout.strip()
    return (f"{os.cpu_count()} x {cpu[1] if cpu else platform.machine()}, {memory:.0f} GiB, "
            f"{system[1] if system else 'Linux'}, Linux {platform.release()}, data on {disk}")


def report(comparison, command):
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT,
                            capture_output=True, text=True, check=False).stdout.strip()
    ours, theirs = comparison.product("broker"), comparison.product("against")
    lines = [f"Measured on {datetime.date.today():%-d %B %Y} with `{command}`",
             f"(commit {commit}): {comparison.options.runs} runs of each case and broker, in turn.",
             f"Machine: {machine()}; load average at the end "
             f"{os.getloadavg()[1]:.1f} (5 min). Broker and load tool share it.", "",
             f"| case | what | figure | {ours} | {theirs} | ratio |",
             "|---|---|---|---:|---:|---:|",
             *rows(comparison)]
    failures = list(comparison.failures())
    if failures:
        lines += ["", "Runs that failed, and are in no figure above:", ""]
        lines += [f"- {each}" for each in failures]
    return "\n".join(lines) + "\n"


def write_section(text):
    whole = DOC.read_text()
    if whole.count(BEGIN) != 1 or whole.count(END) != 1:
        raise SystemExit(f"{DOC.name} has no place for it: {BEGIN} ... {END}")
    before, rest = whole.split(BEGIN)
    DOC.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{rest.split(END)[1]}")


def arguments():
    parser = argparse.ArgumentParser(prog="./dev bench brokers", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", help="ids of `harrier bench list`; all if none")
    parser.add_argument("--program", default=str(ROOT / "build/release/harrier"))
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
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # brokers are stopped on the way out
    options = arguments()
    listed = subprocess.run([options.program, "bench", "list"], capture_output=True, text=True,
                            check=True).stdout
    known = [line.split()[0] for line in listed.splitlines()]
    if unknown := set(options.cases) - set(known):
        raise SystemExit(f"no such case: {', '.join(sorted(unknown))}\n{listed}")
    comparison = Comparison(options)
    comparison.run_all(options.cases or known)
    text = report(comparison, " ".join(["./dev bench brokers", *sys.argv[1:]]))
    print(text)
    if options.write:
        write_section(text)
    return 1 if any(comparison.failures()) else 0


if __name__ == "__main__":
    sys.exit(main())
