"""Sequences, idempotency keys and guards through HTTP, `parley once` and `parley sequence` (run by run.py)."""
import base64
import json
import os
import random
import threading
import time

from run import Asking, ask, good, refused, session, test, until


def together(count, do):
    """do(i) in `count` threads that begin at the same moment; their results in order."""
    barrier, results = threading.Barrier(count), [None] * count

    def run(i):
        barrier.wait()
        try:
            results[i] = do(i)
        except BaseException as error:
            results[i] = error
    threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


def persist(c, operation, first=0, **fields):
    """Asks one node after the other until one says what happened. For what may be asked twice."""
    for i in range(600):
        node = (first + i) % c.count
        try:
            answer = ask(c.http(node), operation, **fields)
        except OSError:
            answer = None
        if answer is not None and answer.status not in (503, 504):
            return answer
        time.sleep(0.05)
    raise AssertionError("in vain: %s %s" % (operation, fields))


def key_waiters(port, key, count):
    until("%d wait for %s" % (count, key), lambda: ask(port, "idempotency/show", key=key).body.get("waiters") == count)


# ---- sequences

@test(3)
def gapless_numbers_outlive_the_leader(c):
    """200 keys on three nodes, the leader killed meanwhile: each key has one number, and no number is missing."""
    keys = ["order %d" % i for i in range(200)]
    numbers, done = {}, threading.Semaphore(0)

    def work(i):
        mine = {}
        for key in keys[i::8]:
            answer = persist(c, "sequence/next", i, name="gapless", key=key)
            assert answer.status == 200, answer.body
            mine[key] = answer["first"]
            done.release()
        return mine
    killer = threading.Thread(target=lambda: ([done.acquire() for _ in range(40)], c.kill(c.leader())))
    killer.start()
    for mine in together(8, work):
        numbers.update(mine)
    killer.join()
    assert None in c.processes, "the leader was killed"
    assert sorted(numbers.values()) == list(range(1, 201)), "consecutive, each once"
    for i, key in enumerate(keys):
        again = persist(c, "sequence/next", i, name="gapless", key=key)
        assert (again["first"], again["repeated"]) == (numbers[key], True), key
    c.start_all()
    assert good(c.http(0), "sequence/list", name="gapless")["sequences"][0]["next"] == 201


@test(3)
def blocks_and_ids_never_repeat(c):
    def work(i):
        given, ids = [], []
        for k in range(30):
            block = good(c.http(i % 3), "sequence/next", name="blocks", count=1 + k % 7)
            given += range(block["first"], block["last"] + 1)
            ids += map(int, good(c.http(i % 3), "sequence/ids", count=20)["ids"])
        assert given == sorted(given) and ids == sorted(ids), "they only grow"
        return given, ids
    results = together(16, work)
    given = [n for one, _ in results for n in one]
    ids = [n for _, one in results for n in one]
    assert sorted(given) == list(range(1, len(given) + 1))
    assert len(set(ids)) == len(ids) and max(ids) < 2 ** 63
    workers = [good(c.http(i), "sequence/worker_lease", owner="w%d" % i)["worker"] for i in range(3)]
    assert len(set(workers)) == 3


# ---- idempotency keys

@test(3)
def sixteen_begin_and_one_runs(c):
    ran = []

    def work(i):
        answer = good(c.http(i % 3), "idempotency/begin", key="pay", owner="caller %d" % i, wait_ms=30000)
        if answer["outcome"] == "run":
            ran.append(i)
            key_waiters(c.http((i + 1) % 3), "pay", 15)
            done = good(c.http((i + 2) % 3), "idempotency/complete", key="pay", token=answer["token"], status=201,
                        body="charged by %d" % i)
            assert not done["repeated"]
        return answer.body
    results = together(16, work)
    assert len(ran) == 1, "it ran %d times" % len(ran)
    for i, result in enumerate(results):
        if i != ran[0]:
            assert result == {"outcome": "stored", "failed": False, "status": 201, "body": "charged by %d" % ran[0]}
    for i in range(3):
        assert good(c.http(i), "idempotency/begin", key="pay")["body"] == "charged by %d" % ran[0]
        refused(422, "mismatch", c.http(i), "idempotency/begin", key="pay", fingerprint="another amount")


