#!/usr/bin/env python3
"""The six qualities of a lock, on the native lock and on each recipe of `parley lock --via`, against real servers; and for each the
failure that breaks it. Tests assert what is true of each system, its weaknesses too: LACKS says which quality it does not have.

Usage: test/native/via.py [--binary build/parley] [--port 24800] [--keep] [--required] [--record] [--jobs 3] [NAME...]
NAME: a test or a row. --required: a system that is not installed is a failure, not a skip. --record: writes docs/proof/locks.json, and
the table of docs/locks.md out of it. The drivers: make MODE=debug client-tests and make MODE=tsan client-tests.
Prints a line for each test, and last: N passed, N failed, N skipped.
"""
import argparse
import concurrent.futures
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback

import lib
import systems
from run import ROOT, until

TTL = 4000
DRIVERS = [os.path.join(ROOT, "build/%s/test_via" % mode) for mode in ("debug", "tsan")]  # ASan and UBSan; TSan
QUALITIES = {"exclusive": "one machine and one thread at a time", "available": "highly available",
             "fast": "fast to take and give back", "reentrant": "reentrant", "expires": "expires when its holder dies",
             "try": "non-blocking try", "token": "fencing token"}
# Which of the qualities a row does not have; `record` explains it from what the tests saw.
LACKS = {
    "native": set(),
    "redis": {"available", "reentrant", "token"},
    "redlock": {"reentrant", "token"},
    "zookeeper": {"reentrant"},
    "etcd": {"reentrant"},
    "memcached": {"available", "reentrant", "token"},
    "postgres-table": {"available"},
    "postgres-advisory": {"available", "expires", "token"},
    "mysql-table": {"available"},
    "mysql-advisory": {"available", "expires", "token"},
}


class Row:
    """A line of the table: a recipe on a system that runs."""

    def __init__(self, name, system, recipe=None):
        self.name, self.system, self.recipe, self.names = name, system, recipe, 0

    def url(self):
        return self.system.url(self.recipe) if self.recipe else self.system.url()

    def fresh(self, word):
        self.names += 1
        return "%s-%s%d" % (self.name, word, self.names)


