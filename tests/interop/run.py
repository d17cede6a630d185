#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs one interop suite against a broker and says whether the client library found fault.

    run.py --broker build/release/harrier [--shards N] --suite pika
    run.py --against 127.0.0.1:5673 --suite pika          (a broker that already runs: RabbitMQ)

A suite is a folder with an executable `run`, and an executable `build` if something has to be
compiled or installed first. README.md says what they find in their environment and what they print.
Standard library only. Every wait is bounded; a suite that hangs is killed with all its children.
"""

import argparse
import ctypes
import fcntl
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"
CONNECTION_START = b"\x00\x0a\x00\x0a"  # class 10, method 10: what a living broker answers
START_TIMEOUT_S = 20
STOP_TIMEOUT_S = 15
BUILD_TIMEOUT_S = 600
LOG_TAIL_LINES = 80
PR_SET_CHILD_SUBREAPER = 36
# Below the range from which the kernel takes ports for outgoing connections: a port that was free
# a moment ago cannot be taken by a client of a test that runs beside this one.
PORTS = range(20000, 32000)


class Failure(Exception):
    """What makes the whole run fail, in one line for the reader."""


def free_port():
    for port in random.SystemRandom().sample(PORTS, 200):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise Failure("no free port found")


def speaks_amqp(host, port, timeout_s=2.0):
    """True if the peer answers the protocol header with connection.start."""
    try:
        with socket.create_connection((host, port), timeout_s) as probe:
            probe.sendall(PROTOCOL_HEADER)
            answer = b""
            while len(answer) < 11:
                chunk = probe.recv(11 - len(answer))
                if not chunk:
                    return False
                answer += chunk
            return answer[0] == 1 and answer[7:11] == CONNECTION_START
    except OSError:
        return False


class OwnBroker:
    """A broker process of our own: temporary data, a free port, its log kept for a failure."""

    def __init__(self, program, shards):
        self.folder = Path(tempfile.mkdtemp(prefix="harrier-interop-"))
        self.log_path = self.folder / "broker.log"
        self.host, self.port = "127.0.0.1", free_port()
        command = [str(program), "serve", "--data", str(self.folder / "data"),
                   "--listen", f"{self.host}:{self.port}"]
        if shards:
            command += ["--shards", str(shards)]
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=subprocess.STDOUT, start_new_session=True)
        self.pids = {self.process.pid}

    def wait_until_serving(self):
        deadline = time.monotonic() + START_TIMEOUT_S
        while not speaks_amqp(self.host, self.port):
            if self.process.poll() is not None:
                raise Failure(f"the broker ended at start {describe_exit(self.process.returncode)}")
            if time.monotonic() > deadline:
                raise Failure(f"the broker did not answer AMQP within {START_TIMEOUT_S} s")
            time.sleep(0.02)

    def explain(self, failure):
        """If the broker is dead that comes first: the suite's failure is its consequence."""
        if self.process.poll() is not None:
            raise Failure(f"the broker died {describe_exit(self.process.returncode)}, "
                          f"then {failure}") from failure

    def check_alive(self):
        if self.process.poll() is not None:
            raise Failure(f"the broker died {describe_exit(self.process.returncode)}")
        if not speaks_amqp(self.host, self.port, timeout_s=5.0):
            raise Failure("the broker runs but does not answer AMQP after the suite")

    def stop(self):
        """SIGTERM must lead to exit code 0 in bounded time."""
        if self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise Failure(f"the broker did not end within {STOP_TIMEOUT_S} s of SIGTERM") from None
        if code != 0:
            raise Failure(f"the broker ended on SIGTERM {describe_exit(code)}, expected 0")

    def dispose(self, show_log):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if show_log:
            lines = self.log_path.read_text(errors="replace").splitlines()
            print(f"--- broker log, last {min(len(lines), LOG_TAIL_LINES)} of {len(lines)} lines")
            print("\n".join(lines[-LOG_TAIL_LINES:]))
            print("--- end of broker log", flush=True)
        shutil.rmtree(self.folder, ignore_errors=True)


class RunningBroker:
    """A broker that somebody else runs; it is neither started nor stopped here."""

    def __init__(self, address):
        host, _, port = address.rpartition(":")
        self.host, self.port = host or "127.0.0.1", int(port)
        self.pids = set()

    def wait_until_serving(self):
        if not speaks_amqp(self.host, self.port):
            raise Failure(f"nothing answers AMQP on {self.host}:{self.port}")

    check_alive = wait_until_serving

    def explain(self, failure):
        pass

    def stop(self):
        pass

    def dispose(self, show_log):
        pass


def describe_exit(code):
    if code >= 0:
        return f"with exit code {code}"
    try:
        return f"by signal {signal.Signals(-code).name}"
    except ValueError:
        return f"by signal {-code}"