@test(3)
def keys_outlive_the_leader(c):
    """The leader dies between begin and complete; who waits at another node gets what is stored."""
    leader = c.leader()
    here, there = (leader + 1) % 3, (leader + 2) % 3
    token = good(c.http(leader), "idempotency/begin", key="leader", owner="a", lease_ms=60000)["token"]
    waiting = Asking(c.http(here), "idempotency/begin", key="leader", owner="b", wait_ms=60000)
    key_waiters(c.http(here), "leader", 1)
    c.kill(leader)
    assert persist(c, "idempotency/begin", there, key="leader", owner="a", lease_ms=60000)["token"] == token
    assert persist(c, "idempotency/complete", there, key="leader", token=token, body="done").status == 200
    assert waiting.answer()["body"] == "done"
    c.start_all()
    assert persist(c, "idempotency/complete", leader, key="leader", token=token, body="done")["repeated"]


@test(1)
def a_dead_holder_frees_the_key(c):
    first = good(c.http(), "idempotency/begin", key="dies", owner="a", lease_ms=1500)
    assert first["attempt"] == 1
    busy = refused(409, "in-progress", c.http(), "idempotency/begin", key="dies", owner="b")
    assert busy["token"] == first["token"] and busy["holder"] == "a" and 0 < busy["due_in_ms"] <= 1500
    began = time.monotonic()
    second = good(c.http(), "idempotency/begin", key="dies", owner="b", lease_ms=60000, wait_ms=30000)
    assert 1.0 < time.monotonic() - began < 10
    assert second["attempt"] == 2 and second["token"] > first["token"]
    refused(409, "not-held", c.http(), "idempotency/complete", key="dies", token=first["token"], body="old")
    refused(409, "not-held", c.http(), "idempotency/extend", key="dies", token=first["token"], lease_ms=1000)
    good(c.http(), "idempotency/complete", key="dies", token=second["token"], body="new")
    assert good(c.http(), "idempotency/begin", key="dies")["body"] == "new"


@test(1)
def a_session_frees_its_keys(c):
    s = session(c.http(), 2000)
    good(c.http(), "idempotency/begin", key="session", session=s, lease_ms=0)
    assert ask(c.http(), "idempotency/begin", key="session", owner="b", wait_ms=30000)["attempt"] == 2
    refused(400, "bad-request", c.http(), "idempotency/begin", key="session", lease_ms=0)


@test(3)
def who_goes_away_waits_no_longer(c):
    token = good(c.http(0), "idempotency/begin", key="away", owner="a", lease_ms=60000)["token"]
    waiting = Asking(c.http(1), "idempotency/begin", key="away", owner="b", wait_ms=60000)
    key_waiters(c.http(2), "away", 1)
    waiting.close()
    key_waiters(c.http(2), "away", 0)
    # The same call at two nodes is one place in line: when one connection goes, the other hears it and asks again.
    waiting = Asking(c.http(1), "idempotency/begin", key="away", owner="c", wait_ms=60000)
    key_waiters(c.http(2), "away", 1)
    other = Asking(c.http(2), "idempotency/begin", key="away", owner="c", wait_ms=60000)
    good(c.http(2), "idempotency/show", key="away")
    waiting.close()
    assert other.answer().error == "cancelled"
    again = Asking(c.http(2), "idempotency/begin", key="away", owner="c", wait_ms=60000)
    key_waiters(c.http(0), "away", 1)
    good(c.http(0), "idempotency/fail", key="away", token=token)
    assert again.answer()["attempt"] == 2
    refused(409, "timed-out", c.http(1), "idempotency/begin", key="away", owner="d", wait_ms=300)