class Talk(lib.Talk):
    """A process with handles of parley_via.h; number 1 is opened. Each second one runs under TSan."""

    def __init__(self, row, name, ttl=TTL, owner=""):
        Talk.made += 1
        self.process = subprocess.Popen([DRIVERS[Talk.made % 2], "talk"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        text=True)
        self.lines, self.news = [], threading.Condition()
        self.reader = threading.Thread(target=self.read)
        self.reader.start()
        self.row = row
        self.open(1, name, ttl, owner)

    def open(self, number, name, ttl=TTL, owner=""):
        self.asks("open %d %s %s %d %s" % (number, self.row.url(), name, ttl, owner), "%d open OK" % number)

    def take(self, number=1, wait="20000", seconds=40):
        return int(self.asks("take %d %s" % (number, wait), r"%d took (\d+)" % number, seconds)[1])

    def fails(self, error, number=1, wait="try"):
        return self.asks("take %d %s" % (number, wait), r"%d failed (?:%s) ?(.*)" % (number, error))[1]

    def give(self, number=1, outcome="OK"):
        self.asks("give %d" % number, "%d gave %s" % (number, outcome))

    def state(self, number=1):
        return self.asks("lost %d" % number, r"%d is (lost|held)" % number)[1]

    def ended(self):
        self.process.kill()
        self.process.wait()
        for end in (self.process.stdin, self.process.stdout, self.process.stderr):
            if end is not self.process.stdout:
                end.close()
        self.reader.join()
        self.process.stdout.close()


def command(options, row, name, *words, flags=(), **more):
    return subprocess.Popen([options.binary, "lock", "--via", row.url(), "--ttl", str(TTL), *flags, name, "--", *words],
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)


def finishes(process, code, seconds=40):
    out, wrong = process.communicate(timeout=seconds)
    assert process.returncode == code, "exit code %d: %s%s" % (process.returncode, out, wrong)
    return out, wrong


# ---- the qualities: each says whether the row has it, and what was seen

def exclusive(row, options):
    """A number in a file, made larger by 2 processes of 3 threads: none is lost."""
    path = os.path.join(options.folder, row.fresh("count"))
    with open(path, "w") as f:
        f.write("0\n")
    processes = [subprocess.Popen([driver, "count", row.url(), os.path.basename(path), path, "3", "12"], stderr=subprocess.PIPE, text=True)
                 for driver in DRIVERS]
    wrong = [p.communicate(timeout=100)[1] for p in processes]
    assert [p.returncode for p in processes] == [0, 0], wrong
    count = int(open(path).read())
    return count == 2 * 3 * 12, "%d of 72 counted" % count


def available(row, options):
    """The server whose death hurts most is killed: is what is held still held, and can another lock be taken?"""
    name, victims = row.fresh("ha"), [row.system.victim()]
    if row.name == "redlock":
        victims = [0, 1]
    holder = Talk(row, name, 20000)
    holder.take()
    for victim in victims:
        row.system.kill(victim)
    try:
        with Talk(row, row.fresh("ha")) as other:
            other.open(2, name)
            other.say("take 1 %d" % (30000 if row.system.cluster else 2000))
            took = other.hears(r"1 (took|failed TIMED_OUT|failed NOT_APPLIED)", 40)[1] == "took"
            if not took:
                return False, "nothing until its server is back"
            other.fails("BUSY", 2)
            assert holder.state() == "held"
            holder.give()
            other.take(2)
        return True, "%d of %d servers killed: held, and goes on" % (len(victims), row.system.count)
    finally:
        holder.ended()
        for victim in victims:
            row.system.restart(victim)


def fast(row, options):
    done = subprocess.run([options.binary, "bench", "locks", "--clients", "0", "--seconds", "1", "--json", row.url()], capture_output=True,
                          text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout)
    return result["p50_us"] < 100000, "p50 %.1f ms" % (result["p50_us"] / 1000)


def reentrant(row, options):
    """The holder takes it again; the lock is free when it was given back as often."""
    name = row.fresh("again")
    with Talk(row, name) as one, Talk(row, name) as two:
        one.take()
        two.fails("BUSY")
        one.say("take 1 try")
        if one.hears(r"1 (took|failed BUSY)")[1] != "took":
            one.fails("DEADLOCK", 1, "2000")
            one.give()
            two.take()
            two.give()
            return False, "the holder would wait for itself"
        one.give()
        two.fails("BUSY")
        assert one.state() == "held"
        one.give()
        two.take()
        two.give()
    return True, "counted"


def expires(row, options):
    """A holder that is killed, and one that is silent (stopped; a machine without power looks the same to the others)."""
    name = row.fresh("dies")
    with Talk(row, name) as next_one:
        killed = Talk(row, name)
        killed.take()
        next_one.fails("BUSY")
        next_one.say("take 1 30000")
        killed.ended()
        began = time.monotonic()
        next_one.hears(r"1 took", 3 * TTL / 1000 + 5)
        seconds = time.monotonic() - began
        next_one.give()
        with Talk(row, name) as silent:
            silent.take()
            silent.process.send_signal(signal.SIGSTOP)
            try:
                next_one.say("take 1 %d" % (3 * TTL))
                took = next_one.hears(r"1 (took|failed TIMED_OUT)", 4 * TTL / 1000)[1] == "took"
                silent.say("lost 1")
            finally:
                silent.process.send_signal(signal.SIGCONT)
            assert silent.hears("1 is (lost|held)")[1] == "lost", "it was silent for longer than its time, and believes"
            silent.say("give 1")
            silent.hears("1 gave LOST")
    if took:
        return True, "after %.1f s of a %d s lock" % (seconds, TTL / 1000)
    return False, "when the process is killed; of a holder that hangs or has lost its power it stays"


def tries(row, options):
    name = row.fresh("try")
    with Talk(row, name) as one, Talk(row, name) as two:
        two.take(wait="try")
        two.give()
        one.take(wait="try")
        began = time.monotonic()
        two.fails("BUSY", wait="try")
        seconds = time.monotonic() - began
        one.give()
    return seconds < 2, "refused after %.0f ms" % (seconds * 1000)


STORE = """import fcntl, os, sys
folder, who = sys.argv[1:3]
token = os.environ.get("PARLEY_LOCK_TOKEN")
with open(folder + "/fenced", "a+") as f:
    fcntl.flock(f, fcntl.LOCK_EX)
    f.seek(0)
    highest = max([int(line.split()[0]) for line in f] or [0])
    if token is None or int(token) >= highest:
        f.write("%s %s\\n" % (token or 0, who))
with open(folder + "/unfenced", "a") as f:
    f.write(who + "\\n")
"""


def writes(folder, store):
    return [line.split()[-1] for line in open(os.path.join(folder, store))]


def token(row, options):
    """A holder is stopped for longer than its lock lives, another writes, and then the old one's write arrives: a store without fence
    takes it (this breaks every lock there is), one that knows the tokens does not."""
    name, folder = row.fresh("paused"), os.path.join(options.folder, row.fresh("store"))
    os.mkdir(folder)
    os.mkfifo(folder + "/go")
    store = [sys.executable, "-c", STORE, folder]
    script = 'echo $$ >"%s/pid.new"; mv "%s/pid.new" "%s/pid"; read go <"%s/go"; exec "$@"' % (folder, folder, folder, folder)
    old = command(options, row, name, "sh", "-c", script, "sh", *store, "old")
    until("it runs", lambda: os.path.exists(folder + "/pid"))
    group = int(open(folder + "/pid").read())
    old.send_signal(signal.SIGSTOP)
    os.killpg(group, signal.SIGSTOP)
    if "advisory" in row.name:
        cut_connection(row, name)
    finishes(command(options, row, name, *store, "new", flags=("--wait", "30000")), 0, 60)
    os.killpg(group, signal.SIGCONT)
    with open(folder + "/go", "w") as go:
        go.write("go\n")
    until("the late write has arrived", lambda: len(writes(folder, "unfenced")) == 2)
    old.send_signal(signal.SIGCONT)
    wrong = old.communicate(timeout=30)[1]
    assert "lost" in wrong, wrong
    assert writes(folder, "unfenced") == ["new", "old"]
    fenced = writes(folder, "fenced")
    assert fenced in (["new"], ["new", "old"]), fenced
    return fenced == ["new"], "refused by its token" if fenced == ["new"] else "nothing to refuse it by"


def cut_connection(row, name):
    """As a restart of the server, or a firewall that forgets, would; the client is not asked."""
    if row.name == "postgres-advisory":
        sql = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted"
    else:
        sql = "SELECT CONCAT('KILL ', IS_USED_LOCK('%s'))" % name
    answer = row.system.ask(sql)
    assert answer.returncode == 0, answer.stderr
    if row.name == "mysql-advisory":
        answer = row.system.ask(answer.stdout.strip())
        assert answer.returncode == 0, answer.stderr


PROBES = {"exclusive": exclusive, "available": available, "fast": fast, "reentrant": reentrant, "expires": expires, "try": tries,
          "token": token}


# ---- parley lock --via, on every row

def command_runs_under_the_lock(row, options):
    name = row.fresh("command")
    script = 'echo "$PARLEY_LOCK_NAME ${PARLEY_LOCK_TOKEN-none}"; exit 7'
    first = command(options, row, name, "sh", "-c", script, flags=("--wait", "30000"))
    out, wrong = finishes(command(options, row, name, "sh", "-c", script, flags=("--wait", "30000"),
                                  env=dict(os.environ, PARLEY_LOCK_TOKEN="5")), 7)  # as within another lock
    finishes(first, 7)
    has_token = "token" not in LACKS[row.name]
    assert re.fullmatch(r"%s %s\n" % (name, r"\d+" if has_token else "none"), out), out
    assert ("no fencing token" in wrong) == (not has_token), wrong
    with Talk(row, name) as holder:
        holder.take()
        finishes(command(options, row, name, "false", flags=("--try",)), 75)
        began = time.monotonic()
        finishes(command(options, row, name, "false", flags=("--wait", "600")), 75)
        assert time.monotonic() - began > 0.5
        holder.give()


def command_is_killed_when_the_lock_is_lost(row, options):
    """All servers are stopped: before another could have the lock, the command is gone."""
    path = os.path.join(options.folder, row.fresh("pid"))
    held = command(options, row, row.fresh("kill"), "sh", "-c", 'trap "" TERM; echo $$ >"%s"; while :; do sleep 0.1; done' % path)
    until("it runs", lambda: os.path.exists(path) and open(path).read().strip())
    frozen = row_pids(row)
    began = time.monotonic()
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    try:
        pid = open(path).read().strip()
        until("the command is gone", lambda: not os.path.exists("/proc/%s" % pid), 60)
        seconds = time.monotonic() - began
        wrong = finishes(held, 76)[1]
    finally:
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)
    assert "was lost" in wrong, wrong
    if "advisory" not in row.name:  # which has no time: it is the connection's
        assert seconds < TTL / 1000 + 0.7, "gone after %.1f s, and the lock lives %.1f s" % (seconds, TTL / 1000)
    row.system.wait_ready()