def adopt_orphans():
    """Descendants whose parent dies become our children, so that kill_descendants() finds them."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def children_of(parent):
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text(errors="replace").rpartition(")")[2].split()
        except OSError:  # it ended meanwhile
            continue
        if int(fields[1]) == parent:
            found.append(int(stat.parent.name))
    return found


def kill_descendants(spared):
    """What a suite left behind, in whatever session or process group: killed and reaped."""
    while leftover := [pid for pid in children_of(os.getpid()) if pid not in spared]:
        for pid in leftover:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def run_group(command, cwd, env, timeout_s, what, spared):
    """Runs a command as a process group of its own; returns its lines. Nothing of it survives."""
    lines = []
    process = subprocess.Popen(command, cwd=cwd, env=env, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               text=True, errors="replace", start_new_session=True)

    def forward():
        for line in process.stdout:
            lines.append(line)
            sys.stdout.write(line)
            sys.stdout.flush()

    reader = threading.Thread(target=forward, daemon=True)
    reader.start()
    try:
        code = process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        code = None
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()
        kill_descendants(spared)
    reader.join(5)
    if code is None:
        raise Failure(f"{what} did not end within {timeout_s} s")
    if code != 0:
        raise Failure(f"{what} ended {describe_exit(code)}")
    return lines


def suite_environment(options, broker, build_folder, temporary):
    env = dict(os.environ)
    env.update(
        AMQP_HOST=broker.host,
        AMQP_PORT=str(broker.port),
        AMQP_USER=options.user,
        AMQP_PASSWORD=options.password,
        AMQP_VHOST=options.vhost,
        AMQP_PRODUCT=options.product or ("rabbitmq" if options.against else "harrier"),
        INTEROP_BUILD=str(build_folder),
        TMPDIR=temporary,
        PYTHONPATH=str(HERE),
        PYTHONDONTWRITEBYTECODE="1",
        PYTHONUNBUFFERED="1",
    )
    return env


def build_suite(folder, env, build_folder, spared):
    """The suite's `build`, one at a time: a suite may run with several shard counts at once."""
    if not os.access(folder / "build", os.X_OK):
        return
    with open(build_folder / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        run_group([str(folder / "build")], folder, env, BUILD_TIMEOUT_S, "the build of the suite",
                  spared)


def run_suite(options, broker):
    folder = HERE / options.suite
    build_folder = Path(options.build).resolve() / options.suite
    build_folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="harrier-interop-") as temporary:
        env = suite_environment(options, broker, build_folder, temporary)
        build_suite(folder, env, build_folder, broker.pids)
        broker.wait_until_serving()
        try:
            lines = run_group([str(folder / "run")], folder, env, options.timeout,
                              f"suite {options.suite}", broker.pids)
        except Failure as failure:
            broker.explain(failure)
            raise
    passed = sum(line.startswith("ok ") for line in lines)
    failed = [line.strip() for line in lines if line.startswith("not ok ")]
    if failed:
        raise Failure(f"the suite ended with exit code 0 but printed: {failed[0]}")
    if not passed:
        raise Failure("the suite checked nothing: no line starting with 'ok '")
    broker.check_alive()
    return passed


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--broker", metavar="PROGRAM", help="start this harrier on a free port")
    target.add_argument("--against", metavar="HOST:PORT", help="use a broker that already runs")
    parser.add_argument("--suite", required=True, help="a folder beside this script")
    parser.add_argument("--shards", type=int, default=0, help="shards of our broker (0: default)")
    parser.add_argument("--timeout", type=float, default=120.0, help="limit of `run` in seconds")
    parser.add_argument("--build", default=str(HERE.parents[1] / "build" / "interop"),
                        help="where suites put what they build or install")
    parser.add_argument("--product", choices=("harrier", "rabbitmq"),
                        help="what the broker is (default: follows from --broker or --against)")
    parser.add_argument("--user", default="guest")
    parser.add_argument("--password", default="guest")
    parser.add_argument("--vhost", default="/")
    options = parser.parse_args()
    if not os.access(HERE / options.suite / "run", os.X_OK):
        parser.error(f"no executable {HERE / options.suite / 'run'}")
    return options


def main():
    options = parse_options()
    # The caller's SIGTERM (ctest, ./dev) must not leave a broker behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    adopt_orphans()
    started = time.monotonic()
    broker = None
    failure = "interrupted"
    try:
        broker = (OwnBroker(options.broker, options.shards) if options.broker
                  else RunningBroker(options.against))
        passed = run_suite(options, broker)
        broker.stop()
        failure = None
    except (Failure, OSError) as error:
        failure = str(error)
    finally:
        if broker:
            broker.dispose(show_log=failure is not None)
    took = time.monotonic() - started
    if failure:
        print(f"FAILED {options.suite}: {failure} ({took:.1f} s)")
        return 1
    print(f"PASSED {options.suite}: {passed} checks ({took:.1f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
