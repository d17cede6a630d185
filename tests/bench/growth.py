#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What work costs as it grows: `./dev bench growth [--only PART,...] [--runs N] [--duration S]`.

The rate against the number of queues, connections and bindings, the size of messages, the backlog
and the number of shards. Every run has a freshly started broker with an empty folder on the disk of
this checkout, and is verified by the load tool: one that loses, doubles or reorders a message is a
failure and no point. A part's results go to build/bench-growth/, and with --write to
docs/benchmarks/ (growth.json and an SVG each, parts that were not run stay) and into
docs/benchmarks.md.
"""

import argparse
import datetime
import json
import os
import resource
import statistics
import subprocess
import sys
from pathlib import Path

sys.dont_write_bytecode = True
import chart
from support import (DOC, PROGRAM, ROOT, BenchFailure, bench, bench_command, commit, figures_of,
                     fresh_broker, machine, measured_on, minutes, number, probe_us, run_main, say,
                     write_section)

FOLDER = DOC.parent / "benchmarks"
DATA = "growth.json"
KIB, MIB = 1024, 1024 * 1024
CLIFF = 0.5  # a rate that falls below this share of the point before it is pointed out
CONFIRMED = ("--persistent", "--durable", "--confirms", 1000, "--prefetch", 1000, "--ack-every",
             100)
STANDING = "in and out, at that level"
DESCRIPTORS_SPARE = 200  # of broker and load tool, beside connections


class Point:
    """One x of one curve: what the load tool and the broker are told, and what is read off."""

    def __init__(self, x, *arguments, figure="sustained_per_s", scale=1, serve=(), idle=0,
                 setup_s=0.5):
        self.x, self.arguments, self.figure, self.scale = x, arguments, figure, scale
        self.serve, self.idle, self.setup_s = serve, idle, setup_s


class Part:
    def __init__(self, title, x_label, y_label, series, ticks=None, form=chart.short):
        self.title, self.x_label, self.y_label = title, x_label, y_label
        self.series = series  # [(name, [Point])]
        self.ticks, self.form = ticks, form


def decades(last):
    return [10 ** exponent for exponent in range(len(str(last)))]


def queues(most):
    def point(count, *arguments):
        return Point(count, "run", "--queues", count, "--consumers", min(count, 8), *arguments,
                     setup_s=0.6 + count * 2.5e-5)
    return Part("Rate against the number of queues", "queues", "messages/s", [
        ("transient 128 B, auto-ack", [point(count, "--size", 128, "--lead", 20_000)
                                       for count in decades(most)]),
        ("persistent 1 KiB, confirmed", [point(count, *CONFIRMED) for count in decades(most)])])


def connections(most):
    """Of one kind many, of the other few; and many that do nothing beside one busy pair."""
    def spread(count):
        return {"queues": min(count, 8), "window": max(2, 8000 // count)}

    def publishers(count):
        few = spread(count)
        return Point(count, "run", "--size", 128, "--publishers", count, "--queues", few["queues"],
                     "--consumers", few["queues"], "--confirms", few["window"],
                     setup_s=0.6 + count * 4e-4)

    def consumers(count):
        return Point(count, "run", "--size", 128, "--consumers", count, "--queues", count,
                     "--confirms", 8000, setup_s=0.6 + count * 4e-4)

    def idle(count):
        return Point(count, "run", "--size", 128, "--confirms", 8000, idle=count,
                     setup_s=1 + count * 3e-4)
    counts = decades(most)
    return Part("Rate against the number of connections", "connections", "messages/s", [
        ("publishing, 128 B, confirmed", [publishers(count) for count in counts]),
        ("consuming, a queue each", [consumers(count) for count in counts]),
        ("idle, beside one pair", [idle(count) for count in counts])])


def bindings(most):
    def point(kind, count):
        return Point(count, "run", "--size", 128, "--exchange", kind, "--bindings", count,
                     "--lead", 20_000, setup_s=0.6 + count * 2e-5)
    return Part("Rate against the number of bindings", "bindings of the exchange",
                "messages/s, each routed by one of them, in random order", [
                    ("topic, * and #", [point("topic", count) for count in decades(most)]),
                    ("direct", [point("direct", count) for count in decades(most)])])


def sizes(most):
    steps = [16, 64, 256, KIB, 4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, MIB, 4 * MIB, 16 * MIB]
    return [size for size in steps if size <= most]


def size_point(size, *extra, scale=1):
    window = max(4, min(1000, 32 * MIB // size))
    return Point(size, "run", "--size", size, "--confirms", window, "--prefetch", window,
                 "--ack-every", max(1, window // 10), *extra, scale=scale)


def size_part(title, y_label, most, scale):
    durable = ("--persistent", "--durable")
    return Part(title, "size of a message's body", y_label, [
        ("transient, confirmed", [size_point(size, scale=scale(size)) for size in sizes(most)]),
        ("persistent, confirmed", [size_point(size, *durable, scale=scale(size))
                                   for size in sizes(most)])], sizes(most), chart.binary)


def size(most):
    return size_part("Rate against the size of messages", "messages/s", most, lambda _: 1)


def backlog(most):
    """How fast the level was reached, the flow at it, and how fast it was drained."""
    steps = [0] + [step for step in (1000, 10_000, 100_000, 1_000_000, 10_000_000) if step <= most]
    curves = {"publishing alone": "filled_per_s", STANDING: "sustained_per_s",
              "consuming alone": "drained_per_s"}
    return Part("Rate against the backlog", "persistent messages of 128 B in the queue",
                "messages/s, confirmed", [
                    (name, [Point(step, "run", "--size", 128, *CONFIRMED,
                                  *(("--standing", step, "--lead", 5000, "--stall", 120)
                                    if step else ()),
                                  figure=figure, setup_s=0.6 + step * 3.5e-6)
                            for step in steps if step or figure == "sustained_per_s"])
                    for name, figure in curves.items()])


def shards(most):
    steps = sorted({count for count in (1, 2, 4, 8, 16, 32, 64) if count <= most} | {most})

    def points(*arguments):
        return [Point(count, "run", "--publishers", 8, "--consumers", 8, "--queues", 8, *arguments,
                      serve=("--shards", str(count))) for count in steps]
    series = [("transient 128 B, auto-ack", points("--size", 128, "--lead", 20_000)),
              ("persistent 1 KiB, confirmed", points(*CONFIRMED))]
    return Part("Rate against the number of shards", "shards",
                "messages/s of 8 pairs on 8 queues", series, steps, str)


# Part: (what makes it, up to where).
PARTS = {"queues": (queues, 100_000), "connections": (connections, 10_000),
         "bindings": (bindings, 1_000_000), "size": (size, 16 * MIB),
         "backlog": (backlog, 10_000_000), "shards": (shards, os.cpu_count())}


def descriptors_allow():
    """How many connections a process may have here; the load tool and the broker are one each."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1] - DESCRIPTORS_SPARE


