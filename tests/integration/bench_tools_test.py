#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The benchmarks in tests/bench with the smallest settings: they run to their end against the built
broker, say how long they take, and write what they promise."""

import json
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import harness
from harness import PROGRAM

BENCH = Path(__file__).resolve().parents[1] / "bench"
sys.path.insert(0, str(BENCH))
import chart  # noqa: E402

TIMEOUT_S = 500
SVG = "{http://www.w3.org/2000/svg}"
GROWTH = ("queues", "connections", "bindings", "size", "backlog", "shards")


def tool(name, *arguments):
    """(exit code, standard output, standard error) of a benchmark with the built broker."""
    done = subprocess.run(["/usr/bin/python3", BENCH / f"{name}.py", "--program", PROGRAM,
                           *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=TIMEOUT_S, check=False)
    return done.returncode, done.stdout, done.stderr


class Charts(unittest.TestCase):
    def drawn(self, *series, **options):
        return ElementTree.fromstring(chart.chart("A & B", "x", "rate, 1/s", list(series),
                                                  **options))

    def test_every_point_has_a_place_inside(self):
        points = [(10 ** exponent, 3.0 * 10 ** exponent, 2.0 * 10 ** exponent, 4.0 * 10 ** exponent)
                  for exponent in range(7)]
        root = self.drawn(("rising", points), ("falling", [(x, 1e6 / y, 1e6 / y, 1e6 / y)
                                                           for x, y, _, _ in points]))
        self.assertEqual(root.get("aria-label"), "A & B")
        lines = root.findall(f".//{SVG}polyline")
        self.assertEqual(len(lines), 2)
        for line in lines:
            places = [tuple(map(float, each.split(","))) for each in line.get("points").split()]
            self.assertEqual(len(places), len(points))
            steps = [after[0] - before[0] for before, after in zip(places, places[1:])]
            for step in steps:  # each decade is as wide
                self.assertAlmostEqual(step, steps[0], delta=0.2)
            for x, y in places:
                self.assertTrue(chart.LEFT <= x <= chart.WIDTH - chart.RIGHT, x)
                self.assertTrue(chart.TOP <= y <= chart.HEIGHT - chart.BOTTOM, y)

    def test_zero_stands_left_of_the_first_decade(self):
        root = self.drawn(("a", [(0, 5.0, 5.0, 5.0), (1000, 5.0, 5.0, 5.0)]))
        places = root.find(f".//{SVG}polyline").get("points").split()
        self.assertEqual(float(places[0].split(",")[0]), chart.LEFT)
        self.assertIn("0", [each.text for each in root.iter(f"{SVG}text")])

    def test_what_has_no_logarithm_is_refused(self):
        for series in ([], [("a", [])], [("a", [(-1, 1.0, 1.0, 1.0)])]):
            with self.assertRaises(ValueError):
                chart.chart("a", "x", "y", series)

    def test_numbers_are_short(self):
        self.assertEqual([chart.short(value) for value in (0, 1, 999, 1000, 250e3, 1.5e6)],
                         ["0", "1", "999", "1 k", "250 k", "1.5 M"])
        self.assertEqual([chart.binary(value) for value in (16, 1024, 2 ** 24)],
                         ["16 B", "1 KiB", "16 MiB"])


class Growth(unittest.TestCase):
    def test_every_part(self):
        small = ("queues=10", "connections=10", "bindings=10", "size=64", "backlog=1000",
                 "shards=2")
        with tempfile.TemporaryDirectory() as folder:
            code, out, error = tool("growth", "--duration", "1", "--warmup", "0.1", "--runs",
                                    "1", "--output", folder,
                                    *(word for each in small for word in ("--most", each)))
            self.assertEqual(code, 0, error)
            results = json.loads((Path(folder) / "growth.json").read_text())
            self.assertEqual(tuple(results), GROWTH)
            for name, part in results.items():
                ElementTree.parse(Path(folder) / f"growth-{name}.svg")
                self.assertIn(f"growth-{name}.svg", out)
                for series in part["series"]:
                    for point in series["points"]:
                        self.assertGreater(point["median"], 0, (name, series["name"]))
            self.assertEqual([point["x"] for point in results["queues"]["series"][0]["points"]],
                             [1, 10])
            self.assertEqual([point["x"] for point in results["backlog"]["series"][1]["points"]],
                             [0, 1000])
            self.assertEqual({each.name for each in Path(folder).iterdir()},
                             {"growth.json", "growth-size-bytes.svg", "growth-backlog-memory.svg",
                              *(f"growth-{name}.svg" for name in GROWTH)})

    def test_says_how_long_it_takes(self):
        code, out, error = tool("growth", "--dry-run", "--only", "queues")
        self.assertEqual((code, out), (0, ""))
        self.assertRegex(error, r"growth of queues: about \d+ (s|min)")

    def test_mistakes_are_named(self):
        for arguments in (("--only", "nothing"), ("--most", "queues"), ("--runs", "0")):
            code, _, error = tool("growth", *arguments)
            self.assertEqual(code, 2)
            self.assertIn("error:", error)

    def test_a_run_that_fails_is_a_failure(self):
        with tempfile.TemporaryDirectory() as folder:
            code, _, error = tool("growth", "--only", "queues", "--most", "queues=1", "--runs", "1",
                                  "--warmup", "0", "--duration", "1e-9", "--output", folder)
        self.assertEqual(code, 1, error)
        self.assertIn("failed: queues, transient", error)


class Features(unittest.TestCase):
    def test_compares_with_plain_queues(self):
        with tempfile.TemporaryDirectory() as folder:
            code, out, error = tool("features", "--only", "queue-ttl,dead-letters", "--runs", "1",
                                    "--duration", "1", "--warmup", "0.1", "--output", folder)
            self.assertEqual(code, 0, error)
            results = json.loads((Path(folder) / "features.json").read_text())
        self.assertEqual(results["failures"], [])
        self.assertEqual(list(results["flows"]), ["transient", "persistent"])
        for flow, entries in results["flows"].items():
            self.assertEqual(list(entries), ["plain", "queue-ttl", "dead-letters"])
            self.assertEqual(entries["plain"]["share"], 1)
            for name, entry in entries.items():
                self.assertGreater(entry["rate"], 0)
                self.assertIn(f"| {flow} | {name} |", out)

    def test_what_the_broker_refuses_is_a_failure(self):
        with tempfile.TemporaryDirectory() as folder:
            code, out, _ = tool("features", "--only", "plain", "--size", "1", "--runs", "1",
                                "--flows", "transient", "--output", folder)
        self.assertEqual(code, 1)
        self.assertIn("Not measured:", out)

    def test_says_how_long_it_takes_and_what_is_wrong(self):
        code, out, error = tool("features", "--dry-run", "--only", "stream", "--runs", "1")
        self.assertEqual((code, out), (0, ""))
        self.assertRegex(error, r"2 kinds of queues with 2 flows, 1 runs each: about \d+ s")
        for arguments in (("--only", "nothing"), ("--flows", "nothing"), ("--duration", "0")):
            code, _, error = tool("features", *arguments)
            self.assertEqual(code, 2, error)


class Overload(unittest.TestCase):
    def run_short(self, *arguments):
        with tempfile.TemporaryDirectory() as folder:
            code, out, error = tool("overload", "--capacity", "2000", "--seconds", "2",
                                    "--publishers", "2", "--output", folder, *arguments)
            return code, out, error, json.loads((Path(folder) / "overload.json").read_text())

    def test_accounts_for_everything(self):
        code, out, error, result = self.run_short("--memory-max", "100000")
        self.assertEqual(code, 0, error)
        figures = result["figures"]
        self.assertEqual(figures["offered_per_s"], 6000)
        self.assertEqual(figures["accepted"], figures["received"])
        self.assertGreater(figures["accepted"], 0)
        self.assertGreater(figures["confirm_p99_us"], 0)
        self.assertGreater(len(result["memory"]), 10)
        self.assertGreaterEqual(figures["rss_peak_bytes"], figures["anonymous_peak_bytes"])
        self.assertIn("accepted in all", out)

    def test_too_much_memory_is_a_failure(self):
        code, _, error, _ = self.run_short("--memory-max", "0.1")
        self.assertEqual(code, 1)
        self.assertIn("failed: more than", error)

    def test_finds_the_capacity_by_itself(self):
        with tempfile.TemporaryDirectory() as folder:
            code, _, error = tool("overload", "--find", "1", "--seconds", "1", "--memory-max",
                                  "100000", "--output", folder)
        self.assertEqual(code, 0, error)
        self.assertRegex(error, r"capacity [\d,.]+/s; offering [\d,.]+/s")


if __name__ == "__main__":
    harness.main()
