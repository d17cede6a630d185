# SPDX-License-Identifier: Apache-2.0
"""Examples in a Markdown document that are run, and checked against what they say.

An example is a block of Python, indented by four spaces or fenced as ```python, under a heading
"## ...". All blocks of a section run one after the other, with the names that the runner gives them
and those that they define. Comments at the end of a line say what it shows:

    channel.basic_get("q")[2]    # -> b"one"          its value, at once
    channel.basic_get("q")[2]    # soon -> b"one"     its value in a while: it is asked for again;
                                                      None, 0 and the like are "not yet", but a
                                                      message (bytes) that is not the one is wrong
    channel.queue_bind("q", "x") # raises ChannelClosedByBroker: NOT_FOUND
                                                      an error of this class, with this text in it
                                                      (which may be left out)

The value may be any expression of Python; "..." in it stands for anything. It belongs to a whole
statement that is an expression or an assignment. A channel that an error has closed is opened
again for the next line.
"""

import ast
import io
import re
import time
import tokenize
from dataclasses import dataclass, field

WAIT_S = 20.0
HINT = ("end a line with '# -> value', '# soon -> value' or '# raises Error' "
        "(tests/examples/documented.py tells how)")
CHECK = re.compile(r"#\s*(?:(?P<kind>->|soon ->)\s*(?P<value>.+)|"
                   r"raises\s+(?P<error>\w+)(?::\s*(?P<text>.+))?)$")


class Wrong(Exception):
    """An example that cannot be run, or does not do what it says; the text is for its author."""


@dataclass
class Block:
    line: int  # in the document, of its first line
    code: str


@dataclass
class Section:
    title: str
    line: int
    blocks: list = field(default_factory=list)


@dataclass
class Check:
    kind: str  # "->", "soon ->" or "raises"
    value: str = ""
    error: str = ""
    text: str = ""


def sections_of(document):
    """The sections of a Markdown text with their blocks of Python."""
    found, block, fence = [], None, None
    for number, line in enumerate(document.splitlines(), 1):
        if fence is not None:
            if line.strip() == "```":
                fence = block = None
            elif fence == "python":
                block.code += line + "\n"
            continue
        if line.startswith("```"):
            fence, block = line[3:].strip(), None
            if fence == "python":
                block = add_block(found, number + 1)
        elif line.startswith("    ") and line.strip():
            block = block or add_block(found, number)
            block.code += line[4:] + "\n"
        elif block and not line.strip():
            block.code += "\n"
        else:
            block = None
            if line.startswith("## "):
                found.append(Section(line[3:].strip(), number))
    return found


def add_block(sections, line):
    if not sections:
        raise Wrong(f"line {line}: code before the first section")
    sections[-1].blocks.append(Block(line, ""))
    return sections[-1].blocks[-1]


@dataclass
class Step:
    """One statement, with what it is said to show."""
    line: int
    code: str
    node: ast.stmt
    check: Check


def steps_of(block):
    """The statements of a block; line numbers are those of the document."""
    try:
        tree = ast.parse(block.code)
    except SyntaxError as error:
        raise Wrong(f"line {block.line + (error.lineno or 1) - 1}: {error.msg}") from None
    comments = {}
    for token in tokenize.generate_tokens(io.StringIO(block.code).readline):
        if token.type == tokenize.COMMENT and (match := CHECK.match(token.string)):
            kind = match["kind"] or "raises"
            comments[token.start[0]] = Check(kind, match["value"], match["error"], match["text"])
    steps = []
    for node in tree.body:
        lines = [line for line in comments if node.lineno <= line <= node.end_lineno]
        where = f"line {block.line + node.lineno - 1}"
        if len(lines) > 1:
            raise Wrong(f"{where}: two checks of one statement")
        check = comments.pop(lines[0]) if lines else None
        if check and not isinstance(node, (ast.Expr, ast.Assign)) and check.kind != "raises":
            raise Wrong(f"{where}: only an expression or an assignment has a value")
        steps.append(Step(block.line + node.lineno - 1, ast.unparse(node), node, check))
    for line in comments:
        raise Wrong(f"line {block.line + line - 1}: a check that belongs to no statement")
    return steps


def check_shape(section):
    """Every section shows something that can be checked."""
    if not section.blocks:
        raise Wrong(f"line {section.line}: the section has no example")
    if not any(step.check for block in section.blocks for step in steps_of(block)):
        raise Wrong(f"line {section.line}: the example shows nothing that can be checked: {HINT}")


def matches(actual, expected):
    """Equal, where ... stands for anything."""
    if expected is ...:
        return True
    if isinstance(expected, dict) and isinstance(actual, dict):
        return expected.keys() == actual.keys() and all(
            matches(actual[key], value) for key, value in expected.items())
    if isinstance(expected, (list, tuple)) and isinstance(actual, type(expected)):
        return len(actual) == len(expected) and all(map(matches, actual, expected))
    return actual == expected


class Runner:
    """Runs the statements of one section. `reopen` gives a channel in place of one that an error
    has closed; `wait` lets time pass between two looks at what comes soon."""

    def __init__(self, names, reopen=None, wait=lambda: time.sleep(0.01), wait_s=WAIT_S):
        self.names, self.reopen, self.wait, self.wait_s = names, reopen, wait, wait_s

    def run(self, section):
        check_shape(section)
        for block in section.blocks:
            for step in steps_of(block):
                self.step(step)

    def step(self, step):
        try:
            if step.check is None:
                self.execute(step)
            elif step.check.kind == "raises":
                self.expect_error(step)
            else:
                self.expect_value(step)
        except Wrong:
            raise
        except Exception as error:  # whatever a client raises is the result of the example
            raise Wrong(f"line {step.line}: {step.code}\n  raised {describe(error)}") from error

    def execute(self, step):
        """Runs the statement; returns its value if it has one."""
        if isinstance(step.node, ast.Expr):
            return eval(compile(ast.Expression(step.node.value), "<example>", "eval"), self.names)
        exec(compile(ast.Module([step.node], []), "<example>", "exec"), self.names)
        if isinstance(step.node, ast.Assign):
            return eval(ast.unparse(step.node.targets[0]), self.names)
        return None

    def expect_error(self, step):
        check = step.check
        try:
            value = self.execute(step)
        except Exception as error:
            names = [each.__name__ for each in type(error).__mro__]
            if check.error not in names or (check.text or "") not in describe(error):
                wanted = check.error + (f": {check.text}" if check.text else "")
                raise Wrong(f"line {step.line}: {step.code}\n  was to raise {wanted}\n"
                            f"  and raised {describe(error)}") from error
            if self.reopen:
                self.reopen(self.names)
            return
        raise Wrong(f"line {step.line}: {step.code}\n  was to raise {check.error}\n"
                    f"  and gave {value!r}")

    def expect_value(self, step):
        expected = eval(step.check.value, self.names)
        deadline = time.monotonic() + self.wait_s
        while not matches(actual := self.execute(step), expected):
            final = step.check.kind == "->" or (isinstance(actual, bytes) and
                                                isinstance(expected, bytes))
            if final or time.monotonic() > deadline:
                raise Wrong(f"line {step.line}: {step.code}\n  was to give {expected!r}\n"
                            f"  and gave {actual!r}")
            self.wait()


def describe(error):
    return f"{type(error).__name__}: {error}"
