# SPDX-License-Identifier: Apache-2.0
"""What the suites in Python share: the broker under test as the runner describes it, and checks.

A suite marks functions (plain or async) with @check and ends with sys.exit(run_checks()). They run
in the order of the file, each within its own time limit, and print one line each.
"""

import asyncio
import faulthandler
import inspect
import os
import select
import signal
import sys
import time
import traceback
import uuid

CHECK_TIMEOUT_S = 30
BIG_BODY_BYTES = 10 * 1024 * 1024

HOST = os.environ["AMQP_HOST"]
PORT = int(os.environ["AMQP_PORT"])
USER = os.environ["AMQP_USER"]
PASSWORD = os.environ["AMQP_PASSWORD"]
VHOST = os.environ["AMQP_VHOST"]
IS_HARRIER = os.environ["AMQP_PRODUCT"] == "harrier"

_checks = []


class Skip(Exception):
    """Raised by a check that does not apply to this product; the text says why."""


def check(function):
    _checks.append(function)
    return function


def skip_on_rabbitmq(reason):
    """For what the packaged RabbitMQ 3.10 does in another way; the difference is documented."""
    if not IS_HARRIER:
        raise Skip(reason)


def unique(prefix):
    return f"interop.{prefix}.{uuid.uuid4().hex[:12]}"


def big_body():
    """10 MiB in which no two frames of any size are equal, so that a swapped one is noticed."""
    line = 64
    body = b"".join(b"%063d\n" % number for number in range(BIG_BODY_BYTES // line))
    expect_equal(len(body), BIG_BODY_BYTES, "length of the generated body")
    return body


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


def expect_equal(actual, expected, what):
    if actual != expected:
        raise AssertionError(f"{what}: expected {shorten(expected)}, got {shorten(actual)}")


def expect_error(error, code, text, ids=None, what="error"):
    """code, class and method ids as sent; text must occur in the reply text."""
    expect_equal(error[0], code, f"reply code of the {what} ({error})")
    expect(text in error[1], f"reply text of the {what}: expected {text!r} in {error[1]!r}")
    if ids is not None:
        expect_equal(tuple(error[2]), tuple(ids), f"class and method id of the {what}")


def shorten(value):
    text = repr(value)
    return text if len(text) <= 300 else f"{text[:300]}... ({len(text)} characters)"


def wait_for_hangup(sock, timeout_s):
    """True once the peer closed its side, even if unread bytes lie before the end."""
    poller = select.poll()
    poller.register(sock, select.POLLRDHUP)
    deadline = time.monotonic() + timeout_s
    while (left := deadline - time.monotonic()) > 0:
        if poller.poll(left * 1000):
            return True
    return False


def wait_until(condition, what, timeout_s=10.0, poll=None):
    """Waits until condition() holds; poll() may make events happen, else a short pause is made."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: did not happen within {timeout_s} s")
        if poll:
            poll()
        else:
            time.sleep(0.01)


def run_checks():
    """Runs what was marked with @check; arguments on the command line select by name."""
    failed = skipped = 0
    chosen = [each for each in _checks if len(sys.argv) < 2 or each.__name__ in sys.argv[1:]]
    signal.signal(signal.SIGALRM, _out_of_time)
    for function in chosen:
        try:
            if inspect.iscoroutinefunction(function):
                # A library that does not let itself be cancelled must not hang the suite either.
                faulthandler.dump_traceback_later(CHECK_TIMEOUT_S + 5, exit=True, file=sys.stdout)
                asyncio.run(asyncio.wait_for(function(), CHECK_TIMEOUT_S))
            else:
                signal.alarm(CHECK_TIMEOUT_S)
                function()
            print(f"ok {function.__name__}")
        except Skip as skip:
            skipped += 1
            print(f"skip {function.__name__}: {skip}")
        except Exception as error:  # whatever a client raises is the result of the check
            failed += 1
            text = " ".join(f"{type(error).__name__}: {error}".split())
            print(f"not ok {function.__name__}: {text}")
            traceback.print_exc(file=sys.stdout)
        finally:
            signal.alarm(0)
            faulthandler.cancel_dump_traceback_later()
    print(f"{len(chosen)} checks, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


def _out_of_time(_signal, _frame):
    raise TimeoutError(f"the check did not end within {CHECK_TIMEOUT_S} s")
