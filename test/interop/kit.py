"""Named tests with deadlines, for the client folders that are written in Python.

A plain test runs in a thread of its own until its deadline. A test that is a generator yields once, at the place where the leader
may die: all of them run up to there side by side, then `KILL LEADER` is printed once and the harness answers, and they go on side by
side. So every recipe lives through the death of a leader in its middle, and one death is enough for all.
"""

import inspect
import os
import re
import sys
import threading
import time
import traceback

from harness import wait_until

_tests = []
MODE = os.environ.get("ZK_MODE", "one")
KILL = MODE == "kill"
HOSTS = os.environ.get("ZK_HOSTS", "127.0.0.1:2181").split(",")
PARLEY = bool(os.environ.get("PARLEY_HTTP", "parley"))  # empty: real ZooKeeper servers
LEADER_GONE = threading.Event()  # set once the harness has killed the leader (in the other modes: has gone on)


class Skip(Exception):
    """Raised by a test that cannot say anything here; the text is why."""


def test(seconds=20):
    """Marks a function (or generator function) as a test that has so many seconds (a generator: for each half)."""
    def mark(function):
        _tests.append((function, seconds))
        return function
    return mark


def until(what, condition, seconds=10.0):
    """The harness's wait_until, with the shorter patience of a client's test."""
    return wait_until(what, condition, seconds)


def equal(got, wanted, what=""):
    assert got == wanted, "%s: got %r, wanted %r" % (what or "differs", got, wanted)


def raises(kinds, call, *args, **named):
    """Calls, and gives the exception; it must be one of `kinds`."""
    try:
        value = call(*args, **named)
    except kinds as error:
        return error
    raise AssertionError("%s gave %r instead of %s" % (getattr(call, "__name__", call), value, kinds))


class _Run:
    """One test under way: a thread for each half."""

    def __init__(self, function, seconds):
        self.name, self.function, self.seconds = function.__name__, function, seconds
        self.generator = function() if inspect.isgeneratorfunction(function) else None
        self.error = None
        self.skip = None
        self.done = False

    def step(self):
        try:
            if self.generator is None:
                self.function()
                self.done = True
            else:
                try:
                    next(self.generator)
                except StopIteration:
                    self.done = True
        except Skip as skip:
            self.skip, self.done = str(skip), True
        except BaseException:
            self.error, self.done = traceback.format_exc(limit=-6), True

    def begin(self):
        self.began = time.monotonic()
        self.thread = threading.Thread(target=self.step, name=self.name, daemon=True)
        self.thread.start()

    def finish(self):
        self.thread.join(max(0.05, self.began + self.seconds - time.monotonic()))
        self.took = time.monotonic() - self.began
        if self.thread.is_alive():
            where = sys._current_frames().get(self.thread.ident)
            self.error = "over its deadline of %d s, at:\n%s" % (
                self.seconds, "".join(traceback.format_stack(where)[-6:]) if where else "?")
            self.done = True

    def report(self, totals):
        if self.skip is not None:
            totals[2] += 1
            print("skip %s: %s" % (self.name, self.skip), flush=True)
        elif self.error is not None:
            totals[1] += 1
            print("FAIL %s (%.1f s)\n%s" % (self.name, self.took, self.error), flush=True)
        else:
            totals[0] += 1
            print("ok   %s (%.1f s)" % (self.name, self.took), flush=True)


def _together(runs):
    for run in runs:
        run.begin()
    for run in runs:
        run.finish()


def main():
    """Runs the tests whose names match one of the arguments (all without), prints the totals and ends the process."""
    wanted = [(f, s) for f, s in _tests if not sys.argv[1:] or any(re.search(a, f.__name__) for a in sys.argv[1:])]
    totals = [0, 0, 0]
    for function, seconds in wanted:
        if not inspect.isgeneratorfunction(function):
            run = _Run(function, seconds)
            _together([run])
            run.report(totals)
    crossing = [_Run(f, s) for f, s in wanted if inspect.isgeneratorfunction(f)]
    _together(crossing)
    print("KILL LEADER", flush=True)
    if "ZK_MODE" in os.environ:  # by hand there is no harness that answers
        sys.stdin.readline()
    LEADER_GONE.set()
    _together([run for run in crossing if not run.done])
    for run in crossing:
        if not run.done:
            run.error = "yielded more than once"
        run.report(totals)
    print("%d passed, %d failed, %d skipped" % tuple(totals), flush=True)
    os._exit(1 if totals[1] else 0)  # threads that hang must not keep the process
