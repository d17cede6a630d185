#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The load tool against the built broker: every mode counts right and cleans up, and what a broker
could do wrong is found out. The wrong is done by a proxy in between, frame by frame."""

import json
import signal
import socket
import struct
import subprocess
import threading

import harness
from harness import PROGRAM, WAIT_S, BrokerTest
from wire import (BODY, DELIVER, HEADER, METHOD, Client, Closed, frame, long, method, queue_declare,
                  short)

EXIT_OK, EXIT_VIOLATED, EXIT_FAILED = 0, 5, 6
ACK, NACK = (60, 80), (60, 120)
EXCHANGE_DECLARE, PASSIVE = (40, 10), 1
TARGET = 100  # the delivery or confirm that a proxy tampers with
FAULTS = ("lost", "duplicates", "reordered", "damaged", "misrouted", "refused", "bad_confirms",
          "bad_tags")


def bench(port, *arguments, timeout_s=WAIT_S * 3):
    """(exit code, the result as JSON, standard error)"""
    done = subprocess.run([PROGRAM, "bench", *arguments, "--port", str(port), "--json", "-"],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=timeout_s, check=False)
    if not done.stdout:
        raise AssertionError(f"no JSON, exit code {done.returncode}: {done.stderr}")
    return done.returncode, json.loads(done.stdout), done.stderr


class Frames:
    """Cuts a stream into (type, channel, payload, bytes)."""

    def __init__(self):
        self.rest = b""

    def feed(self, data):
        self.rest += data
        out, at = [], 0
        while len(self.rest) - at >= 8:
            kind, channel, size = struct.unpack_from(">BHI", self.rest, at)
            end = at + 8 + size
            if len(self.rest) < end:
                break
            out.append((kind, channel, self.rest[at + 7:end - 1], self.rest[at:end]))
            at = end
        self.rest = self.rest[at:]
        return out


class Proxy:
    """Passes everything on, but lets `tamper(deliveries or confirms)` change what the broker says.

    tamper(event, number, frames) gets "deliver" with the frames of a whole delivery, or "confirm"
    with one frame, and what number it is on its connection; it returns the frames to send instead.
    """

    def __init__(self, broker_port, tamper):
        self.broker_port, self.tamper = broker_port, tamper
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.open, self.lock = [self.listener], threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            broker = socket.create_connection(("127.0.0.1", self.broker_port))
            with self.lock:
                self.open += [client, broker]
            for source, sink, change in ((client, broker, None), (broker, client, self._changer())):
                threading.Thread(target=self._pass_on, args=(source, sink, change),
                                 daemon=True).start()

    def _changer(self):
        frames, delivery, counts = Frames(), [], {"deliver": 0, "confirm": 0}

        def tampered(event, raw):
            counts[event] += 1
            return b"".join(self.tamper(event, counts[event], raw))

        def change(data):
            out = b""
            for kind, _, payload, raw in frames.feed(data):
                ids = struct.unpack_from(">HH", payload) if kind == METHOD else None
                if ids == DELIVER:
                    delivery[:] = [raw]
                elif kind == HEADER:
                    delivery.append(raw)
                elif kind == BODY:
                    out += tampered("deliver", delivery + [raw])
                elif ids == ACK:
                    out += tampered("confirm", [raw])
                else:
                    out += raw
            return out
        return change

    @staticmethod
    def _pass_on(source, sink, change):
        try:
            while data := source.recv(65536):
                sink.sendall(change(data) if change else data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # one side is gone; the other learns of it by close()

    def close(self):
        with self.lock:
            for each in self.open:
                each.close()


class BenchTest(BrokerTest):
    @classmethod
    def setUpClass(cls):
        cls.broker = harness.Broker("--shards", "2").wait_until_serving()
        cls.addClassCleanup(cls.broker.end)
        cls.port = cls.broker.port

    def assert_clean(self, result):
        """Neither exchange nor queues of the run are left at the broker."""
        name = result["names"]
        exchange = method(1, EXCHANGE_DECLARE, b"\x00\x00" + short(name) + short("direct") +
                          bytes([PASSIVE]) + long(b""))
        for left in (exchange, *(queue_declare(f"{name}.{index}", passive=True)
                                 for index in ("0", "1", "0.dead"))):
            with Client(self.port) as client, self.assertRaises(Closed) as closed:
                client.send(left)
                client.read_method()
            self.assertEqual(closed.exception.code, 404)

    def run_well(self, *arguments):
        code, result, error = bench(self.port, *arguments, "--quiet")
        self.assertEqual(code, EXIT_OK, error)
        self.assertTrue(result["ok"])
        self.assertEqual(result["violations"]["total"], 0)
        self.assertEqual(result["error"], "")
        self.assertTrue(result["product"].startswith("Harrier"), result["product"])
        self.assert_clean(result)
        return result["figures"]


class Modes(BenchTest):
    def check_percentiles(self, figures, name, count):
        values = [figures[f"{name}_{part}_us"]
                  for part in ("p50", "p90", "p99", "p99.9", "p99.99", "max")]
        self.assertEqual(values, sorted(values))
        self.assertGreater(values[0], 0)
        self.assertEqual(figures[f"{name}_count"], count)

    def test_messages_are_counted(self):
        figures = self.run_well("run", "--messages", "5000", "--size", "16")
        self.assertEqual((figures["published"], figures["delivered"]), (5000, 5000))
        self.assertEqual(figures["confirmed"], 0)
        self.assertGreater(figures["published_per_s"], 0)
        self.assertGreater(figures["bench_cpu_share"], 0)
        self.check_percentiles(figures, "delivery", 5000)

    def test_confirms_and_acknowledgements(self):
        figures = self.run_well(
            "run", "--messages", "3000", "--size", "16:5,2000-9000:4,300000:1", "--confirms", "50",
            "--persistent", "--durable", "--prefetch", "20", "--ack-every", "7", "--publishers",
            "3", "--consumers", "2", "--queues", "2")
        self.assertEqual({figures[name] for name in ("published", "confirmed", "delivered")},
                         {3000})
        self.check_percentiles(figures, "confirm", 3000)

    def test_a_window_of_one(self):
        figures = self.run_well("run", "--messages", "500", "--confirms", "1")
        self.assertEqual(figures["confirmed"], 500)

    def test_more_queues_than_publishers_and_consumers(self):
        figures = self.run_well("run", "--messages", "1000", "--queues", "7", "--publishers", "2",
                                "--consumers", "3")
        self.assertEqual(figures["delivered"], 1000)

    def test_fan_out_delivers_to_every_queue(self):
        figures = self.run_well("run", "--messages", "1000", "--exchange", "fanout", "--queues",
                                "5", "--consumers", "5", "--lead", "100")
        self.assertEqual((figures["published"], figures["delivered"]), (1000, 5000))

    def test_every_exchange_type_routes_to_one_queue(self):
        for kind in ("direct", "topic", "headers"):
            with self.subTest(kind=kind):
                figures = self.run_well("run", "--messages", "1000", "--exchange", kind,
                                        "--bindings", "30", "--queues", "4", "--consumers", "4")
                self.assertEqual(figures["delivered"], 1000)
                self.assertGreater(figures["binds_per_s"], 0)

    def test_a_rate_for_a_time(self):
        figures = self.run_well("run", "--rate", "2000", "--warmup", "0.2", "--duration", "0.5",
                                "--broker-pid", str(self.broker.process.pid))
        self.assertEqual(figures["published"], figures["delivered"])
        self.assertGreater(figures["send_lag_count"], 0)
        self.assertLess(figures["send_lag_count"], figures["published"])  # not the warm-up's
        self.assertEqual(figures["delivery_count"], figures["send_lag_count"])
        self.assertGreater(figures["rss_bytes"], figures["anonymous_bytes"])
        self.assertIn("broker_cpu_s", figures)

    def test_backlog_then_drain(self):
        figures = self.run_well("run", "--messages", "4000", "--backlog", "--confirms", "100",
                                "--prefetch", "100", "--ack-every", "10")
        self.assertEqual((figures["confirmed"], figures["delivered"]), (4000, 4000))

    def test_without_consumers(self):
        figures = self.run_well("run", "--messages", "100", "--confirms", "10", "--consumers", "0")
        self.assertEqual((figures["confirmed"], figures["delivered"]), (100, 0))

    def test_a_standing_backlog_is_held(self):
        figures = self.run_well("run", "--standing", "3000", "--lead", "500", "--confirms", "100",
                                "--prefetch", "100", "--ack-every", "10", "--warmup", "0",
                                "--duration", "0.5", "--broker-pid",
                                str(self.broker.process.pid))
        self.assertEqual(figures["published"], figures["delivered"])
        self.assertGreater(figures["published"], 3500)  # it flowed
        self.assertGreater(figures["sustained_per_s"], 0)
        self.assertGreater(figures["filled_per_s"], 0)
        self.assertGreater(figures["drained_per_s"], 0)
        self.assertIn("standing_anonymous_bytes", figures)

    def test_slow_consumers_hold_back_until_the_publishers_stop(self):
        figures = self.run_well("run", "--consume-rate", "1000", "--consumers", "2", "--confirms",
                                "100", "--prefetch", "20", "--ack-every", "10", "--rate", "20000",
                                "--latency-from-sending", "--warmup", "0", "--duration", "1")
        self.assertEqual(figures["published"], figures["delivered"])
        # What is prefetched comes on top of what the rate allows.
        self.assertLess(figures["delivered_per_s"], 1100)
        self.assertGreater(figures["delivered_per_s"], 300)
        self.assertGreater(figures["published_per_s"], figures["delivered_per_s"])

    def test_rejected_messages_are_received_as_dead_letters(self):
        figures = self.run_well("run", "--messages", "2003", "--reject", "--queues", "2",
                                "--consumers", "2", "--confirms", "50", "--prefetch", "20",
                                "--ack-every", "7")
        self.assertEqual((figures["published"], figures["delivered"]), (2003, 2003))

    def test_properties_and_arguments(self):
        figures = self.run_well("run", "--messages", "2000", "--message-id", "--expiration",
                                "600000", "--header", "kind=test", "--groups", "customer=20",
                                "--queue-argument", "x-message-ttl=600000", "--queue-argument",
                                "x-max-length=100000", "--confirms", "100")
        self.assertEqual(figures["delivered"], 2000)

    def test_round_trips(self):
        for options in ((), ("--direct",), ("--in-flight", "8"), ("--in-flight", "8", "--direct")):
            with self.subTest(options=options):
                figures = self.run_well("rpc", "--messages", "500", *options)
                self.assertEqual(figures["round_trips"], 500)
                self.check_percentiles(figures, "rpc", 500)

    def test_connections(self):
        figures = self.run_well("idle", "--count", "50", "--parallel", "8", "--duration", "0.1",
                                "--broker-pid", str(self.broker.process.pid))
        self.assertEqual(figures["connections"], 50)
        self.assertIn("bytes_per_connection", figures)
        figures = self.run_well("churn", "--count", "50", "--parallel", "3")
        self.assertEqual(figures["connections"], 50)

    def test_declarations(self):
        for options in ((), ("--pipelined",)):
            figures = self.run_well("declare", "--count", "300", "--durable", *options)
            self.assertEqual(figures["queues"], 300)
            self.assertGreater(figures["declared_per_s"], 0)

    def test_presets_and_suite(self):
        figures = self.run_well("case", "d1k", "--messages", "1000")
        self.assertEqual(figures["delivered"], 1000)
        code, outcomes, table = bench(
            self.port, "suite", "--cases", "c1k,i1", "--runs", "2", "--messages", "200",
            "--against", f"127.0.0.1:{self.port}", "--quiet")
        self.assertEqual(code, EXIT_OK, table)
        self.assertEqual([each["case"] for each in outcomes], ["c1k", "i1"])
        for each in outcomes:
            for side in ("broker", "against"):
                self.assertEqual(len(each[side]["runs"]), 2)
                for run in each[side]["runs"]:
                    self.assert_clean(run)
        self.assertRegex(table, r"\| c1k \| published_per_s \| .* \| x[\d.]+ \|")

    def test_progress_is_plain_lines(self):
        _, _, error = bench(self.port, "run", "--warmup", "0.1", "--duration", "1.5", "--rate",
                            "500")
        self.assertRegex(error, r"(?m)^run  1\.\d+ s  in [\d,.]+/s  out [\d,.]+/s$")


class Heartbeats(BrokerTest):
    def test_a_silent_connection_is_kept(self):
        """The broker drops whoever is silent for two intervals; this lasts three and more."""
        broker = self.start_broker("--set", "connection.heartbeat=1s")
        code, result, error = bench(broker.port, "idle", "--count", "5", "--duration", "3.5",
                                    "--quiet")
        self.assertEqual(code, EXIT_OK, error + result["error"])
        self.assertEqual(result["figures"]["connections"], 5)


class Violations(BenchTest):
    def violated(self, tamper, *options):
        """The counts, by kind, of what the load tool found."""
        proxy = Proxy(self.port, tamper)
        self.addCleanup(proxy.close)
        if "--messages" not in options:
            options += ("--messages", "400")
        code, result, error = bench(proxy.port, "run", "--settle", "1", "--quiet", *options)
        self.assertEqual(code, EXIT_VIOLATED, error)
        self.assertFalse(result["ok"])
        self.assertNotEqual(result["violations"]["texts"], [])
        self.assert_clean(result)
        return {kind: result["violations"][kind] for kind in FAULTS if result["violations"][kind]}

    @staticmethod
    def on_delivery(change):
        def tamper(event, number, frames):
            return change(frames) if event == "deliver" and number == TARGET else frames
        return tamper

    def test_an_honest_proxy_is_no_violation(self):
        proxy = Proxy(self.port, lambda event, number, frames: frames)
        self.addCleanup(proxy.close)
        code, result, error = bench(proxy.port, "run", "--messages", "400", "--confirms", "10")
        self.assertEqual(code, EXIT_OK, error)
        self.assertEqual(result["figures"]["delivered"], 400)

    def test_loss(self):
        found = self.violated(self.on_delivery(lambda frames: []))
        self.assertEqual(found, {"lost": 1, "bad_tags": 1})

    def test_duplicate(self):
        found = self.violated(self.on_delivery(lambda frames: frames + frames))
        self.assertEqual(found, {"duplicates": 1, "bad_tags": 1})

    def test_changed_order(self):
        held = []

        def tamper(event, number, frames):
            if event == "deliver" and number == TARGET:
                held.extend(frames)
                return []
            return frames + held if event == "deliver" and number == TARGET + 1 else frames
        # Delivery 101 comes after 99, then 100 after 101, then 102 after 100.
        self.assertEqual(self.violated(tamper), {"reordered": 1, "bad_tags": 3})

    def test_damage(self):
        for at in (7, 10, 20, 500, 1030):  # of the body frame: in its header and in its filler
            def flip(frames, at=at):
                raw = bytearray(frames[2])
                raw[at] ^= 0x20
                return [frames[0], frames[1], bytes(raw)]
            with self.subTest(at=at):
                found = self.violated(self.on_delivery(flip))
                self.assertEqual(found, {"damaged": 1, "lost": 1})

    def test_another_queues_message(self):
        def to_other(frames):
            raw = bytearray(frames[0])
            self.assertIn(raw[11:13], (b"\x010", b"\x011"))  # the consumer tag, "0" or "1"
            raw[12] ^= 1
            return [bytes(raw)] + frames[1:]
        found = self.violated(self.on_delivery(to_other), "--queues", "2", "--consumers", "1")
        self.assertEqual(found, {"misrouted": 1, "lost": 1})

    def test_refusal(self):
        def tamper(event, number, frames):
            if event == "confirm" and number == 1:
                payload = frames[0][11:-1]  # delivery tag, multiple
                return [method(1, NACK, payload)]
            return frames
        found = self.violated(tamper, "--confirms", "1")
        self.assertEqual(found, {"refused": 1})

    def test_confirm_of_nothing(self):
        def tamper(event, number, frames):
            if event == "confirm" and number == 1:
                return frames + [method(1, ACK, struct.pack(">QB", 10**6, 0))]
            return frames
        self.assertEqual(self.violated(tamper, "--confirms", "10"), {"bad_confirms": 1})

    def test_missing_confirm(self):
        def tamper(event, number, frames):
            return [] if event == "confirm" and number == 1 else frames
        found = self.violated(tamper, "--confirms", "1", "--messages", "1")
        self.assertEqual(found, {"refused": 1})


class Failures(BenchTest):
    def test_a_close_ends_the_run_with_the_brokers_words(self):
        code, result, _ = bench(self.port, "run", "--messages", "10", "--queue-type", "no-such",
                                "--quiet")
        self.assertEqual(code, EXIT_FAILED)
        self.assertRegex(result["error"], r"closed the channel: 406 PRECONDITION_FAILED")
        self.assert_clean(result)

    def test_bad_password(self):
        code, result, _ = bench(self.port, "run", "--password", "wrong")
        self.assertEqual(code, EXIT_FAILED)
        self.assertIn("403 ACCESS_REFUSED", result["error"])

    def test_a_peer_that_speaks_no_amqp(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            def answer():
                with listener.accept()[0] as peer:
                    peer.recv(8)
                    peer.sendall(frame(METHOD, 0, b"\x00\x0a")[:-1] + b"?")
            thread = threading.Thread(target=answer)
            thread.start()
            code, result, _ = bench(listener.getsockname()[1], "churn", "--count", "1")
            thread.join()
        self.assertEqual(code, EXIT_FAILED)
        self.assertIn("malformed frame", result["error"])

    def test_a_peer_that_says_nothing_is_given_up(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            code, result, _ = bench(listener.getsockname()[1], "run", "--stall", "0.5")
        self.assertEqual(code, EXIT_FAILED)
        self.assertIn("no progress", result["error"])

    def interrupt(self, *arguments):
        """The figures of a run that is told to end at its first progress line."""
        process = subprocess.Popen(
            [PROGRAM, "bench", *arguments, "--port", str(self.port), "--duration", "600", "--json",
             "-"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.kill)
        self.assertRegex(process.stderr.readline(), f"^{arguments[0]}  .*/s")
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=WAIT_S)
        self.assertEqual(process.returncode, EXIT_FAILED)
        result = json.loads(out)
        self.assertEqual(result["error"], "interrupted")
        self.assert_clean(result)
        return result["figures"]

    def test_an_interrupted_run_cleans_up(self):
        figures = self.interrupt("run", "--rate", "100", "--durable", "--queues", "2",
                                 "--exchange", "topic")
        self.assertGreater(figures["published"], 0)
        self.interrupt("rpc")


if __name__ == "__main__":
    harness.main()
