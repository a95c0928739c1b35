#!/usr/bin/env python3
"""Native operations through HTTP and the CLI, against real processes: one node, and three of which the leader is killed.
Here are locks and sessions; each module beside this one adds its own tests.

Usage: test/native/run.py [--binary build/parley] [--port 24100] [--keep] [NAME...]
Prints a line for each test, and last: N passed, N failed, N skipped.
"""
import argparse
import http.client
import importlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback

import described

TESTS = []
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Skipped(Exception):
    """What a test needs is not on this machine; says what."""


def test(nodes):
    def add(function):
        TESTS.append((nodes, function))
        return function
    return add


def until(what, holds, seconds=20):
    """Asks until it holds; nothing depends on how often."""
    end = time.monotonic() + seconds
    while True:
        got = holds()
        if got:
            return got
        if time.monotonic() > end:
            raise AssertionError("in vain for %s s: %s" % (seconds, what))
        time.sleep(0.01)


# ---- processes

def stand_still(process):
    """When this returns all of its threads have stopped; the signal alone is followed a moment later."""
    process.send_signal(signal.SIGSTOP)
    tasks = "/proc/%d/task" % process.pid

    def stopped(task):
        with open("%s/%s/stat" % (tasks, task)) as stat:
            return stat.read().rpartition(")")[2].split()[0] in "Tt"
    until("it stands still", lambda: all(stopped(task) for task in os.listdir(tasks)))


