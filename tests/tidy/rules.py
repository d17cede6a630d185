# SPDX-License-Identifier: Apache-2.0
"""The project's rules that a machine can check, each a function from files to findings.

A file is a File(path, text), its path from the project root with '/'. A finding is one line of text
that starts with "path:line: ". The rules read text only: no compiler, no network.
"""

import re
from typing import NamedTuple

COLUMNS_MAX = 100
FILE_LINES_MAX = 700
FUNCTION_LINES_MAX = 70
GENERATED = ("protocol/methods.hpp",)
TOP_FOLDERS = ("broker", "routing", "protocol", "persistence", "tests", "examples", "docs")

CPP = (".cpp", ".hpp")
# Languages whose files carry the licence line and keep to the columns.
SOURCES = CPP + (".c", ".h", ".py", ".cmake", ".go", ".java", ".js", ".mjs", ".php", ".rb", ".sh")
SOURCE_NAMES = ("CMakeLists.txt", "dev", ".ci/run")


class File(NamedTuple):
    path: str
    text: str

    @property
    def lines(self):
        return self.text.split("\n")

    @property
    def name(self):
        return self.path.rsplit("/", 1)[-1]

    @property
    def folder(self):
        return self.path.rsplit("/", 1)[0] if "/" in self.path else ""


def is_cpp(file):
    return file.path.endswith(CPP)


def is_source(file):
    return file.path.endswith(SOURCES) or file.path in SOURCE_NAMES or file.name == "CMakeLists.txt"


def is_product(file):
    """C++ of the broker itself, as opposed to tests and examples."""
    return is_cpp(file) and not file.path.startswith(("tests/", "examples/"))


def code_of(text):
    """The text with comments and literals blanked, of the same length in lines."""
    pattern = re.compile(
        r'//[^\n]*|/\*.*?\*/|R"(?P<mark>\w*)\(.*?\)(?P=mark)"'
        r"|\"(?:\\.|[^\"\\\n])*\"|(?<!\w)'(?:\\.|[^'\\\n])+'", re.S)
    return pattern.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), text)


def includes(file):
    """(line number, target, whether it is quoted) of each #include."""
    for number, line in enumerate(file.lines, 1):
        match = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
        if match:
            yield number, match.group(2), match.group(1) == '"'


# --- Layers ---

# Longest matching prefix wins. What a layer may include of ours, itself included; None: anything.
LAYERS = {
    "protocol/": ("protocol/",),
    "routing/": ("routing/", "protocol/"),
    "persistence/": ("persistence/", "protocol/"),
    "broker/version.hpp": (),
    "broker/config": ("broker/config", "broker/version.hpp"),
    "broker/bench/": ("broker/bench/", "broker/version.hpp", "protocol/"),
    "broker/cli/": ("broker/cli/", "broker/bench/", "broker/config.hpp", "broker/version.hpp",
                    "persistence/"),
    "broker/auth/": ("broker/auth/", "broker/version.hpp", "protocol/"),
    "broker/definitions/": ("broker/definitions/", "broker/auth/", "protocol/"),
    "broker/core/": ("broker/core/", "broker/auth/", "broker/definitions/", "broker/version.hpp",
                     "protocol/", "routing/", "persistence/"),
    "broker/runtime/": ("broker/runtime/", "broker/core/", "broker/auth/", "broker/version.hpp",
                        "protocol/", "routing/", "persistence/"),
    "broker/net/": ("broker/net/", "broker/runtime/", "broker/core/", "broker/auth/",
                    "broker/version.hpp", "protocol/", "routing/", "persistence/"),
    "broker/management/": None,
    "broker/": None,
    "tests/": None,
    "examples/": None,
}

