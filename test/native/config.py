"""Configuration through HTTP and the CLI, against real processes. Run by run.py."""
import base64
import json
import os
import signal
import threading
import time

from run import Asking, ask, good, refused, test, until


def publish(c, name, items, node=0, **fields):
    return good(c.http(node), "config/publish", name=name, items=items, **fields)


def items(c, name, node=0, **fields):
    return good(c.http(node), "config/get", name=name, **fields)["items"]


def watching(c, name, revision, node=0, **fields):
    return Asking(c.http(node), "config/watch", name=name, revision=revision, wait_ms=30000, **fields)


class Anywhere:
    """One client: asks one node after the other until one answers."""

    def __init__(self, c, at=0):
        self.c, self.at = c, at

    def ask(self, operation, seconds=40, timeout=15, **fields):
        end = time.monotonic() + seconds
        while True:
            try:
                answer = Asking(self.c.http(self.at % self.c.count), operation, timeout=timeout, **fields).answer()
                if answer.status not in (503, 504):
                    return answer
                why = answer.body
            except OSError as error:
                why = error
            self.at += 1
            assert time.monotonic() < end, "%s: nobody answers: %s" % (operation, why)
            time.sleep(0.05)


# ---- one node: HTTP

@test(1)
def config_publishes_several_items_at_once(c):
    cert = base64.b64encode(bytes(range(256))).decode()
    first = publish(c, "set", {"db.url": "x", "cert": {"base64": cert}, "empty": ""}, author="ann", comment="first")
    assert (first["version"], first["changed"], first["released"]) == (1, True, 1)
    assert items(c, "set") == {"db.url": "x", "cert": {"base64": cert}, "empty": ""}
    publish(c, "set", {"db.url": "y", "cert": None})
    assert items(c, "set") == {"db.url": "y", "empty": ""}
    assert items(c, "set", version=1)["db.url"] == "x"
    again = publish(c, "set", {"db.url": "y"})
    assert (again["version"], again["changed"]) == (2, False), "a retry gives no version"
    assert items(c, "set", key="empty") == {"empty": ""}
    refused(404, "not-found", c.http(), "config/get", name="set", key="cert")
    refused(404, "not-found", c.http(), "config/get", name="set", version=9)
    refused(404, "not-found", c.http(), "config/get", name="nobody")
    assert good(c.http(), "config/diff", name="set", **{"from": 1, "to": 2})["differences"] == [
        {"key": "cert", "from": {"base64": cert}}, {"key": "db.url", "from": "x", "to": "y"}]
    past = good(c.http(), "config/history", name="set")["releases"]
    assert [(r["version"], r["state"], r["puts"], r["deletes"]) for r in past] == [(2, "released", 1, 1), (1, "past", 3, 0)]
    assert (past[1]["author"], past[1]["comment"]) == ("ann", "first")
    assert publish(c, "set", {"only": "1"}, replace=True)["version"] == 3
    assert items(c, "set") == {"only": "1"}
    assert good(c.http(), "config/rollback", name="set", version=1)["version"] == 4
    assert items(c, "set")["db.url"] == "x"
    assert good(c.http(), "config/history", name="set", limit=1)["releases"][0]["rollback_to"] == 1