def row_pids(row):
    processes = row.system.nodes.processes if row.name == "native" else row.system.processes
    pids = []
    for process in processes:
        if process is not None:
            pids.append(process.pid)
            pids += [int(pid) for pid in open("/proc/%d/task/%d/children" % (process.pid, process.pid)).read().split()]
    return pids


# ---- the failure that breaks it

def second_holder(row, name, first, breaks):
    """After `breaks` another has the lock while the first one, in good faith, holds it too."""
    first.take()
    with Talk(row, name) as second:
        second.fails("BUSY")
        breaks()
        second.take(1, "20000")
        both = first.state() == "held"
        second.give()
    return both


def redis_failover_gives_it_twice(row, options):
    """The replica that is promoted had not heard of the lock yet: replication does not wait."""
    pair = systems.Pair(options.folder, options.port + 85)
    pair.start()
    relay = systems.Relay(pair.port)
    try:
        pair.ask(1, "replicaof", "127.0.0.1", str(relay.address()))
        until("the replica follows", lambda: "master_link_status:up" in pair.ask(1, "info", "replication"))
        name, replica = "failover", Row("redis", pair)
        with Talk(replica, name, 20000) as first:
            relay.frozen.set()
            first.take()
            pair.kill(0)
            pair.ask(1, "replicaof", "no", "one")
            promoted = Row("redis", pair)
            promoted.url = lambda: "redis://127.0.0.1:%d" % (pair.port + 1)
            with Talk(promoted, name) as second:
                second.take(1, "try")
                assert first.state() == "held", "two hold it"
                second.give()
    finally:
        relay.close()
        pair.stop()


