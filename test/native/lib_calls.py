"""libparley beside locks: calls that are run once, elections, the client's session, waits, and an example of each primitive. Run by lib.py."""
import os
import re
import signal
import time

from lib import TTL, Fake, Talk, now_ms, passes_on, program, reads
from run import good, stand_still, test, until, waiters


def once(talk, number, key, how, status=0, body="-", wait="0", lease=30000, fingerprint="f"):
    talk.say("once %d %s %s %d %s %s %d %s" % (number, key, wait, lease, fingerprint, how, status, body))


def state(c, key):
    return good(c.http(), "idempotency/show", key=key)


# ---- calls that are run once

@test(1)
def one_runs_and_all_get_its_result(c):
    with Talk(c.servers()) as one, Talk(c.servers()) as two:
        once(one, 1, "pay", "hold", 7, "paid")
        token, attempt = one.hears(r"1 runs (\d+) (\d+)").groups()
        assert (state(c, "pay")["token"], attempt) == (int(token), "1")
        once(two, 1, "pay", "done", 8, "twice")
        once(two, 2, "pay", "done", 8, "twice", wait="300")
        once(two, 3, "pay", "done", 8, "twice", wait="try")
        once(two, 4, "pay", "done", 8, "twice", fingerprint="g")
        two.hears(r"3 once BUSY .*; holder \w+")
        two.hears(r"4 once MISMATCH ")
        two.hears(r"2 once TIMED_OUT ")
        until("one waits", lambda: state(c, "pay")["waiters"] == 1)
        one.say("go 1")
        one.hears(r"1 once OK ran done 7 paid")
        two.hears(r"1 once OK replayed done 7 paid")
        once(two, 5, "pay", "done", 8, "twice", wait="try")
        two.hears(r"5 once OK replayed done 7 paid")
        assert not two.find(r"\d runs")
        once(one, 1, "bytes", "done", 4294967295, "%65536")
        one.hears(r"1 once OK ran done 4294967295 %65536")
        once(two, 1, "bytes", "done")
        two.hears(r"1 once OK replayed done 4294967295 %65536")
        once(one, 1, "larger", "done", 0, "%65537")
        one.hears(r"1 once BAD_ARGUMENTS ")
        once(one, 1, "k" * 256, "done")
        one.hears(r"1 once BAD_ARGUMENTS ")
        one.close()
        two.close()


@test(1)
def failures_are_stored_and_who_gives_up_frees_the_key(c):
    with Talk(c.servers()) as one, Talk(c.servers()) as two:
        once(one, 1, "fails", "failed", 402, "no money")
        one.hears(r"1 once OK ran failed 402 no")
        once(two, 1, "fails", "done")
        two.hears(r"1 once OK replayed failed 402 no")
        once(one, 1, "gives-up", "again")
        first = int(one.hears(r"1 runs (\d+) 1")[1])
        one.hears(r"1 once CANCELLED ")
        once(two, 1, "gives-up", "hold", 1, "second")
        assert int(two.hears(r"1 runs (\d+) 2")[1]) > first
        once(one, 1, "gives-up", "done", 1, "third")
        until("one waits", lambda: state(c, "gives-up")["waiters"] == 1)
        two.say("go 1")
        two.hears(r"1 once OK ran done 1 second")
        one.hears(r"1 once OK replayed done 1 second")
        one.close()
        two.close()


@test(1)
def lease_goes_on_while_the_function_runs(c):
    with Talk(c.servers()) as one, Talk(c.servers()) as two:
        once(one, 1, "long", "hold", lease=1000)
        one.hears(r"1 runs")
        once(two, 1, "long", "done")
        end = time.monotonic() + 3.5
        while time.monotonic() < end:
            assert not two.find(r"1 runs") and state(c, "long")["state"] == "running"
            time.sleep(0.2)
        one.say("go 1")
        one.hears(r"1 once OK ran")
        two.hears(r"1 once OK replayed")
        assert not one.find(r"1 was lost") and state(c, "long")["attempts"] == 1
        one.close()
        two.close()


