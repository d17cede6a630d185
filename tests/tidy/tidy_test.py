#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Checks the tree against rules.py, and the rules against fixtures that break them.

    tests/tidy/tidy_test.py            (in ctest as `tidy`; part of `./dev lint` and .ci/run)

First each rule must find what its fixture does wrong, and nothing in the fixture that does right;
then the tree must be without findings, and what is generated must be fresh.
"""

import subprocess
import sys
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))

import rules  # noqa: E402  (found beside this file)
from rules import File  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
LICENCE = "// SPDX-License-Identifier: Apache-2.0\n"


def read_tree():
    """Every text file of the project: what git tracks or would track."""
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others",
         "--exclude-standard"],
        cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    files = []
    for path in sorted(filter(None, set(listed))):
        if path.startswith("tests/fuzz/corpus/") or not (ROOT / path).is_file():
            continue
        data = (ROOT / path).read_bytes()
        if b"\0" not in data[:4096]:
            files.append(File(path, data.decode("utf-8", "replace")))
    return files


def findings(rule, *files):
    return list(rule([File(path, text) for path, text in files]))


class RulesCatchWhatTheyAreFor(unittest.TestCase):
    def check(self, rule, wrong, right=()):
        """One finding for each wrong file, naming it; none for the right ones."""
        for path, text in wrong:
            with self.subTest(rule=rule.__name__, wrong=path):
                found = findings(rule, (path, text))
                self.assertEqual(len(found), 1, found)
                self.assertTrue(found[0].startswith(path + ":"), found)
        for path, text in right:
            with self.subTest(rule=rule.__name__, right=path):
                self.assertEqual(findings(rule, (path, text)), [])

    def test_layering_between_folders(self):
        self.check(rules.layering, wrong=[
            ("protocol/frame.cpp", '#include "routing/topic.hpp"\n'),
            ("routing/topic.cpp", '#include "persistence/record.hpp"\n'),
            ("persistence/record.cpp", '#include "routing/topic.hpp"\n'),
            ("protocol/frame.hpp", '#include "broker/config.hpp"\n'),
            ("broker/core/queue.cpp", '#include "broker/net/listener.hpp"\n'),
            ("broker/core/queue.hpp", '  #  include "broker/runtime/shard.hpp"\n'),
            ("broker/core/queue.cpp", '#include "broker/config.hpp"\n'),
            ("broker/auth/users.cpp", '#include "broker/core/queue.hpp"\n'),
            ("broker/runtime/shard.cpp", '#include "broker/net/listener.hpp"\n'),
            ("broker/net/listener.cpp", '#include "broker/management/http.hpp"\n'),
            ("broker/cli/cli.cpp", '#include "broker/core/queue.hpp"\n'),
            ("broker/bench/loop.cpp", '#include "broker/core/queue.hpp"\n'),
            ("tools/x.cpp", "int x;\n"),
        ], right=[
            ("routing/topic.cpp", '#include "protocol/bytes.hpp"\n'),
            ("broker/core/queue.cpp", '#include "persistence/message_store.hpp"\n'),
            ("broker/net/listener.cpp", '#include "broker/runtime/shard.hpp"\n'),
            ("broker/main.cpp", '#include "broker/net/listener.hpp"\n'),
            ("tests/unit/x_test.cpp", '#include "broker/net/listener.hpp"\n'),
        ])

    def test_layering_of_packages(self):
        self.check(rules.layering, wrong=[
            ("broker/core/queue.cpp", "#include <asio/post.hpp>\n"),
            ("protocol/frame.cpp", "#include <asio.hpp>\n"),
            ("broker/core/queue.cpp", "#include <spdlog/spdlog.h>\n"),
            ("persistence/recovery.cpp", "#include <lmdb.h>\n"),
            ("broker/core/queue.cpp", "#include <lmdb.h>\n"),
            ("routing/topic.cpp", "#include <boost/spirit/home/x3.hpp>\n"),
            ("broker/core/queue.cpp", "#include <mutex>\n"),
            ("routing/topic.cpp", "#include <thread>\n"),
            ("broker/server.cpp", "#include <toml++/toml.h>\n"),
        ], right=[
            ("broker/net/listener.cpp", "#include <asio/post.hpp>\n#include <spdlog/spdlog.h>\n"),
            ("persistence/lmdb_store.cpp", "#include <lmdb.h>\n#include <thread>\n"),
            ("routing/pattern_grammar.cpp", "#include <boost/spirit/home/x3.hpp>\n"),
            ("broker/config.cpp", "#include <toml++/toml.h>\n"),
            ("protocol/message.hpp", "#include <atomic>\n#include <string>\n"),
        ])

    def test_grammars_stay_home(self):
        self.check(rules.grammars_stay_home, wrong=[
            ("broker/core/channel.cpp", '#include "routing/pattern_grammar.hpp"\n'),
        ], right=[
            ("routing/registry.cpp", '#include "routing/pattern_grammar.hpp"\n'),
            ("tests/unit/routing/x_test.cpp", '#include "routing/pattern_grammar.hpp"\n'),
        ])

    def test_includes_from_the_root(self):
        own = ("routing/topic.hpp", "")
        self.assertEqual(len(findings(rules.includes_from_the_root, own,
                                      ("routing/x.cpp", '#include "topic.hpp"\n'))), 1)
        self.assertEqual(len(findings(rules.includes_from_the_root, own,
                                      ("routing/topic.cpp", '#include <map>\n'))), 1)
        self.assertEqual(findings(rules.includes_from_the_root, own,
                                  ("routing/topic.cpp", '#include "routing/topic.hpp"\n')), [])

    def test_no_clocks(self):
        self.check(rules.no_clocks, wrong=[
            ("broker/core/queue.cpp", "auto t = std::chrono::steady_clock::now();\n"),
            ("protocol/frame.cpp", "auto t = time(nullptr);\n"),
        ], right=[
            ("broker/runtime/clock.cpp", "auto t = std::chrono::steady_clock::now();\n"),
            ("broker/core/queue.cpp", "// not steady_clock::now()\nauto t = clock_.now();\n"),
        ])

    def test_licence_line(self):
        self.check(rules.licence_line, wrong=[
            ("routing/topic.cpp", "int x;\n"), ("tests/a.py", "x = 1\n"),
            ("routing/CMakeLists.txt", "add_library(x)\n"),
        ], right=[("routing/topic.cpp", LICENCE), ("docs/a.md", "# A\n"),
                  ("tests/a.php", "<?php\n" + LICENCE)])

    def test_columns(self):
        self.check(rules.columns, wrong=[("routing/a.cpp", "x" * 101)],
                   right=[("routing/a.cpp", "x" * 100), ("routing/b.cpp", "\u00fc" * 100),
                          ("protocol/methods.hpp", "x" * 101), ("docs/a.md", "x" * 200)])

    def test_file_lines(self):
        self.check(rules.file_lines, wrong=[("routing/a.cpp", "\n" * 701)],
                   right=[("routing/a.cpp", "\n" * 700), ("protocol/methods.hpp", "\n" * 9000)])

    def test_function_lines(self):
        def function(lines, indent=""):
            body = (indent + "  x();\n") * (lines - 3)
            return f"{indent}void f(int a,\n{indent}       int b) {{\n{body}{indent}}}\n"

        self.check(rules.function_lines,
                   wrong=[("routing/a.cpp", function(71)),
                          ("routing/b.hpp", "class A {\n" + function(71, "  ") + "};\n")],
                   right=[("routing/a.cpp", function(70) + "\n" + function(70)),
                          ("routing/b.cpp", "namespace a {\n" + "int x;\n" * 99 + "}  // a\n")])

    def test_headers(self):
        self.check(rules.headers, wrong=[("routing/a.hpp", LICENCE)],
                   right=[("routing/a.hpp", LICENCE + "#pragma once\n")])

    def test_banned_calls(self):
        wrong = ["std::this_thread::sleep_for(1s);", "usleep(10);", "int x = rand();",
                 'std::system("ls");', "out << std::endl;", "using namespace std;",
                 "int n = atoi(text);", "thread.detach();", "EXPECT_TRUE(true);",
                 "TEST(A, DISABLED_B) {}", "try { f(); } catch (...) {}"]
        self.check(rules.banned_calls, wrong=[("routing/a.cpp", line + "\n") for line in wrong],
                   right=[("routing/a.cpp", '// sleep_for\nauto s = "std::endl";\nfile_system(x);\n'
                                            "auto n = operand();\nsleeper.wait();\n"),
                          ("routing/b.cpp", "constexpr auto k = 65'535;\nint y = 1'0;\n")])

    def test_unfinished(self):
        self.check(rules.unfinished, wrong=[("routing/a.cpp", "// TO" + "DO: later\n")],
                   right=[("routing/a.cpp", "// all done\n")])

    def test_machine_paths(self):
        self.check(rules.machine_paths, wrong=[("docs/a.md", "see /ho" + "me/someone/harrier\n")],
                   right=[("docs/a.md", "data = /var/lib/harrier, https://example.org/home/x\n")])
        found = list(rules.machine_paths([File("a.py", "x = '/srv/clone/broker'\n")], "/srv/clone"))
        self.assertEqual(len(found), 1)

    def test_registered(self):
        lists = ("tests/CMakeLists.txt", "harrier_test(a SOURCES a_test.cpp)\nfuzz(frames x)\n")
        self.assertEqual(findings(rules.registered, lists, ("tests/unit/a_test.cpp", ""),
                                  ("tests/fuzz/frames_fuzz.cpp", "")), [])
        for path in ("tests/unit/b_test.cpp", "tests/fuzz/tables_fuzz.cpp", "routing/topic.cpp"):
            self.assertEqual(len(findings(rules.registered, lists, (path, ""))), 1, path)

    def test_top_folders(self):
        self.check(rules.top_folders, wrong=[("src/a.md", "")],
                   right=[("routing/a.md", ""), (".ci/run", ""), ("README.md", "")])


class TheTree(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.files = read_tree()

    def test_is_read(self):
        paths = {file.path for file in self.files}
        self.assertIn("CMakeLists.txt", paths)
        self.assertGreater(sum(rules.is_product(file) for file in self.files), 10)

    def test_generated_code_is_fresh(self):
        ran = subprocess.run([sys.executable, "protocol/spec/generate.py", "--check"], cwd=ROOT,
                             capture_output=True, text=True, check=False)
        self.assertEqual(ran.returncode, 0, ran.stdout + ran.stderr)


def add_tree_test(rule):
    def test(self):
        if rule is rules.machine_paths:
            found = list(rule(self.files, str(ROOT)))
        else:
            found = list(rule(self.files))
        if found:
            self.fail(f"{len(found)} findings\n" + "\n".join(found))

    setattr(TheTree, f"test_{rule.__name__}", test)


for each in rules.RULES:
    add_tree_test(each)

if __name__ == "__main__":
    unittest.main()
