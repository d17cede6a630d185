# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks that start brokers share: processes with folders of their own, the load tool,
a probe of the disk, what a machine is called, and the measured sections of docs/benchmarks.md.

A broker that does not start, and a run of the load tool that found something wrong, end in a
BenchFailure with what they said.
"""

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

ROOT = Path(__file__).resolve().parents[2]
DOC = ROOT / "docs" / "benchmarks.md"
PROGRAM = os.environ.get("HARRIER_PROGRAM", str(ROOT / "build" / "release" / "harrier"))
START_MAX_S, STOP_MAX_S = 90, 60
PAGE = b"\xa5" * 4096


class BenchFailure(Exception):
    pass


def say(text):
    print(f"== {text}", file=sys.stderr, flush=True)


def run_main(main):
    """SIGTERM and failures unwind: brokers are stopped on the way out. main() returns an exit
    code."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        sys.exit(main())
    except BenchFailure as failure:
        sys.exit(f"bench: {failure}")


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


def memory_bytes(pid, what="VmRSS"):
    """A line of /proc/<pid>/status: VmRSS, RssAnon, RssFile."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(rf"^{what}:\s+(\d+)", status, re.M)[1]) * 1024


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
                raise BenchFailure(f"the broker did not start:\n{self.tail()}")
            time.sleep(0.001)
        self.start_s = time.monotonic() - self.started
        self.pid = self.worker()
        self.idle_rss_bytes = memory_bytes(self.pid)

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


@contextlib.contextmanager
def fresh_broker(program, options, parent):
    """A broker on an empty folder below `parent`, stopped and removed at the end."""
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=parent))
    broker = None
    try:
        broker = Harrier(program, options, folder)
        broker.wait_until_serving()
        yield broker
    finally:
        if broker:
            broker.stop()
        shutil.rmtree(folder, ignore_errors=True)


def bench_command(program, broker, *arguments):
    return [program, "bench", *map(str, arguments), "--port", str(broker.port), "--broker-pid",
            str(broker.pid), "--quiet", "--json", "-"]


def bench(program, broker, *arguments):
    """The figures of one run of the load tool, which verifies what it receives."""
    done = subprocess.run(bench_command(program, broker, *arguments), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    return figures_of(done.returncode, done.stdout, done.stderr, arguments)


def figures_of(code, out, err, arguments):
    if code:
        raise BenchFailure(f"harrier bench {' '.join(map(str, arguments))} ended with {code}:\n"
                           + err.strip())
    return json.loads(out)["figures"]


def probe_us(folder, count=300):
    """Median time of 4 KiB and fdatasync into blocks that were written before."""
    path = Path(folder) / "probe"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        os.pwrite(descriptor, PAGE * count, 0)
        os.fsync(descriptor)
        times = []
        for at in range(count):
            start = time.perf_counter()
            os.pwrite(descriptor, PAGE, at * len(PAGE))
            os.fdatasync(descriptor)
            times.append((time.perf_counter() - start) * 1e6)
        return statistics.median(times)
    finally:
        os.close(descriptor)
        path.unlink()


def number(value):
    size = abs(value)
    if size >= 100 or value == 0:
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 10 else f"{value:.2f}" if size >= 0.1 else f"{value:.4f}"


def minutes(seconds):
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def machine(folder):
    cpu = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    memory = int(re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())[1]) / 2**20
    system = re.search(r'PRETTY_NAME="(.+)"', Path("/etc/os-release").read_text())
    disk = subprocess.run(["stat", "-f", "-c", "%T", str(folder)], capture_output=True, text=True,
                          check=False).stdout.strip()
    return (f"{os.cpu_count()} x {cpu[1] if cpu else platform.machine()}, {memory:.0f} GiB, "
            f"{system[1] if system else 'Linux'}, Linux {platform.release()}, data on {disk}")


def commit():
    return subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT,
                          capture_output=True, text=True, check=False).stdout.strip()


def measured_on(command, what, folder):
    """The lines that every measured section begins with."""
    return [f"Measured on {datetime.date.today():%-d %B %Y} with `{command}`",
            f"(commit {commit()}): {what}.",
            f"Machine: {machine(folder)}; load average at the end {os.getloadavg()[1]:.1f} "
            "(5 min). Broker and load tool share it."]


def write_section(name, text):
    """Between the marker comments of that name in docs/benchmarks.md."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    whole = DOC.read_text()
    if whole.count(begin) != 1 or whole.count(end) != 1:
        raise SystemExit(f"{DOC.name} has no place for it: {begin} ... {end}")
    before, rest = whole.split(begin)
    DOC.write_text(f"{before}{begin}\n\n{text}\n{end}{rest.split(end)[1]}")