@test(1)
def process_that_slept_knows_that_its_run_is_lost(c):
    with Talk(c.servers()) as one, Talk(c.servers()) as two:
        once(one, 1, "slept", "hold", 1, "late", lease=1500)
        first = int(one.hears(r"1 runs (\d+) 1")[1])
        once(two, 1, "slept", "hold", 2, "second")
        stand_still(one.process)
        try:
            assert int(two.hears(r"1 runs (\d+) 2")[1]) > first
            one.say("go 1")
        finally:
            one.process.send_signal(signal.SIGCONT)
        one.hears(r"1 was lost")
        one.hears(r"1 once LOST ")
        two.say("go 1")
        two.hears(r"1 once OK ran done 2 second")
        once(one, 1, "slept", "done", 3, "third")
        one.hears(r"1 once OK replayed done 2 second")
        one.close()
        two.close()


@test(1)
def answers_that_are_lost_make_no_second_run(c):
    """The answers to begin, extend and complete are lost, each of them twice; then complete's for good."""
    lost = {b"/begin": 2, b"/extend": 2, b"/complete": 2}

    def swallows(asked, connection):
        for path in lost:
            if path in asked and lost[path] > 0:
                lost[path] -= 1
                return True
        return False
    with Fake(passes_on(c.http(), swallows)) as fake, Talk(fake.address, call_ms=700) as one:
        once(one, 1, "lost", "hold", 5, "kept", lease=1500)
        one.hears(r"1 runs (\d+) 1")
        until("the lease was extended", lambda: lost[b"/extend"] == 0)
        one.say("go 1")
        one.hears(r"1 once OK ran done 5 kept")
        assert sum(lost.values()) == 0 and (state(c, "lost")["attempts"], state(c, "lost")["status"]) == (1, 5)
        lost[b"/complete"] = 1000
        once(one, 1, "unknown", "done", 6, "kept", lease=1000)
        one.hears(r"1 once UNKNOWN ")
        once(one, 1, "unknown", "done", 7, "other")
        one.hears(r"1 once OK replayed done 6 kept")  # asking again tells
        one.close()


@test(1)
def nobody_is_reached(c):
    with Talk("127.0.0.1:%d" % (c.http() + 9), call_ms=500) as one:
        once(one, 1, "alone", "done", wait="try")
        one.hears(r"1 once NOT_APPLIED .*refused")
        once(one, 1, "alone", "done", wait="300")
        one.hears(r"1 once TIMED_OUT ")
        one.asks("session", "session NOT_APPLIED")
        one.asks("observe alone 0 0", "observed NOT_APPLIED")
        once(one, 1, "alone", "done")
        one.close()
        one.hears(r"1 once CLOSED")


@test(1)
def example_of_each_primitive_runs(c):
    """Those of locks, elections, topics, registry and configuration: lib.py's examples_run."""
    first = program("build/debug/examples/once", c.servers(), "order-17", "100")
    assert first.startswith("charges 100 under token ") and first.endswith("\n201 receipt of 100\n"), first
    assert program("build/debug/examples/once", c.servers(), "order-17", "100") == "201 receipt of 100, from before\n"
    assert program("build/debug/examples/barrier", c.servers(), "example") == "2 members have done their part\n"
    assert re.fullmatch(r"1 to 100; invoice 1\n", program("build/debug/examples/sequence", c.servers(), "example"))
    assert program("build/debug/examples/guard", c.servers(), "example") == "sent once, paid once, and what is not there is not sold\n"
    assert program("build/debug/examples/limiter", c.servers(), "example") == "5 of 8 calls allowed; 2 of 3 jobs at once\n"
    assert program("build/debug/examples/queue", c.servers(), "example") == "made\npaid\nsent\n"


