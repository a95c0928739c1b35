"""Sessions: what survives a lost connection, what ends with a session, and when."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time

from kazoo.exceptions import NodeExistsError
from kazoo.protocol.states import EventType, KazooState, KeeperState

from clients import client, root
from kit import HOSTS, equal, test, until


def cut(c):
    """Breaks the connection as a network does: no word to either side's application."""
    c._connection._socket.shutdown(socket.SHUT_RDWR)


@test()
def a_cut_connection_keeps_the_session():
    c, other = client(), client()
    at = root(c, "cut")
    c.create(at + "/e", ephemeral=True)
    session, states = c.client_id[0], []
    c.add_listener(states.append)
    for _ in range(3):
        states.clear()
        cut(c)
        until("suspended, then connected", lambda: states == [KazooState.SUSPENDED, KazooState.CONNECTED])
        equal(c.client_id[0], session)
        other.sync(at)
        assert other.exists(at + "/e")
    c.stop(), other.stop()


@test()
def watches_fire_once_after_a_cut_connection():
    """kazoo sets its watches anew by asking again: recipes such as DataWatch see what was missed."""
    c, other = client(), client()
    at = root(c, "cut-watch")
    c.create(at + "/n", b"0")
    values, children = [], []
    c.DataWatch(at + "/n", lambda data, stat: values.append(data))
    c.ChildrenWatch(at, lambda names: children.append(sorted(names)))
    until("the first values", lambda: values == [b"0"] and children == [["n"]])
    cut(c)
    other.set(at + "/n", b"1")
    other.create(at + "/m")
    until("the missed ones", lambda: values[-1] == b"1" and children[-1] == ["m", "n"])
    other.set(at + "/n", b"2")
    until("the next", lambda: values[-1] == b"2")
    c.stop(), other.stop()


@test()
def reattach_with_id_and_password():
    """What a process that was killed left behind is taken over by who knows its session's id and password."""
    keeper = client()
    at = root(keeper, "reattach")
    child, first = owner_process(at + "/e")
    child.kill()
    child.wait()
    second = client(node=1, client_id=first)
    equal(second.client_id, first)
    second.sync(at)
    equal(second.get(at + "/e")[1].ephemeralOwner, first[0])
    second.stop()
    keeper.sync(at)
    assert keeper.exists(at + "/e") is None, "closing at the new place ends the session"
    keeper.stop()


@test()
def wrong_password_or_unknown_session_is_expired():
    owner = client()
    at = root(owner, "stranger")
    owner.create(at + "/e", ephemeral=True)
    for identity in ((owner.client_id[0], b"\x01" * 16), (0x0123456789abcdef, b"\x02" * 16)):
        states = []
        c = client(start=False, client_id=identity)
        c.add_listener(states.append)
        c.start(timeout=10)
        assert c.client_id[0] != identity[0], "a new session instead"
        c.stop()
    assert owner.exists(at + "/e"), "a wrong password does no harm to the session"
    owner.stop()


@test()
def timeouts_are_bounded():
    for asked, low, high in ((3600, 40000, 40000), (0.5, 1000, 4000)):
        c = client(node=0, timeout=asked)
        line = [line for line in c.command(b"cons").splitlines() if "sid=0x%x," % c.client_id[0] in line]
        given = int(line[0].split(",to=")[1].split(",")[0])
        assert low <= given <= high, line
        c.stop()


OWNER = """
import sys
from kazoo.client import KazooClient
c = KazooClient(sys.argv[1], timeout=4.0)
c.add_listener(lambda s: print("state", s, flush=True))
c.start()
c.create(sys.argv[2], b"", ephemeral=True)
print("session", c.client_id[0], c.client_id[1].hex(), flush=True)
sys.stdin.readline()
print("session", c.client_id[0], c.client_id[1].hex(), flush=True)
"""


def owner_process(path):
    """A process that holds an ephemeral at `path`, and its session's identity."""
    child = subprocess.Popen([sys.executable, "-c", OWNER, ",".join(HOSTS), path], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, text=True)
    for line in child.stdout:
        if line.startswith("session"):
            words = line.split()
            return child, (int(words[1]), bytes.fromhex(words[2]))
    raise AssertionError("the owner ended")


@test(30)
def a_frozen_client_expires_and_is_told():
    """SIGSTOP for longer than the time-out: the ephemeral goes, not too early; the client wakes up with a new session."""
    c = client()
    at = root(c, "frozen")
    child, first = owner_process(at + "/e")
    try:
        c.sync(at)
        gone = threading.Event()
        assert c.exists(at + "/e", watch=lambda event: gone.set() if event.type == EventType.DELETED else None)
        began = time.monotonic()
        os.kill(child.pid, signal.SIGSTOP)
        assert gone.wait(15), "the ephemeral outlived its session"
        waited = time.monotonic() - began
        assert 2.4 < waited < 10, "gone after %.1f s (time-out 4 s, a ping within its third)" % waited
        os.kill(child.pid, signal.SIGCONT)
        lines = []
        while "state CONNECTED\n" not in lines:
            line = child.stdout.readline()
            assert line, lines
            lines.append(line)
        assert "state LOST\n" in lines, lines
        child.stdin.write("\n")
        child.stdin.flush()
        assert child.stdout.readline().split()[1] != str(first[0]), "a new session"
    finally:
        child.kill()
        child.wait()
    c.stop()