@test(1)
def stored_bodies_are_any_bytes(c):
    for i, body in enumerate((b"", b"\0", bytes(range(256)), random.Random(1).randbytes(65536))):
        key = "bytes%d" % i
        token = good(c.http(), "idempotency/begin", key=key)["token"]
        good(c.http(), "idempotency/complete", key=key, token=token, body_base64=base64.b64encode(body).decode())
        stored = good(c.http(), "idempotency/begin", key=key)
        assert (base64.b64decode(stored["body_base64"]) if body else stored["body"].encode()) == body
    token = good(c.http(), "idempotency/begin", key="text")["token"]
    text = "\x01\u00e4\u20ac\"" * 9362  # 65,534 bytes, which JSON writes in many more
    refused(400, "bad-request", c.http(), "idempotency/complete", key="text", token=token, body=text + "abc")
    good(c.http(), "idempotency/complete", key="text", token=token, body=text)
    assert good(c.http(), "idempotency/show", key="text")["body"] == text


# ---- guards

@test(3)
def one_time_tokens_are_consumed_once(c):
    tokens = good(c.http(0), "guard/token_issue", count=5, purpose="form")["tokens"]
    assert len(set(tokens)) == 5 and all(len(bytes.fromhex(token)) == 16 for token in tokens)
    for token in tokens:
        answers = together(16, lambda i: ask(c.http(i % 3), "guard/token_consume", token=token, purpose="form",
                                             caller="caller %d" % i))
        winners = ["caller %d" % i for i, answer in enumerate(answers) if answer.status == 200]
        assert len(winners) == 1, winners
        for answer in answers:
            assert answer.status == 200 or (answer.error, answer["by"]) == ("consumed", winners[0]), answer.body
    refused(404, "not-found", c.http(0), "guard/token_consume", token="0" * 32, purpose="form")


@test(3)
def one_transition_wins(c):
    good(c.http(0), "guard/entity_transition", entity="order", to="new")
    answers = together(16, lambda i: ask(c.http(i % 3), "guard/entity_transition", entity="order", **{"from": "new"},
                                         to="taken by %d" % i, request="r%d" % i))
    won = [i for i, answer in enumerate(answers) if answer.status == 200]
    assert len(won) == 1, won
    for answer in answers:
        assert answer.status == 200 or (answer.error, answer["state"]) == ("state", "taken by %d" % won[0]), answer.body
    again = good(c.http(1), "guard/entity_transition", entity="order", **{"from": "new"}, to="taken by %d" % won[0],
                 request="r%d" % won[0])
    assert again["repeated"] and again["version"] == answers[won[0]]["version"]


@test(3)
def stock_is_never_below_its_floor(c):
    """Sixteen take one to three, each asking twice under its request's id, while the leader is killed."""
    good(c.http(0), "guard/counter_set", name="stock", value=400)
    started = threading.Semaphore(0)

    def work(i):
        chance, taken = random.Random(i), 0
        for k in range(1000):
            want = chance.randint(1, 3)
            fields = dict(deltas={"stock": -want, "sold": want}, request="%d/%d" % (i, k))
            answer = persist(c, "guard/counter_add", i + k, **fields)
            started.release()
            if answer.status != 200:
                assert answer.error == "below" and 0 <= answer["value"] < want, answer.body
                return taken
            assert answer["values"]["stock"] >= 0 and answer["values"]["stock"] + answer["values"]["sold"] == 400
            taken += want
            again = persist(c, "guard/counter_add", i + k + 1, **fields)
            assert again["repeated"] and again["values"] == answer["values"]
    killer = threading.Thread(target=lambda: ([started.acquire() for _ in range(60)], c.kill(c.leader())))
    killer.start()
    taken = sum(together(16, work))
    killer.join()
    c.start_all()
    rest = good(c.http(0), "guard/counter_show", name="stock")["value"]
    assert 0 <= rest < 3 and taken + rest == 400, (taken, rest)
    assert good(c.http(1), "guard/counter_show", name="sold")["value"] == taken


