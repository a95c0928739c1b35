"""Configuration that services reload while they run, as users build it on ZooKeeper: kazoo, a node with the settings, watches."""

import json
import logging
import os
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, ".."), os.path.join(HERE, "..", "kazoo")]
import kit  # noqa: E402

from clients import background, client, root  # noqa: E402
from kazoo.exceptions import BadVersionError, NoNodeError, RuntimeInconsistency  # noqa: E402
from kit import KILL, equal, raises, test, until  # noqa: E402

logging.disable(logging.CRITICAL)


class Service:
    """Keeps the newest configuration of `path`, and every one it was given, in order."""

    def __init__(self, path, node):
        self.client, self.history, self.present = client(node=node), [], None
        self.client.retry(self.client.sync, path)
        self.client.DataWatch(path, self.reload)

    def reload(self, data, stat):
        self.present = data is not None
        if data is not None:
            self.history.append((stat.version, json.loads(data)))

    @property
    def now(self):
        return self.history[-1][1] if self.history else None

    def check_order(self):
        versions = [v for v, _ in self.history]
        equal(versions, sorted(set(versions)), "a service never goes back, nor is told one twice")


def publish(c, path, value):
    """Gives the version; a set whose reply was lost is tried again, so one value may take two versions."""
    return c.retry(c.set, path, json.dumps(value).encode()).version


@test()
def all_services_take_every_last_value():
    c = client()
    path = root(c, "config") + "/app"
    c.create(path, b'{"n": 0}')
    services = [Service(path, k) for k in range(9)]
    until("the first", lambda: all(s.now == {"n": 0} for s in services))
    slowest = 0.0
    for n in range(1, 30):
        began = time.monotonic()
        publish(c, path, {"n": n, "text": "x" * n})
        until("value %d" % n, lambda: all(s.now["n"] == n for s in services))
        slowest = max(slowest, time.monotonic() - began)
    for s in services:
        s.check_order()
        s.client.stop()
    assert slowest < 2, "%.1f s until all services had a value" % slowest
    c.stop()


@test()
def a_burst_ends_with_the_newest():
    c = client()
    path = root(c, "burst") + "/app"
    c.create(path, b'{"n": 0}')
    services = [Service(path, k) for k in range(6)]
    for request in [c.set_async(path, json.dumps({"n": n}).encode()) for n in range(1, 501)]:
        request.get(20)
    until("the newest", lambda: all(s.now == {"n": 500} for s in services))
    for s in services:
        s.check_order()
        s.client.stop()
    c.stop()


@test()
def two_editors_do_not_overwrite_each_other():
    a, b = client(node=0), client(node=1)
    path = root(a, "editors") + "/app"
    a.create(path, b"{}")
    b.sync(path)
    conflicts = [0]

    def edit(c, key):
        for _ in range(20):
            while True:
                data, stat = c.get(path)
                value = json.loads(data)
                value[key] = value.get(key, 0) + 1
                try:
                    c.set(path, json.dumps(value).encode(), version=stat.version)
                    break
                except BadVersionError:
                    conflicts[0] += 1
                    c.sync(path)

    threads = [background(lambda c=c, k=k: edit(c, k)) for c, k in ((a, "a"), (b, "b"))]
    for t in threads:
        t.finish()
    a.sync(path)
    equal(json.loads(a.get(path)[0]), {"a": 20, "b": 20}, "after %d conflicts" % conflicts[0])
    a.stop(), b.stop()


