#!/usr/bin/env python3
"""kill -9 of nodes under load, many times, and what must be true afterwards.

  python3 test/interop/crash/crash.py [--kills 100] [--wipe] [--seed N]

Three nodes; kazoo clients write one by one and in pipelines, others hold sessions with ephemerals, and a small client of our own opens
sessions that it closes or abandons. A random node is killed (in a tenth of the cases: all of them at once) as soon as some more writes were
acknowledged, and started again; at times the next is killed before the last is ready, or a node is stopped for a while (SIGSTOP) and goes on
where it was, perhaps as a leader of the past. With --wipe one node also loses its data, halfway.

Checked: each acknowledged write is on every node; nothing is there that nobody wrote; registers stand at the last acknowledged value or
a later attempt; no session ends before its time-out; every ephemeral ends with its session; writes go on after every kill; digests of all nodes
are equal. Last line: `crash: N passed, N failed, 0 skipped`.
"""

import argparse
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.abspath(os.path.join(HERE, "..", "..", ".."))
VENV = os.path.join(ROOT, "build", "interop", "kazoo", "bin", "python")

sys.path.insert(0, os.path.join(HERE, ".."))
try:
    from kazoo.client import KazooClient
except ImportError:  # the environment of test/interop/kazoo has it
    subprocess.check_call([os.path.join(HERE, "..", "kazoo", "setup")])
    if os.path.realpath(sys.prefix) == os.path.realpath(os.path.join(ROOT, "build", "interop", "kazoo")):
        raise
    os.execv(VENV, [VENV] + sys.argv)

import logging  # noqa: E402

from kazoo.exceptions import KazooException, NodeExistsError, NoNodeError, ZookeeperError  # noqa: E402
from kazoo.protocol.states import KazooState  # noqa: E402

from harness import Cluster, wait_until  # noqa: E402

logging.disable(logging.CRITICAL)
WRITE_TIMEOUT_S = 20.0  # longer than any outage here: a session that ends is a failure
BRIEF_TIMEOUT_S = 4.0   # of the sessions that are abandoned: the shortest that a node gives
PER_FOLDER = 2000       # children of one node, so that a listing stays far below a frame


class Results:
    def __init__(self):
        self.passed = self.failed = 0

    def check(self, name, ok, detail=""):
        if ok:
            self.passed += 1
            print("ok   %s %s" % (name, detail), flush=True)
        else:
            self.failed += 1
            print("FAIL %s %s" % (name, detail), flush=True)