@test(1)
def values_refuse_an_older_token(c):
    old = good(c.http(), "lock/acquire", name="writer", owner="a", ttl_ms=500)["token"]
    new = good(c.http(), "lock/acquire", name="writer", owner="b", ttl_ms=60000, wait_ms=30000)["token"]
    version = good(c.http(), "guard/value_put", name="v", value="b", token=new)["version"]
    assert refused(409, "old-token", c.http(), "guard/value_put", name="v", value="a", token=old)["token"] == new
    lost = refused(409, "version", c.http(), "guard/value_put", name="v", value="c", version=version - 1, token=new)
    assert (lost["version"], lost["value"]) == (version, "b")
    answers = together(16, lambda i: ask(c.http(), "guard/value_put", name="v", value=str(i), version=version, token=new))
    assert [answer.status for answer in answers].count(200) == 1


# ---- the commands

def once(c, key, flags, command, **more):
    return c.command("once", key, "--server", c.servers(), *flags, "--", *command, **more)


def run_once(c, key, flags, command):
    process = once(c, key, flags, command)
    out, error = process.communicate(timeout=60)
    return process.returncode, out, error


@test(1)
def command_runs_once(c):
    trace = c.folder + "/once"
    script = ["sh", "-c", "echo $PARLEY_ONCE_KEY >>%s; echo out; echo err >&2; exit 7" % trace]
    for _ in range(3):
        assert run_once(c, "twice", [], script) == (7, "out\n", "err\n")
    assert open(trace).read() == "twice\n"
    code, out, error = run_once(c, "twice", ["--json"], script)
    assert (code, out) == (7, "out\n") and json.loads(error.split("\n")[0])["event"] == "replayed"
    code, out, error = run_once(c, "twice", [], ["true"])
    assert (code, out) == (75, "") and "something else" in error
    big = ["head", "-c", "100000", "/dev/zero"]
    code, out, error = run_once(c, "big", [], big)
    assert (code, len(out)) == (0, 100000) and "48000" in error
    code, out, error = run_once(c, "big", [], big)
    assert (code, len(out)) == (0, 48000) and "48000" in error
    for wrong in (["k"], ["k", "--"], ["--", "true"], ["k", "--lease", "1", "--", "true"], ["k", "l", "--", "true"],
                  ["", "--", "true"]):
        process = c.command("once", *wrong)
        process.communicate(timeout=20)
        assert process.returncode == 2, wrong
    nobody = c.command("once", "k", "--server", "127.0.0.1:1", "--try", "--", "echo", "ran")
    out, _ = nobody.communicate(timeout=60)
    assert (nobody.returncode, out) == (75, "")


@test(1)
def what_is_no_result_is_not_stored(c):
    assert run_once(c, "none", ["--fingerprint", "f"], ["/nonexistent"])[0] == 127
    assert run_once(c, "none", ["--fingerprint", "f"], ["/etc/passwd"])[0] == 126
    assert run_once(c, "none", ["--fingerprint", "f"], ["sh", "-c", "kill -9 $$"])[0] == 137
    assert run_once(c, "none", ["--fingerprint", "f", "--retry-failed"], ["false"])[0] == 1
    code, out, _ = run_once(c, "none", ["--fingerprint", "f"], ["sh", "-c", "echo $PARLEY_ONCE_ATTEMPT"])
    assert (code, out) == (0, "5\n")


@test(3)
def commands_of_one_key_run_once(c):
    """Nine commands at the same moment on three nodes, of which the leader is killed while CMD runs."""
    trace = c.folder + "/nine"
    script = "echo $$ >>%s; while [ ! -e %s.go ]; do sleep 0.05; done; echo result $$" % (trace, trace)
    servers = c.servers().split(",")
    processes = []
    for i in range(9):
        mine = ",".join(servers[i % 3:] + servers[:i % 3])
        processes.append(c.command("once", "nine", "--server", mine, "--lease", "20000", "--", "sh", "-c", script))
    key_waiters(c.http(0), "nine", 8)
    c.kill(c.leader())
    open(trace + ".go", "w").close()
    results = [(process.communicate(timeout=90), process.returncode) for process in processes]
    pid = open(trace).read()
    assert pid.count("\n") == 1, "it ran more than once"
    for (out, error), code in results:
        assert (code, out) == (0, "result " + pid), (code, out, error)
    c.start_all()