@test()
def several_settings_change_together():
    c = client(node=0)
    at = root(c, "together")
    names = ["host", "port", "user"]
    for name in names:
        c.create("%s/%s" % (at, name), b"0")
    c.create(at + "/version", b"0")
    reader, stop, seen = client(node=1), threading.Event(), []
    reader.sync(at)

    def read():  # a reader that checks the version node around its reads must never see a mixture
        while not stop.is_set():
            before = reader.get(at + "/version")[1].mzxid
            values = [reader.get("%s/%s" % (at, name))[0] for name in names]
            if reader.get(at + "/version")[1].mzxid == before:
                seen.append(values)

    thread = background(read)
    for n in range(1, 100):
        t = c.transaction()
        for name in names + ["version"]:
            t.set_data("%s/%s" % (at, name), b"%d" % n)
        equal(len(t.commit()), 4)
    until("the last", lambda: seen and seen[-1] == [b"99"] * 3)
    stop.set()
    thread.finish()
    equal([values for values in seen if len(set(values)) != 1], [])
    t = c.transaction()
    t.check(at + "/version", 12345)
    t.set_data(at + "/host", b"wrong")
    equal([type(r) for r in t.commit()], [BadVersionError, RuntimeInconsistency])
    equal(c.get(at + "/host")[0], b"99")
    c.stop(), reader.stop()


@test()
def configuration_removed_and_made_again():
    c = client()
    path = root(c, "removed") + "/app"
    s = Service(path, 0)
    equal(s.present, False)
    for n in range(5):
        c.create(path, b'{"n": %d}' % n)
        until("made", lambda: s.present and s.now == {"n": n})
        c.delete(path)
        until("removed", lambda: s.present is False)
    raises(NoNodeError, c.get, path)
    s.client.stop()
    c.stop()


@test()
def a_service_that_was_away_takes_the_newest():
    c = client(node=0)
    path = root(c, "away") + "/app"
    c.create(path, b'{"n": 0}')
    services = [Service(path, k) for k in range(3)]
    for n in range(1, 6):
        for s in services:
            s.client._connection._socket.shutdown(2)
        publish(c, path, {"n": n})
        until("value %d" % n, lambda: all(s.now == {"n": n} for s in services))
    late = Service(path, 1)
    until("a service that begins late", lambda: late.now == {"n": 5})
    for s in services + [late]:
        s.check_order()
        s.client.stop()
    c.stop()


@test()
def settings_in_a_tree():
    """One node a setting, and services that follow the set of names and each value."""
    c = client(node=0)
    at = root(c, "tree")
    follower, values = client(node=1), {}
    follower.sync(at)

    def watch(name):
        @follower.DataWatch(at + "/" + name)
        def _(data, stat):
            if data is None:
                values.pop(name, None)
                return False
            values[name] = data
            return True

    known = set()

    @follower.ChildrenWatch(at)
    def _(names):
        for name in set(names) - known:
            watch(name)
        known.clear()
        known.update(names)

    wanted = {}
    for n in range(40):
        name = "s%d" % (n % 7)
        value = b"%d" % n
        if name in wanted and n % 5 == 0:
            c.delete(at + "/" + name)
            del wanted[name]
            until("less", lambda: values == wanted and known == set(wanted))
        elif name in wanted:
            c.set(at + "/" + name, value)
            wanted[name] = value
        else:
            c.create(at + "/" + name, value)
            wanted[name] = value
    until("the same settings", lambda: values == wanted)
    c.stop(), follower.stop()


@test(30)
def reload_through_the_death_of_the_leader():
    c = client()
    path = root(c, "death") + "/app"
    c.retry(c.create, path, b'{"n": 0}')
    services = [Service(path, k) for k in range(6)]
    stop, last = threading.Event(), [0]

    def edit():
        while not stop.is_set():
            publish(c, path, {"n": last[0] + 1})
            last[0] += 1

    editor = background(edit)
    until("changes", lambda: all(s.now and s.now["n"] > 20 for s in services))
    yield
    before = last[0]
    until("changes after the death", lambda: all(s.now["n"] > before + 20 for s in services), 20)
    stop.set()
    editor.finish()
    until("the newest", lambda: all(s.now == {"n": last[0]} for s in services))
    for s in services:
        numbers = [value["n"] for _, value in s.history]
        equal(numbers, sorted(numbers), "values never go back")
        if not KILL:
            s.check_order()
        s.client.stop()
    c.stop()


kit.main()