class Runner:
    def __init__(self, options):
        self.options = options
        self.failures = []
        self.known = {}  # runs by what they were told: a run may be a point of several curves

    def times(self):
        return ("--duration", self.options.duration, "--warmup", self.options.warmup)

    def run_once(self, point):
        with fresh_broker(self.options.program, point.serve, self.options.output) as broker:
            if not point.idle:
                return bench(self.options.program, broker, *point.arguments, *self.times())
            return self.beside_idle(broker, point)

    def beside_idle(self, broker, point):
        """The idle ones say on standard error when all are open; then the others begin."""
        arguments = ("idle", "--count", point.idle, "--parallel", 16, "--duration", 86_400)
        command = bench_command(self.options.program, broker, *arguments)
        idle = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True)
        try:
            self.await_connections(broker, idle, point.idle)
            return bench(self.options.program, broker, *point.arguments, *self.times())
        finally:
            idle.terminate()
            out, err = idle.communicate()
            if idle.returncode != 6 or '"interrupted"' not in out:  # what ends it is our signal
                figures_of(idle.returncode or 1, out, err, arguments)

    @staticmethod
    def await_connections(broker, idle, count):
        """The broker has a socket for each."""
        folder = Path(f"/proc/{broker.pid}/fd")
        while idle.poll() is None:
            if len(list(folder.iterdir())) >= count:
                return
            try:
                idle.wait(0.05)
            except subprocess.TimeoutExpired:
                pass
        raise BenchFailure("the idle connections could not be opened")

    def run_point(self, point):
        key = (*point.arguments, *point.serve, point.idle)
        if key not in self.known:
            self.known[key] = []
            for _ in range(self.options.runs):
                try:
                    self.known[key].append(self.run_once(point))
                except BenchFailure as failure:
                    say(str(failure))
                    self.failures.append(str(failure))
        return self.known[key]

    def run_part(self, name, part):
        """As it stands in the JSON."""
        out = {"title": part.title, "x": part.x_label, "y": part.y_label, "series": []}
        for series, points in part.series:
            measured = []
            for point in points:
                runs = self.run_point(point)
                values = [run[point.figure] * point.scale for run in runs if point.figure in run]
                if len(values) < len(runs):
                    self.failures.append(f"{name}, {series}, {point.x}: a run without "
                                         f"{point.figure}; measure for longer")
                if not values:
                    continue
                measured.append({
                    "x": point.x, "median": statistics.median(values), "min": min(values),
                    "max": max(values), "runs": len(values),
                    "bench_cpu_share": statistics.median(run["bench_cpu_share"] for run in runs),
                    "anonymous_bytes": statistics.median(
                        run.get("standing_anonymous_bytes", run["anonymous_bytes"])
                        for run in runs)})
                say(f"{name}, {series}: {point.x:,} -> {number(measured[-1]['median'])}")
            out["series"].append({"name": series, "points": measured})
        return out


