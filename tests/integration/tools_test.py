#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The commands on a data directory: inspect tells the truth and changes nothing, a backup has all
that was confirmed before it began, compact keeps what is there and survives its own end."""

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import harness
from disk_support import (Publisher, Tmpfs, consume_all, declare_durable, flip_bit, number_of)
from harness import BrokerTest, run_program
from wire import Client, ack

EXIT_USAGE, EXIT_DATA = 2, 3
MESSAGES = 200
BODY_BYTES = 1024
BIG_BYTES, BIG_MESSAGES = 30000, 7
# No checkpoint on its own, so that what was published is in the journal alone.
NO_CHECKPOINTS = ("--set", "store.checkpoint_interval=1h")


def content_bytes(queue, size):
    """As the broker counts: routing key, properties (flags and a delivery mode), body."""
    return len(queue) + 3 + size


def state_of(folder):
    """Everything about the files in it that a command could change."""
    return {str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.stat().st_mode,
                                            path.read_bytes() if path.is_file() else None)
            for path in sorted(folder.rglob("*"))}


def damage_row(image):
    """A bit in every copy of one message; pages that are free have some, too."""
    places = [found.start() for found in
              re.finditer(b"harrier-%08d" % (MESSAGES // 2), image.read_bytes())]
    if not places:
        raise AssertionError("the image has not the message")
    for place in places:
        flip_bit(image, place)


class ToolsTest(BrokerTest):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="harrier-tools-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.data = self.folder / "data"
        self.copy = self.folder / "copy"

    def serve(self, data=None, *options):
        return self.start_broker(*options, data=str(data or self.data))

    def kill(self, broker):
        broker.expected_to_run = False
        broker.send_signal(signal.SIGKILL)
        broker.wait_for_exit()

    def fill(self, end, *options):
        """Small messages confirmed one by one, some large ones; then an end by this signal."""
        broker = self.serve(self.data, *options)
        for queue, size, count in (("q", BODY_BYTES, MESSAGES), ("big", BIG_BYTES, BIG_MESSAGES)):
            publisher = Publisher(broker.port, queue, size)
            for _ in range(count):
                publisher.publish_confirmed(1)
            publisher.close()
        if end == signal.SIGKILL:
            self.kill(broker)
        else:
            broker.stop()

    def inspect(self, data, *options, expect=0):
        code, out, err = run_program("inspect", str(data), "--json", *options)
        self.assertEqual(code, expect, out + err)
        found = json.loads(out)
        self.assertEqual(found["sound"], expect == 0)
        self.assertEqual(found["damage"] == [], expect == 0)
        return found

    def succeed(self, *arguments):
        code, out, err = run_program(*map(str, arguments))
        self.assertEqual((code, err), (0, ""), out)
        return out

    def refuse(self, *arguments, words):
        code, out, err = run_program(*map(str, arguments))
        self.assertEqual(code, EXIT_DATA, out + err)
        for word in words:
            self.assertIn(word, err)

    def check_queues(self, found):
        queues = {queue["name"]: queue for queue in found["queues"]}
        self.assertEqual(sorted(queues), ["big", "q"])
        for name, count, size in (("q", MESSAGES, BODY_BYTES), ("big", BIG_MESSAGES, BIG_BYTES)):
            self.assertEqual(queues[name]["vhost"], "/")
            self.assertEqual(queues[name]["messages"], count)
            self.assertEqual(queues[name]["bytes"], count * content_bytes(name, size))
            self.assertGreaterEqual(queues[name]["seq_max"], count)
        self.assertNotEqual(queues["q"]["id"], queues["big"]["id"])
        self.assertIn({"vhost": "/", "queue": 2}, found["definitions"])

    def check_whole(self, data):
        broker = self.serve(data)
        self.assertEqual(consume_all(broker.port, "q"), list(range(MESSAGES)))
        self.assertEqual(consume_all(broker.port, "big"), list(range(BIG_MESSAGES)))
        broker.stop()


class Inspect(ToolsTest):
    def test_after_a_stop_in_order(self):
        self.fill(signal.SIGTERM)
        before = state_of(self.data)
        for options in ((), ("--verify",)):
            found = self.inspect(self.data, *options)
            self.check_queues(found)
            self.assertTrue(found["clean"])
            self.assertEqual(found["verified"], bool(options))
            self.assertEqual(found["journal"]["entries"], 0)
            self.assertEqual(found["image"]["contents"], BIG_MESSAGES)
            self.assertEqual((found["image"]["format"], found["journal"]["format"]), (1, 1))
        self.assertEqual(state_of(self.data), before, "inspect has changed something")
        text = self.succeed("inspect", self.data)
        for word in ("in order", f"{self.data}: sound", "vhost /", f"  {MESSAGES}  "):
            self.assertIn(word, text)

    def test_after_kill(self):
        self.fill(signal.SIGKILL, *NO_CHECKPOINTS)
        before = state_of(self.data)
        found = self.inspect(self.data, "--verify")
        self.check_queues(found)
        self.assertFalse(found["clean"])
        self.assertGreaterEqual(found["journal"]["entries"], MESSAGES + BIG_MESSAGES)
        self.assertGreater(found["journal"]["entry_bytes"],
                           MESSAGES * BODY_BYTES + BIG_MESSAGES * BIG_BYTES)
        self.assertEqual(found["image"]["message_rows"], 0)
        self.assertIn("not in order", self.succeed("inspect", self.data))
        self.assertEqual(state_of(self.data), before, "inspect has changed something")
        self.check_whole(self.data)

    def test_on_a_medium_that_cannot_be_written(self):
        self.fill(signal.SIGKILL)
        medium = self.folder / "medium"
        medium.mkdir()
        disk, why = Tmpfs.make(medium, "512m")
        if disk is None:
            self.skipTest(f"no file system can be mounted: {why}")
        self.addCleanup(disk.unmount)
        shutil.copytree(self.data, medium / "data")
        (medium / "data" / "store.mdb-lock").unlink()
        (medium / "data" / "harrier.lock").unlink()
        disk.remount_read_only()
        self.check_queues(self.inspect(medium / "data", "--verify"))
        self.succeed("backup", medium / "data", self.copy)
        self.check_whole(self.copy)

    def test_of_a_running_broker_or_nothing(self):
        broker = self.serve()
        self.refuse("inspect", self.data, words=["in use"])
        broker.stop()
        self.refuse("inspect", self.folder / "nowhere", words=["nowhere"])
        (self.folder / "empty").mkdir()
        self.refuse("inspect", self.folder / "empty", words=["holds no store"])
        self.assertEqual(os.listdir(self.folder / "empty"), [])
        self.assertEqual(run_program("inspect")[0], EXIT_USAGE)

    def test_bit_in_a_row(self):
        self.fill(signal.SIGTERM)
        image = self.data / "store.mdb"
        damage_row(image)
        self.check_queues(self.inspect(self.data))  # it reads the counters only
        found = self.inspect(self.data, "--verify", expect=EXIT_DATA)
        self.check_queues(found)
        self.assertIn("message", found["damage"][0])
        code, out, err = run_program("inspect", str(self.data), "--verify")
        self.assertEqual(code, EXIT_DATA)
        self.assertIn("damaged", out)
        self.assertIn("damaged", err)

    def test_bit_in_the_journal(self):
        self.fill(signal.SIGKILL, *NO_CHECKPOINTS)
        journal = self.journal_with(MESSAGES // 2)
        flip_bit(journal, journal.read_bytes().index(b"harrier-%08d" % (MESSAGES // 2)))
        before = state_of(self.data)
        found = self.inspect(self.data, expect=EXIT_DATA)
        self.assertIn(journal.name, found["damage"][0])
        self.assertFalse(found["journal"]["readable"])
        self.assertEqual(state_of(self.data), before)
        self.refuse("backup", self.data, self.copy, words=[journal.name])
        self.assertFalse(self.copy.exists())
        self.refuse("compact", self.data, words=[journal.name])
        self.assertEqual(state_of(self.data / "journal"),
                         {name[len("journal/"):]: state for name, state in before.items()
                          if name.startswith("journal/")})

    def journal_with(self, number):
        found = [path for path in (self.data / "journal").glob("*.journal")
                 if b"harrier-%08d" % number in path.read_bytes()]
        self.assertEqual(len(found), 1)
        return found[0]

    def test_last_entry_cut_off(self):
        """What a crash may leave behind: told, and no damage."""
        broker = self.serve(self.data, *NO_CHECKPOINTS)
        publisher = Publisher(broker.port, "q", BODY_BYTES)
        for _ in range(MESSAGES):
            publisher.publish_confirmed(1)
        publisher.close()
        self.kill(broker)
        journal = self.journal_with(MESSAGES - 1)
        data = journal.read_bytes()
        at = data.index(b"harrier-%08d" % (MESSAGES - 1)) + 100
        journal.write_bytes(data[:at] + bytes(len(data) - at))  # written ahead, as the rest is
        found = self.inspect(self.data, "--verify")
        self.assertIn(journal.name, found["journal"]["torn"])
        self.assertEqual(found["queues"][0]["messages"], MESSAGES - 1)

    def test_image_cut_off(self):
        self.fill(signal.SIGTERM)
        image = self.data / "store.mdb"
        for size in (image.stat().st_size // 2, 4096, 0):
            with open(image, "r+b") as file:
                file.truncate(size)
            found = self.inspect(self.data, expect=EXIT_DATA)
            self.assertIn("store.mdb", found["damage"][0])
            self.assertNotIn("queues", found)
            self.assertEqual(image.stat().st_size, size)
        image.unlink()
        self.assertIn("missing", self.inspect(self.data, expect=EXIT_DATA)["damage"][0])

    def test_image_and_journal_of_two_stores(self):
        self.fill(signal.SIGTERM)
        mine = self.folder / "mine"
        self.data.rename(mine)
        self.fill(signal.SIGTERM)
        shutil.rmtree(self.data / "journal")
        shutil.copytree(mine / "journal", self.data / "journal")
        self.assertNotEqual(self.inspect(self.data, expect=EXIT_DATA)["damage"], [])


class Backup(ToolsTest):
    def test_of_a_running_broker_under_load(self):
        broker = self.serve()
        publisher = Publisher(broker.port, "q", BODY_BYTES)
        publisher.publish_confirmed(MESSAGES)
        process = subprocess.Popen([harness.PROGRAM, "backup", str(self.data), str(self.copy)],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        confirmed = publisher.confirmed
        while process.poll() is None:
            publisher.publish(20)
            target = publisher.confirmed + 1
            publisher.run_until(lambda: publisher.confirmed >= target, "confirms")
        out, err = process.communicate(timeout=harness.WAIT_S)
        self.assertEqual((process.returncode, err), (0, ""), out)
        self.assertIn("running broker", out)
        publisher.run_until(lambda: publisher.confirmed == publisher.published, "confirms")
        print(f"{confirmed} confirmed at the start, {publisher.published} at the end")
        self.assertEqual(os.listdir(self.copy), ["store.mdb"])
        self.inspect(self.copy, "--verify")
        second = self.serve(self.copy)
        numbers = consume_all(second.port, "q")
        self.assertEqual(numbers, list(range(len(numbers))))
        self.assertGreaterEqual(len(numbers), confirmed)
        # The original goes on as if nothing had been.
        self.assertEqual(consume_all(broker.port, "q"), list(range(publisher.published)))
        publisher.close()

    def test_of_a_stopped_broker(self):
        for end, clean in ((signal.SIGTERM, True), (signal.SIGKILL, False)):
            with self.subTest(end=end):
                self.fill(end, *NO_CHECKPOINTS)
                before = state_of(self.data)
                self.assertIn("stopped", self.succeed("backup", self.data, self.copy, "--verify"))
                self.assertEqual(state_of(self.data), before, "the original was changed")
                found = self.inspect(self.copy, "--verify")
                self.check_queues(found)
                self.assertEqual(found["clean"], clean)
                self.assertEqual(found["image"]["message_rows"], MESSAGES + BIG_MESSAGES)
                self.assertEqual(os.listdir(self.copy), ["store.mdb"])
                self.check_whole(self.copy)
                shutil.rmtree(self.data)
                shutil.rmtree(self.copy)

    def test_the_copy_lives_on(self):
        """Its journal goes on above the one that it was made without, through kills and copies."""
        self.fill(signal.SIGKILL)
        self.succeed("backup", self.data, self.copy)
        for life in range(1, 4):
            broker = self.serve(self.copy)
            publisher = Publisher(broker.port, f"life{life}")
            publisher.publish_confirmed(life)
            publisher.close()
            self.kill(broker)
            self.inspect(self.copy, "--verify")
            next_copy = self.folder / f"copy{life}"
            self.succeed("backup", self.copy, next_copy)
            self.copy = next_copy
        broker = self.serve(self.copy)
        for life in range(1, 4):
            self.assertEqual(consume_all(broker.port, f"life{life}"), list(range(life)))
        broker.stop()
        self.check_whole(self.copy)

    def test_targets(self):
        self.fill(signal.SIGTERM)
        self.copy.mkdir()
        self.succeed("backup", self.data, f"{self.copy}/")  # an empty directory will do
        before = state_of(self.copy)
        self.refuse("backup", self.data, self.copy, words=["not an empty directory"])
        self.assertEqual(state_of(self.copy), before)
        self.refuse("backup", self.data, self.folder / "no" / "such", words=["no/such"])
        self.refuse("backup", self.folder / "nowhere", self.folder / "x", words=["nowhere"])
        self.assertFalse((self.folder / "x.partial").exists())
        # What an interrupted backup has left goes; what somebody else has put there stays.
        partial = self.folder / "second.partial"
        (partial / "journal").mkdir(parents=True)
        (partial / "store.mdb").write_bytes(b"half")
        self.succeed("backup", self.data, self.folder / "second")
        self.assertFalse(partial.exists())
        other = self.folder / "third.partial"
        other.mkdir()
        (other / "letter").write_text("mine")
        self.refuse("backup", self.data, self.folder / "third", words=["third.partial"])
        self.assertEqual((other / "letter").read_text(), "mine")
        self.check_whole(self.copy)

    def test_no_checkpoint_in_time(self):
        broker = self.serve(self.data, *NO_CHECKPOINTS)
        publisher = Publisher(broker.port, "q")
        publisher.publish_confirmed(5)
        publisher.close()
        self.refuse("backup", self.data, self.copy, "--timeout", "0", words=["checkpoint"])
        self.assertFalse(self.copy.exists())
        self.assertFalse((self.folder / "copy.partial").exists())

    def test_the_broker_ends_while_the_backup_waits(self):
        broker = self.serve(self.data, *NO_CHECKPOINTS)
        publisher = Publisher(broker.port, "q", BODY_BYTES)
        publisher.publish_confirmed(MESSAGES)
        publisher.close()
        process = subprocess.Popen([harness.PROGRAM, "backup", str(self.data), str(self.copy)],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, text=True)
        self.addCleanup(process.stdout.close)
        # The draft is made before the broker is looked at; the end may come before or after that.
        harness.wait_until((self.folder / "copy.partial").exists, "the backup begins")
        self.kill(broker)
        self.assertEqual(process.wait(harness.WAIT_S), 0, process.stdout.read())
        broker = self.serve(self.copy)
        self.assertEqual(consume_all(broker.port, "q"), list(range(MESSAGES)))

    def test_copy_beside_a_journal(self):
        """One that was made without a journal, put beside one that goes on behind it."""
        broker = self.serve()
        publisher = Publisher(broker.port, "q", BODY_BYTES)
        publisher.publish_confirmed(MESSAGES)
        self.succeed("backup", self.data, self.copy)
        publisher.publish_confirmed(1)
        publisher.close()
        self.kill(broker)
        shutil.copytree(self.data / "journal", self.copy / "journal")
        code, out, err = run_program("serve", "--data", str(self.copy), "--listen", "127.0.0.1:0")
        self.assertEqual(code, EXIT_DATA, out + err)
        self.assertIn("without a journal", err)
        found = self.inspect(self.copy, expect=EXIT_DATA)
        self.assertIn("without a journal", found["damage"][0])
        shutil.rmtree(self.copy / "journal")
        broker = self.serve(self.copy)
        self.assertEqual(consume_all(broker.port, "q"), list(range(MESSAGES)))

    def test_a_killed_backup_holds_no_pages(self):
        """Its place among the readers is given up, so the image does not grow for ever."""
        broker = self.serve(self.data, "--set", "store.checkpoint_interval=10ms")
        publisher = Publisher(broker.port, "q", BODY_BYTES)
        publisher.publish_confirmed(MESSAGES)
        for number in range(5):
            process = subprocess.Popen(
                [harness.PROGRAM, "backup", str(self.data), str(self.folder / f"killed{number}")],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
            draft = self.folder / f"killed{number}.partial" / "store.mdb"
            harness.wait_until(lambda: draft.exists() or process.poll() is not None, "the copy")
            process.kill()
            process.wait(harness.WAIT_S)
            publisher.publish_confirmed(10)
        publisher.close()
        self.succeed("backup", self.data, self.copy, "--verify")
        self.assertEqual(len(consume_all(broker.port, "q")), publisher.confirmed)


class Compact(ToolsTest):
    LEFT = 10

    def drain(self):
        """A backlog of which little is left."""
        broker = self.serve()
        publisher = Publisher(broker.port, "q", 4000)
        publisher.publish_confirmed(3000)
        publisher.close()
        broker.stop()
        broker = self.serve()
        with Client(broker.port) as client:
            count, _ = declare_durable(client, "q")
            self.assertEqual(count, 3000)
            client.consume("q")
            for expected in range(3000):
                tag, body = client.read_delivery()
                self.assertEqual(number_of(body), expected)
                if expected == 3000 - self.LEFT - 1:
                    client.send(ack(1, tag))
            # The broker takes methods in order, so with this answer it has the ack.
            declare_durable(client, "q")
        broker.stop()

    def check_left(self, data):
        broker = self.serve(data)
        self.assertEqual(consume_all(broker.port, "q"), list(range(3000 - self.LEFT, 3000)))
        broker.stop()

    def test_gives_space_back(self):
        self.drain()
        image = self.data / "store.mdb"
        mode, before = image.stat().st_mode, image.stat().st_size
        self.assertGreater(before, 3000 * 4000)
        (self.data / "store.mdb.compact").write_bytes(b"of an interrupted run")
        out = self.succeed("compact", self.data)
        self.assertRegex(out, r"before: store.mdb 1\d\.\d MiB.*needs up to .* of free space")
        self.assertIn("after:", out)
        self.assertLess(image.stat().st_size, before // 20)
        self.assertEqual(image.stat().st_mode, mode)
        self.assertFalse((self.data / "store.mdb.compact").exists())
        found = self.inspect(self.data, "--verify")
        self.assertEqual(found["queues"][0]["messages"], self.LEFT)
        self.assertTrue(found["clean"])
        self.check_left(self.data)

    def test_after_kill(self):
        """What the journal has goes into the image; that the broker was killed is not forgotten."""
        self.fill(signal.SIGKILL, *NO_CHECKPOINTS)
        self.succeed("compact", self.data)
        found = self.inspect(self.data, "--verify")
        self.check_queues(found)
        self.assertFalse(found["clean"])
        self.assertEqual(found["journal"]["entries"], 0)
        self.succeed("compact", self.data)
        self.assertFalse(self.inspect(self.data)["clean"])
        self.check_whole(self.data)

    def test_refused(self):
        self.refuse("compact", self.folder / "nowhere", words=["nowhere"])
        broker = self.serve()
        self.refuse("compact", self.data, words=["in use"])
        broker.stop()
        self.fill(signal.SIGTERM)
        image = self.data / "store.mdb"
        damage_row(image)
        self.refuse("compact", self.data, words=["damaged"])
        self.assertFalse((self.data / "store.mdb.compact").exists())
        self.inspect(self.data, "--verify", expect=EXIT_DATA)

    def test_killed_at_any_moment(self):
        self.drain()
        whole = self.folder / "whole"
        self.data.rename(whole)
        ended = 0
        for delay_ms in (0, 1, 2, 4, 8, 15, 30, 60, 120, 500):
            shutil.copytree(whole, self.data)
            process = subprocess.Popen([harness.PROGRAM, "compact", str(self.data)],
                                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
            process.stdout.readline()  # it begins to change things now
            try:
                process.wait(delay_ms / 1000)
                ended += 1
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(harness.WAIT_S)
            process.stdout.close()
            self.inspect(self.data, "--verify")
            self.check_left(self.data)
            shutil.rmtree(self.data)
        print(f"{ended} of 10 had ended by themselves")

    def test_killed_at_every_step(self):
        """With a program that has crash points; tests/crash builds one."""
        if "crash points" not in run_program("--version")[1]:
            self.skipTest("the program has no crash points")
        self.drain()
        whole = self.folder / "whole"
        self.data.rename(whole)
        for point in ("compact-checkpointed", "compact-copied", "compact-before-swap",
                      "compact-swapped", "checkpoint-before-commit", "open-clear-clean"):
            with self.subTest(point=point):
                shutil.copytree(whole, self.data)
                done = subprocess.run([harness.PROGRAM, "compact", str(self.data)],
                                      env={**os.environ, "HARRIER_CRASH_POINT": f"{point}:1"},
                                      stdin=subprocess.DEVNULL, capture_output=True,
                                      timeout=harness.WAIT_S, check=False)
                self.assertEqual(done.returncode, -signal.SIGKILL, done.stderr)
                self.inspect(self.data, "--verify")
                self.succeed("compact", self.data)
                self.check_left(self.data)
                shutil.rmtree(self.data)


if __name__ == "__main__":
    harness.main()