class Load:
    """All that is at work while nodes die."""

    def __init__(self, hosts):
        self.hosts, self.stop = hosts, threading.Event()
        self.lost, self.errors, self.threads, self.clients = [], [], [], []
        self.guard = threading.Lock()
        self.acknowledged, self.attempted = {}, {}  # folder -> names
        self.count = 0
        self.registers = {}  # path -> [last acknowledged, last attempted]
        self.holders = []    # (client, path, session)
        self.abandoned = []  # [path, last sent at, gone at or None]
        self.closed = 0
        self.late = []       # ephemerals of closed sessions that were still seen

    def client(self, timeout=WRITE_TIMEOUT_S):
        patient = {"max_tries": -1, "delay": 0.02, "max_delay": 0.2}
        c = KazooClient(self.hosts, timeout=timeout, connection_retry=dict(patient), command_retry=dict(patient))
        number = len(self.clients)
        c.add_listener(lambda state: self.lost.append((number, time.monotonic()))
                       if state == KazooState.LOST and not self.stop.is_set() else None)
        self.clients.append(c)
        c.start(timeout=30)
        return c

    def spawn(self, function, *args):
        def guarded():
            try:
                function(*args)
            except BaseException as error:
                self.errors.append("%s: %r" % (function.__name__, error))
        t = threading.Thread(target=guarded, daemon=True)
        self.threads.append(t)
        t.start()

    def begin(self):
        boss = self.client()
        boss.ensure_path("/crash/registers")
        boss.ensure_path("/crash/held")
        boss.ensure_path("/crash/brief")
        for k in range(3):
            self.spawn(self.one_by_one, self.client(), "s%d" % k)
        for k in range(2):
            self.spawn(self.pipelined, self.client(), "a%d" % k)
        for k in range(2):
            self.spawn(self.register, self.client(), "/crash/registers/r%d" % k)
        for k in range(5):
            c, path = self.client(timeout=10.0), "/crash/held/h%d" % k
            c.create(path, b"", ephemeral=True)
            self.holders.append((c, path, c.client_id[0]))
        self.observer = self.client()
        self.spawn(self.brief)
        self.spawn(self.watch_abandoned)

    def attempt(self, folder, name):
        with self.guard:
            self.attempted.setdefault(folder, set()).add(name)

    def acknowledge(self, folder, name):
        with self.guard:
            self.acknowledged.setdefault(folder, set()).add(name)
            self.count += 1

    def folder(self, c, writer, number):
        """The folder of a writer's next names; made when it is new."""
        folder = "/crash/%s-%d" % (writer, number // PER_FOLDER)
        if number % PER_FOLDER == 0:
            try:
                c.retry(c.create, folder)
            except NodeExistsError:
                pass  # the first try was applied, its reply lost
        return folder

    def one_by_one(self, c, writer):
        number = 0
        while not self.stop.is_set():
            folder, name = self.folder(c, writer, number), "n%d" % number
            self.attempt(folder, name)
            try:
                c.retry(c.create, folder + "/" + name, name.encode())
            except NodeExistsError:
                pass  # as above: it is there, and must stay
            self.acknowledge(folder, name)
            number += 1

    def pipelined(self, c, writer):
        number = 0
        while not self.stop.is_set():
            requests = []
            for _ in range(40):
                folder, name = self.folder(c, writer, number), "n%d" % number
                self.attempt(folder, name)
                requests.append((folder, name, c.create_async(folder + "/" + name, name.encode())))
                number += 1
            for folder, name, request in requests:
                try:
                    request.get(60)
                    self.acknowledge(folder, name)
                except KazooException:
                    pass  # unknown: it may be there or not
            c.retry(c.exists, "/crash")  # connected again before the next window

    def register(self, c, path):
        try:
            c.retry(c.create, path, b"0")
        except NodeExistsError:
            pass
        state = self.registers[path] = [0, 0]
        while not self.stop.is_set():
            state[1] += 1
            c.retry(c.set, path, b"%d" % state[1])
            state[0] = state[1]
            self.count += 1

    def brief(self):
        """Sessions that end: every other one closed in order, the rest abandoned."""
        chance, number = random.Random(1), 0
        while not self.stop.is_set():
            number += 1
            path = "/crash/brief/b%d" % number
            host, port = chance.choice(self.hosts.split(",")).rsplit(":", 1)
            try:
                session = RawSession(host, int(port))
            except (OSError, EOFError):
                self.stop.wait(0.05)
                continue
            try:
                if session.create_ephemeral(path) != 0:
                    continue
                if number % 2:
                    sent = session.sent
                    session.socket.close()
                    self.abandoned.append([path, sent, None])
                else:
                    if session.close() == 0:
                        self.observer.retry(self.observer.sync, "/crash/brief")
                        if self.observer.retry(self.observer.exists, path):
                            self.late.append(path)
                        self.closed += 1
            except (OSError, EOFError):
                pass  # the fate of its ephemeral is settled by the last check
            finally:
                session.socket.close()
            self.stop.wait(0.1)

    def watch_abandoned(self):
        while not self.stop.is_set():
            for entry in list(self.abandoned):
                if entry[2] is None:
                    if not self.observer.retry(self.observer.exists, entry[0]):
                        entry[2] = time.monotonic()
            self.stop.wait(0.05)

    def more(self, by, seconds=30):
        goal = self.count + by
        wait_until("%d more acknowledged writes" % by, lambda: self.count >= goal or self.errors, seconds)

    def end(self):
        self.stop.set()
        for t in self.threads:
            t.join(60)
            if t.is_alive():
                self.errors.append("a thread does not end")


class RawSession:
    """Just enough of the protocol to leave a session behind without closing it."""

    def __init__(self, host, port):
        self.socket = socket.create_connection((host, port), timeout=5)
        self.sent = time.monotonic()
        self.send(struct.pack(">iqiqi16s?", 0, 0, int(BRIEF_TIMEOUT_S * 1000), 0, 16, bytes(16), False))
        _, self.timeout_ms, self.id = struct.unpack(">iiq", self.receive()[:16])
        if self.id == 0:
            raise EOFError

    def send(self, body):
        self.socket.sendall(struct.pack(">i", len(body)) + body)

    def receive(self):
        head = self.exactly(4)
        return self.exactly(struct.unpack(">i", head)[0])

    def exactly(self, count):
        parts = b""
        while len(parts) < count:
            part = self.socket.recv(count - len(parts))
            if not part:
                raise EOFError
            parts += part
        return parts

    def call(self, body):
        self.sent = time.monotonic()
        self.send(body)
        return struct.unpack(">iqi", self.receive()[:16])[2]

    def create_ephemeral(self, path):
        def text(s):
            return struct.pack(">i", len(s)) + s.encode()
        return self.call(struct.pack(">ii", 1, 1) + text(path) + struct.pack(">i", 0) + struct.pack(">ii", 1, 31)
                         + text("world") + text("anyone") + struct.pack(">i", 1))

    def close(self):
        return self.call(struct.pack(">ii", 2, -11))


class Digests:
    """Digests that nodes gave for an index: two that differ are a failure, whenever they were seen."""

    def __init__(self):
        self.seen, self.differ = {}, []

    def look(self, cluster):
        """Gives the index at which each node's newest sample was taken (None: no answer)."""
        newest = []
        for node in cluster.nodes:
            try:
                view = cluster.view(node)["node"]
            except (OSError, ValueError):
                newest.append(None)
                continue
            if view["diverged"]:
                self.differ.append("node %d says it diverged" % node.id)
            index, digest = view["digest_index"], view["digest"]
            newest.append(index)
            if index and self.seen.setdefault(index, digest) != digest:
                self.differ.append("index %d: node %d has %s, another %s" % (index, node.id, digest, self.seen[index]))
        return newest


def wipe(cluster, load, chance):
    """One node loses its disk; it comes back by itself, and is a voter again: as another incarnation, in the eyes of the others."""
    node = chance.choice(cluster.nodes)
    other = next(n for n in cluster.nodes if n is not node and n.process is not None)

    def member():
        return next((m for m in cluster.view(other)["members"] if m["id"] == node.id), {})

    cluster.wait_ready(30)
    before = member()["incarnation"]
    node.kill()
    node.wipe()
    load.more(100)
    node.start()

    def back():
        try:
            now = member()
            return now.get("role") == "voter" and now["incarnation"] != before and node.ready()
        except (OSError, ValueError):
            return False

    wait_until("the wiped node %d is a voter again" % node.id, back, 60)
    return node.id


def pause(cluster, load, chance):
    """A node that stands still while the others go on, and then believes that no time went by."""
    cluster.wait_ready(30)
    node = chance.choice(cluster.nodes)
    node.process.send_signal(signal.SIGSTOP)
    try:
        load.more(chance.randrange(20, 200))
    finally:
        node.process.send_signal(signal.SIGCONT)


def rounds(cluster, load, digests, kills, wipes, chance):
    """Kills and starts nodes; raises when writes do not go on. Gives how often all were killed at once."""
    done, whole = 0, 0
    wipe_at = kills // 2 if wipes else -1
    while done < kills:
        load.more(chance.randrange(10, 200))
        if load.errors:
            return whole
        if chance.random() < 0.1:
            pause(cluster, load, chance)
        if chance.random() < 0.1:
            victims, whole = list(cluster.nodes), whole + 1
        else:
            victims = [chance.choice(cluster.nodes)]
        alive = [n for n in victims if n.process is not None]
        for node in alive:
            node.process.kill()
        for node in alive:
            node.process.wait()
            node.process = None
        done += 1
        if len(victims) == 1 and chance.random() < 0.4:
            load.more(chance.randrange(1, 50))  # two of three are enough
        for node in victims:
            node.start()
        if chance.random() < 0.7:  # else the next may die before this one is back
            cluster.wait_ready(30)
            digests.look(cluster)
        if done == wipe_at:
            cluster.wait_ready(30)  # with another node down the wiped one could not come back: two of three are gone
            print("     wiped node %d" % wipe(cluster, load, chance), flush=True)
        if done % 10 == 0:
            print("     %d kills, %d writes" % (done, load.count), flush=True)
    cluster.wait_ready(30)
    return whole


def verify(cluster, load, digests, results):
    for node in cluster.nodes:
        c = KazooClient("127.0.0.1:%d" % node.zk_port, timeout=20)
        c.start(timeout=30)
        c.sync("/crash")
        missing, strange, wrong, total = [], [], [], 0
        for folder, attempted in load.attempted.items():
            try:
                found = set(c.get_children(folder))
            except NoNodeError:
                found = set()
            acknowledged = load.acknowledged.get(folder, set())
            missing += [folder + "/" + n for n in acknowledged - found]
            strange += [folder + "/" + n for n in found - attempted]
            total += len(acknowledged)
            sample = sorted(found)[::97]
            for name, request in [(n, c.get_async(folder + "/" + n)) for n in sample]:
                if request.get(20)[0] != name.encode():
                    wrong.append(folder + "/" + name)
        results.check("acknowledged writes are on node %d" % node.id, not missing,
                      "(%d)" % total if not missing else "%d missing: %s" % (len(missing), sorted(missing)[:5]))
        results.check("nothing else is on node %d" % node.id, not strange and not wrong, "%s %s" % (strange[:5], wrong[:5])
                      if strange or wrong else "")
        bad = []
        for path, (acknowledged, attempted) in load.registers.items():
            value = int(c.get(path)[0])
            if not acknowledged <= value <= attempted:
                bad.append((path, value, acknowledged, attempted))
        results.check("registers on node %d" % node.id, not bad, str(bad) if bad else "")
        bad = [path for _, path, session in load.holders
               if not c.exists(path) or c.exists(path).ephemeralOwner != session]
        results.check("held ephemerals are on node %d" % node.id, not bad, str(bad) if bad else "")
        c.stop()


def verify_sessions(load, results):
    results.check("no session was lost", not load.lost, str(load.lost) if load.lost else "(%d)" % len(load.clients))
    changed = [path for c, path, session in load.holders if c.client_id[0] != session]
    results.check("the same sessions as before", not changed, str(changed) if changed else "")
    results.check("ephemerals of closed sessions were gone at once", not load.late and load.closed > 0,
                  "(%d closed)" % load.closed if not load.late else str(load.late))
    early = [(path, gone - sent) for path, sent, gone in load.abandoned if gone and gone - sent < BRIEF_TIMEOUT_S]
    results.check("no abandoned session ended before its time-out", not early and load.abandoned,
                  "(%d abandoned)" % len(load.abandoned) if not early else str(early))
    # Nobody dies any more. The newest leader gives each session its full time once, and a part of it as grace.
    c, limit = load.observer, 3 * BRIEF_TIMEOUT_S
    try:
        wait_until("abandoned ephemerals end", lambda: not c.retry(c.get_children, "/crash/brief"), limit)
        left = []
    except TimeoutError:
        left = c.get_children("/crash/brief")
    results.check("no ephemeral outlives its session", not left, "%s after %.0f s" % (left[:5], limit) if left else "")


def verify_digests(cluster, load, digests, results):
    c = load.observer
    newest = max((i for i in digests.look(cluster) if i), default=0)

    def all_beyond():
        for request in [c.set_async("/crash", b"") for _ in range(64)]:
            try:
                request.get(20)
            except ZookeeperError:
                pass
        now = digests.look(cluster)
        return None not in now and min(now) > newest and len(set(now)) == 1

    try:
        wait_until("digests of one index on all nodes", all_beyond, 60)
        results.check("digests are equal", not digests.differ,
                      "(%d indexes)" % len(digests.seen) if not digests.differ else str(digests.differ[:3]))
    except TimeoutError as error:
        results.check("digests are equal", False, str(error))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--wipe", action="store_true")
    parser.add_argument("--seed", type=int, default=None)
    args = parser.parse_args()
    seed = args.seed if args.seed is not None else random.randrange(1 << 31)
    print("     seed %d" % seed, flush=True)
    results, digests, chance = Results(), Digests(), random.Random(seed)
    began = time.monotonic()
    try:
        with Cluster(3, extra=os.environ.get("PARLEY_ARGS", "").split()) as cluster:
            load = Load(cluster.hosts)
            load.begin()
            try:
                whole = rounds(cluster, load, digests, args.kills, args.wipe, chance)
                load.more(200)
                results.check("writes went on after every kill", True, "(%d kills, %d of all nodes)" % (args.kills, whole))
            except (TimeoutError, RuntimeError) as error:
                results.check("writes went on after every kill", False, str(error))
            for node in cluster.nodes:
                if node.process is None:
                    node.start()
            load.end()
            results.check("no worker failed", not load.errors, "; ".join(load.errors[:5]))
            verify(cluster, load, digests, results)
            verify_sessions(load, results)
            verify_digests(cluster, load, digests, results)
            if results.failed:
                raise AssertionError("checks failed")  # the cluster keeps its logs then
    except AssertionError:
        pass
    except Exception as error:
        results.check("the run", False, repr(error))
    print("     %.0f s" % (time.monotonic() - began))
    print("crash: %d passed, %d failed, 0 skipped" % (results.passed, results.failed), flush=True)
    os._exit(1 if results.failed else 0)


if __name__ == "__main__":
    main()