@test(30)
def a_killed_client_expires():
    c = client()
    at = root(c, "killed")
    child, _ = owner_process(at + "/e")
    c.sync(at)
    gone = threading.Event()
    assert c.exists(at + "/e", watch=lambda event: gone.set() if event.type == EventType.DELETED else None)
    began = time.monotonic()
    child.kill()
    child.wait()
    assert gone.wait(15)
    assert time.monotonic() - began > 2.4, "a closed socket is not a closed session"
    c.stop()


@test(30)
def an_idle_client_lives_on_by_its_pings():
    c, other = client(timeout=4.0), client()
    at = root(c, "idle")
    c.create(at + "/e", ephemeral=True)
    session, states = c.client_id[0], []
    c.add_listener(states.append)
    gone = threading.Event()
    other.sync(at)
    assert other.exists(at + "/e", watch=lambda event: gone.set())
    assert not gone.wait(7), "pings keep a session past its time-out"
    equal((c.client_id[0], states), (session, []))
    c.stop(), other.stop()


@test()
def every_node_serves():
    clients = [client(node=k) for k in range(len(HOSTS))]
    at = root(clients[0], "nodes")
    for k, c in enumerate(clients):
        c.sync(at)
        c.create(at + "/from-%d" % k, ephemeral=True)
    for c in clients:
        c.sync(at)
        equal(sorted(c.get_children(at)), ["from-%d" % k for k in range(len(clients))])
        equal(c.client_state, KeeperState.CONNECTED)
    equal(len({c.client_id[0] for c in clients}), len(clients))
    for c in clients:
        c.stop()


@test()
def many_sessions_come_and_go():
    keeper = client()
    at = root(keeper, "crowd")
    crowd = [client(start=False) for _ in range(30)]
    for event in [c.start_async() for c in crowd]:
        assert event.wait(10)
    for k, c in enumerate(crowd):
        c.create_async(at + "/e%d" % k, ephemeral=True).get(10)
    keeper.sync(at)
    equal(len(keeper.get_children(at)), 30)
    for c in crowd:
        c.stop()
    keeper.sync(at)
    equal(keeper.get_children(at), [])
    keeper.stop()


@test(25)
def session_outlives_the_leader():
    """Sessions, ephemerals and watches through the death of a leader."""
    crowd = [client(timeout=8.0) for _ in range(5)]
    other = client()
    at = root(other, "outlive")
    lost = []
    for k, c in enumerate(crowd):
        c.add_listener(lambda s: lost.append(s) if s == KazooState.LOST else None)
        c.retry(c.create, at + "/e%d" % k, b"", ephemeral=True)
    sessions = [c.client_id[0] for c in crowd]
    fired = []
    crowd[0].retry(crowd[0].create, at + "/w", b"0")
    crowd[0].DataWatch(at + "/w", lambda data, stat: fired.append(data))
    yield
    other.retry(other.set, at + "/w", b"after")
    until("the watch fires after the death", lambda: fired and fired[-1] == b"after", 15)
    for k, c in enumerate(crowd):
        equal(c.retry(c.exists, at + "/e%d" % k).ephemeralOwner, sessions[k])
    equal([c.client_id[0] for c in crowd], sessions, "the same sessions")
    equal(lost, [])
    for c in crowd + [other]:
        c.stop()


@test(30)
def acknowledged_writes_outlive_the_leader():
    """Four writers go on through the death; whatever was acknowledged is there afterwards, on every node."""
    writers = [client(node=k) for k in range(3)] + [client()]
    at = root(writers[0], "writers")
    acknowledged, stop = [[] for _ in writers], threading.Event()
    unknown = [0]

    def work(k):
        c, number = writers[k], 0
        c.retry(c.sync, at)
        while not stop.is_set():
            path = at + "/w%d-%d" % (k, number)
            try:
                c.retry(c.create, path)
                acknowledged[k].append(path)
            except NodeExistsError:  # the first try was applied, its reply lost
                unknown[0] += 1
                acknowledged[k].append(path)
            number += 1

    threads = [threading.Thread(target=work, args=(k,), daemon=True) for k in range(len(writers))]
    for t in threads:
        t.start()
    until("some writes of each", lambda: all(len(a) > 20 for a in acknowledged))
    yield
    before = [len(a) for a in acknowledged]
    until("each goes on", lambda: all(len(a) > b + 20 for a, b in zip(acknowledged, before)), 20)
    stop.set()
    for t in threads:
        t.join(10)
    wanted = sorted(path for a in acknowledged for path in a)
    for k in range(len(HOSTS)):
        c = client(node=k)
        c.retry(c.sync, at)
        equal(sorted(at + "/" + name for name in c.retry(c.get_children, at)), wanted, "node %d" % k)
        c.stop()
    for c in writers:
        c.stop()
