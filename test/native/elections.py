"""Elections, barriers, latches and the administration of sessions, against real processes. Run by run.py."""
import json
import os
import signal
import time

from run import Asking, KeptAlive, ask, good, refused, session, stand_still, test, until

from limits_queues import Anywhere

TTL = 3000  # of candidates that are killed


def leader(c, name, node=0):
    return good(c.http(node), "election/leader", name=name)


def candidates(c, name, count, node=0):
    until("%d candidates" % count, lambda: len(good(c.http(node), "election/candidates", name=name)["candidates"]) == count)


class Elected:
    """`parley elect` that writes what it is told into a file, a line for each command."""

    def __init__(self, c, name, candidate, servers=None, ttl=TTL, more=(), on_leader=":"):
        self.file = "%s/%s.%s" % (c.folder, name, candidate)
        line = "echo %%s \"t=$PARLEY_TOKEN l=$PARLEY_LEADER v=$PARLEY_VALUE e=$PARLEY_ELECTION\" >>%s" % self.file
        self.process = c.command("elect", name, "--server", servers or c.servers(), "--candidate", candidate, "--value", "at-" + candidate,
                                 "--ttl", str(ttl), "--on-leader", line % "leads" + "; " + on_leader, "--on-follower", line % "follows",
                                 *more)

    def lines(self):
        return open(self.file).read().splitlines() if os.path.exists(self.file) else []

    def says(self, wanted, seconds=30):
        """A line that begins so; gives its words by name."""
        def find():
            return next((line for line in self.lines() if line.startswith(wanted)), None)
        line = until("%s: %s" % (self.file, wanted), find, seconds)
        return dict(word.split("=", 1) for word in line.split()[1:])

    def end(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        return self.process.communicate(timeout=30)


# ---- one node

@test(1)
def election_goes_from_leader_to_leader(c):
    with KeptAlive(c.http()) as a, KeptAlive(c.http()) as b:
        first = good(c.http(), "election/campaign", name="e", session=a.session, candidate="a", value="host-a")
        refused(409, "busy", c.http(), "election/campaign", name="e", session=b.session, candidate="b")
        waiting = Asking(c.http(), "election/campaign", name="e", session=b.session, candidate="b", value="host-b", wait_ms=60000)
        candidates(c, "e", 2)
        seen = leader(c, "e")
        assert (seen["candidate"], seen["value"], seen["token"]) == ("a", "host-a", first["token"])
        refused(409, "kind", c.http(), "lock/acquire", name="e", owner="x", ttl_ms=1000)
        refused(409, "not-held", c.http(), "election/resign", name="e", session=b.session, candidate="b", token=first["token"])
        assert good(c.http(), "lock/verify", name="e", token=first["token"])["valid"]
        good(c.http(), "election/resign", name="e", session=a.session, candidate="a", token=first["token"])
        second = waiting.answer()
        assert second["token"] > first["token"]
        assert not good(c.http(), "lock/verify", name="e", token=first["token"])["valid"]
        lock = good(c.http(), "lock/acquire", name="l", owner="x", ttl_ms=1000)
        assert lock["token"] > second["token"], "one line of tokens over elections and locks"
        assert good(c.http(), "election/proclaim", name="e", session=b.session, candidate="b", token=second["token"],
                    value="moved")["version"] > lock["token"]
        operator = good(c.http(), "lock/break", name="e", token=second["token"], reason="drill")
        assert operator.status == 200 and not leader(c, "e")["elected"]


@test(1)
def observers_see_the_newest_state_in_order(c):
    """Three observers see versions that grow, each the state of its version, and all end with the last one."""
    with KeptAlive(c.http()) as a:
        told = good(c.http(), "election/campaign", name="o", session=a.session, value="0")
        values = {told["version"]: "0", 0: ""}
        observers = [[-1, None] for _ in range(3)]
        requests = [Asking(c.http(), "election/observe", name="o") for _ in observers]
        for i in range(1, 41):
            answer = good(c.http(), "election/proclaim", name="o", session=a.session, token=told["token"], value=str(i))
            values[answer["version"]] = str(i)
            if i % 4:
                continue
            for k, observer in enumerate(observers):
                got = requests[k].answer()
                assert got["version"] > observer[0] and values[got["version"]] == got["value"], got.body
                observer[0] = got["version"]
                requests[k] = Asking(c.http(), "election/observe", name="o", version=observer[0])
        for k, observer in enumerate(observers):
            while observer[0] != answer["version"]:
                observer[0] = requests[k].answer()["version"]
                requests[k] = Asking(c.http(), "election/observe", name="o", version=observer[0])
        good(c.http(), "session/close", session=a.session)
        for request in requests:
            assert request.answer()["version"] == 0
        began = time.monotonic()
        assert good(c.http(), "election/observe", name="o", version=0, wait_ms=400)["version"] == 0
        assert time.monotonic() - began > 0.3


@test(1)
def elected_process_is_killed(c):
    a = Elected(c, "killed", "a")
    first = a.says("leads")
    assert first["l"] == "a" and first["v"] == "at-a" and first["e"] == "killed"
    b = Elected(c, "killed", "b")
    assert b.says("follows t=%s" % first["t"])["l"] == "a"
    candidates(c, "killed", 2)
    assert good(c.http(), "lock/verify", name="killed", token=int(first["t"]))["valid"]
    began = time.monotonic()
    a.process.kill()
    a.process.communicate()
    second = b.says("leads")
    took = time.monotonic() - began
    assert took < TTL / 1000 + 5, took
    assert int(second["t"]) > int(first["t"])
    assert not good(c.http(), "lock/verify", name="killed", token=int(first["t"]))["valid"]
    assert good(c.http(), "lock/verify", name="killed", token=int(second["t"]))["valid"]
    b.end()
    assert b.process.returncode == 0 and b.lines()[-1].startswith("follows") and not leader(c, "killed")["elected"]


@test(1)
def paused_leader_follows_when_it_wakes(c):
    a = Elected(c, "paused-election", "a")
    first = a.says("leads")
    b = Elected(c, "paused-election", "b")
    candidates(c, "paused-election", 2)
    stand_still(a.process)
    second = b.says("leads")
    assert int(second["t"]) > int(first["t"])
    a.process.send_signal(signal.SIGCONT)
    assert a.says("follows t=%s" % second["t"])["l"] == "b"
    candidates(c, "paused-election", 2)
    b.end()
    until("a leads again", lambda: len([line for line in a.lines() if line.startswith("leads")]) == 2)
    a.end()


@test(1)
def follower_command_runs_before_the_session_can_end(c):
    """The servers do not answer: the leader steps down while nobody else can have been elected yet."""
    a = Elected(c, "cut", "a", ttl=6000, on_leader="sleep 600")
    a.says("leads")
    steps = len(a.lines())
    stand_still(c.processes[0])
    began = time.monotonic()
    until("it steps down", lambda: len(a.lines()) > steps)
    took = time.monotonic() - began
    c.processes[0].send_signal(signal.SIGCONT)
    assert took < 6, took
    assert a.lines()[steps].startswith("follows t= ")
    until("it leads again", lambda: a.lines()[-1].startswith("leads"))
    a.end()


@test(1)
def command_runs_while_it_leads(c):
    code = ["--", "sh", "-c", "echo $PARLEY_TOKEN $PARLEY_LEADER $PARLEY_VALUE; exit 7"]
    process = c.command("elect", "cmd", "--server", c.servers(), "--candidate", "me", "--value", "v", *code)
    out, error = process.communicate(timeout=30)
    assert process.returncode == 7 and out.split()[1:] == ["me", "v"], (out, error)
    process = c.command("elect", "cmd", "--server", c.servers(), "--grace", "200", "--", "sh", "-c", "echo $PARLEY_TOKEN; exec sleep 600")
    token = int(process.stdout.readline())
    other = c.command("elect", "cmd", "--server", c.servers(), "--try", "--", "true")
    other.communicate(timeout=30)
    assert other.returncode == 75
    shown = c.command("elect", "cmd", "--show", "--json", "--server", c.servers()).communicate(timeout=20)[0]
    assert json.loads(shown)["candidates"][0]["token"] == token
    assert "cmd " in c.command("elect", "--show", "--server", c.servers()).communicate(timeout=20)[0]
    watching = c.command("elect", "cmd", "--watch", "--json", "--server", c.servers())
    assert json.loads(watching.stdout.readline())["token"] == token
    good(c.http(), "lock/break", name="cmd", token=token, reason="drill")
    _, error = process.communicate(timeout=30)
    assert process.returncode == 76 and "drill" in error, error
    assert not json.loads(watching.stdout.readline())["elected"]
    watching.kill()
    watching.communicate()
    for wrong in (["x"], ["x", "--on-leader", "y", "--", "true"], ["--", "true"], ["x", "--on-leader", "y", "--wait", "5"],
                  ["x", "--show", "--watch"], ["x", "--value", "v" * 1025, "--", "true"]):
        process = c.command("elect", *wrong)
        process.communicate(timeout=20)
        assert process.returncode == 2, wrong


@test(1)
def barrier_lets_all_in_and_out_together(c):
    with KeptAlive(c.http()) as a, KeptAlive(c.http()) as b:
        doomed = session(c.http(), 2000)
        enter = [Asking(c.http(), "barrier/enter", name="b", session=s, members=3, wait_ms=60000) for s in (a.session, b.session, doomed)]
        rounds = {e.answer()["round"] for e in enter}
        assert len(rounds) == 1
        round_ = rounds.pop()
        leave = [Asking(c.http(), "barrier/leave", name="b", session=s.session, round=round_, wait_ms=60000) for s in (a, b)]
        until("two leave", lambda: good(c.http(), "barrier/show", name="b")["leaving"] == 2)
        assert all(x.answer()["over"] for x in leave), "the third one's session ended, so it has left"
        assert good(c.http(), "barrier/leave", name="b", session=a.session, round=round_, wait_ms=1000)["over"], "a retry"


@test(1)
def commands_begin_and_end_together(c):
    trace = c.folder + "/together"
    script = "echo in $PARLEY_BARRIER $PARLEY_ROUND >>%s; sleep 0.%%d; echo out >>%s" % (trace, trace)

    def run(i, *flags):
        return c.command("barrier", "run", "step", "--members", "3", "--server", c.servers(), *flags, "--", "sh", "-c", script % i)
    alone = run(0, "--wait", "300")
    alone.communicate(timeout=20)
    assert alone.returncode == 75 and not os.path.exists(trace)
    members = [run(i) for i in range(1, 4)]
    for process in members:
        _, error = process.communicate(timeout=20)
        assert process.returncode == 0, error
    lines = open(trace).read().splitlines()
    assert [line.split()[0] for line in lines] == ["in"] * 3 + ["out"] * 3 and len(set(lines)) == 2, lines
    rounds = [run(9), run(9), c.command("barrier", "run", "step", "--members", "3", "--server", c.servers(), "--ttl", "2000", "--",
                                        "sleep", "600")]
    until("they are inside", lambda: ask(c.http(), "barrier/show", name="step").body.get("inside") == 3)
    rounds[2].kill()
    for process in rounds:
        process.communicate(timeout=20)
    assert [p.returncode for p in rounds] == [0, 0, -9]
    process = c.command("barrier", "run", "step", "--", "true")
    process.communicate(timeout=20)
    assert process.returncode == 2


def barrier_command(c, *arguments):
    process = c.command("barrier", *arguments, "--server", c.servers())
    out, error = process.communicate(timeout=40)
    return process.returncode, out, error


@test(1)
def latches_of_scripts(c):
    assert barrier_command(c, "latch", "set", "l", "3")[:2] == (0, "3\n")
    waiting = c.command("barrier", "latch", "wait", "l", "--server", c.servers())
    assert barrier_command(c, "latch", "wait", "l", "--wait", "200")[:2] == (75, "3\n")
    for _ in range(2):
        assert barrier_command(c, "latch", "down", "l", "--by", "2", "--request", "r")[:2] == (0, "1\n")
    assert json.loads(barrier_command(c, "latch", "list", "--json")[1])["latches"][0]["count"] == 1
    assert waiting.poll() is None
    assert barrier_command(c, "latch", "down", "l")[:2] == (0, "0\n")
    assert waiting.communicate(timeout=20)[0] == "0\n" and waiting.returncode == 0
    assert barrier_command(c, "latch", "delete", "l")[0] == 0
    assert barrier_command(c, "latch", "down", "l")[0] == 1
    assert barrier_command(c, "latch", "set", "l")[0] == 2
    assert barrier_command(c, "list")[0] == 0 and barrier_command(c, "show", "none")[0] == 1


@test(1)
def operators_end_a_session(c):
    def run(*arguments):
        process = c.command("session", *arguments, "--server", c.servers())
        out, error = process.communicate(timeout=20)
        return process.returncode, out, error
    s = session(c.http(), 60000)
    number = s.split("-")[0]
    token = good(c.http(), "election/campaign", name="admin", session=s)["token"]
    good(c.http(), "lock/acquire", name="admin-lock", session=s)
    assert number in run("list")[1]
    holds = json.loads(run("show", number, "--json")[1])["holds"]
    assert [(h["what"], h["name"]) for h in holds] == [("election", "admin"), ("lock", "admin-lock")]
    assert "admin-lock" in run("show", number)[1]
    assert run("end", number)[0] == 0
    assert not good(c.http(), "lock/verify", name="admin", token=token)["valid"]
    assert run("show", number)[0] == 1 and run("end", number)[0] == 1
    assert run("end", "x")[0] == 2 and run("frob")[0] == 2


# ---- three nodes

@test(3)
def election_outlives_the_leading_node(c):
    """The leading node is killed, then the elected process: the next one is elected once its session has timed out."""
    servers = c.servers().split(",")
    a = Elected(c, "three", "a", ",".join(servers), ttl=8000)
    first = a.says("leads")
    b = Elected(c, "three", "b", ",".join(servers[1:] + servers[:1]), ttl=8000)
    candidates(c, "three", 2)
    anywhere = Anywhere(c)
    watching = c.command("elect", "three", "--watch", "--json", "--server", ",".join(servers[2:] + servers[:2]))
    assert json.loads(watching.stdout.readline())["candidate"] == "a"
    lead = c.leader()
    c.kill(lead)
    assert anywhere.ask("lock/verify", name="three", token=int(first["t"]))["valid"], "no election changes by itself"
    c.start(lead)
    began = time.monotonic()
    a.process.kill()
    a.process.communicate()
    second = b.says("leads", 40)
    assert time.monotonic() - began < 30
    assert json.loads(watching.stdout.readline())["candidate"] == "b"
    assert int(second["t"]) > int(first["t"])
    c.start_all()
    for i in range(3):
        assert not good(c.http(i), "lock/verify", name="three", token=int(first["t"]))["valid"]
        assert good(c.http(i), "lock/verify", name="three", token=int(second["t"]))["valid"]
        assert leader(c, "three", i)["candidate"] == "b"
    b.end()
    watching.kill()
    watching.communicate()


@test(3)
def waits_at_every_node_are_told(c):
    good(c.http(0), "latch/set", name="w", count=3)
    waiting = [Asking(c.http(i), "latch/wait", name="w") for i in range(3)]
    observing = [Asking(c.http(i), "election/observe", name="w", version=0) for i in range(3)]
    for i in range(3):
        good(c.http(i), "latch/count_down", name="w", request_id="r%d" % i)
        good(c.http((i + 1) % 3), "latch/count_down", name="w", request_id="r%d" % i)
    assert [w.answer()["count"] for w in waiting] == [0, 0, 0]
    with KeptAlive(c.http(1)) as s:
        version = good(c.http(1), "election/campaign", name="w", session=s.session, value="v")["version"]
        assert [(o.answer()["version"]) for o in observing] == [version] * 3
        members = [Asking(c.http(1), "barrier/enter", name="w", session=s.session, member=str(i), members=4, wait_ms=60000) for i in range(4)]
        assert len({m.answer()["round"] for m in members}) == 1
