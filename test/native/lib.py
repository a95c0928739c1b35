#!/usr/bin/env python3
"""libparley against real processes: one node, and three that are killed and stopped. The client's side is test_client.c, with ASan and
UBSan (build/debug), and with TSan where threads meet (build/tsan): make MODE=debug client-tests, make MODE=tsan client-tests.

Usage: test/native/lib.py [--binary build/parley] [--port 24400] [--keep] [NAME...]
Prints a line for each test, and last: N passed, N failed, N skipped.
"""
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import run
from fake import Fake, answers, passes_on
from run import ROOT, KeptAlive, good, refused, stand_still, test, until, waiters

run.TESTS.clear()
TTL = 2500  # of sessions that are to be lost; others live so long that a machine that stalls does not end them


class Talk:
    """A process that uses the library: commands go in, what happens comes out. Each second one runs under TSan."""
    made = 0

    def __init__(self, servers, ttl_ms=20000, call_ms=0, files=0):
        Talk.made += 1
        mode = ("tsan", "debug")[Talk.made % 2]
        self.process = subprocess.Popen([os.path.join(ROOT, "build/%s/test_client" % mode), "talk"], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if files:
            resource.prlimit(self.process.pid, resource.RLIMIT_NOFILE, (files, files))
        self.lines, self.news = [], threading.Condition()
        self.reader = threading.Thread(target=self.read)
        self.reader.start()
        self.say("open %s %d %d" % (servers, ttl_ms, call_ms))
        self.hears(r"open OK")

    def read(self):
        for line in self.process.stdout:
            with self.news:
                self.lines.append(line.strip())
                self.news.notify_all()
        with self.news:
            self.lines.append("end")
            self.news.notify_all()

    def say(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def find(self, pattern):
        for line in self.lines:
            match = re.match(pattern, line)
            if match:
                self.lines.remove(line)
                return match
        return None

    def hears(self, pattern, seconds=20):
        found = []
        with self.news:
            if not self.news.wait_for(lambda: found.append(self.find(pattern)) or found[-1], seconds):
                raise AssertionError("in vain for %s s: %r; heard: %s" % (seconds, pattern, self.lines))
        return found[-1]

    def asks(self, line, pattern, seconds=20):
        self.say(line)
        return self.hears(pattern, seconds)

    def locks(self, number, name, *more, verb="lock"):
        return int(self.asks("%s %d %s %s" % (verb, number, name, " ".join(more)), r"%d locked (\d+)" % number)[1])

    def unlocks(self, number, how="OK"):
        return self.asks("unlock %d" % number, r"%d unlocked %s" % (number, how))

    def __enter__(self):
        return self

    def __exit__(self, kind, *error):
        if kind is not None:
            self.process.kill()
        self.process.stdin.close()
        self.process.wait(30)
        self.reader.join()
        wrong = self.process.stderr.read()
        self.process.stdout.close()
        self.process.stderr.close()
        assert kind is not None or (self.process.returncode == 0 and wrong == ""), wrong

    def close(self):
        self.asks("close", "closed")

    def kill(self):
        self.process.kill()


def now_ms():
    return time.monotonic() * 1000  # the clock of test_client's lines


def program(path, *arguments, seconds=50):
    done = subprocess.run([os.path.join(ROOT, path), *arguments], capture_output=True, text=True, timeout=seconds)
    assert done.returncode == 0, "%s ended with %d: %s%s" % (path, done.returncode, done.stdout, done.stderr)
    return done.stdout


def breaks(connection, asked):
    pass


# ---- one node

@test(1)
def examples_run(c):
    assert re.match(r"3 writes under token \d+", program("build/debug/examples/lock", c.servers(), "example"))
    assert good(c.http(), "lock/show", name="example")["holders"] == 0
    assert program("build/debug/examples/executor").count("\n") == 20
    led = program("build/debug/examples/election", c.servers(), "example-election")
    assert re.fullmatch(r"leads under token \d+\nhost-7 at 10.0.0.7\nhost-7 at 10.0.0.8\nnobody leads\n", led), led
    assert not good(c.http(), "election/leader", name="example-election")["elected"]
    good(c.http(), "config/publish", name="example", items={"db.url": "one"})
    good(c.http(), "config/publish", name="example", items={"db.url": "two"}, labels=["zone=a"])
    followed = program("build/debug/examples/config", c.servers(), "example", "zone=a", "1")
    assert followed.startswith("version 2:") and '"two"' in followed, followed
    assert program("build/debug/examples/topic", c.servers(), "example") == "payment 1\npayment 2\npayment 3\n"
    assert program("build/debug/examples/topic", c.servers(), "example") == "", "what is committed nobody reads again"
    served = program("build/debug/examples/naming", c.servers(), "example", "10.0.0.7:80")
    assert served.count("is served by 10.0.0.7:80\n") == 3 and good(c.http(), "registry/show", service="example")["instances"] == []


@test(1)
def executor_keeps_each_key_in_order(c):
    for mode in ("debug", "tsan"):
        assert program("build/%s/test_client" % mode, "executor") == "executor ok\n"


@test(1)
def threads_share_a_client(c):
    for mode in ("debug", "tsan"):
        assert " taken" in program("build/%s/test_client" % mode, "stress", c.servers(), "60")
    assert good(c.http(), "lock/list", prefix="stress")["locks"] == []


@test(1)
def errors_are_told_apart(c):
    with Talk(c.servers()) as one, Talk(c.servers()) as two:
        token = one.locks(1, "errors")
        two.asks("lock 1 errors try", r"1 failed BUSY .*holder tester #1")
        began = now_ms()
        two.asks("lock 1 errors 700", r"1 failed TIMED_OUT")
        assert 600 < now_ms() - began < 10000
        two.asks("lock 1 errors try 1/2", r"1 failed KIND")
        two.asks("lock 1 errors try 3/2", r"1 failed BAD_ARGUMENTS")
        two.asks("verify errors %d" % token, "verify OK valid")
        one.unlocks(1)
        two.asks("verify errors %d" % token, "verify OK not")
        assert two.locks(1, "errors") > token
        two.unlocks(1)
        for reader in (one, two):
            reader.locks(1, "errors", "try", "shared")
        one.asks("lock 2 errors try", r"2 failed BUSY")
        one.locks(3, "permits", "try", "2/3")
        two.asks("lock 3 permits try 2/3", r"3 failed BUSY")
        two.locks(3, "permits", "try", "1/3")
        for talk in (one, two):
            talk.unlocks(1)
            talk.unlocks(3)
            talk.close()


@test(1)
def arguments_are_checked(c):
    wrong = ["host:99999", "host:", ":7450", "a:1,,b:2", ",", "host:x", "127.0.0.1:1 1999"]
    said = subprocess.run([os.path.join(ROOT, "build/debug/test_client"), "talk"], input="".join("open %s\n" % w for w in wrong),
                          capture_output=True, text=True, timeout=20)
    assert said.returncode == 0 and said.stderr == "", said.stderr
    assert [line.split()[1] for line in said.stdout.splitlines()] == ["BAD_ARGUMENTS"] * len(wrong), said.stdout
    with Talk("localhost:%d" % c.http()) as one:  # may stand for several addresses, of which only 127.0.0.1 is served
        one.asks("lock 1 %s" % ("n" * 256), "1 failed BAD_ARGUMENTS")
        one.asks("lock 1 x 0 exclusive %s" % ("n" * 256), "1 failed BAD_ARGUMENTS")
        one.asks("lock 1 x 2592000001", "1 failed BAD_ARGUMENTS")
        one.asks("call lock/show once [1]", "call BAD_ARGUMENTS")
        one.asks("call lock/nothing once {}", "call (REFUSED|PROTOCOL|BAD_ARGUMENTS)")
        one.locks(1, "n" * 255)
        one.unlocks(1)
        one.close()


@test(1)
def circles_of_owners_are_found(c):
    with Talk(c.servers()) as one:
        one.locks(1, "c1", "0", "exclusive", "a")
        one.locks(2, "c2", "0", "exclusive", "b")
        one.say("lock 3 c2 0 exclusive a")
        waiters(c.http(), "c2", 1)
        one.asks("lock 4 c1 0 exclusive b", r"4 failed DEADLOCK")
        one.unlocks(2)
        one.hears(r"3 locked")
        one.close()
        one.unlocks(1, "LOST")
        one.unlocks(3, "LOST")


@test(1)
def owners_share_a_hold(c):
    with Talk(c.servers()) as one, Talk(c.servers()) as two:
        token = one.locks(1, "again", "0", "exclusive", "me")
        assert one.locks(2, "again", "try", "exclusive", "me") == token
        assert one.locks(3, "again", "0", "exclusive", "me", verb="async") == token
        one.asks("lock 4 again try shared me", r"4 failed KIND")
        assert good(c.http(), "lock/show", name="again")["claims"][0]["holds"] == 1
        two.say("lock 1 again")
        waiters(c.http(), "again", 1)
        one.unlocks(1)
        one.unlocks(3)
        assert good(c.http(), "lock/verify", name="again", token=token)["valid"]
        one.unlocks(2)
        assert int(two.hears(r"1 locked (\d+)")[1]) > token
        two.unlocks(1)
        one.close()
        two.close()


@test(1)
def callbacks_tell_and_unlock_ends_the_waiting(c):
    with Talk(c.servers()) as one, Talk(c.servers()) as two:
        one.locks(1, "async", verb="async")
        for i in range(1, 5):
            two.say("async %d async" % i)
            waiters(c.http(), "async", i)
        two.unlocks(2)
        waiters(c.http(), "async", 3)
        two.say("async 5 async 300")
        two.hears(r"5 failed TIMED_OUT")
        two.unlocks(5)
        tokens = []
        for number in (1, 3, 4):
            (one if number == 1 else two).unlocks({1: 1, 3: 1, 4: 3}[number])
            tokens.append(int(two.hears(r"%d locked (\d+)" % number)[1]))
        assert tokens == sorted(tokens)
        two.unlocks(4)
        until("nothing is left", lambda: good(c.http(), "lock/list", prefix="async")["locks"] == [])
        one.close()
        two.close()


def reads(c):
    return int(re.search(rb"^parley_queries_total (\d+)", run.get(c.http(), "/metrics")[1], re.M)[1])


@test(1)
def broken_locks_are_told_with_the_reason(c):
    with Talk(c.servers()) as one:
        before = reads(c)
        token = one.locks(1, "broken")
        one.asks("watch 1", "1 watches")
        until("the client waits for the loss", lambda: reads(c) > before)
        began = now_ms()
        good(c.http(), "lock/break", name="broken", token=token, reason="ops said so")
        one.hears(r"1 lost \d+ broken: ops said so")
        one.hears(r"1 readable")
        assert now_ms() - began < 10000, "a loss is an event, not found by asking now and then"
        one.asks("lost 1", "1 is lost")
        one.unlocks(1, "LOST .*ops said so")
        one.locks(1, "broken")
        one.unlocks(1)
        one.close()


@test(1)
def locks_of_a_killed_process_are_freed(c):
    one = Talk(c.servers(), TTL)
    token = one.locks(1, "killed")
    with Talk(c.servers()) as two:
        two.say("lock 1 killed")
        waiters(c.http(), "killed", 1)
        began = now_ms()
        one.kill()
        assert int(two.hears(r"1 locked (\d+)")[1]) > token
        assert now_ms() - began < 5 * TTL
        two.close()
        two.unlocks(1, "LOST")
    one.process.wait()


@test(1)
def close_ends_everything(c):
    with Talk(c.servers()) as one, Talk(c.servers()) as two:
        two.locks(1, "close2")
        one.locks(1, "close1")
        one.say("lock 2 close2")
        one.say("async 3 close2")
        waiters(c.http(), "close2", 2)
        one.close()
        one.hears(r"1 lost \d+ the client was closed")
        one.hears(r"2 failed CLOSED")
        one.hears(r"3 failed CLOSED")
        one.unlocks(1, "LOST")
        one.unlocks(3)
        assert good(c.http(), "lock/list", prefix="close1")["locks"] == []
        waiters(c.http(), "close2", 0)
        two.unlocks(1)
        two.close()


@test(1)
def only_what_may_be_repeated_is(c):
    body = '{"name": "repeat"}'
    with Fake(breaks) as broken, Fake(answers(504, "unknown")) as unknown, \
            Fake(answers(503, "not-applied")) as refusing:
        for fake, how, outcome in ((broken, "once", "UNKNOWN"), (broken, "repeatable", "OK"), (unknown, "once", "UNKNOWN"),
                                   (unknown, "repeatable", "OK"), (refusing, "once", "OK")):
            before = fake.requests
            with Talk("%s,%s" % (fake.address, c.servers())) as one:
                one.asks("call lock/show %s %s" % (how, body), "call %s" % outcome)
                assert fake.requests == before + 1
                one.close()
        with Talk(refusing.address, call_ms=700) as one:
            one.asks("call lock/show once %s" % body, "call NOT_APPLIED .*made up")
            one.asks("lock 1 repeat try", "1 failed NOT_APPLIED")
            one.asks("lock 1 repeat 300", "1 failed TIMED_OUT")
            one.close()
        with Talk(broken.address, call_ms=700) as one:
            one.asks("call lock/show repeatable %s" % body, "call UNKNOWN")
            one.close()
    with Talk("127.0.0.1:%d" % (c.http() + 9), call_ms=700) as one:  # nobody is there
        one.asks("call lock/show once %s" % body, "call NOT_APPLIED .*refused")
        one.close()


@test(1)
def repeated_acquire_is_given_back_whole(c):
    """The answer of a grant is lost: the lock is asked for once more, is held twice by then, and one unlock frees it."""
    swallowed = []

    def swallows(asked, connection):
        if b"/lock/acquire" not in asked or len(swallowed) == 2:
            return False
        swallowed.append(asked)
        return True
    with Fake(passes_on(c.http(), swallows)) as fake, Talk(fake.address) as one:
        token = one.locks(1, "whole")
        claim = good(c.http(), "lock/show", name="whole")["claims"][0]
        assert len(swallowed) == 2 and (claim["holds"], claim["token"]) == (3, token)
        one.unlocks(1)
        assert good(c.http(), "lock/show", name="whole")["claims"] == []
        one.close()


@test(1)
def claims_of_unknown_fate_are_cleared(c):
    """A caller that leaves before the answer came: the lock was granted, and is given back while the session lives."""
    stalled = threading.Event()

    def swallows(asked, connection):
        if b"/lock/acquire" not in asked or stalled.is_set():
            return False
        stalled.set()
        return connection.recv(1) == b""  # until the caller has left
    with Fake(passes_on(c.http(), swallows)) as fake, Talk(fake.address) as one:
        one.asks("lock 1 fate 300", "1 failed TIMED_OUT")
        assert stalled.is_set()
        until("it is given back", lambda: good(c.http(), "lock/show", name="fate")["claims"] == [], 5)
        assert good(c.http(), "lock/acquire", name="fate", owner="x", ttl_ms=1000)["token"] > 0
        one.close()


@test(1)
def unlock_that_nobody_acknowledges_goes_on(c):
    with Talk(c.servers(), call_ms=700) as one:
        token = one.locks(1, "goes")
        stand_still(c.processes[0])
        try:
            one.unlocks(1, "UNKNOWN")
        finally:
            c.processes[0].send_signal(signal.SIGCONT)
        until("it is given back", lambda: good(c.http(), "lock/show", name="goes")["claims"] == [], 10)
        assert one.locks(1, "goes") > token
        one.unlocks(1)
        one.close()


@test(1)
def first_program_of_the_docs_runs_as_installed(c):
    with tempfile.TemporaryDirectory(prefix="parley-lib-") as folder:
        subprocess.run(["make", "-s", "install", "DESTDIR=" + folder, "PREFIX=/usr"], cwd=ROOT, check=True, capture_output=True)
        with open(os.path.join(ROOT, "docs/libparley.md")) as page:
            source = re.search(r"```c\n(.*?)```", page.read(), re.S)[1].replace("a:7450,b:7450,c:7450", c.servers())
        with open(folder + "/first.c", "w") as file:
            file.write(source)
        environment = dict(os.environ, PKG_CONFIG_SYSROOT_DIR=folder, PKG_CONFIG_PATH=folder + "/usr/lib/pkgconfig",
                           PKG_CONFIG_ALLOW_SYSTEM_CFLAGS="1", PKG_CONFIG_ALLOW_SYSTEM_LIBS="1",
                           LD_LIBRARY_PATH=folder + "/usr/lib")
        for how in ("", "--static"):
            flags = subprocess.check_output(["pkg-config", "--cflags", "--libs", *how.split(), "parley"], env=environment, text=True)
            subprocess.run(["cc", "-Werror", "-Wall", "first.c", "-o", "first", *flags.split()], cwd=folder, check=True)
            assert subprocess.check_output([folder + "/first"], env=environment, text=True).startswith("held under token ")


@test(1)
def node_that_restarts_keeps_what_is_held(c):
    with Talk(c.servers()) as one, Talk(c.servers()) as two:
        token = one.locks(1, "restart")
        two.say("lock 1 restart")
        waiters(c.http(), "restart", 1)
        c.kill(0)
        c.start_all()
        one.asks("verify restart %d" % token, "verify OK valid")
        one.unlocks(1)
        assert int(two.hears(r"1 locked (\d+)")[1]) > token
        two.unlocks(1)
        one.close()
        two.close()


# ---- three nodes

@test(3)
def leader_is_killed_while_a_lock_is_held_and_waited_for(c):
    with Talk(c.servers()) as one, Talk(c.servers()) as two:
        token = one.locks(1, "kill")
        for i in range(1, 5):
            two.say("%s %d kill" % ("lock" if i % 2 == 0 else "async", i))
            waiters(c.http(), "kill", i)
        for round_number in range(2):
            leader = c.leader()
            c.kill(leader)
            one.asks("verify kill %d" % token, "verify OK valid")
            one.asks("lost 1", "1 is held")
            c.start_all()
        one.unlocks(1)
        for _ in range(4):
            match = two.hears(r"(\d) locked (\d+)")
            assert int(match[2]) > token, "the token grows"
            token = int(match[2])
            two.asks("lost %s" % match[1], "%s is held" % match[1])
            two.unlocks(int(match[1]))
        assert not one.find(r"\d lost") and not two.find(r"\d lost")
        one.close()
        two.close()
    until("nothing is left", lambda: good(c.http(), "lock/list", prefix="kill")["locks"] == [])


@test(3)
def threads_keep_apart_while_leaders_are_killed(c):
    def begin(mode):
        return subprocess.Popen([os.path.join(ROOT, "build/%s/test_client" % mode), "stress", c.servers(), "0"], stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    with begin("debug") as one, begin("tsan") as two:
        for _ in range(8):
            leader = c.leader()
            c.kill(leader)
            until("there is another leader", lambda: c.leader() != leader)
            c.start_all()
        for stress in (one, two):
            text = stress.communicate("", timeout=40)[0]
            assert stress.returncode == 0 and int(re.match(r"stress (\d+) taken", text)[1]) > 100, text


@test(3)
def node_that_hangs_is_left(c):
    """The session's node stops answering, without a word: what is held stays held, what waits gets its grant elsewhere."""
    leader = c.leader()
    hangs = (leader + 1) % 3
    order = ",".join("127.0.0.1:%d" % c.http((hangs + k) % 3) for k in range(3))
    with Talk(order, ttl_ms=6000) as one, KeptAlive(c.http(leader)) as other:
        token = one.locks(1, "hang")
        held = good(c.http(leader), "lock/acquire", name="hang2", session=other.session)["token"]
        one.asks("watch 1", "1 watches")
        one.say("lock 2 hang2")
        waiters(c.http(leader), "hang2", 1)
        stand_still(c.processes[hangs])
        try:
            end = time.monotonic() + 7
            while time.monotonic() < end:
                one.asks("lost 1", "1 is held")
                time.sleep(0.2)
            good(c.http(leader), "lock/release", name="hang2", session=other.session, token=held)
            assert int(one.hears(r"2 locked (\d+)")[1]) > held
            one.asks("verify hang %d" % token, "verify OK valid")
            assert not one.find(r"1 (lost|readable)")
            one.asks("close", "closed")
            one.hears("1 readable")
            one.unlocks(1, "LOST")
            one.unlocks(2, "LOST")
        finally:
            c.processes[hangs].send_signal(signal.SIGCONT)
    until("nothing is left", lambda: good(c.http(leader), "lock/list", prefix="hang")["locks"] == [])


@test(3)
def loss_is_told_before_another_gets_the_lock(c):
    with Talk(c.servers(), TTL) as one, Talk(c.servers()) as two:
        token = one.locks(1, "loss")
        one.asks("watch 1", "1 watches")
        two.locks(2, "loss2")
        two.say("lock 1 loss")
        one.say("lock 2 loss2")
        waiters(c.http(), "loss", 1)
        waiters(c.http(), "loss2", 1)
        stopped = now_ms()
        for process in c.processes:
            stand_still(process)
        lost = int(one.hears(r"1 lost (\d+) the session was not acknowledged in time")[1])
        readable = int(one.hears(r"1 readable (\d+)")[1])
        assert TTL / 3 < lost - stopped < TTL + 1000 and readable - stopped < TTL + 1000, (lost - stopped, readable - stopped)
        one.asks("lost 1", "1 is lost")
        one.unlocks(1, "LOST")
        for process in c.processes:
            process.send_signal(signal.SIGCONT)
        match = two.hears(r"1 locked (\d+) (\d+)", 30)
        assert int(match[1]) > token and int(match[2]) > lost, "another had it before the loss was told"
        two.unlocks(1)
        two.unlocks(2)
        one.hears(r"2 locked")  # what waits goes on with a new session
        one.unlocks(2)
        one.locks(1, "loss")
        one.unlocks(1)
        one.close()
        two.close()


@test(3)
def process_that_slept_knows_that_it_has_lost(c):
    with Talk(c.servers(), TTL) as one, Talk(c.servers()) as two:
        token = one.locks(1, "slept")
        two.say("lock 1 slept")
        waiters(c.http(), "slept", 1)
        stand_still(one.process)
        assert int(two.hears(r"1 locked (\d+)", 30)[1]) > token
        one.say("lost 1")
        one.process.send_signal(signal.SIGCONT)
        assert one.hears("1 is (lost|held)")[1] == "lost"
        one.hears(r"1 lost")
        one.unlocks(1, "LOST")
        refused(409, "not-held", c.http(), "lock/release", name="slept", owner="tester #1", token=token)
        two.unlocks(1)
        one.close()
        two.close()


if __name__ == "__main__":
    sys.argv[1:1] = ["--port", "24400"]  # unless another one is given behind it
    sys.modules["lib"] = sys.modules["__main__"]
    import lib_calls  # noqa: F401: adds its tests
    run.main()
