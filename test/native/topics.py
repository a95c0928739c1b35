"""Partitioned topics with consumer groups through HTTP and the CLI, against real processes. Run by run.py."""
import base64
import collections
import json
import os
import signal
import threading
import time

from limits_queues import Anywhere, run, together
from run import Asking, KeptAlive, ask, good, refused, session, stand_still, test, until


def create(c, name, partitions, **fields):
    Anywhere(c).ask("topic/create", name=name, partitions=partitions, **fields)


def publish(c, name, *bodies, node=0, **fields):
    return good(c.http(node), "topic/publish", name=name, messages=[dict(body=b, **fields) for b in bodies])["places"]


def join(c, name, member, node=0, group="g", **fields):
    if "session" not in fields:
        fields.setdefault("ttl_ms", 60000)
    return good(c.http(node), "topic/join", name=name, group=group, member=member, **fields)["member_id"]


def poll(c, name, member, node=0, group="g", **fields):
    return good(c.http(node), "topic/poll", name=name, group=group, member_id=member, **fields)


def owners(c, name, group="g", node=0):
    return [p["member"] for p in good(c.http(node), "topic/group", name=name, group=group)["partitions"]]


def lag(c, name, group="g"):
    return sum(p["lag"] for p in Anywhere(c).ask("topic/group", name=name, group=group)["partitions"])


# ---- one node

@test(1)
def topic_messages_have_places_and_come_back(c):
    create(c, "places", 4)
    assert [p["offset"] for p in publish(c, "places", "a", "b", "c", key="k")] == [0, 1, 2]
    assert len({p["partition"] for p in publish(c, "places", "a", "b", "c", key="k")}) == 1
    assert sorted(p["partition"] for p in publish(c, "places", "1", "2", "3", "4")) == [0, 1, 2, 3]
    refused(404, "not-found", c.http(), "topic/publish", name="places", messages=[{"partition": 4}])
    refused(404, "not-found", c.http(), "topic/publish", name="nowhere", messages=[{}])
    refused(409, "exists", c.http(), "topic/create", name="places", partitions=5)
    for wrong in ([], [{"body": "x", "body_base64": "eA=="}], [{"bodi": "x"}], [{"body": 1}], [{"partition": -1}], [1],
                  [{"body": "x" * 131073}], [{"body": "x" * 100000}, {"body": "x" * 100000}]):
        refused(400, "bad-request", c.http(), "topic/publish", name="places", messages=wrong)
    create(c, "bytes", 1)
    member = join(c, "bytes", "m")
    raw = [b"\0", b"\xff\xfe", os.urandom(131072), bytes(range(256)), b"", "\u00e4\u4e2d".encode()]
    for one in raw:
        good(c.http(), "topic/publish", name="bytes", messages=[{"body_base64": base64.b64encode(one).decode()}])
    got = poll(c, "bytes", member)["messages"]
    assert [base64.b64decode(m["body_base64"]) if "body_base64" in m else m["body"].encode() for m in got] == raw


@test(1)
def topic_publish_is_done_once(c):
    create(c, "once", 2)
    first = good(c.http(), "topic/publish", name="once", dedup_id="x", messages=[{"body": "1"}, {"body": "2"}])
    again = good(c.http(), "topic/publish", name="once", dedup_id="x", messages=[{"body": "1"}, {"body": "2"}])
    assert again["duplicate"] and not first["duplicate"] and again["places"] == first["places"]
    late = [Asking(c.http(), "topic/publish", name="once", producer="p", number=n, messages=[{"body": "n%d" % n}])
            for n in (3, 2)]
    until("both are held", lambda: good(c.http(), "topic/show", name="once")["held"] == 2)
    good(c.http(), "topic/publish", name="once", producer="p", number=1, messages=[{"body": "n1", "partition": 0}])
    for asking in late:
        answer = asking.answer()
        assert answer.status == 200 and not answer["duplicate"] and len(answer["places"]) == 1, answer.body
    assert good(c.http(), "topic/publish", name="once", producer="p", number=2, messages=[{"body": "n2"}])["duplicate"]
    assert good(c.http(), "topic/show", name="once")["messages"] == 5


