#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the examples of one language against a broker and compares what they print.

    run_examples.py --language python --broker build/release/harrier
    run_examples.py --language cpp --programs build/release/examples/cpp --broker ...
    run_examples.py --language python --against 127.0.0.1:5673     (a broker that already runs)

For every pattern: the receivers are started, then, once each says that it waits, the sender. When
every receiver has printed what its .output file says, all are interrupted and nothing more may have
come. Exit code 77: the language's tools are not installed. Standard library only.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "interop"))
sys.dont_write_bytecode = True
from run import Failure, OwnBroker, RunningBroker, describe_exit  # noqa: E402

WAIT_TIMEOUT_S = 30
STOP_TIMEOUT_S = 10
INSTALL_TIMEOUT_S = 300
EXIT_SKIPPED = 77


@dataclass(frozen=True)
class Run:
    """One program, its arguments, and the name of its .output file if that is not the program's."""
    program: str
    arguments: tuple = ()
    output: str = ""


@dataclass(frozen=True)
class Pattern:
    sender: Run
    receivers: tuple = ()
    # The receivers share the messages: who gets which is open, all together get each once.
    shared: bool = False


PATTERNS = {
    "hello": Pattern(Run("hello_send"), (Run("hello_receive"),)),
    "work": Pattern(Run("work_send"), (Run("work_receive"), Run("work_receive")), shared=True),
    "pubsub": Pattern(Run("pubsub_send"), (Run("pubsub_receive"), Run("pubsub_receive"))),
    "routing": Pattern(Run("routing_send"), (
        Run("routing_receive", ("error",), "routing_receive.errors"),
        Run("routing_receive", ("info", "warning", "error"), "routing_receive.all"))),
    "topics": Pattern(Run("topics_send"), (
        Run("topics_receive", ("home.#",), "topics_receive.home"),
        Run("topics_receive", ("*.*.temperature",), "topics_receive.temperatures"))),
    "rpc": Pattern(Run("rpc_client"), (Run("rpc_server"),)),
    "confirms": Pattern(Run("confirms")),
}
NODE_PATTERNS = ("hello",)
# What the examples leave on a broker that outlives them.
QUEUES_LEFT = ("hello", "tasks", "fibonacci")
EXCHANGES_LEFT = ("news", "logs", "measurements")


class Program:
    """A running example. A thread collects its lines and tells `changed`, a condition that all the
    programs of a pattern share: waiting for output is waiting for an event."""

    def __init__(self, run, command, env, changed):
        self.name = " ".join([run.program, *run.arguments])
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=self.errors, text=True,
                                        errors="replace", start_new_session=True)
        self.lines = []
        self.ended = False
        self.changed = changed
        self.reader = threading.Thread(target=self._collect, daemon=True)
        self.reader.start()

    def _collect(self):
        for line in self.process.stdout:
            with self.changed:
                self.lines.append(line.rstrip("\n"))
                self.changed.notify_all()
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def wait(self, timeout_s):
        try:
            code = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise Failure(f"{self.name} did not end within {timeout_s} s") from None
        self.reader.join(timeout_s)
        return code

    def interrupt(self):
        """CTRL+C, after which it may end by the signal or with exit code 0."""
        self.process.send_signal(signal.SIGINT)
        code = self.wait(STOP_TIMEOUT_S)
        if code not in (0, -signal.SIGINT):
            raise Failure(f"{self.name} ended {describe_exit(code)} on CTRL+C")

    def dispose(self):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()

    def report(self):
        self.errors.seek(0)
        printed = [f"  {line}" for line in self.lines]
        complained = [f"  ! {line}" for line in self.errors.read().splitlines()]
        return "\n".join([f"{self.name} printed:", *printed, *complained])


class Examples:
    """The examples of one language: how to start one, and what it has to print."""

    def __init__(self, language, programs, address):
        self.folder = ROOT / "examples" / language
        self.language = language
        self.programs = programs
        self.env = dict(os.environ, PYTHONUNBUFFERED="1", PYTHONDONTWRITEBYTECODE="1",
                        AMQP_URL=f"amqp://guest:guest@{address}/")

    def command(self, run):
        if self.language == "python":
            return ["/usr/bin/python3", str(self.folder / f"{run.program}.py"), *run.arguments]
        if self.language == "node":
            return ["node", str(self.programs / f"{run.program}.js"), *run.arguments]
        return [str(self.programs / run.program), *run.arguments]

    def start(self, run, changed):
        return Program(run, self.command(run), self.env, changed)

    def expected(self, run):
        path = self.folder / f"{run.output or run.program}.output"
        return path.read_text(encoding="utf-8").splitlines()


def compare(program, expected):
    if program.lines != expected:
        lines = "\n".join(f"  {line}" for line in expected)
        raise Failure(f"{program.name} was expected to print:\n{lines}")


def compare_shared(receivers, expected):
    """Each printed the first line; the others are spread over them, in any order."""
    rest = []
    for receiver in receivers:
        if receiver.lines[:1] != expected[:1]:
            raise Failure(f"{receiver.name} was expected to begin with: {expected[0]}")
        rest += receiver.lines[1:]
    if sorted(rest) != sorted(expected[1:]):
        lines = "\n".join(f"  {line}" for line in expected)
        raise Failure(f"together the {len(receivers)} receivers were expected to print:\n{lines}")