def failover_gives_it_twice(row, options):
    """A lock table on a standby that is promoted, and had not heard of the lock yet."""
    relay = systems.Relay(row.system.port)
    standby = systems.Standby(os.path.join(options.folder, row.fresh("failover")), row.system.port + 3)
    standby.source = relay.address()
    os.mkdir(os.path.dirname(standby.folder), 0o755)
    try:
        standby.start()
        until("the standby follows", lambda: row.system.ask(
            "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'").stdout.strip() == "1")
        with Talk(row, "failover", 20000) as first:
            relay.frozen.set()
            first.take()
            row.system.kill(0)
            assert standby.ask("SELECT pg_promote()").stdout.strip() == "t"
            with Talk(Row(row.name, standby, row.recipe), "failover") as second:
                second.take(1, "try")
                assert first.state() == "held", "two hold it"
                second.give()
    finally:
        relay.close()
        standby.stop()
        if row.system.processes[0] is None:
            row.system.restart(0)


def restart_gives_it_twice(row, options):
    """The lock was in memory alone."""
    name = row.fresh("restart")
    with Talk(row, name, 20000) as first:
        def breaks():
            for i in {"redis": [0], "memcached": [0], "redlock": [0, 1, 2]}[row.name]:
                row.system.kill(i)
                row.system.restart(i)
        assert second_holder(row, name, first, breaks), "two hold it"
        first.say("give 1")
        first.hears("1 gave (LOST|UNKNOWN)")


def eviction_gives_it_twice(row, options):
    """memcached throws out what was not asked for lately when its memory (here 16 MB) is full: the lock's key, too."""
    def fill():
        with socket.create_connection(("127.0.0.1", row.system.port)) as s:
            for first in range(0, 300000, 1000):
                s.sendall(b"".join(b"set filler%06d 0 0 60 noreply\r\n%s\r\n" % (first + i, b"x" * 60) for i in range(1000)))
            s.sendall(b"version\r\n")
            assert s.recv(100).startswith(b"VERSION")
    name = row.fresh("eviction")
    with Talk(row, name, 60000) as first:
        assert second_holder(row, name, first, fill), "two hold it"
        first.say("give 1")
        first.hears("1 gave (LOST|UNKNOWN)")


def clock_step_gives_it_twice(row, options):
    """The database's clock decides what has expired: set forward by an hour, it frees the lock of a holder that lives."""
    assert os.path.exists(systems.FAKETIME), "libfaketime is not installed"
    folder = os.path.join(options.folder, row.fresh("clock"))
    os.mkdir(folder, 0o755)
    system = type(row.system)(folder, row.system.port + 20)
    system.clock = os.path.join(folder, "clock")
    set_clock(system, "+0")
    try:
        system.start()
        stepped = Row(row.name, system, row.recipe)
        with Talk(stepped, "clock", 20000) as first:
            assert second_holder(stepped, "clock", first, lambda: set_clock(system, "+3600")), "two hold it"
            first.say("give 1")
            first.hears("1 gave (LOST|UNKNOWN)")
    finally:
        system.stop()