@test(1)
def killed_commands_run_is_given_on(c):
    script = ["sh", "-c", "echo $$ $PARLEY_ONCE_TOKEN $PARLEY_ONCE_ATTEMPT; [ $PARLEY_ONCE_ATTEMPT -gt 1 ] || exec sleep 600"]
    first = once(c, "killed", ["--lease", "2000"], script)
    until("it runs", lambda: ask(c.http(), "idempotency/show", key="killed").status == 200)
    token = good(c.http(), "idempotency/show", key="killed")["token"]
    time_runs = time.monotonic()
    until("its lease is extended", lambda: time.monotonic() > time_runs + 3)
    assert good(c.http(), "idempotency/show", key="killed")["token"] == token, "extended in the background"
    pid = int(first.stdout.readline().split()[0])
    first.kill()
    first.communicate()
    until("CMD dies with it", lambda: not os.path.exists("/proc/%d" % pid))
    code, out, error = run_once(c, "killed", ["--lease", "2000"], script)
    assert code == 0 and out.split()[2] == "2" and int(out.split()[1]) > token, (out, error)
    refused(409, "not-held", c.http(), "idempotency/complete", key="killed", token=token)


@test(1)
def a_lost_run_ends_its_command(c):
    process = once(c, "lost", ["--lease", "2000", "--grace", "300"], ["sh", "-c", "trap '' TERM; echo $$; while :; do sleep 1; done"])
    pid = int(process.stdout.readline())
    token = good(c.http(), "idempotency/show", key="lost")["token"]
    good(c.http(), "idempotency/fail", key="lost", token=token)
    out, error = process.communicate(timeout=30)
    assert process.returncode == 76 and "lost" in error, (process.returncode, error)
    assert not os.path.exists("/proc/%d" % pid), "CMD ignores SIGTERM, not SIGKILL"


@test(1)
def a_lost_run_ends_though_nobody_reads(c):
    """Found by reading: who stood still in writing CMD's output did not see that the run was lost."""
    process = once(c, "unread", ["--lease", "2000", "--grace", "300"], ["sh", "-c", "echo $$; exec yes"])
    pid = int(process.stdout.readline())
    until("its output is full and it stands still", lambda: open("/proc/%d/stat" % pid).read().split()[2] == "S")
    token = good(c.http(), "idempotency/show", key="unread")["token"]
    good(c.http(), "idempotency/fail", key="unread", token=token)
    until("CMD has ended", lambda: not os.path.exists("/proc/%d" % pid), 10)
    process.communicate(timeout=30)
    assert process.returncode == 76


@test(1)
def sequence_command(c):
    def run(*arguments, code=0):
        process = c.command("sequence", *arguments, "--server", c.servers())
        out, error = process.communicate(timeout=20)
        assert process.returncode == code, (arguments, error)
        return out
    assert run("next", "cli", "--count", "3") == "1\n2\n3\n"
    assert run("next", "cli") == "4\n"
    for _ in range(2):
        assert run("next", "bill", "--gapless", "--key", "order 1") == "1\n"
    assert json.loads(run("next", "bill", "--gapless", "--key", "order 2", "--json"))["first"] == 2
    run("next", "cli", "--gapless", "--key", "x", code=1)
    run("next", "cli", "--gapless", code=2)
    run("create", "five", "--start", "5", "--step", "5", "--ceiling", "10")
    assert run("next", "five", "--count", "2") == "5\n10\n"
    run("next", "five", code=1)
    assert "exhausted" in run("show", "five")
    run("set", "cli", "--to", "100")
    run("set", "cli", "--to", "99", code=1)
    assert run("next", "cli") == "100\n"
    assert [one["name"] for one in json.loads(run("list", "--json"))["sequences"]][:2] == ["bill", "cli"]
    run("show", "nothing", code=1)
    for wrong in (["next"], ["nothing", "x"], ["set", "cli"], ["next", "cli", "--count", "0"]):
        run(*wrong, code=2)