@test(1)
def topic_full_and_retention(c):
    create(c, "full", 1, bytes_max=163840)
    publish(c, "full", "x" * 100000)
    refused(409, "full", c.http(), "topic/publish", name="full", messages=[{"body": "x" * 100000}])
    create(c, "full", 1, bytes_max=163840, retention_bytes=163840)
    assert publish(c, "full", "y" * 100000)[0]["offset"] == 1
    shown = good(c.http(), "topic/show", name="full")["partitions"][0]
    assert (shown["first"], shown["end"]) == (1, 2)
    member = join(c, "full", "m")
    good(c.http(), "topic/commit", name="full", group="g", partition=0, token=poll(c, "full", member)["partitions"][0]["token"],
         offset=2)
    for i in range(3):
        publish(c, "full", str(i) * 100000)
    slot = poll(c, "full", member)["partitions"][0]
    assert (slot["committed"], slot["first"], slot["dropped"], slot["lag"]) == (2, 4, 2, 1), slot
    create(c, "aged", 1, retention_ms=500)
    publish(c, "aged", "old")
    until("it is dropped", lambda: good(c.http(), "topic/show", name="aged")["messages"] == 0)


@test(1)
def topic_reading_waits_for_the_event(c):
    create(c, "wait", 2)
    member = join(c, "wait", "m")
    slots = poll(c, "wait", member)
    version, token = slots["version"], slots["partitions"][1]["token"]
    fetching = Asking(c.http(), "topic/fetch", name="wait", group="g", partition=1, token=token, wait_ms=30000)
    polling = Asking(c.http(), "topic/poll", name="wait", group="g", member_id=member, version=version, wait_ms=30000)
    watching = Asking(c.http(), "topic/watch", name="wait", group="g", member_id=member, version=version, wait_ms=30000)
    began = time.monotonic()
    publish(c, "wait", "x", partition=1)
    assert [m["body"] for m in fetching.answer()["messages"]] == ["x"]
    assert [m["body"] for m in polling.answer()["messages"]] == ["x"]
    assert time.monotonic() - began < 5
    began = time.monotonic()
    assert good(c.http(), "topic/fetch", name="wait", group="g", partition=0, token=slots["partitions"][0]["token"],
                wait_ms=600)["messages"] == []
    assert 0.5 < time.monotonic() - began < 8
    fetching = Asking(c.http(), "topic/fetch", name="wait", group="g", partition=1, token=token, offset=1, wait_ms=30000)
    other = join(c, "wait", "n")  # averagely: 1 is to be n's
    told = fetching.answer()
    assert told["revoked"] and told["messages"] == [] and told["next"] == 1
    assert [p["revoked"] for p in watching.answer()["partitions"]] == [False, True]
    good(c.http(), "topic/release", name="wait", group="g", partition=1, token=token)
    assert owners(c, "wait") == ["m", "n"]
    refused(409, "not-assigned", c.http(), "topic/fetch", name="wait", group="g", partition=1, token=token)
    refused(409, "not-assigned", c.http(), "topic/commit", name="wait", group="g", partition=1, token=token, offset=1)
    assert [m["body"] for m in poll(c, "wait", other)["messages"]] == ["x"], "it was not committed"


@test(1)
def topic_members_end_with_their_session(c):
    create(c, "ends", 3)
    with KeptAlive(c.http()) as other:
        first = join(c, "ends", "a", session=session(c.http(), 2000))
        old = poll(c, "ends", first)["partitions"]
        second = join(c, "ends", "b", session=other.session)
        until("a's session has ended", lambda: owners(c, "ends") == ["b"] * 3)
        refused(409, "not-member", c.http(), "topic/poll", name="ends", group="g", member_id=first)
        new = poll(c, "ends", second, session=other.session)["partitions"]
        assert min(p["token"] for p in new) > max(p["token"] for p in old)
        for p in old:
            refused(409, "not-assigned", c.http(), "topic/fetch", name="ends", group="g", partition=p["partition"],
                    token=p["token"])
        refused(409, "not-empty", c.http(), "topic/group_delete", name="ends", group="g")
        good(c.http(), "topic/leave", name="ends", group="g", member_id=second, session=other.session)
    good(c.http(), "topic/group_delete", name="ends", group="g")
    refused(404, "not-found", c.http(), "topic/group", name="ends", group="g")
    good(c.http(), "topic/delete", name="ends")
    refused(404, "not-found", c.http(), "topic/show", name="ends")