def set_clock(system, offset):
    with open(system.clock + ".new", "w") as f:
        f.write(offset + "\n")
    os.chmod(system.clock + ".new", 0o644)
    os.rename(system.clock + ".new", system.clock)


def owners_share_a_hold(row, options):
    """The owner column: handles of two processes with one owner share the hold, another owner waits."""
    name = row.fresh("owner")
    with Talk(row, name, TTL, "job7") as one, Talk(row, name, TTL, "job7") as two, Talk(row, name) as other:
        assert one.take() == two.take()
        other.fails("BUSY")
        one.give()
        other.fails("BUSY")
        two.give()
        other.take()
        other.give()


def reaper_frees_what_has_expired(row, options):
    """A holder that keeps its own lock also frees rows of holders that are gone."""
    gone, name = row.fresh("gone"), row.fresh("reaper")
    dead = Talk(row, gone, 1000)
    dead.take()
    dead.ended()
    with Talk(row, name, 1000) as alive:
        alive.take()
        until("the row is free", lambda: row.system.ask(
            ("USE locks; " if row.name.startswith("mysql") else "") +
            "SELECT COUNT(*) FROM parley_locks WHERE name = '%s' AND owner IS NULL" % gone).stdout.strip() == "1")
        assert alive.state() == "held"
        alive.give()


def two_names_are_two_locks(row, options):
    """Names that a careless escape would take for one another, and some that a database would read as its own."""
    names = ["a/b", "a%2Fb", "a'b", "a\\b", "a\"b", "..", "A/b"]
    if row.name == "mysql-advisory":
        names.remove("A/b")  # GET_LOCK does not tell a from A
    with Talk(row, "a_b") as one:
        one.take(wait="try")
        for number, name in enumerate(names, 2):
            one.open(number, name)
            one.take(number, "try")
        for number in range(1, len(names) + 2):
            one.give(number)


def example_runs(row, options):
    """examples/via.c, whose modules are those of the build beside its folder."""
    done = subprocess.run([os.path.join(ROOT, "build/debug/examples/via"), row.url(), row.fresh("example")], capture_output=True, text=True,
                          timeout=60, env=dict(os.environ, PARLEY_VIA_PATH=os.path.join(ROOT, "build/debug/via")))
    held = "under token" if "token" not in LACKS[row.name] else ", without a token"
    assert done.returncode == 0 and done.stderr == "" and held in done.stdout, done.stdout + done.stderr


EVERYWHERE = [example_runs, two_names_are_two_locks, command_runs_under_the_lock, command_is_killed_when_the_lock_is_lost]
FURTHER = {"redis": [restart_gives_it_twice, redis_failover_gives_it_twice], "redlock": [restart_gives_it_twice],
           "memcached": [restart_gives_it_twice, eviction_gives_it_twice], "postgres-table": [owners_share_a_hold, reaper_frees_what_has_expired, clock_step_gives_it_twice,
                                                                      failover_gives_it_twice],
           "mysql-table": [owners_share_a_hold, reaper_frees_what_has_expired, clock_step_gives_it_twice]}
GROUPS = [(systems.Native, 0, [("native", None)]), (systems.Redis, 30, [("redis", None)]), (systems.Redlock, 32, [("redlock", None)]),
          (systems.ZooKeeper, 40, [("zookeeper", None)]), (systems.Etcd, 50, [("etcd", None)]), (systems.Memcached, 60, [("memcached", None)]),
          (systems.Postgres, 65, [("postgres-table", "table"), ("postgres-advisory", "advisory")]),
          (systems.MariaDB, 70, [("mysql-table", "table"), ("mysql-advisory", "advisory")])]


# ---- running

def row_tests(name):
    for quality in QUALITIES:
        yield "%s_%s" % (name.replace("-", "_"), quality), quality, None
    for function in EVERYWHERE + FURTHER.get(name, []):
        word = function.__name__
        yield word if word.startswith(name) else "%s_%s" % (name.replace("-", "_"), word), None, function