@test(1)
def config_expected_version_is_compared_and_set(c):
    publish(c, "cas", {"a": "1"}, expected=0)
    wrong = refused(409, "version", c.http(), "config/publish", name="cas", items={"a": "2"}, expected=0)
    assert wrong["version"] == 1
    publish(c, "cas", {"a": "2"}, expected=1)
    won = []

    def increment(i):
        while True:
            now = good(c.http(), "config/get", name="cas")
            answer = ask(c.http(), "config/publish", name="cas", items={"n": str(int(now["items"].get("n", 0)) + 1)},
                         expected=now["version"])
            if answer.status == 200:
                won.append(answer["version"])
                return
            assert answer.error == "version"
    threads = [threading.Thread(target=increment, args=(i,)) for i in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert items(c, "cas")["n"] == "12" and len(set(won)) == 12


@test(1)
def config_gradual_release_by_labels_and_percent(c):
    publish(c, "grad", {"a": "1"})
    assert publish(c, "grad", {"a": "2"}, labels=["zone=a", "zone=b"])["gradual"] == 2
    assert items(c, "grad", labels=["zone=b"]) == {"a": "2"}
    assert items(c, "grad", labels=["zone=c"]) == {"a": "1"} and items(c, "grad") == {"a": "1"}
    refused(409, "releasing", c.http(), "config/publish", name="grad", items={"a": "3"})
    good(c.http(), "config/release", name="grad", version=2, percent=30)
    has = [i for i in range(400) if items(c, "grad", id="i%d" % i) == {"a": "2"}]
    assert 70 < len(has) < 170, len(has)
    good(c.http(), "config/release", name="grad", version=2, percent=60)
    assert all(items(c, "grad", id="i%d" % i) == {"a": "2"} for i in has), "who had it keeps it"
    refused(409, "not-releasing", c.http(), "config/promote", name="grad", version=3)
    good(c.http(), "config/abandon", name="grad", version=2)
    assert items(c, "grad", id="i%d" % has[0]) == {"a": "1"}
    refused(409, "not-releasing", c.http(), "config/promote", name="grad", version=2)
    assert publish(c, "grad", {"b": "1"}, percent=0)["version"] == 3
    good(c.http(), "config/promote", name="grad", version=3)
    assert not good(c.http(), "config/promote", name="grad", version=3)["changed"], "a retry"
    assert items(c, "grad") == {"a": "1", "b": "1"}


@test(1)
def config_watch_is_answered_by_the_change(c):
    waiting = watching(c, "watch", 0)  # of a namespace that is not there yet
    publish(c, "watch", {"a": "1"})
    first = waiting.answer()
    assert first["changed"] and first["items"] == {"a": "1"} and first["version"] == 1
    stays = watching(c, "watch", first["revision"], labels=["zone=b"])
    gets = watching(c, "watch", first["revision"], labels=["zone=a"])
    publish(c, "watch", {"a": "2"}, labels=["zone=a"])
    second = gets.answer()
    assert second["items"] == {"a": "2"} and second["gradual"]
    back = watching(c, "watch", second["revision"], labels=["zone=a"])
    good(c.http(), "config/abandon", name="watch", version=2)
    third = back.answer()
    assert (third["version"], third["revision"]) == (1, first["revision"])
    publish(c, "watch", {"a": "3"})
    assert stays.answer()["version"] == 3, "it was not asked of what it did not get"
    began = time.monotonic()
    none = good(c.http(), "config/watch", name="watch", revision=first["revision"] + 10 ** 6, wait_ms=20000)
    assert none["changed"] and time.monotonic() - began < 5
    same = good(c.http(), "config/watch", name="watch", revision=none["revision"], wait_ms=300)
    assert not same["changed"] and "items" not in same.body
    gone = watching(c, "watch", none["revision"])
    good(c.http(), "config/delete", name="watch")
    last = gone.answer()
    assert (last["version"], last["revision"], last["items"]) == (0, 0, {})


@test(1)
def config_watch_of_many_clients(c):
    revision = publish(c, "many", {"a": "0"})["revision"]
    line = [watching(c, "many", revision, id="i%d" % i) for i in range(300)]
    began = time.monotonic()
    publish(c, "many", {"a": "1"})
    assert all(waiting.answer()["items"] == {"a": "1"} for waiting in line)
    assert time.monotonic() - began < 15


@test(1)
def config_limits_are_told(c):
    refused(400, "bad-request", c.http(), "config/publish", name="limit", items={"a": 1})
    refused(400, "bad-request", c.http(), "config/publish", name="limit", items={"a": {"base64": "!"}})
    refused(400, "bad-request", c.http(), "config/publish", name="limit", items={"k" * 201: "1"})
    refused(400, "bad-request", c.http(), "config/publish", name="limit", items={"a": "x" * 131073})
    refused(400, "bad-request", c.http(), "config/publish", name="limit", items={"a": "1"}, labels=["zone"])
    refused(409, "limit", c.http(), "config/publish", name="limit", items={"k%d" % i: "x" * 131000 for i in range(5)})
    refused(409, "limit", c.http(), "config/publish", name="limit", items={"k%d" % i: "" for i in range(1001)})
    publish(c, "limit", {"k%d" % i: str(i) for i in range(1000)})
    assert len(items(c, "limit")) == 1000


@test(1)
def config_survives_a_restart(c):
    revision = publish(c, "stay", {"a": "1"})["revision"]
    publish(c, "stay", {"a": "2"}, labels=["zone=a"])
    c.kill(0)
    c.start_all()
    assert items(c, "stay") == {"a": "1"} and items(c, "stay", labels=["zone=a"]) == {"a": "2"}
    assert good(c.http(), "config/watch", name="stay", revision=0)["revision"] == revision


# ---- one node: the CLI

def cli(c, *arguments, code=0):
    process = c.command("config", *arguments, "--server", c.servers())
    out, error = process.communicate(timeout=30)
    assert process.returncode == code, (arguments, process.returncode, out, error)
    return out


@test(1)
def config_cli_publishes_and_shows(c):
    cli(c, "set", "cli", "db.url=x", "note=a=b")
    assert cli(c, "get", "cli") == "db.url=x\nnote=a=b\n"
    assert cli(c, "get", "cli", "db.url") == "x"
    cli(c, "get", "cli", "nothing", code=1)
    assert json.loads(cli(c, "unset", "cli", "note", "--json"))["version"] == 2
    cli(c, "set", "cli", "a=1", "--expected", "1", code=1)
    assert cli(c, "diff", "cli", "1") == "- note=a=b\n"
    cli(c, "set", "cli", "db.url=z", "--labels", "zone=a,zone=b", "--percent", "100")
    assert cli(c, "get", "cli", "db.url", "--labels", "zone=b") == "z"
    assert json.loads(cli(c, "show", "cli", "--json"))["labels"] == ["zone=a", "zone=b"]
    cli(c, "promote", "cli")
    assert cli(c, "get", "cli", "db.url") == "z"
    cli(c, "rollback", "cli", "1")
    assert cli(c, "get", "cli") == "db.url=x\nnote=a=b\n"
    assert [r["version"] for r in json.loads(cli(c, "history", "cli", "--json"))["releases"]] == [4, 3, 2, 1]
    assert "cli" in cli(c, "list")
    cli(c, "set", "cli", "nothing", code=2)
    cli(c, "delete", "cli")
    cli(c, "get", "cli", code=1)


@test(1)
def config_cli_imports_and_exports(c):
    at = c.folder + "/import"
    os.makedirs(at + "/conf.d/.git")
    raw = bytes(range(256))
    for path, data in (("conf.d/a.conf", b"a\n"), ("cert", raw), ("conf.d/.git/x", b"x")):
        with open(at + "/" + path, "wb") as file:
            file.write(data)
    cli(c, "import", "files", at)
    assert sorted(items(c, "files")) == ["cert", "conf.d/a.conf"]
    cli(c, "export", "files", at + "-out/")
    for path in ("conf.d/a.conf", "cert"):
        with open(at + "/" + path, "rb") as one, open(at + "-out/" + path, "rb") as other:
            assert one.read() == other.read()
    cli(c, "export", "files", at + ".json")
    cli(c, "import", "copy", at + ".json")
    assert items(c, "copy") == items(c, "files")
    with open(at + ".env", "w") as file:
        file.write("# a comment\nA=1\n\nB=x=y\n")
    cli(c, "import", "copy", at + ".env", "--replace")
    assert items(c, "copy") == {"A": "1", "B": "x=y"}
    cli(c, "export", "files", at + ".lines", code=1)  # bytes fit in no line
    publish(c, "evil", {"../x": "1"})
    cli(c, "export", "evil", at + "-evil/", code=1)
    assert not os.path.exists(c.folder + "/x")


def lines_of(process):
    """What it writes, as a list that grows."""
    lines = []

    def read():
        for line in process.stdout:
            lines.append(line.rstrip("\n"))
    threading.Thread(target=read, daemon=True).start()
    return lines


def watch(c, name, script, *flags, servers=None):
    return c.command("config", "watch", name, *flags, "--server", servers or c.servers(), "--", "sh", "-c", script)


def ends(process, code):
    process.terminate()
    assert process.wait(20) == code, process.returncode


@test(1)
def config_cli_watch_starts_again_with_a_new_environment(c):
    script = 'echo "$PARLEY_CONFIG_VERSION $CONFIG_DB_URL"; exec sleep 1000'
    process = watch(c, "env", script)
    lines = lines_of(process)
    publish(c, "env", {"db.url": "x"})  # it may come later than the watch
    until("the first version runs", lambda: lines == ["1 x"])
    publish(c, "env", {"db.url": "y"})
    until("the second version runs", lambda: lines == ["1 x", "2 y"])
    publish(c, "env", {"db.url": "z"}, labels=["zone=a"])
    good(c.http(), "config/promote", name="env", version=3)
    until("the promoted version runs", lambda: lines == ["1 x", "2 y", "3 z"])
    publish(c, "env", {"db-url": "twice"})  # one variable's name: CMD stays with what it has
    publish(c, "env", {"db-url": None, "db.url": "w"})
    until("the repaired version runs", lambda: lines == ["1 x", "2 y", "3 z", "5 w"])
    ends(process, 128 + signal.SIGTERM)


@test(1)
def config_cli_watch_ends_with_its_command(c):
    publish(c, "ends", {"a": "1"})
    process = watch(c, "ends", "exit 7")
    assert process.wait(20) == 7


@test(1)
def config_cli_watch_tells_by_a_signal(c):
    dest = c.folder + "/signal.json"
    publish(c, "signal", {"a": "1"})
    show = "cat '%s' | tr -d '\\n '; echo" % dest
    # Not HUP: a shell cannot trap what was ignored when it was started, as by nohup.
    process = watch(c, "signal", "trap \"%s\" USR1; %s; echo $$; while :; do sleep 0.05; done" % (show, show),
                    "--file", dest, "--signal", "USR1")
    lines = lines_of(process)
    until("it runs", lambda: len(lines) == 2)
    publish(c, "signal", {"a": "2"})
    try:
        until("it was told", lambda: lines[2:] == ['{"a":"2"}'])
    except AssertionError as error:
        raise AssertionError("%s: %s" % (error, lines)) from None
    ends(process, 128 + signal.SIGTERM)


@test(1)
def config_cli_watch_runs_a_reload_command_on_a_folder(c):
    dest, seen = c.folder + "/live", c.folder + "/seen"
    publish(c, "reload", {"conf.d/a": "1", "b": "1"})
    process = watch(c, "reload", "exec sleep 1000", "--file", dest + "/", "--reload",
                    "echo $PARLEY_CONFIG_VERSION $(cd '%s' && find . -type f | sort) >>'%s'" % (dest, seen))
    until("the files are there", lambda: os.path.exists(dest + "/conf.d/a"))
    for i in range(2, 6):
        publish(c, "reload", {"conf.d/a": str(i), "b": None if i == 3 else str(i)})

        def reads():
            try:
                return open(dest + "/conf.d/a").read() == str(i)
            except OSError:
                raise AssertionError("there is a version at every moment")
        until("version %d is there" % i, reads)
    until("each was told", lambda: os.path.exists(seen) and len(open(seen).read().split("\n")) == 5)
    assert open(seen).read().split("\n")[:2] == ["2 ./b ./conf.d/a", "3 ./conf.d/a"]
    assert len([f for f in os.listdir(c.folder) if f.startswith("live.")]) <= 2, "old folders go"
    ends(process, 128 + signal.SIGTERM)


@test(1)
def config_cli_watch_starts_from_the_cache(c):
    cache = c.folder + "/cache.json"
    publish(c, "cached", {"db.url": "x"})
    script = 'echo "$PARLEY_CONFIG_VERSION $CONFIG_DB_URL"; exec sleep 1000'
    process = watch(c, "cached", script, "--cache", cache)
    lines = lines_of(process)
    until("it runs", lambda: lines == ["1 x"])
    publish(c, "cached", {"db.url": "y"})
    until("the second version runs", lambda: lines == ["1 x", "2 y"])
    c.kill(0)
    ends(process, 128 + signal.SIGTERM)
    without = watch(c, "cached", script, "--wait", "500")
    assert without.wait(30) == 75
    process = watch(c, "cached", script, "--cache", cache, "--wait", "500")
    lines = lines_of(process)
    until("it runs with what was last known", lambda: lines == ["2 y"])
    c.start_all()
    publish(c, "cached", {"db.url": "z"})
    until("the cluster is heard again", lambda: lines == ["2 y", "3 z"])
    ends(process, 128 + signal.SIGTERM)
    assert json.load(open(cache))["items"] == {"db.url": "z"}


# ---- three nodes

@test(3)
def config_watchers_outlive_the_leader(c):
    """Publishes, and kills of the leader between: nobody sees an older version after a newer one, all see the newest."""
    last, publishes = 40, Anywhere(c, 1)
    publishes.ask("config/publish", name="kill", items={"n": "0"})
    seen = [[] for _ in range(12)]

    def follow(i):
        client, revision = Anywhere(c, i), 0
        while not seen[i] or seen[i][-1] < last:
            answer = client.ask("config/watch", name="kill", revision=revision, wait_ms=5000, id="i%d" % i)
            assert answer.status == 200, answer.body
            if answer["changed"]:
                revision = answer["revision"]
                seen[i].append(int(answer["items"]["n"]))
    threads = [threading.Thread(target=follow, args=(i,)) for i in range(12)]
    for thread in threads:
        thread.start()
    for n in range(1, last + 1):
        answer = publishes.ask("config/publish", name="kill", items={"n": str(n)})
        assert answer.status == 200, answer.body
        if n % 16 == 8:
            leader = c.leader()
            c.kill(leader)
        if n % 16 == 0:
            c.start_all()
    c.start_all()
    for thread in threads:
        thread.join(60)
    for i, numbers in enumerate(seen):
        assert numbers and numbers[-1] == last, "client %d: %s" % (i, numbers)
        assert numbers == sorted(set(numbers)), "client %d saw an older version after a newer one: %s" % (i, numbers)
    for node in range(3):
        assert items(c, "kill", node) == {"n": str(last)}


@test(3)
def config_reads_are_as_new_as_any_before(c):
    """A client that goes from node to node never goes back."""
    publish(c, "fresh", {"n": "0"})
    for n in range(1, 30):
        publish(c, "fresh", {"n": str(n)}, node=n % 3)
        for node in range(3):
            assert items(c, "fresh", node) == {"n": str(n)}


@test(3)
def config_cli_watch_goes_to_another_node(c):
    script = 'echo "$CONFIG_A"; exec sleep 1000'
    publish(c, "move", {"a": "0"})
    process = watch(c, "move", script)
    lines = lines_of(process)
    until("it runs", lambda: lines == ["0"])
    c.kill(0)
    Anywhere(c, 1).ask("config/publish", name="move", items={"a": "1"})
    until("it hears of it", lambda: lines == ["0", "1"], 40)
    c.start_all()
    ends(process, 128 + signal.SIGTERM)