# (headers, where they may stand, why)
PLACES = (
    (r"(asio\.hpp|asio/.*|boost/asio.*)",
     r"(broker/(runtime|net|management)/|broker/[^/]*$|tests/|examples/)",
     "Asio stays in broker/, out of its core"),
    (r"(spdlog|fmt)/.*", r"(broker/(runtime|net|management)/|broker/[^/]*$)",
     "logging stays in broker/, out of its core"),
    (r"lmdb\.h", r"persistence/lmdb", "LMDB stays in persistence/lmdb*"),
    (r"boost/spirit.*", r".*_grammar\.[ch]pp$", "Spirit stays in *_grammar.*"),
    (r"nlohmann/.*", r"(broker/(definitions|cli|bench|management)/|tests/)",
     "no JSON in the core"),
    (r"openssl/.*", r"broker/(auth|net)/", "OpenSSL stays at the edges"),
    (r"pcre2\.h", r"broker/auth/name_pattern", "PCRE2 stays in one file"),
    (r"(toml\+\+|CLI)/.*", r"(broker/(config|cli/)|tests/)",
     "TOML and CLI11 stay in configuration and cli"),
    (r"(thread|mutex|shared_mutex|condition_variable|future|semaphore|barrier|latch|stop_token)",
     r"(broker/(runtime|net|management)/|broker/[^/]*$|persistence/|tests/|examples/)",
     "no threads in protocol, routing and the core"),
)


def layer_of(path):
    prefixes = [prefix for prefix in LAYERS if path.startswith(prefix)]
    return max(prefixes, key=len) if prefixes else None


def layering(files):
    for file in filter(is_cpp, files):
        layer = layer_of(file.path)
        if layer is None:
            yield f"{file.path}:1: C++ outside of the layers"
            continue
        allowed = LAYERS[layer]
        for number, target, quoted in includes(file):
            if quoted and allowed is not None and not target.startswith(allowed):
                yield f"{file.path}:{number}: {layer} must not know {target}"
            for headers, place, why in PLACES:
                if not quoted and re.fullmatch(headers, target) and not re.match(place, file.path):
                    yield f"{file.path}:{number}: <{target}>: {why}"


def grammars_stay_home(files):
    for file in filter(is_product, files):
        for number, target, quoted in includes(file):
            if not quoted or not re.search(r"_grammar\.hpp$", target):
                continue
            if target.rsplit("/", 1)[0] != file.folder:
                yield f"{file.path}:{number}: a grammar is included by its own folder only"


def includes_from_the_root(files):
    paths = {file.path for file in files}
    for file in filter(is_cpp, files):
        found = list(includes(file))
        for number, target, quoted in found:
            if quoted and target not in paths:
                yield f"{file.path}:{number}: no \"{target}\" from the project root"
        own = file.path[:-4] + ".hpp"
        if file.path.endswith(".cpp") and own in paths and (not found or found[0][1] != own):
            yield f"{file.path}:1: its own header comes first: \"{own}\""


CLOCK_READ = re.compile(
    r"clock::now\s*\(|\b(time|gettimeofday|clock_gettime)\s*\(\s*(NULL|nullptr|0|&|C)")


def no_clocks(files):
    """Time comes in as a value; only the edges read a clock."""
    place = re.compile(
        r"(protocol|routing|broker/core|broker/auth|broker/definitions|broker/cli)/|broker/config")
    for file in filter(is_product, files):
        if not place.match(file.path):
            continue
        for number, line in enumerate(code_of(file.text).split("\n"), 1):
            if CLOCK_READ.search(line):
                yield f"{file.path}:{number}: reads a clock"


# --- Text ---


def licence_line(files):
    for file in filter(is_source, files):
        if not any("SPDX-License-Identifier: Apache-2.0" in line for line in file.lines[:4]):
            yield f"{file.path}:1: the SPDX line is missing"


def columns(files):
    for file in filter(is_source, files):
        if file.path in GENERATED:
            continue
        for number, line in enumerate(file.lines, 1):
            if len(line) > COLUMNS_MAX:
                yield f"{file.path}:{number}: {len(line)} columns, at most {COLUMNS_MAX}"


def file_lines(files):
    for file in filter(is_source, files):
        count = file.text.count("\n")
        if file.path not in GENERATED and count > FILE_LINES_MAX:
            yield f"{file.path}:1: {count} lines; is there a noun that wants to leave?"