# ---- elections

@test(1)
def leads_tells_the_others_and_resigns(c):
    with Talk(c.servers()) as one, Talk(c.servers()) as two:
        one.asks("observe web 0 0", r"observed OK nobody   0 0")
        two.say("observe web 20000 0")
        one.say("campaign 1 web 10.0.0.1 0 a")
        token = int(one.hears(r"1 locked (\d+)")[1])
        version = int(two.hears(r"observed OK elected a 10.0.0.1 %d (\d+)" % token)[1])
        two.asks("campaign 1 web 10.0.0.2 try b", r"1 failed BUSY .*; holder a")
        two.say("campaign 1 web 10.0.0.2 0 b")
        waiters(c.http(), "web", 1)
        two.say("observe web 20000 %d" % version)
        one.asks("proclaim 1 moving", r"1 proclaimed OK")
        newer = int(two.hears(r"observed OK elected a moving %d (\d+)" % token)[1])
        assert newer > version
        assert good(c.http(), "lock/verify", name="web", token=token)["valid"]
        one.asks("lock 2 web try", r"2 failed KIND")
        one.unlocks(1)
        assert int(two.hears(r"1 locked (\d+)")[1]) > token
        one.asks("observe web 20000 %d" % newer, r"observed OK elected b 10.0.0.2")
        two.close()
        two.unlocks(1, "LOST")
        one.asks("observe web 0 0", r"observed OK nobody")
        one.asks("observe web 200 0", r"observed OK nobody")  # nothing has changed
        one.close()


@test(1)
def leader_is_told_of_its_loss(c):
    with Talk(c.servers()) as one, Talk(c.servers()) as two:
        one.say("campaign 1 lead x 0 a")
        token = int(one.hears(r"1 locked (\d+)")[1])
        two.say("campaign 1 lead y 0 b")
        waiters(c.http(), "lead", 1)
        before = reads(c)
        one.asks("watch 1", "1 watches")
        until("the client waits for the loss", lambda: reads(c) > before)
        good(c.http(), "lock/break", name="lead", token=token, reason="ops said so")
        one.hears(r"1 lost \d+ broken: ops said so")
        one.hears(r"1 readable")
        assert int(two.hears(r"1 locked (\d+)")[1]) > token
        one.asks("proclaim 1 late", r"1 proclaimed LOST")
        two.locks(2, "no-lead")
        two.asks("proclaim 2 x", r"2 proclaimed BAD_ARGUMENTS")
        one.unlocks(1, "LOST")
        two.unlocks(1)
        two.unlocks(2)
        one.close()
        two.close()


@test(3)
def lead_outlives_the_leader_of_the_cluster(c):
    with Talk(c.servers()) as one, Talk(c.servers()) as two:
        one.say("campaign 1 outlives x 0 a")
        token = int(one.hears(r"1 locked (\d+)")[1])
        two.say("campaign 1 outlives y 0 b")
        waiters(c.http(), "outlives", 1)
        version = int(two.asks("observe outlives 0 0", r"observed OK elected a x %d (\d+)" % token)[1])
        two.say("observe outlives 30000 %d" % version)
        c.kill(c.leader())
        one.asks("proclaim 1 still", r"1 proclaimed OK")
        two.hears(r"observed OK elected a still %d" % token, 40)
        c.start_all()
        one.asks("lost 1", "1 is held")
        one.unlocks(1)
        assert int(two.hears(r"1 locked (\d+)")[1]) > token
        two.unlocks(1)
        one.close()
        two.close()


# ---- the connection of keep-alives