def cliffs(part):
    for series in part["series"]:
        for before, after in zip(series["points"], series["points"][1:]):
            if after["median"] < before["median"] * CLIFF:
                yield (f"{series['name']}: from {before['x']:,} to {after['x']:,} the rate falls "
                       f"to {after['median'] / before['median']:.0%}")


def svg(part, plan):
    series = [(each["name"], [(at["x"], at["median"], at["min"], at["max"])
                              for at in each["points"]]) for each in part["series"]]
    return chart.chart(part["title"], part["x"], part["y"], series, plan.ticks, plan.form)


def bandwidth(part):
    """The same points as bytes per second."""
    series = [(each["name"], [(at["x"], *(at[which] * at["x"] / 1e6
                                          for which in ("median", "min", "max")))
                              for at in each["points"]]) for each in part["series"]]
    ticks = sorted({at["x"] for each in part["series"] for at in each["points"]})
    return chart.chart("The same in bytes", part["x"], "MB/s", series, ticks, chart.binary)


def memory(part):
    """What the backlog takes of the broker's own memory."""
    points = [(at["x"], *[at["anonymous_bytes"] / 1e6] * 3)
              for each in part["series"] if each["name"] == STANDING for at in each["points"]]
    return chart.chart("Memory with the backlog", part["x"], "anonymous memory of the broker, MB",
                       [("with the backlog complete", points)])


# Further pictures of a part's points: what they are called, and what makes them.
MORE = {"size": ("bytes", "The same in bytes", bandwidth),
        "backlog": ("memory", "Memory with the backlog", memory)}


def spread(point):
    return (point["max"] - point["min"]) / point["median"]


def table(part, form):
    yield f"| {part['x']} | " + " | ".join(each["name"] for each in part["series"]) + " |"
    yield "|---:|" + "---:|" * len(part["series"])
    for x in sorted({at["x"] for each in part["series"] for at in each["points"]}):
        found = [[at for at in each["points"] if at["x"] == x] for each in part["series"]]
        cells = [f"{number(at[0]['median'])} ({spread(at[0]):.0%})" if at else "-" for at in found]
        yield f"| {form(x)} | " + " | ".join(cells) + " |"