def run_one(row, name, quality, function, options, seen):
    cells = seen.setdefault(row.name, {"broken_by": []})
    if function is not None:
        function(row, options)
        if name.endswith("gives_it_twice"):
            cells["broken_by"].append(name)
        return ""
    has, detail = PROBES[quality](row, options)
    assert has == (quality not in LACKS[row.name]), "%s: %s, %s" % (QUALITIES[quality], "yes" if has else "no", detail)
    cells[quality] = {"has": has, "seen": detail}
    if quality == "token" and "advisory" in row.name:
        cells["broken_by"].append(name)  # by the cut connection
    return "%s: %s" % ("yes" if has else "no", detail)


def lacking(kind, rows, options):
    """Why a group cannot run; None: it can."""
    if kind.missing():
        return "not installed: %s" % " ".join(kind.missing())
    module = rows[0].split("-")[0]
    if module != "native" and not os.path.exists(os.path.join(ROOT, "build/debug/via/%s.so" % module)):
        return "this build has no %s" % module
    return None


def run_group(kind, offset, rows, options, seen, totals):
    wanted = [(row, recipe, test) for row, recipe in rows for test in row_tests(row)
              if not options.names or row in options.names or test[0] in options.names]
    why = lacking(kind, [row for row, _ in rows], options)
    if not wanted or why:
        if wanted:
            print("%s: %s, %d tests %s" % (rows[0][0], why, len(wanted), "failed" if options.required else "skipped"), flush=True)
            totals["failed" if options.required else "skipped"] += len(wanted)
        return
    system = kind(options.folder, options.port + offset)
    try:
        system.start()
        made = {row: Row(row, system, recipe) for row, recipe in rows}
        for row, _, (name, quality, function) in wanted:
            began = time.monotonic()
            try:
                said = run_one(made[row], name, quality, function, options, seen)
                totals["passed"] += 1
                print("ok      %-50s %5.1f s  %s" % (name, time.monotonic() - began, said), flush=True)
            except Exception:
                totals["failed"] += 1
                print("FAILED  %s\n%s" % (name, traceback.format_exc()), flush=True)
    except Exception:
        totals["failed"] += 1
        print("FAILED  %s\n%s" % (rows[0][0], traceback.format_exc()), flush=True)
    finally:
        system.stop()


# ---- the table

def record(seen):
    with open(os.path.join(ROOT, "docs/proof/locks.json"), "w") as f:
        json.dump(seen, f, indent=1)
        f.write("\n")
    lines = ["| lock | " + " | ".join(QUALITIES.values()) + " |", "| --- |" + " --- |" * len(QUALITIES)]
    for row in LACKS:
        cells = [("yes: " if seen[row][q]["has"] else "**no**: ") + seen[row][q]["seen"] for q in QUALITIES]
        if seen[row]["broken_by"]:
            cells[0] = "**while nothing fails**: %s; then two: %s" % (seen[row]["exclusive"]["seen"],
                                                                     ", ".join("`%s`" % name for name in seen[row]["broken_by"]))
        lines.append("| %s | %s |" % (row, " | ".join(cells)))
    path = os.path.join(ROOT, "docs/locks.md")
    head, rest = open(path).read().split("<!-- table -->\n", 1)
    with open(path, "w") as f:
        f.write(head + "<!-- table -->\n" + "\n".join(lines) + "\n<!-- end table -->\n" + rest.split("<!-- end table -->\n", 1)[1])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", default="build/parley")
    parser.add_argument("--port", type=int, default=24800)
    for flag in ("--keep", "--required", "--record"):
        parser.add_argument(flag, action="store_true")
    parser.add_argument("--jobs", type=int, default=3)
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    options.binary = os.path.abspath(options.binary)
    known = {word for row in LACKS for word in [row] + [test[0] for test in row_tests(row)]}
    if set(options.names) - known:
        sys.exit("unknown: %s" % ", ".join(sorted(set(options.names) - known)))
    options.folder = tempfile.mkdtemp(prefix="parley-via-")
    os.chmod(options.folder, 0o755)  # some servers have users of their own
    seen, totals = {}, {"passed": 0, "failed": 0, "skipped": 0}
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:  # they mostly wait
        for done in [pool.submit(run_group, kind, offset, rows, options, seen, totals) for kind, offset, rows in GROUPS]:
            done.result()
    if options.record and not totals["failed"] and not totals["skipped"] and not options.names:
        record(seen)
    if options.keep or totals["failed"]:
        print("kept: %s" % options.folder)
    else:
        shutil.rmtree(options.folder)
    print("%d passed, %d failed, %d skipped" % (totals["passed"], totals["failed"], totals["skipped"]))
    sys.exit(1 if totals["failed"] else 0)


if __name__ == "__main__":
    main()