class Cluster:
    def __init__(self, binary, port, count, folder):
        self.binary, self.folder, self.count = binary, folder, count
        self.ports = [{"http": port + 10 * i, "peer": port + 10 * i + 1} for i in range(count)]
        self.processes = [None] * count
        self.commands = []

    def start(self, i):
        arguments = [self.binary, "server", "--id", str(i + 1), "--data", "%s/%d" % (self.folder, i + 1), "--zookeeper", "off",
                     "--http", "127.0.0.1:%d" % self.ports[i]["http"]]
        if self.count > 1:
            arguments += ["--peer", "127.0.0.1:%d" % self.ports[i]["peer"], "--cluster",
                          ",".join("%d=127.0.0.1:%d" % (k + 1, p["peer"]) for k, p in enumerate(self.ports))]
        else:
            arguments += ["--peer", "off"]
        log = open("%s/%d.log" % (self.folder, i + 1), "ab")
        self.processes[i] = subprocess.Popen(arguments, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        log.close()

    def start_all(self):
        for i in range(self.count):
            if self.processes[i] is None:
                self.start(i)
        for i in range(self.count):
            until("node %d is ready" % (i + 1), lambda: self.ready(i), 30)

    def ready(self, i):
        assert self.processes[i].poll() is None, "node %d ended: see %s" % (i + 1, self.folder)
        try:
            return get(self.ports[i]["http"], "/readyz")[0] == 200
        except OSError:
            return False

    def kill(self, i):
        self.processes[i].kill()
        self.processes[i].wait()
        self.processes[i] = None

    def stop(self):
        for process in self.processes:
            if process is not None:
                process.terminate()
        for i, process in enumerate(self.processes):
            if process is not None:
                assert process.wait(30) == 0, "node %d ended with %d" % (i + 1, process.returncode)
            self.processes[i] = None

    def leader(self):
        def find():
            for i in range(self.count):
                if self.processes[i] is not None:
                    try:
                        leader = get(self.ports[i]["http"], "/v1/cluster")[1]["leader"]
                    except OSError:
                        continue
                    if leader and self.processes[leader - 1] is not None:
                        return leader
            return None
        return until("there is a leader", find) - 1

    def http(self, i=0):
        return self.ports[i]["http"]

    def servers(self):
        return ",".join("127.0.0.1:%d" % p["http"] for p in self.ports)

    def command(self, *arguments, **more):
        process = subprocess.Popen([self.binary, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True, **more)
        self.commands.append(process)
        return process


def get(port, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text.startswith(b"{") else text
    except http.client.HTTPException as error:
        raise OSError(str(error)) from error
    finally:
        connection.close()


class Answer:
    def __init__(self, status, kind, body):
        self.status, self.kind = status, kind
        self.body = json.loads(body) if body else None
        self.error = self.body.get("type", "").removeprefix("/errors/") if status != 200 else None

    def __getitem__(self, key):
        return self.body[key]


class Asking:
    """A request under way, on a connection of its own."""

    def __init__(self, port, operation, timeout=60, **fields):
        self.path = "/v1/" + operation
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
        self.connection.request("POST", self.path, json.dumps(fields))

    def answer(self):
        try:
            reply = self.connection.getresponse()
            kind, text = reply.getheader("Content-Type"), reply.read()
            described.check("post", self.path, reply.status, kind, text)
            return Answer(reply.status, kind, text)
        except http.client.HTTPException as error:
            raise OSError(str(error)) from error
        finally:
            self.connection.close()

    def close(self):
        self.connection.sock.shutdown(socket.SHUT_RDWR)
        self.connection.close()


def ask(port, operation, **fields):
    return Asking(port, operation, **fields).answer()


def good(port, operation, **fields):
    answer = ask(port, operation, **fields)
    assert answer.status == 200, "%s: %s" % (operation, answer.body)
    return answer


def refused(status, error, port, operation, **fields):
    answer = ask(port, operation, **fields)
    assert (answer.status, answer.error) == (status, error), "%s: %s" % (operation, answer.body)
    assert answer.kind == "application/problem+json", answer.kind
    assert answer["status"] == status and answer["title"], answer.body
    return answer


def waiters(port, name, count):
    until("%d wait for %s" % (count, name), lambda: good(port, "lock/show", name=name)["waiters"] == count)


def session(port, ttl_ms=4000):
    return good(port, "session/create", ttl_ms=ttl_ms)["session"]


class KeptAlive:
    """Sends keepalives until it is closed."""

    def __init__(self, port, ttl_ms=10000):
        self.session, self.port, self.ttl_ms = session(port, ttl_ms), port, ttl_ms
        self.ends = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.ends.wait(self.ttl_ms / 4000):
            try:
                ask(self.port, "session/keepalive", session=self.session)
            except OSError:
                pass

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.ends.set()
        self.thread.join()


# ---- one node

@test(1)
def try_is_answered_at_once(c):
    first = good(c.http(), "lock/acquire", name="try", owner="a", ttl_ms=60000)
    assert first["token"] > 0 and first["holds"] == 1
    began = time.monotonic()
    busy = refused(409, "busy", c.http(), "lock/acquire", name="try", owner="b", ttl_ms=60000)
    assert time.monotonic() - began < 5
    assert busy["holder"] == "a" and busy["token"] == first["token"]
    good(c.http(), "lock/release", name="try", owner="a", token=first["token"])
    good(c.http(), "lock/acquire", name="try", owner="b", ttl_ms=60000)


@test(1)
def waiter_is_granted_by_the_release(c):
    first = good(c.http(), "lock/acquire", name="wait", owner="a", ttl_ms=60000)
    waiting = Asking(c.http(), "lock/acquire", name="wait", owner="b", ttl_ms=60000, wait_ms=30000)
    waiters(c.http(), "wait", 1)
    good(c.http(), "lock/release", name="wait", owner="a", token=first["token"])
    began = time.monotonic()
    second = waiting.answer()
    assert second.status == 200 and second["token"] > first["token"]
    assert time.monotonic() - began < 5, "a grant is an event: nothing else would come for 30 s"


@test(1)
def waiting_ends_in_time(c):
    good(c.http(), "lock/acquire", name="late", owner="a", ttl_ms=60000)
    began = time.monotonic()
    refused(409, "timed-out", c.http(), "lock/acquire", name="late", owner="b", ttl_ms=60000, wait_ms=700)
    assert 0.6 < time.monotonic() - began < 10
    assert good(c.http(), "lock/show", name="late")["waiters"] == 0


@test(1)
def waiters_are_served_in_their_order(c):
    held = good(c.http(), "lock/acquire", name="fifo", owner="first", ttl_ms=60000)
    line = []
    for i in range(12):
        line.append(Asking(c.http(), "lock/acquire", name="fifo", owner="w%d" % i, ttl_ms=60000, wait_ms=60000))
        waiters(c.http(), "fifo", i + 1)
    owner, token = "first", held["token"]
    for i, waiting in enumerate(line):
        shown = good(c.http(), "lock/show", name="fifo")["claims"]
        assert [claim["owner"] for claim in shown] == [owner] + ["w%d" % k for k in range(i, 12)]
        good(c.http(), "lock/release", name="fifo", owner=owner, token=token)
        answer = waiting.answer()
        assert answer.status == 200 and answer["token"] > token
        owner, token = "w%d" % i, answer["token"]


@test(1)
def owners_hold_it_more_than_once(c):
    with KeptAlive(c.http()) as s:
        first = good(c.http(), "lock/acquire", name="again", session=s.session)
        second = good(c.http(), "lock/acquire", name="again", session=s.session)
        assert (second["holds"], second["token"]) == (2, first["token"])
        refused(409, "busy", c.http(), "lock/acquire", name="again", session=s.session, owner="another thread")
        assert good(c.http(), "lock/release", name="again", session=s.session, token=first["token"])["holds"] == 1
        assert good(c.http(), "lock/verify", name="again", token=first["token"])["valid"]
        assert good(c.http(), "lock/release", name="again", session=s.session, token=first["token"])["holds"] == 0
        assert not good(c.http(), "lock/verify", name="again", token=first["token"])["valid"]
        refused(409, "not-held", c.http(), "lock/release", name="again", session=s.session, token=first["token"])


@test(1)
def readers_share_and_do_not_starve_writers(c):
    def shared(owner, **more):
        return Asking(c.http(), "lock/acquire", name="rw", owner=owner, mode="shared", ttl_ms=60000, **more)
    one, two = shared("r1").answer(), shared("r2").answer()
    assert one.status == two.status == 200
    writer = Asking(c.http(), "lock/acquire", name="rw", owner="w", ttl_ms=60000, wait_ms=30000)
    waiters(c.http(), "rw", 1)
    late = shared("r3", wait_ms=30000)
    waiters(c.http(), "rw", 2)
    refused(409, "busy", c.http(), "lock/acquire", name="rw", owner="r4", mode="shared", ttl_ms=60000)
    good(c.http(), "lock/release", name="rw", owner="r1", token=one["token"])
    good(c.http(), "lock/release", name="rw", owner="r2", token=two["token"])
    written = writer.answer()
    assert written.status == 200
    assert good(c.http(), "lock/show", name="rw")["waiters"] == 1
    good(c.http(), "lock/release", name="rw", owner="w", token=written["token"])
    assert late.answer().status == 200


@test(1)
def permits_are_counted(c):
    def take(owner, permits, **more):
        return dict(name="permits", owner=owner, mode="permits", permits=permits, total=3, ttl_ms=60000, **more)
    one = good(c.http(), "lock/acquire", **take("a", 2))
    good(c.http(), "lock/acquire", **take("b", 1))
    refused(409, "busy", c.http(), "lock/acquire", **take("c", 1))
    refused(409, "kind", c.http(), "lock/acquire", name="permits", owner="d", ttl_ms=60000)
    waiting = Asking(c.http(), "lock/acquire", **take("c", 2, wait_ms=30000))
    waiters(c.http(), "permits", 1)
    good(c.http(), "lock/release", name="permits", owner="a", token=one["token"])
    assert waiting.answer().status == 200
    refused(400, "bad-request", c.http(), "lock/acquire", **take("e", 4))


@test(1)
def several_or_none(c):
    tokens = good(c.http(), "lock/acquire_all", names=["all1", "all2"], shared_names=["all3"], owner="a", ttl_ms=60000)["tokens"]
    assert len(tokens) == 3 and tokens == sorted(set(tokens))
    busy = refused(409, "busy", c.http(), "lock/acquire_all", names=["all0", "all2"], owner="b", ttl_ms=60000)
    assert busy["name"] == "all2"
    assert [x["name"] for x in good(c.http(), "lock/list", prefix="all")["locks"]] == ["all1", "all2", "all3"]


@test(1)
def circles_get_an_error(c):
    good(c.http(), "lock/acquire", name="c1", owner="a", ttl_ms=60000)
    good(c.http(), "lock/acquire", name="c2", owner="b", ttl_ms=60000)
    waiting = Asking(c.http(), "lock/acquire", name="c2", owner="a", ttl_ms=60000, wait_ms=30000)
    waiters(c.http(), "c2", 1)
    assert "c1" in refused(409, "deadlock", c.http(), "lock/acquire", name="c1", owner="b", ttl_ms=60000, wait_ms=30000)["circle"]
    waiting.close()


@test(1)
def tokens_only_grow(c):
    before = 0
    for i in range(20):
        name = "grow%d" % (i % 3)
        got = good(c.http(), "lock/acquire", name=name, owner="a", ttl_ms=60000)["token"]
        assert got > before
        before = got
        good(c.http(), "lock/release", name=name, owner="a", token=got)
        if i == 10:
            c.kill(0)
            c.start_all()


@test(1)
def sessions_that_nobody_keeps_alive_free_their_locks(c):
    s = session(c.http(), 2000)
    good(c.http(), "lock/acquire", name="expiry", session=s)
    with KeptAlive(c.http()) as other:
        began = time.monotonic()
        next_one = ask(c.http(), "lock/acquire", name="expiry", session=other.session, wait_ms=30000)
        assert next_one.status == 200
        assert 1.9 < time.monotonic() - began < 12
    refused(410, "session-expired", c.http(), "session/keepalive", session=s)
    refused(410, "session-expired", c.http(), "lock/acquire", name="expiry", session=s)


@test(1)
def keepalives_keep_a_session(c):
    with KeptAlive(c.http(), 3000) as s:
        token = good(c.http(), "lock/acquire", name="kept", session=s.session)["token"]
        refused(409, "timed-out", c.http(), "lock/acquire", name="kept", owner="x", ttl_ms=1000, wait_ms=8000)
        assert good(c.http(), "lock/verify", name="kept", token=token)["valid"]
        good(c.http(), "session/close", session=s.session)
    assert not good(c.http(), "lock/verify", name="kept", token=token)["valid"]


@test(1)
def time_to_live_ends_unless_renewed(c):
    token = good(c.http(), "lock/acquire", name="ttl", owner="a", ttl_ms=3000)["token"]
    good(c.http(), "lock/renew", name="ttl", owner="a", token=token, ttl_ms=4500)
    began = time.monotonic()
    assert good(c.http(), "lock/acquire", name="ttl", owner="b", ttl_ms=60000, wait_ms=30000)["token"] > token
    assert 4 < time.monotonic() - began < 15
    refused(409, "not-held", c.http(), "lock/renew", name="ttl", owner="a", token=token, ttl_ms=4000)


@test(1)
def delay_after_an_unclean_loss(c):
    good(c.http(), "lock/acquire", name="delay", owner="a", ttl_ms=500, delay_ms=2000)
    began = time.monotonic()
    good(c.http(), "lock/acquire", name="delay", owner="b", ttl_ms=60000, wait_ms=30000)
    assert time.monotonic() - began > 2.2


@test(1)
def who_disconnects_waits_no_longer(c):
    held = good(c.http(), "lock/acquire", name="gone", owner="a", ttl_ms=60000)
    waiting = Asking(c.http(), "lock/acquire", name="gone", owner="b", ttl_ms=60000, wait_ms=60000)
    waiters(c.http(), "gone", 1)
    waiting.close()
    waiters(c.http(), "gone", 0)
    half = Asking(c.http(), "lock/acquire", name="gone", owner="b", ttl_ms=60000, wait_ms=60000)
    waiters(c.http(), "gone", 1)
    half.connection.sock.shutdown(socket.SHUT_WR)
    waiters(c.http(), "gone", 0)
    with KeptAlive(c.http()) as s:
        waiting = Asking(c.http(), "lock/acquire", name="gone", session=s.session, wait_ms=60000)
        waiters(c.http(), "gone", 1)
        waiting.close()
        waiters(c.http(), "gone", 0)
    good(c.http(), "lock/release", name="gone", owner="a", token=held["token"])
    assert good(c.http(), "lock/show", name="gone")["claims"] == []


@test(1)
def cancelled_by_its_ticket(c):
    held = good(c.http(), "lock/acquire", name="cancel", owner="a", ttl_ms=60000)
    waiting = Asking(c.http(), "lock/acquire", name="cancel", owner="b", ttl_ms=60000, wait_ms=60000)
    waiters(c.http(), "cancel", 1)
    ticket = good(c.http(), "lock/show", name="cancel")["claims"][1]["ticket"]
    assert not good(c.http(), "lock/cancel", name="cancel", owner="b", ticket=ticket)["granted"]
    assert waiting.answer().error == "cancelled"
    older = Asking(c.http(), "lock/acquire", name="cancel", owner="b", ttl_ms=60000, wait_ms=60000)
    waiters(c.http(), "cancel", 1)
    newer = Asking(c.http(), "lock/acquire", name="cancel", owner="b", ttl_ms=60000, wait_ms=60000)
    assert older.answer().error == "superseded"
    ticket = good(c.http(), "lock/show", name="cancel")["claims"][1]["ticket"]
    good(c.http(), "lock/cancel", name="cancel", owner="b", ticket=ticket)
    assert newer.answer().error == "cancelled"
    late = good(c.http(), "lock/cancel", name="cancel", owner="a", ticket=held["ticket"])
    assert late["granted"] and late["token"] == held["token"]


@test(1)
def broken_locks_are_told(c):
    token = good(c.http(), "lock/acquire", name="break", owner="a", ttl_ms=60000)["token"]
    watch = Asking(c.http(), "lock/watch", name="break", token=token)
    assert good(c.http(), "lock/watch", name="break", token=token, wait_ms=200)["held"]
    refused(409, "not-held", c.http(), "lock/break", name="break", token=token + 1, reason="x")
    good(c.http(), "lock/break", name="break", token=token, reason="stuck since noon")
    told = watch.answer()
    assert (told["held"], told["loss"], told["reason"]) == (False, "broken", "stuck since noon")
    assert not good(c.http(), "lock/verify", name="break", token=token)["valid"]


@test(1)
def bad_input_gets_a_problem_document(c):
    port = c.http()
    for fields, field in (({}, "name"), ({"name": ""}, "name"), ({"name": 1}, "name"), ({"name": "x" * 256}, "name"),
                          ({"name": "n", "owner": None}, "owner"), ({"name": "n", "mode": "other"}, "mode"),
                          ({"name": "n", "ttl_ms": -1}, "ttl_ms"), ({"name": "n", "ttl_ms": 1e300}, "ttl_ms"),
                          ({"name": "n", "wait_ms": "1"}, "wait_ms"), ({"name": "n", "session": "1-2"}, "session"),
                          ({"name": "n", "waitms": 1}, "waitms")):
        assert refused(400, "bad-request", port, "lock/acquire", **fields)["field"] == field
    refused(400, "bad-request", port, "lock/acquire", name="n")
    refused(410, "session-expired", port, "session/close", session="1-" + "0" * 32)
    for body in ("", "nothing", "[]", "{", '{"name": "n"} x', "\0", '{"name": "\\ud800"}'):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("POST", "/v1/lock/acquire", body)
        assert connection.getresponse().status == 400
        connection.close()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("POST", "/v1/lock/acquire", "{}", {"Origin": "http://localhost"})
    assert connection.getresponse().status == 403
    connection.close()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("POST", "/v1/lock/acquire", " " * 1048577)
    assert connection.getresponse().status == 413
    connection.close()
    assert get(port, "/v1/lock/list")[0] == 405


@test(1)
def one_connection_carries_many_requests(c):
    bodies = [json.dumps({"name": "pipe%d" % i, "owner": "a", "ttl_ms": 60000}) for i in range(200)]
    with socket.create_connection(("127.0.0.1", c.http()), 30) as s:
        s.sendall(b"".join(b"POST /v1/lock/acquire HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(b), b.encode())
                           for b in bodies))
        stream = s.makefile("rb")
        before = 0
        for _ in bodies:
            assert b" 200 " in stream.readline()
            length = 0
            while (line := stream.readline().strip()) != b"":
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            token = json.loads(stream.read(length))["token"]
            assert token > before
            before = token


# ---- the command

def lock(c, *arguments, **more):
    return c.command("lock", *arguments, "--server", c.servers(), **more)


def run_lock(c, name, flags, command):
    process = c.command("lock", name, "--server", c.servers(), *flags, "--", *command)
    out, error = process.communicate(timeout=60)
    return process.returncode, out, error


@test(1)
def command_runs_under_the_lock(c):
    code, out, error = run_lock(c, "cmd", [], ["sh", "-c", "echo $PARLEY_LOCK_NAME $PARLEY_LOCK_TOKEN; exit 7"])
    assert code == 7, error
    name, token = out.split()
    assert name == "cmd" and int(token) > 0
    assert good(c.http(), "lock/show", name="cmd")["claims"] == []
    code, out, _ = run_lock(c, "cmd", [], ["sh", "-c", "echo $PARLEY_LOCK_TOKEN"])
    assert code == 0 and int(out) > int(token)
    assert run_lock(c, "cmd", [], ["sh", "-c", "kill -9 $$"])[0] == 137
    assert run_lock(c, "cmd", [], ["/nonexistent"])[0] == 127
    assert run_lock(c, "cmd", [], ["/etc/passwd"])[0] == 126
    for wrong in (["cmd"], ["cmd", "--ttl", "1", "--", "true"], ["--", "true"], ["cmd", "--"], ["break", "cmd"],
                  ["cmd", "--permits", "2", "--", "true"]):
        process = c.command("lock", *wrong)
        process.communicate(timeout=20)
        assert process.returncode == 2, wrong


@test(1)
def command_does_not_run_without_it(c):
    held = good(c.http(), "lock/acquire", name="not", owner="someone", ttl_ms=60000)
    code, out, error = run_lock(c, "not", ["--try"], ["echo", "ran"])
    assert (code, out) == (75, "") and "someone" in error
    code, out, error = run_lock(c, "not", ["--wait", "300", "--json"], ["echo", "ran"])
    assert (code, out) == (75, "") and json.loads(error)["event"] == "not-got"
    waiting = c.command("lock", "not", "--server", c.servers(), "--", "echo", "ran")
    waiters(c.http(), "not", 1)
    waiting.send_signal(signal.SIGTERM)
    waiting.communicate(timeout=20)
    assert waiting.returncode == -signal.SIGTERM
    waiters(c.http(), "not", 0)
    good(c.http(), "lock/release", name="not", owner="someone", token=held["token"])
    nobody = c.command("lock", "not", "--server", "127.0.0.1:1", "--try", "--", "echo", "ran")
    out, _ = nobody.communicate(timeout=60)
    assert (nobody.returncode, out) == (75, "")


@test(1)
def command_shares_and_counts(c):
    # Two that run at the same time, or each would wait for the other's file in vain.
    meet = "touch %s/m%d; while [ ! -e %s/m%d ]; do sleep 0.02; done"
    for flags in (["--shared"], ["--permits", "1", "--total", "2"]):
        pair = [c.command("lock", "meet", "--server", c.servers(), *flags, "--", "sh", "-c",
                          meet % (c.folder, i, c.folder, 1 - i)) for i in range(2)]
        for process in pair:
            _, error = process.communicate(timeout=30)
            assert process.returncode == 0, error
        for i in range(2):
            os.unlink("%s/m%d" % (c.folder, i))


@test(1)
def command_is_shown_and_broken(c):
    process = c.command("lock", "op", "--server", c.servers(), "--grace", "300", "--", "sh", "-c",
                        "trap '' TERM; echo $$; while :; do sleep 1; done")
    pid = int(process.stdout.readline())
    shown = json.loads(lock(c, "show", "op", "--json").communicate(timeout=20)[0])
    assert str(process.pid) in shown["claims"][0]["owner"]
    assert "op " in lock(c, "list").communicate(timeout=20)[0]
    assert "holds" in lock(c, "show", "op").communicate(timeout=20)[0]
    breaking = lock(c, "break", "op", "--token", str(shown["claims"][0]["token"]), "--reason", "drill")
    breaking.communicate(timeout=20)
    assert breaking.returncode == 0
    _, error = process.communicate(timeout=20)
    assert process.returncode == 76 and "drill" in error, (process.returncode, error)
    assert not os.path.exists("/proc/%d" % pid), "CMD ignores SIGTERM, not SIGKILL"


@test(1)
def pause_while_a_command_waits(c):
    """Found by a run on a stalled machine: who had waited without a server lost the lock as soon as it got it."""
    held = good(c.http(), "lock/acquire", name="stall", owner="a", ttl_ms=60000)
    waiting = c.command("lock", "stall", "--server", c.servers(), "--ttl", "3000", "--", "sh", "-c", "sleep 0.5; echo ran")
    waiters(c.http(), "stall", 1)
    stand_still(c.processes[0])
    time.sleep(2.6)  # longer than two thirds of its session, which cannot end meanwhile
    c.processes[0].send_signal(signal.SIGCONT)
    waiters(c.http(), "stall", 1)
    good(c.http(), "lock/release", name="stall", owner="a", token=held["token"])
    out, error = waiting.communicate(timeout=30)
    assert (waiting.returncode, out) == (0, "ran\n"), (waiting.returncode, out, error)


@test(1)
def killed_command_loses_the_lock(c):
    process = c.command("lock", "dies", "--server", c.servers(), "--ttl", "4000", "--", "sh", "-c",
                        "echo $$ $PARLEY_LOCK_TOKEN; exec sleep 600")
    pid, token = map(int, process.stdout.readline().split())
    assert good(c.http(), "lock/verify", name="dies", token=token)["valid"]
    process.kill()
    process.communicate()
    until("CMD dies with it", lambda: not os.path.exists("/proc/%d" % pid))
    began = time.monotonic()
    assert good(c.http(), "lock/acquire", name="dies", owner="next", ttl_ms=60000, wait_ms=30000)["token"] > token
    assert time.monotonic() - began < 12


@test(1)
def paused_command_is_fenced(c):
    process = c.command("lock", "paused", "--server", c.servers(), "--ttl", "4000", "--", "sh", "-c",
                        "echo $$ $PARLEY_LOCK_TOKEN; exec sleep 600")
    pid, token = map(int, process.stdout.readline().split())
    stand_still(process)
    second = good(c.http(), "lock/acquire", name="paused", owner="next", ttl_ms=60000, wait_ms=30000)["token"]
    assert second > token and not good(c.http(), "lock/verify", name="paused", token=token)["valid"]
    process.send_signal(signal.SIGCONT)
    process.communicate(timeout=30)
    assert process.returncode == 76
    until("CMD has ended", lambda: not os.path.exists("/proc/%d" % pid))
    assert good(c.http(), "lock/verify", name="paused", token=second)["valid"]


# ---- three nodes

@test(3)
def every_node_knows_the_lock(c):
    held = good(c.http(0), "lock/acquire", name="every", owner="a", ttl_ms=60000)
    for i in range(3):
        assert good(c.http(i), "lock/verify", name="every", token=held["token"])["valid"]
        refused(409, "busy", c.http(i), "lock/acquire", name="every", owner="b", ttl_ms=60000)
    line = []
    for i in range(3):
        line.append(Asking(c.http(i), "lock/acquire", name="every", owner="w%d" % i, ttl_ms=60000, wait_ms=60000))
        waiters(c.http((i + 1) % 3), "every", i + 1)
    owner, token = "a", held["token"]
    for i, waiting in enumerate(line):
        good(c.http((i + 2) % 3), "lock/release", name="every", owner=owner, token=token)
        answer = waiting.answer()
        assert answer.status == 200 and answer["token"] > token
        owner, token = "w%d" % i, answer["token"]


@test(3)
def sessions_move_between_nodes(c):
    s = session(c.http(0), 6000)
    token = good(c.http(0), "lock/acquire", name="move1", session=s)["token"]
    other = good(c.http(1), "lock/acquire", name="move2", owner="other", ttl_ms=60000)
    waiting = Asking(c.http(0), "lock/acquire", name="move2", session=s, wait_ms=60000)
    waiters(c.http(2), "move2", 1)
    good(c.http(1), "session/keepalive", session=s)
    assert waiting.answer().error == "session-moved"
    again = Asking(c.http(1), "lock/acquire", name="move2", session=s, wait_ms=60000)
    assert good(c.http(2), "lock/show", name="move2")["waiters"] == 1  # the place is the session's
    good(c.http(2), "lock/release", name="move2", owner="other", token=other["token"])
    assert again.answer().status == 200
    assert good(c.http(2), "lock/verify", name="move1", token=token)["valid"]
    good(c.http(2), "session/close", session=s)
    for i in range(3):
        assert not good(c.http(i), "lock/verify", name="move1", token=token)["valid"]
        refused(410, "session-expired", c.http(i), "session/keepalive", session=s)


@test(3)
def sessions_outlive_the_leader(c):
    leader = c.leader()
    follower = (leader + 1) % 3
    with KeptAlive(c.http(follower), 10000) as s:
        token = good(c.http(follower), "lock/acquire", name="outlive", session=s.session)["token"]
        waiting = Asking(c.http(follower), "lock/acquire", name="outlive", owner="w", ttl_ms=60000, wait_ms=60000)
        waiters(c.http(follower), "outlive", 1)
        c.kill(leader)
        assert until("it is read again", lambda: ask(c.http(follower), "lock/verify", name="outlive", token=token).body.get("valid"))
        good(c.http(follower), "session/close", session=s.session)
        answer = waiting.answer()
        assert answer.status == 200 and answer["token"] > token
    c.start_all()


@test(3)
def leader_is_killed_while_commands_wait(c):
    """Each of twelve commands runs exactly once, one at a time, in spite of two leaders that are killed."""
    trace = c.folder + "/trace"
    script = "echo in $PARLEY_LOCK_TOKEN >>%s; sleep 0.3; echo out $PARLEY_LOCK_TOKEN >>%s" % (trace, trace)
    servers = c.servers().split(",")
    commands = []
    for i in range(12):
        mine = ",".join(servers[i % 3:] + servers[:i % 3])
        commands.append(c.command("lock", "turns", "--server", mine, "--ttl", "20000", "--", "sh", "-c", script))

    def lines():
        return open(trace).read().split("\n")[:-1] if os.path.exists(trace) else []
    try:
        for ran in (3, 12):
            until("%d lines are written" % ran, lambda: len(lines()) >= ran, 60)
            c.kill(c.leader())
            c.start_all()
    except AssertionError:
        for process in commands:
            process.kill()
            print(process.communicate())
        raise
    for process in commands:
        _, error = process.communicate(timeout=60)
        assert process.returncode == 0, (process.returncode, error)
    seen = lines()
    assert len(seen) == 24, seen
    tokens = [int(line.split()[1]) for line in seen]
    for i in range(0, 24, 2):
        assert seen[i].split()[0] == "in" and seen[i + 1].split()[0] == "out" and tokens[i] == tokens[i + 1], seen
    assert tokens == sorted(tokens), "tokens grow with every grant"


@test(3)
def all_nodes_are_killed_and_come_back(c):
    token = good(c.http(0), "lock/acquire", name="back", owner="a", ttl_ms=120000)["token"]
    waiting = Asking(c.http(1), "lock/acquire", name="back", owner="b", ttl_ms=60000, wait_ms=60000)
    waiters(c.http(0), "back", 1)
    for i in range(3):
        c.kill(i)
    try:
        assert waiting.answer().error == "unknown"
    except OSError:
        pass  # a connection that breaks off says the same
    c.start_all()
    assert good(c.http(2), "lock/verify", name="back", token=token)["valid"]
    assert [claim["owner"] for claim in good(c.http(1), "lock/show", name="back")["claims"]] == ["a", "b"]
    again = Asking(c.http(1), "lock/acquire", name="back", owner="b", ttl_ms=60000, wait_ms=60000)
    good(c.http(0), "lock/release", name="back", owner="a", token=token)
    assert again.answer()["token"] > token


@test(3)
def without_a_majority_it_says_so(c):
    alone = 0
    c.kill(1)
    c.kill(2)
    until("the leader is gone", lambda: get(c.http(alone), "/v1/cluster")[1]["leader"] == 0)
    refused(503, "not-applied", c.http(alone), "lock/acquire", name="alone", owner="a", ttl_ms=60000)
    refused(503, "not-applied", c.http(alone), "lock/list")
    c.start_all()
    good(c.http(alone), "lock/acquire", name="alone", owner="a", ttl_ms=60000)


# ---- running them

def run_group(options, nodes, tests):
    folder = tempfile.mkdtemp(prefix="parley-native-")
    cluster = Cluster(os.path.join(ROOT, options.binary), options.port, nodes, folder)
    failed = skipped = 0
    try:
        cluster.start_all()
        for function in tests:
            began = time.monotonic()
            try:
                function(cluster)
                print("ok %s (%.1f s)" % (function.__name__, time.monotonic() - began), flush=True)
            except Skipped as why:
                skipped += 1
                print("skipped %s: %s" % (function.__name__, why), flush=True)
            except Exception:
                failed += 1
                print("FAILED %s\n%s" % (function.__name__, traceback.format_exc()), flush=True)
                cluster.start_all()
        cluster.stop()
    except Exception:
        failed += 1
        print("FAILED %d nodes\n%s" % (nodes, traceback.format_exc()), flush=True)
    finally:
        for process in cluster.commands:  # of a test that failed: they would ask the next cluster on these ports
            if process.poll() is None:
                process.kill()
                process.wait()
        for process in cluster.processes:
            if process is not None:
                process.kill()
                process.wait()
    if options.keep or failed:
        print("logs and data: %s" % folder)
    else:
        shutil.rmtree(folder)
    return failed, skipped


def load_modules():
    sys.modules["run"] = sys.modules["__main__"]  # so that `from run import ...` adds to this list of tests
    sys.dont_write_bytecode = True
    for file in sorted(os.listdir(os.path.dirname(os.path.abspath(__file__)))):
        if file.endswith(".py") and file not in ("run.py", "lib.py", "lib_calls.py", "via.py", "systems.py", "shield.py"):  # have runs of their own
            importlib.import_module(file.removesuffix(".py"))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", default="build/parley")
    parser.add_argument("--port", type=int, default=24100)
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    unknown = set(options.names) - {function.__name__ for _, function in TESTS}
    if unknown:
        sys.exit("unknown: %s" % ", ".join(sorted(unknown)))
    count = failed = skipped = 0
    for nodes in (1, 3):
        tests = [f for n, f in TESTS if n == nodes and (not options.names or f.__name__ in options.names)]
        if tests:
            count += len(tests)
            found = run_group(options, nodes, tests)
            failed, skipped = failed + found[0], skipped + found[1]
    print("%d passed, %d failed, %d skipped" % (max(count - failed - skipped, 0), failed, skipped))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    load_modules()
    main()