def section(results, plans):
    lines, shown = [], None
    for name, part in results.items():
        lines += [f"### {part['title']}", ""]
        if part["measured"][:2] != shown:  # once for all parts of one run
            shown = part["measured"][:2]
            lines += [*part["measured"], ""]
        lines += [f"![{part['title']}](benchmarks/growth-{name}.svg)", ""]
        if name in MORE:
            kind, title, _ = MORE[name]
            lines += [f"![{title}](benchmarks/growth-{name}-{kind}.svg)", ""]
        lines += [*table(part, plans[name].form), ""]
    return "\n".join(lines)


def write(folder, results, plans):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / DATA).write_text(json.dumps(results, indent=1) + "\n")
    for name, part in results.items():
        if not any(each["points"] for each in part["series"]):
            continue
        (folder / f"growth-{name}.svg").write_text(svg(part, plans[name]))
        if name in MORE:
            kind, _, draw = MORE[name]
            (folder / f"growth-{name}-{kind}.svg").write_text(draw(part))


def estimate_s(options, plans):
    keys = {(*point.arguments, *point.serve, point.idle): point.setup_s
            for name in options.only for _, points in plans[name].series for point in points}
    return options.runs * sum(setup + options.duration + options.warmup for setup in keys.values())


def arguments():
    parser = argparse.ArgumentParser(prog="./dev bench growth", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=PROGRAM, help="also as HARRIER_PROGRAM")
    parser.add_argument("--runs", type=int, default=3, help="of each point: the median counts (3)")
    parser.add_argument("--duration", type=float, default=2, help="seconds measured per run (2)")
    parser.add_argument("--warmup", type=float, default=0.5, help="seconds before that (0.5)")
    parser.add_argument("--only", default=",".join(PARTS), help="some of " + ",".join(PARTS))
    parser.add_argument("--most", action="append", default=[], metavar="PART=N",
                        help="how far a part goes, e.g. backlog=100000 (repeatable)")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "bench-growth",
                        help="where results and the brokers' data go")
    parser.add_argument("--dry-run", action="store_true", help="only say how long it will take")
    parser.add_argument("--write", action="store_true",
                        help="into docs/benchmarks/ and docs/benchmarks.md")
    options = parser.parse_args()
    options.only = options.only.split(",")
    if unknown := set(options.only) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    if options.runs < 1 or options.duration <= 0 or options.warmup < 0:
        parser.error("no run, or no time at all")
    limits = {name: most for name, (_, most) in PARTS.items()}
    limits["connections"] = min(limits["connections"], descriptors_allow())
    for each in options.most:
        name, _, value = each.partition("=")
        if name not in PARTS or not value.isdecimal() or int(value) < 1:
            parser.error(f"--most {each}: no PART=N")
        limits[name] = int(value)
    return options, limits


def main():
    options, limits = arguments()
    plans = {name: make(limits[name]) for name, (make, _) in PARTS.items()}
    say(f"growth of {', '.join(options.only)}: about {minutes(estimate_s(options, plans))}")
    if options.dry_run:
        return 0
    options.output.mkdir(parents=True, exist_ok=True)
    command = " ".join(["./dev bench growth", *sys.argv[1:]])
    runner, results, probe = Runner(options), {}, probe_us(options.output)
    for name in options.only:
        part = runner.run_part(name, plans[name])
        what = (f"medians of {options.runs} runs of {number(options.duration)} s after "
                f"{number(options.warmup)} s of warm-up; 4 KiB and `fdatasync` took "
                f"{number(probe)} us")
        part["measured"] = measured_on(command, what, options.output)
        part.update({"date": str(datetime.date.today()), "commit": commit(), "probe_us": probe,
                     "machine": machine(options.output), "duration_s": options.duration,
                     "cliffs": list(cliffs(part))})
        results[name] = part
        write(options.output, results, plans)
        for cliff in part["cliffs"]:
            say(f"{name}: cliff: {cliff}")
    print(section(results, plans))
    if options.write:
        known = FOLDER / DATA
        before = json.loads(known.read_text()) if known.exists() else {}
        both = {**before, **results}
        merged = {name: both[name] for name in PARTS if name in both}
        write(FOLDER, merged, plans)
        write_section("growth", section(merged, plans))
    for failure in runner.failures:
        say(f"failed: {failure}")
    return 1 if runner.failures else 0


if __name__ == "__main__":
    run_main(main)