@test(1)
def topic_strategies_share_as_they_say(c):
    rooms = ["x", "x", "y", "y", "z"]
    create(c, "share", 5, rooms=rooms)
    expected = {"averagely": ["a", "a", "b", "b", "c"], "by-circle": ["a", "b", "c", "a", "b"],
                "by-config": ["a", "b", "b", "", ""], "by-machine-room": ["a", "a", "b", "b", "c"]}
    configured = {"a": [0], "b": [0, 1, 2], "c": []}
    for strategy in ("averagely", "by-circle", "by-config", "by-machine-room", "consistent-hash"):
        members = [join(c, "share", m, group=strategy, strategy=strategy, handover_ms=1, partitions=configured[m], room=r)
                   for m, r in zip("abc", "xyz")]
        until("it is shared", lambda: not any(p["revoked"] for p in
                                              good(c.http(), "topic/group", name="share", group=strategy)["partitions"]))
        got = owners(c, "share", strategy)
        assert got == expected.get(strategy, got), (strategy, got)
        if strategy == "consistent-hash":
            good(c.http(), "topic/leave", name="share", group=strategy, member_id=members[2])
            for before, after in zip(got, owners(c, "share", strategy)):
                assert after in "ab" and (before == after or before == "c"), "only c's move"
    refused(409, "strategy", c.http(), "topic/join", name="share", group="by-circle", member="d", strategy="averagely",
            ttl_ms=1000)
    for wrong in ({}, {"ttl_ms": 1000, "partitions": [1024]}, {"ttl_ms": 1000, "strategy": "fair"}):
        refused(400, "bad-request", c.http(), "topic/join", name="share", group="x", member="d", **wrong)


# ---- the command

def consume(c, name, *more, ttl=2000, command=None, **popen):
    arguments = ["topic", "consume", name, "--group", "g", "--ttl", str(ttl), "--server", c.servers(), *more]
    return c.command(*arguments, *(["--"] + command if command else []), **popen)


@test(1)
def topic_command_publishes_shows_and_consumes(c):
    assert run(c, "topic", "create", "cli", "2", "--keep", "100")[0] == 0
    assert run(c, "topic", "publish", "cli", "one", "--partition", "1")[1] == "partition 1 offset 0\n"
    assert run(c, "topic", "publish", "cli", "one", "--partition", "1", "--dedup", "d")[1] == "partition 1 offset 1\n"
    assert "published before" in run(c, "topic", "publish", "cli", "one", "--partition", "1", "--dedup", "d")[1]
    shown = json.loads(run(c, "topic", "show", "cli", "--json")[1])
    assert [p["end"] for p in shown["partitions"]] == [0, 2] and shown["retention_count"] == 100
    assert "cli " in run(c, "topic", "list")[1]
    script = "cat; echo \" $PARLEY_TOPIC_PARTITION $PARLEY_TOPIC_OFFSET\"; test $PARLEY_TOPIC_OFFSET = 0 -o -e %s" % c.folder
    for expected in ("one 1 0", "one 1 1"):
        process = consume(c, "cli", "--once", "--wait", "10000", command=["sh", "-c", script])
        out, error = process.communicate(timeout=30)
        assert (process.returncode, out) == (0, expected + "\n"), (out, error)
    process = consume(c, "cli", "--once")
    assert process.wait(30) == 75
    assert "0" in run(c, "topic", "groups", "cli")[1] and json.loads(run(c, "topic", "groups", "cli", "g", "--json")[1])["lag"] == 0
    process = consume(c, "cli", "--json")
    run(c, "topic", "publish", "cli", "two", "--key", "k")
    message = json.loads(process.stdout.readline())
    assert (message["body"], message["key"]) == ("two", "k")
    until("it is committed", lambda: lag(c, "cli") == 0)
    process.terminate()
    assert process.wait(30) == 143
    assert run(c, "topic", "delete", "cli", "--group", "g")[0] == 0, "it left the group"
    assert run(c, "topic", "delete", "cli")[0] == 0
    assert run(c, "topic", "show", "cli")[0] == 1
    for wrong in (["create", "x"], ["create", "x", "0"], ["consume", "x"], ["publish"], ["nothing"], ["show"],
                  ["publish", "x", "y", "--number", "1"], ["consume", "x", "--group", "g", "--partitions", "a"]):
        assert run(c, "topic", *wrong)[0] == 2, wrong


@test(1)
def topic_command_runs_again_what_failed(c):
    create(c, "again", 1)
    publish(c, "again", "a", "b", partition=0)
    mark = os.path.join(c.folder, "again")
    script = "cat; echo; test -e %s || { touch %s; exit 3; }" % (mark, mark)
    process = consume(c, "again", "--delay", "100", command=["sh", "-c", script])
    assert [process.stdout.readline().strip() for _ in range(3)] == ["a", "a", "b"]
    process.terminate()
    process.communicate(timeout=30)


@test(1)
def topic_command_ends_cmd_when_its_partition_is_anothers(c):
    create(c, "taken", 1)
    publish(c, "taken", "x", partition=0)
    slow = consume(c, "taken", "--member", "b", "--handover", "1000", "--grace", "300",
                   command=["sh", "-c", "trap '' TERM; echo $$ $PARLEY_TOPIC_TOKEN; while :; do sleep 1; done"])
    pid, token = map(int, slow.stdout.readline().split())
    member = join(c, "taken", "a")  # averagely: the first in order gets the one partition
    until("it was taken away", lambda: owners(c, "taken") == ["a"])
    got = poll(c, "taken", member)
    assert got["partitions"][0]["token"] > token and [m["body"] for m in got["messages"]] == ["x"]
    until("CMD has ended", lambda: not os.path.exists("/proc/%d" % pid))
    slow.terminate()
    slow.communicate(timeout=30)