def function_lines(files):
    """By layout: a block ends at a lone brace and starts at the line before it with that indent."""
    for file in filter(is_cpp, files):
        if file.path in GENERATED:
            continue
        lines = file.lines
        for end, line in enumerate(lines):
            match = re.fullmatch(r"( {0,2})\}", line)
            if not match:
                continue
            indent = match.group(1)
            start = end - 1
            while start >= 0 and not re.match(indent + r"[^\s#/}]", lines[start]):
                start -= 1
            count = end - start + 1
            if count > FUNCTION_LINES_MAX:
                yield f"{file.path}:{start + 1}: a function of {count} lines"


def headers(files):
    for file in files:
        if file.path.endswith(".hpp") and "\n#pragma once\n" not in file.text:
            yield f"{file.path}:1: #pragma once is missing"


BANNED = (
    (r"\bsleep_(for|until)\b|\bu?sleep\s*\(", "no sleeping: wait for the event"),
    (r"\brand\s*\(\s*\)|\bsrand\b", "no global random numbers: pass a seeded engine"),
    (r"(?<![\w.>])(std::)?system\s*\(", "no shell"),
    (r"\bstd::endl\b", "'\\n'; flush where it is meant"),
    (r"\busing namespace std\s*;", "name what is used"),
    (r"\b(strcpy|strcat|sprintf|gets|atoi|atol|strtok)\s*\(", "unbounded or without errors"),
    (r"\bGTEST_SKIP\b|\bDISABLED_", "no test that does not run"),
    (r"\b(EXPECT|ASSERT)_TRUE\s*\(\s*true\s*\)", "asserts nothing"),
    (r"\bdetach\s*\(\s*\)", "every thread is joined"),
    (r"\bcatch\s*\(\s*\.\.\.\s*\)\s*\{\s*\}", "a swallowed error"),
)


def banned_calls(files):
    for file in filter(is_cpp, files):
        for number, line in enumerate(code_of(file.text).split("\n"), 1):
            for pattern, why in BANNED:
                if "endl" in pattern and file.path.startswith("examples/"):
                    continue  # read line by line by whoever runs them through a pipe
                if re.search(pattern, line):
                    yield f"{file.path}:{number}: {why}"


def unfinished(files):
    words = re.compile("|".join((r"\bTO" + r"DO\b", r"\bFIX" + r"ME\b", r"\bX" + r"XX\b")))
    for file in filter(is_source, files):
        for number, line in enumerate(file.lines, 1):
            if words.search(line):
                yield f"{file.path}:{number}: unfinished work belongs into an issue"


def machine_paths(files, root=""):
    """No path of one machine, and not of the one that the tests run on."""
    homes = re.compile(r"(?<![\w.$}/])/(home|root|Users|mnt|tmp)/\w")
    for file in files:
        for number, line in enumerate(file.lines, 1):
            if homes.search(line) or (len(root) > 1 and root + "/" in line):
                yield f"{file.path}:{number}: a path of one machine"


# --- The tree ---


def registered(files):
    """What nobody compiles rots: every source is named in a CMakeLists.txt."""
    lists = [file for file in files
             if file.name == "CMakeLists.txt" or file.path.endswith(".cmake")]

    def names(text, word):
        return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text)

    for file in files:
        if not file.path.endswith(".cpp"):
            continue
        # The whole name anywhere, or above the file its stem, for lists that append the ending.
        stem = re.sub(r"(_fuzz|_test)?\.cpp$", "", file.name)
        if not any(names(each.text, file.name) or
                   file.path.startswith(each.folder) and names(each.text, stem)
                   for each in lists):
            yield f"{file.path}:1: in no CMakeLists.txt, so nothing compiles it"


def top_folders(files):
    for file in files:
        top = file.path.split("/", 1)[0]
        if "/" in file.path and not top.startswith(".") and top not in TOP_FOLDERS:
            yield f"{file.path}:1: {top}/ is not one of the top-level folders"


RULES = (layering, grammars_stay_home, includes_from_the_root, no_clocks, licence_line, columns,
         file_lines, function_lines, headers, banned_calls, unfinished, machine_paths, registered,
         top_folders)
