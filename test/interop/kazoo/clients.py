"""Clients for the tests: patient ones, which retry as long as their test has time."""

import itertools
import os
import threading

from kazoo.client import KazooClient

from harness import mode_of
from kit import HOSTS

_numbers = itertools.count()
_run = os.urandom(3).hex()


def client(node=None, chroot="", start=True, timeout=10.0, **named):
    """A client of all nodes, or only of node number `node` (modulo their count)."""
    hosts = HOSTS if node is None else [HOSTS[node % len(HOSTS)]]
    patient = {"max_tries": -1, "delay": 0.05, "max_delay": 0.3}
    c = KazooClient(",".join(hosts) + chroot, timeout=timeout, connection_retry=dict(patient),
                    command_retry=dict(patient), **named)
    if start:
        c.start(timeout=15)
    return c


def followers():
    """Numbers of the nodes that do not lead (of one that is alone: its own)."""
    return [k for k, host in enumerate(HOSTS) if mode_of(int(host.rsplit(":", 1)[1])) == "follower"] or [0]


def root(c, name):
    """A path of this test's own."""
    path = "/kazoo-%s/%s-%d" % (_run, name, next(_numbers))
    c.retry(c.ensure_path, path)
    return path


def side_by_side(functions):
    """Runs all at once; raises the first error."""
    errors = []

    def guarded(function):
        try:
            function()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(f,), daemon=True) for f in functions]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if errors:
        raise errors[0]


def background(function):
    """A thread under way; `.finish()` waits for it and raises its error, or gives its value."""
    class Background(threading.Thread):
        def run(self):
            self.error = self.value = None
            try:
                self.value = function()
            except BaseException as error:
                self.error = error

        def finish(self, seconds=30):
            self.join(seconds)
            assert not self.is_alive(), "still at work after %d s" % seconds
            if self.error:
                raise self.error
            return self.value

    thread = Background(daemon=True)
    thread.start()
    return thread