class Readers:
    """What consumers do, as they write it into one file: a line for each message when it is done."""

    def __init__(self, c, name):
        self.path = os.path.join(c.folder, "read-" + name)
        open(self.path, "w").close()
        self.script = "body=$(cat); echo $PARLEY_TOPIC_PARTITION $PARLEY_TOPIC_OFFSET $PARLEY_TOPIC_TOKEN $body >> %s" % self.path

    def lines(self):
        with open(self.path) as file:
            return [line.split() for line in file.read().splitlines()]

    def check(self, sent):
        """sent: of each partition its bodies in order. Each was done, in order; what was done again is what a commit had not covered."""
        next_of, token_of, done = collections.Counter(), collections.Counter(), collections.defaultdict(dict)
        repeats = refused = 0
        for partition, offset, token, body in self.lines():
            partition, offset, token = int(partition), int(offset), int(token)
            if token < token_of[partition]:  # CMD of a consumer that was stopped while it handed a message over: the
                refused += 1                 # store refuses it, which is what the token is for
                continue
            assert offset <= next_of[partition], "partition %d: %d was skipped" % (partition, next_of[partition])
            if offset < next_of[partition]:
                assert token > token_of[partition], "%d of partition %d was done twice under one token" % (offset, partition)
                repeats += 1
            assert done[partition].setdefault(offset, body) == body
            token_of[partition], next_of[partition] = token, offset + 1
        for partition, bodies in sent.items():
            assert [done[partition].get(i) for i in range(len(bodies))] == bodies, "partition %d" % partition
        assert refused <= len(sent), "%d messages were handed over under old tokens" % refused
        return repeats


def produce(c, name, partitions, count, sent, seconds=0.0):
    producer = Anywhere(c)
    for i in range(count):
        p = i % partitions
        body = "m%d" % i
        producer.ask("topic/publish", name=name, dedup_id="%s-%d" % (name, i), messages=[{"partition": p, "body": body}])
        sent[p].append(body)
        time.sleep(seconds / count)  # so that consumers come and go meanwhile


def killed_and_paused(c, name, disturb):
    """Four consumers of six partitions; some are killed and some are stopped beyond their TTL while messages come in."""
    create(c, name, 6)
    readers, sent = Readers(c, name), collections.defaultdict(list)
    start = lambda i: consume(c, name, "--member", "c%d" % i, "--handover", "1500", "--strategy", "averagely",
                              command=["sh", "-c", readers.script])
    consumers = [start(i) for i in range(4)]
    producing = threading.Thread(target=produce, args=(c, name, 6, 240, sent, 6.0))
    producing.start()
    until("they read", lambda: len(readers.lines()) > 20, 30)
    consumers[0].kill()
    stand_still(consumers[1])
    disturb()
    until("the paused one's partitions are others'", lambda: "c1" not in
          [p["member"] for p in Anywhere(c).ask("topic/group", name=name, group="g")["partitions"]], 30)
    consumers[1].send_signal(signal.SIGCONT)
    consumers[0].wait()
    consumers[0] = start(0)
    producing.join()
    until("all is read", lambda: lag(c, name) == 0, 60)
    for process in consumers:
        process.terminate()
    for process in consumers:
        process.communicate(timeout=30)
    assert sum(map(len, sent.values())) == 240
    readers.check(sent)


@test(1)
def topic_consumers_that_are_killed_and_paused_lose_nothing(c):
    killed_and_paused(c, "tough", lambda: None)


# ---- three nodes

@test(3)
def topic_on_any_node(c):
    create(c, "any", 2)
    member = join(c, "any", "m", node=1)
    polling = Asking(c.http(2), "topic/poll", name="any", group="g", member_id=member, version=2, wait_ms=30000)
    publish(c, "any", "x", node=0, partition=0)
    got = polling.answer()
    assert got.status == 200 and [m["body"] for m in got["messages"]] == ["x"], got.body
    token = got["partitions"][0]["token"]
    assert good(c.http(0), "topic/commit", name="any", group="g", partition=0, token=token, offset=1)["committed"] == 1
    assert poll(c, "any", member, node=1)["messages"] == []


@test(3)
def topic_consumers_live_through_a_leader_kill(c):
    def kill_leader():
        leader = c.leader()
        c.kill(leader)
        until("there is another leader", lambda: c.leader() != leader)
        c.start(leader)
    killed_and_paused(c, "leaderless", kill_leader)
    c.start_all()