def wait_for_lines(changed, count, programs):
    """Until the programs together printed so many lines; False if they end or the time is up."""
    def printed():
        return sum(len(each.lines) for each in programs) >= count

    with changed:
        changed.wait_for(lambda: printed() or all(each.ended for each in programs), WAIT_TIMEOUT_S)
        return printed()


def run_pattern(examples, pattern):
    programs = []
    changed = threading.Condition()
    try:
        for run in pattern.receivers:
            programs.append(examples.start(run, changed))
        receivers = list(programs)
        for receiver in receivers:
            if not wait_for_lines(changed, 1, [receiver]):
                raise Failure(f"{receiver.name} did not say that it waits for messages")

        sender = examples.start(pattern.sender, changed)
        programs.append(sender)
        code = sender.wait(WAIT_TIMEOUT_S)
        if code != 0:
            raise Failure(f"{sender.name} ended {describe_exit(code)}")

        expected = [examples.expected(run) for run in pattern.receivers]
        if pattern.shared:
            wait_for_lines(changed, len(receivers) + len(expected[0]) - 1, receivers)
        else:
            for receiver, lines in zip(receivers, expected):
                wait_for_lines(changed, len(lines), [receiver])
        for receiver in receivers:
            receiver.interrupt()

        compare(sender, examples.expected(pattern.sender))
        if pattern.shared:
            compare_shared(receivers, expected[0])
        else:
            for receiver, lines in zip(receivers, expected):
                compare(receiver, lines)
    except Failure as failure:
        for program in programs:
            program.dispose()
        reports = "\n".join(program.report() for program in programs)
        raise Failure(f"{failure}\n{reports}") from None
    finally:
        for program in programs:
            program.dispose()


def install_node_packages(build):
    """The scripts beside their packages, outside the source tree; quick if nothing has changed."""
    source = ROOT / "examples" / "node"
    build.mkdir(parents=True, exist_ok=True)
    lock, stamp = source / "package-lock.json", build / "installed.json"
    if not stamp.exists() or stamp.read_bytes() != lock.read_bytes():
        for name in ("package.json", "package-lock.json"):
            shutil.copy2(source / name, build / name)
        done = subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=build,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=INSTALL_TIMEOUT_S)
        if done.returncode != 0:
            raise Failure(f"npm ci failed:\n{done.stdout}")
        shutil.copy2(lock, stamp)
    for script in source.glob("*.js"):
        shutil.copy2(script, build / script.name)


def clean_broker(host, port):
    """Removes what examples left on a broker that lives on; deleting what is missing succeeds."""
    import pika  # not needed in the usual case, where the broker goes away with its data
    connection = pika.BlockingConnection(pika.ConnectionParameters(host, port))
    channel = connection.channel()
    for queue in QUEUES_LEFT:
        channel.queue_delete(queue)
    for exchange in EXCHANGES_LEFT:
        channel.exchange_delete(exchange)
    connection.close()


def missing_tool(options):
    if options.language == "node":
        return next((tool for tool in ("node", "npm") if not shutil.which(tool)), None)
    if options.language == "python":
        found = subprocess.run(["/usr/bin/python3", "-c", "import pika"], stderr=subprocess.DEVNULL)
        return None if found.returncode == 0 else "python3-pika"
    return None


def run_all(options, broker):
    broker.wait_until_serving()
    programs = Path(options.programs).resolve()
    if options.language == "node":
        install_node_packages(programs)
    if options.against:
        clean_broker(broker.host, broker.port)
    examples = Examples(options.language, programs, f"{broker.host}:{broker.port}")
    available = NODE_PATTERNS if options.language == "node" else tuple(PATTERNS)
    for name in options.patterns or available:
        if name not in available:
            raise Failure(f"no pattern '{name}' in {options.language}: {', '.join(available)}")
        try:
            run_pattern(examples, PATTERNS[name])
        except Failure as failure:
            raise Failure(f"{name}: {failure}") from None
        print(f"ok {options.language} {name}", flush=True)
    broker.check_alive()
    if options.against:
        clean_broker(broker.host, broker.port)
    broker.stop()


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--broker", metavar="PROGRAM", help="start this harrier on a free port")
    target.add_argument("--against", metavar="HOST:PORT", help="use a broker that already runs")
    parser.add_argument("--language", choices=("python", "cpp", "node"), required=True)
    parser.add_argument("--programs", metavar="DIR", help="where the compiled examples are (cpp), "
                        "or where npm installs (node; default: a folder in build)")
    parser.add_argument("--shards", type=int, default=0, help="shards of our broker (0: default)")
    parser.add_argument("patterns", nargs="*", metavar="PATTERN", help=", ".join(PATTERNS))
    options = parser.parse_args()
    if options.language == "cpp" and not options.programs:
        parser.error("--language cpp needs --programs")
    options.programs = options.programs or str(ROOT / "build" / "examples" / options.language)
    return options


def main():
    options = parse_options()
    # The caller's SIGTERM (ctest, ./dev) must not leave a broker behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    tool = missing_tool(options)
    if tool:
        print(f"skipped: {tool} is not installed")
        return EXIT_SKIPPED
    broker = None
    failure = "interrupted"
    try:
        broker = (OwnBroker(options.broker, options.shards) if options.broker
                  else RunningBroker(options.against))
        run_all(options, broker)
        failure = None
    except (Failure, OSError, subprocess.TimeoutExpired) as error:
        failure = str(error)
    finally:
        if broker:
            broker.dispose(show_log=failure is not None)
    if failure:
        print(f"FAILED {options.language} {failure}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