@test(3)
def keep_alives_need_no_descriptor_that_waits_have_taken(c):
    """A process that waits for more than it has descriptors for, with its node killed and started beside that: it keeps its session."""
    order = ",".join("127.0.0.1:%d" % c.http((c.leader() + 1 + k) % 3) for k in range(3))
    with Talk(order, ttl_ms=6000, files=24) as one, Talk(c.servers()) as two:
        two.locks(1, "starve")
        token = one.locks(1, "starve-held")
        for _ in range(40):
            one.say("wait queue/claim 600000 {\"name\": \"starve\", \"visibility_ms\": 5000}")

        def taken():
            return len(os.listdir("/proc/%d/fd" % one.process.pid)) == 24
        until("there is no descriptor left", taken)
        end = time.monotonic() + 8
        first = (c.leader() + 1) % 3
        c.kill(first)  # the session's node: keep-alives have to connect to another one
        while time.monotonic() < end:
            one.asks("lost 1", "1 is held")
            time.sleep(0.2)
        until("there is no descriptor left again", taken)
        c.start_all()
        assert good(c.http(), "lock/verify", name="starve-held", token=token)["valid"] and not one.find("1 lost")
        one.close()
        two.unlocks(1)
        two.close()
        for _ in range(40):
            one.hears("waited (CLOSED|UNKNOWN|NOT_APPLIED)")
        one.unlocks(1, "LOST")


# ---- the client's session, and waits

@test(1)
def session_is_the_clients_own_and_made_anew(c):
    with Talk(c.servers(), TTL) as one:
        text = one.asks("session", r"session OK (\S+)")[1]
        assert one.asks("session", r"session OK (\S+)")[1] == text
        one.locks(1, "of-session")
        claim = good(c.http(), "lock/show", name="of-session")["claims"][0]
        assert text.startswith(str(claim["session"])), "locks are of this session too"
        one.asks('call lock/acquire repeatable {"name": "by-call", "owner": "x", "session": "%s"}' % text, r"call OK .*token")
        end = time.monotonic() + TTL / 500
        while time.monotonic() < end:  # it is kept alive
            assert good(c.http(), "lock/show", name="by-call")["holders"] == 1
            time.sleep(0.2)
        good(c.http(), "session/close", session=text)
        one.hears(r"1 lost")
        one.asks('call lock/acquire repeatable {"name": "by-call", "owner": "x", "session": "%s"}' % text, r"call LOST ")
        assert one.asks("session", r"session OK (\S+)")[1] != text
        one.unlocks(1, "LOST")
        one.close()


@test(1)
def waits_end_by_the_event_or_in_time(c):
    good(c.http(), "queue/configure", name="waits")
    with Talk(c.servers()) as one:
        began = now_ms()
        one.say('wait queue/claim 60000 {"name": "waits", "visibility_ms": 5000}')
        until("it waits", lambda: good(c.http(), "queue/show", name="waits")["waiters"] == 1)
        good(c.http(), "queue/push", name="waits", key="k", body="one")
        assert '"one"' in one.hears(r"waited OK (.*)")[1] and now_ms() - began < 20000
        began = now_ms()
        one.asks('wait queue/claim 700 {"name": "waits", "visibility_ms": 5000}', r"waited (OK|TIMED_OUT)")
        assert now_ms() - began >= 650, "less than the attempt_ms of other calls, but awaited"
        one.asks("wait lock/acquire 2592000001 {}", "waited BAD_ARGUMENTS")
        one.close()


@test(3)
def wait_goes_on_elsewhere(c):
    """A node that is killed while it is waited for: the next one is asked, and has the event."""
    good(c.http(), "config/publish", name="elsewhere", items={"k": "one"})
    revision = good(c.http(), "config/get", name="elsewhere")["revision"]
    before = reads(c)
    with Talk(c.servers()) as one:
        one.say('wait config/watch 60000 {"name": "elsewhere", "revision": %d}' % revision)
        until("it is asked", lambda: reads(c) > before)
        c.kill(0)
        good(c.http(1), "config/publish", name="elsewhere", items={"k": "two"})
        assert '"two"' in one.hears(r"waited OK (.*)", 30)[1]
        c.start_all()
        one.close()

