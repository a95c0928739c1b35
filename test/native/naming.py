"""Naming through HTTP, `parley service` and `parley template`, against real processes. Run by run.py."""
import http.server
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

from fake import Fake, answers, passes_on
from run import Asking, KeptAlive, Skipped, ask, good, refused, session, stand_still, test, until


class Target:
    """Something to be checked: answers each GET with `status`, or takes connections and says nothing."""

    def __init__(self, status=200, silent=False, port=0):
        self.status, self.seen = status, 0
        if silent:
            self.server = socket.create_server(("127.0.0.1", port))
            self.address = "127.0.0.1:%d" % self.server.getsockname()[1]
            self.taken = []
            threading.Thread(target=self.take).start()
            return
        target = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                target.seen += 1
                target.path = self.path
                self.send_response(target.status)
                self.end_headers()

            def log_message(self, *words):
                pass
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.address = "127.0.0.1:%d" % self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}).start()

    def take(self):
        while True:
            try:
                self.taken = self.taken[-400:] + [self.server.accept()[0]]
            except OSError:
                return

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if isinstance(self.server, socket.socket):
            self.server.shutdown(socket.SHUT_RDWR)
            self.server.close()
        else:
            self.server.shutdown()
            self.server.server_close()


def show(c, service, node=0, **fields):
    return good(c.http(node), "registry/show", service=service, **fields)


def ids(c, service, node=0):
    return [one["id"] for one in show(c, service, node)["instances"]]


def health(c, service, id, node=0):
    return {one["id"]: one["health"] for one in show(c, service, node)["instances"]}.get(id)


def becomes(c, service, id, wanted, seconds=20, node=0):
    until("%s of %s is %s" % (id, service, wanted), lambda: health(c, service, id, node) == wanted, seconds)


def watching(c, service, node=0, **fields):
    """A watch that waits: sent, and known to be read by the node."""
    version = show(c, service, node)["version"]
    return Asking(c.http(node), "registry/watch", service=service, version=version, wait_ms=30000, **fields)


def anywhere(c, operation, **fields):
    def try_all():
        for i in range(c.count):
            try:
                answer = ask(c.http(i), operation, **fields)
            except OSError:
                continue
            if answer.status not in (503, 504):
                return answer
        return None
    return until(operation, try_all, 30)


def run(c, *arguments, code=0, seconds=30):
    process = c.command(*arguments, "--server", c.servers())
    out, wrong = process.communicate(timeout=seconds)
    assert process.returncode == code, "%s: %d: %s%s" % (arguments, process.returncode, out, wrong)
    return out


# ---- one node: what lives how long

@test(1)
def instance_lives_as_long_as_what_it_is_bound_to(c):
    mine = session(c.http(), 60000)
    first = good(c.http(), "registry/register", service="life", id="s", address="10.0.0.1:80", session=mine)
    good(c.http(), "registry/register", service="life", id="t", address="10.0.0.2:80", ttl_ms=1500)
    assert ids(c, "life") == ["s", "t"]
    news = watching(c, "life")
    good(c.http(), "session/close", session=mine)
    told = news.answer()
    assert told["changed"] and [one["id"] for one in told["instances"]] == ["t"]
    assert told["version"] > first["version"]
    news = Asking(c.http(), "registry/watch", service="life", version=told["version"], wait_ms=30000)
    told = news.answer()
    assert told["changed"] and told["instances"] == [], told.body
    refused(404, "not-found", c.http(), "registry/renew", service="life", id="t", registration=first["registration"])


@test(1)
def renewed_instance_stays(c):
    got = good(c.http(), "registry/register", service="renewed", id="a", address="h:1", ttl_ms=1000)
    for _ in range(8):
        time.sleep(0.25)
        good(c.http(), "registry/renew", service="renewed", id="a", registration=got["registration"])
    assert show(c, "renewed")["version"] == got["version"], "a renewal is no change"
    began = time.monotonic()
    until("it goes", lambda: ids(c, "renewed") == [])
    assert time.monotonic() - began < 5


@test(1)
def what_is_wrong_is_refused(c):
    def wrong(**fields):
        return refused(400, "bad-request", c.http(), "registry/register", **dict({"service": "w", "address": "h:1"}, **fields))
    wrong()
    wrong(ttl_ms=1000, permanent=True, check="tcp")
    wrong(permanent=True)
    wrong(ttl_ms=1000, check="icmp")
    wrong(ttl_ms=1000, check="http:nopath")
    wrong(ttl_ms=1000, check="http:/a b")
    wrong(ttl_ms=1000, address="h")
    wrong(ttl_ms=1000, address="h:1;}\nevil{:1")
    wrong(ttl_ms=1000, service="a b")
    wrong(ttl_ms=1000, id="a\nb")
    wrong(ttl_ms=1000, weight=0)
    wrong(ttl_ms=1000, metadata={"k": "line\nbreak"})
    wrong(ttl_ms=1000, metadata={"k": 1})
    wrong(ttl_ms=1000, metadata={"k%d" % i: "x" * 200 for i in range(16)})
    wrong(ttl_ms=1000, check="tcp", interval_ms=1)
    refused(400, "bad-request", c.http(), "registry/pick", service="w", strategy="hash")
    refused(400, "bad-request", c.http(), "registry/pick", service="w", key="k")
    refused(404, "none-ready", c.http(), "registry/pick", service="w")
    refused(400, "bad-request", c.http(), "registry/update", service="w", id="x")
    assert ids(c, "w") == []


@test(1)
def newest_registration_of_an_id_counts(c):
    old = good(c.http(), "registry/register", service="newest", id="a", address="h:1", ttl_ms=60000)
    new = good(c.http(), "registry/register", service="newest", id="a", address="h:2", ttl_ms=60000, metadata={"v": "2"})
    assert new["replaced"] == old["registration"] < new["registration"]
    answer = refused(409, "old-registration", c.http(), "registry/deregister", service="newest", id="a",
                     registration=old["registration"])
    assert answer["registration"] == new["registration"]
    one = show(c, "newest")["instances"][0]
    assert one["address"] == "h:2" and one["metadata"] == {"v": "2"}
    good(c.http(), "registry/update", service="newest", id="a", weight=7, drain=True)
    one = show(c, "newest")["instances"][0]
    assert one["weight"] == 7 and one["draining"] and one["metadata"] == {"v": "2"}
    refused(404, "none-ready", c.http(), "registry/pick", service="newest")
    good(c.http(), "registry/update", service="newest", id="a", drain=False)
    assert good(c.http(), "registry/pick", service="newest")["address"] == "h:2"
    good(c.http(), "registry/report", service="newest", id="a", registration=new["registration"], passing=False, output="tired")
    refused(404, "none-ready", c.http(), "registry/pick", service="newest")
    good(c.http(), "registry/deregister", service="newest", id="a")


# ---- one node: checks

@test(1)
def checks_find_out_who_is_well(c):
    with Target() as web, Target(silent=True) as silent:
        with socket.create_server(("127.0.0.1", 0)) as free:
            nobody = "127.0.0.1:%d" % free.getsockname()[1]
        fast = {"interval_ms": 500, "timeout_ms": 400, "failures": 2, "permanent": True, "service": "checks"}
        good(c.http(), "registry/register", id="web", address=web.address, check="http:/health?x=1", **fast)
        good(c.http(), "registry/register", id="tcp", address=silent.address, check="tcp", **fast)
        good(c.http(), "registry/register", id="silent", address=silent.address, check="http:/", **fast)
        good(c.http(), "registry/register", id="nobody", address=nobody, check="tcp", **fast)
        good(c.http(), "registry/register", id="name", address="no.such.host.invalid:80", check="tcp", **fast)
        for id, wanted in (("web", "passing"), ("tcp", "passing"), ("silent", "failing"), ("nobody", "failing"), ("name", "failing")):
            becomes(c, "checks", id, wanted)
        assert web.path == "/health?x=1"
        said = {one["id"]: one["output"] for one in show(c, "checks")["instances"]}
        assert said["web"] == "HTTP 200" and "refused" in said["nobody"] and "timed out" in said["silent"], said
        version, seen = show(c, "checks")["version"], web.seen
        until("it is looked at again and again", lambda: web.seen >= seen + 4)
        assert show(c, "checks")["version"] == version, "only changes become entries"
        news = watching(c, "checks")
        web.status = 503
        told = news.answer()
        assert {one["id"]: one["health"] for one in told["instances"]}["web"] == "failing"
        web.status = 204
        becomes(c, "checks", "web", "passing")
    becomes(c, "checks", "tcp", "failing")
    for id in ("web", "tcp", "silent", "nobody", "name"):
        good(c.http(), "registry/deregister", service="checks", id=id)


@test(1)
def checks_stop_with_their_registration(c):
    with Target() as old, Target() as new:
        fields = {"service": "moved", "id": "a", "check": "http:/", "interval_ms": 500, "permanent": True}
        good(c.http(), "registry/register", address=old.address, **fields)
        until("it is looked at", lambda: old.seen > 0)
        good(c.http(), "registry/register", address=new.address, **fields)
        until("the new one is", lambda: new.seen > 0)
        before = old.seen
        until("the new one is looked at on", lambda: new.seen > 4)
        assert old.seen <= before + 1
        good(c.http(), "registry/deregister", service="moved", id="a")
        before = new.seen
        time.sleep(1.2)  # two intervals, in which nothing may come
        assert new.seen <= before + 1


@test(1)
def many_checks_are_run_at_once(c):
    """600 of them, of which 300 say nothing: more than are under way at once. The others are found well all the same."""
    with Target(silent=True) as silent:
        for i in range(600):
            good(c.http(), "registry/register", service="many", id="i%03d" % i, address=silent.address, ttl_ms=120000,
                 check="tcp" if i % 2 else "http:/", interval_ms=2000, timeout_ms=1000, failures=1)
        def judged():
            found = [one["health"] for one in show(c, "many")["instances"]]
            return found.count("passing") == 300 and found.count("failing") == 300
        until("all are judged", judged, 40)
    for i in range(600):
        good(c.http(), "registry/deregister", service="many", id="i%03d" % i)


# ---- one node: picking

@test(1)
def picks_go_by_their_strategies(c):
    for i, weight in enumerate((5, 1, 1)):
        good(c.http(), "registry/register", service="pick", id="i%d" % i, address="h:%d" % (i + 1), weight=weight, ttl_ms=60000,
             zone="west" if i == 2 else "east")

    def picks(count, **fields):
        got = [good(c.http(), "registry/pick", service="pick", **fields)["id"] for _ in range(count)]
        return [got.count("i%d" % i) for i in range(3)]
    assert picks(14) == [10, 2, 2]
    assert picks(9, strategy="round-robin") == [3, 3, 3]
    assert min(picks(60, strategy="random")) > 5
    assert picks(4, zone="west") == [0, 0, 4]
    assert picks(3, zone="south", strategy="round-robin") == [1, 1, 1]
    for key in ("a", "b", "c"):
        assert sorted(picks(5, strategy="hash", key=key)) == [0, 0, 5]
    leases = [good(c.http(), "registry/pick", service="pick", strategy="least-active") for _ in range(7)]
    assert [sum(one["id"] == "i%d" % i for one in leases) for i in range(3)] == [5, 1, 1]
    assert {one["id"]: one["active"] for one in show(c, "pick")["instances"]} == {"i0": 5, "i1": 1, "i2": 1}
    on_two = [one for one in leases if one["id"] == "i2"][0]
    good(c.http(), "registry/release", lease=on_two["lease"])
    refused(404, "not-found", c.http(), "registry/release", lease=on_two["lease"])
    assert good(c.http(), "registry/pick", service="pick", strategy="least-active")["id"] == "i2"
    good(c.http(), "registry/pick", service="pick", strategy="least-active", lease_ms=1)
    good(c.http(), "registry/update", service="pick", id="i0", drain=True)
    assert picks(10)[0] == 0


@test(1)
def watch_of_all_services_hears_of_each(c):
    version = good(c.http(), "registry/watch")["version"]
    news = Asking(c.http(), "registry/watch", version=version, wait_ms=30000)
    good(c.http(), "registry/register", service="heard", address="h:1", ttl_ms=60000)
    told = news.answer()
    assert told["changed"] and told["version"] > version
    quiet = good(c.http(), "registry/watch", service="heard", version=show(c, "heard")["version"], wait_ms=100)
    assert not quiet["changed"]
    assert good(c.http(), "registry/watch", service="never was", wait_ms=100)["version"] < version
    names = [one["service"] for one in good(c.http(), "registry/list", prefix="hea")["services"]]
    assert names == ["heard"]


# ---- the commands

@test(1)
def service_command_registers_while_it_runs(c):
    flag = os.path.join(c.folder, "go-on")
    process = c.command("service", "register", "cli/run", "10.1.1.1:80", "--id", "me", "--weight", "3", "--meta", "rack=r 1,x=",
                        "--zone", "east", "--ttl", "3000", "--server", c.servers(), "--", "sh", "-c",
                        "echo $PARLEY_SERVICE_NAME $PARLEY_SERVICE_ID; until [ -e %s ]; do sleep 0.05; done; exit 7" % flag)
    until("it is there", lambda: ids(c, "cli/run") == ["me"])
    one = show(c, "cli/run")["instances"][0]
    assert (one["binding"], one["weight"], one["zone"], one["metadata"]) == ("session", 3, "east", {"rack": "r 1", "x": ""})
    open(flag, "w").close()
    assert process.wait(20) == 7 and process.stdout.read() == "cli/run me\n"
    assert ids(c, "cli/run") == [], "gone at once"
    doomed = c.command("service", "register", "cli/run", "10.1.1.1:80", "--ttl", "2000", "--server", c.servers(), "--", "sleep", "100")
    until("it is there", lambda: ids(c, "cli/run") == ["10.1.1.1:80"])
    news = watching(c, "cli/run")
    doomed.kill()
    began = time.monotonic()
    assert news.answer()["instances"] == [] and time.monotonic() - began < 8


@test(1)
def late_registration_takes_nothing_away(c):
    """A server never says what became of a registration, the command tries on, and it comes when the next one was made: what is
    listed belongs to the session that the command keeps."""
    passes, unknown = passes_on(c.http(), lambda asked, connection: False), answers(504, "unknown")
    asked, late, lines, holds = [], [], [], threading.Event()

    def behave(connection, whole):
        head, _, body = whole.partition(b"\r\n\r\n")
        operation = head.split()[1].decode().removeprefix("/v1/")
        if operation == "registry/register" and holds.is_set():
            late.append(json.loads(body))
            return unknown(connection, whole)
        passes(connection, whole)
        asked.append((operation, json.loads(body).get("session")))

    def registers():
        return [session for operation, session in asked if operation == "registry/register"]
    with Fake(behave) as fake:
        process = c.command("service", "register", "late", "h:1", "--ttl", "4000", "--server", fake.address, "--", "sleep", "100")
        told = threading.Thread(target=lambda: lines.extend(iter(process.stderr.readline, "")))
        told.start()
        until("it is there", lambda: len(registers()) == 1 and ids(c, "late") == ["h:1"])
        holds.set()
        good(c.http(), "session/close", session=registers()[0])
        until("it says that nobody answers", lambda: any("trying on" in line for line in lines))
        holds.clear()
        until("it is there again", lambda: len(registers()) == 2 and ids(c, "late") == ["h:1"])
        assert ask(c.http(), "registry/register", **late[-1]).status in (200, 410)
        count = len(asked)
        until("it is kept", lambda: len(asked) > count and asked[-1][0] == "session/keepalive")
        listed, kept = show(c, "late")["instances"][0]["session"], asked[-1][1]
        assert listed == int(kept.partition("-")[0]), "session %s, and %s is kept" % (listed, kept)
        process.terminate()
        process.wait(20)
        told.join()
    assert ids(c, "late") == [], "gone at once"


@test(1)
def service_command_shows_watches_and_picks(c):
    number = run(c, "service", "register", "cli/ask", "h:1", "--ttl", "60000").strip()
    assert number.isdigit()
    run(c, "service", "register", "cli/ask", "h:2", "--id", "b", "--ttl", "60000")
    assert "cli/ask" in run(c, "service", "list")
    assert [one["id"] for one in json.loads(run(c, "service", "show", "cli/ask", "--json"))["instances"]] == ["b", "h:1"]
    assert run(c, "service", "show", "cli/ask").splitlines()[1].split()[:3] == ["b", "h:2", "passing"]
    assert run(c, "service", "pick", "cli/ask", "--strategy", "hash", "--key", "k").strip() in ("h:1", "h:2")
    address, lease = run(c, "service", "pick", "cli/ask", "--strategy", "least-active").split()
    run(c, "service", "release", lease)
    run(c, "service", "release", lease, code=1)
    run(c, "service", "renew", "cli/ask", "h:1", "--registration", number)
    watcher = c.command("service", "watch", "cli/ask", "--json", "--once", "--server", c.servers())
    first = json.loads(watcher.stdout.readline())
    assert len(first["instances"]) == 2
    run(c, "service", "drain", "cli/ask", "b")
    second = json.loads(watcher.stdout.readline())
    assert second["version"] > first["version"] and second["instances"][0]["draining"]
    assert watcher.wait(20) == 0
    assert run(c, "service", "pick", "cli/ask").strip() == "h:1"
    run(c, "service", "undrain", "cli/ask", "b")
    run(c, "service", "update", "cli/ask", "b", "--weight", "9", "--meta", "k=v")
    one = show(c, "cli/ask")["instances"][0]
    assert (one["weight"], one["metadata"], one["draining"]) == (9, {"k": "v"}, False)
    run(c, "service", "deregister", "cli/ask", "b")
    run(c, "service", "deregister", "cli/ask", "h:1")
    run(c, "service", "pick", "cli/ask", code=1)
    for wrong in (("nothing",), ("register", "x"), ("register", "x", "h:1"), ("register", "x", "h:1", "--meta", "k"),
                  ("renew", "x", "y"), ("show",), ("pick", "x", "--lease", "x"), ("list", "--", "true")):
        process = c.command("service", *wrong)
        process.communicate(timeout=20)
        assert process.returncode == 2, wrong


class Templates:
    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="parley-template-")
        return self

    def __exit__(self, *error):
        shutil.rmtree(self.folder)

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text):
        with open(self.path(name), "w") as file:
            file.write(text)
        return self.path(name)

    def read(self, name):
        try:
            with open(self.path(name)) as file:
                return file.read()
        except FileNotFoundError:
            return None


NGINX = """events {}
pid %s/nginx.pid;
error_log stderr;
http {
    access_log off;
    {{range services "shop."}}
    upstream {{service}} {
        {{range instances}}
        server {{address}} weight={{weight}};{{if meta.rack}} # {{meta.rack}}{{end}}
        {{else}}
        server 127.0.0.1:1 down;
        {{end}}
    }
    {{end}}
}
"""
HAPROXY = """defaults
    mode http
    timeout connect 1s
    timeout client 1s
    timeout server 1s
frontend door
    bind 127.0.0.1:8080
    default_backend shop.web
{{range services "shop."}}
backend {{service}}
    balance roundrobin
    {{range all}}
    server {{id}} {{address}} weight {{weight}}{{if draining}} disabled{{end}}
    {{end}}
{{end}}
"""


def tool(name, package):
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if path is None:
        raise Skipped("%s is not installed (Debian: %s)" % (name, package))
    return path


def shop(c):
    good(c.http(), "registry/register", service="shop.web", id="a", address="127.0.0.1:8001", weight=3, ttl_ms=60000,
         metadata={"rack": "r1; } evil {\"'$x"})
    good(c.http(), "registry/register", service="shop.web", id="b", address="[::1]:8002", ttl_ms=60000)
    good(c.http(), "registry/register", service="shop.cart", id="c", address="127.0.0.1:8003", ttl_ms=60000)
    good(c.http(), "registry/update", service="shop.cart", id="c", drain=True)


@test(1)
def template_makes_what_nginx_takes(c):
    nginx = tool("nginx", "nginx-light")
    shop(c)
    with Templates() as t:
        t.write("source", NGINX % t.folder)
        run(c, "template", t.path("source"), t.path("nginx.conf"), "--once")
        text = t.read("nginx.conf")
        assert "        server 127.0.0.1:8001 weight=3; # r1____evil_____x\n        server [::1]:8002 weight=1;\n" in text, text
        assert "    upstream shop.cart {\n        server 127.0.0.1:1 down;\n    }\n" in text, text
        checked = subprocess.run([nginx, "-t", "-c", t.path("nginx.conf")], capture_output=True, text=True, timeout=30)
        assert checked.returncode == 0, checked.stderr


@test(1)
def template_makes_what_haproxy_takes(c):
    haproxy = tool("haproxy", "haproxy")
    shop(c)
    with Templates() as t:
        t.write("source", HAPROXY)
        run(c, "template", t.path("source"), t.path("haproxy.cfg"), "--once")
        assert "    server c 127.0.0.1:8003 weight 1 disabled\n" in t.read("haproxy.cfg")
        checked = subprocess.run([haproxy, "-c", "-f", t.path("haproxy.cfg")], capture_output=True, text=True, timeout=30)
        assert checked.returncode == 0, checked.stdout + checked.stderr


@test(1)
def template_reloads_on_change_only_and_keeps_the_last_good_file(c):
    good(c.http(), "registry/register", service="tpl", id="a", address="h:1", ttl_ms=60000)
    with Templates() as t:
        t.write("source", '{{range instances "tpl"}}\n{{index}} {{id}} {{host}} {{port}}\n{{else}}\nnone\n{{end}}\n')
        t.write("out", "before\n")
        os.chmod(t.path("out"), 0o640)
        keeper = c.command("template", t.path("source"), t.path("out"), "--reload", "echo again >> " + t.path("reloads"), "--json",
                           "--server", c.servers())
        told = threading.Thread(target=lambda: lines.extend(iter(keeper.stderr.readline, "")))
        lines = []
        told.start()
        until("it is written", lambda: t.read("out") == "1 a h 1\n")
        until("it is reloaded", lambda: t.read("reloads") == "again\n")
        assert os.stat(t.path("out")).st_mode & 0o7777 == 0o640
        good(c.http(), "registry/register", service="tpl/other", id="x", address="h:1", ttl_ms=60000)  # changes nothing here
        good(c.http(), "registry/register", service="tpl", id="b", address="h:2", ttl_ms=60000)
        until("it is written", lambda: t.read("out") == "1 a h 1\n2 b h 2\n")
        until("it is reloaded", lambda: t.read("reloads") == "again\nagain\n")
        c.kill(0)
        until("it says that nobody answers", lambda: any('"away"' in line for line in lines))
        assert t.read("out") == "1 a h 1\n2 b h 2\n"
        c.start_all()
        good(c.http(), "registry/deregister", service="tpl", id="a")
        good(c.http(), "registry/deregister", service="tpl", id="b")
        until("it is written", lambda: t.read("out") == "none\n", 40)
        until("it is reloaded", lambda: t.read("reloads") == "again\n" * 3)
        t.write("source", "{{range instances \"tpl\"}}\n{{nothing}}\n{{end}}\n")
        good(c.http(), "registry/register", service="tpl", id="c", address="h:3", ttl_ms=60000)
        until("it says what is wrong", lambda: any("line 2: {{nothing}}: there is no such field" in line for line in lines))
        assert t.read("out") == "none\n" and sorted(os.listdir(t.folder)) == ["out", "reloads", "source"]
        keeper.terminate()
        keeper.wait(20)
        told.join()
        good(c.http(), "registry/deregister", service="tpl", id="c")


@test(1)
def template_says_what_is_wrong(c):
    with Templates() as t:
        for text, words in (("a\n{{range services}}\n", "line 2: there is no {{end}}"), ("{{end}}", "without a range or if"),
                            ("{{x", "{{ without }}"), ("{{range instances}}{{end}}", "of which service?"),
                            ("{{range things}}{{end}}", "range is of services"), ("\n\n{{id}}", "line 3")):
            t.write("source", text)
            process = c.command("template", t.path("source"), t.path("out"), "--once", "--server", c.servers())
            wrong = process.communicate(timeout=20)[1]
            assert process.returncode == 1 and words in wrong, (text, wrong)
            assert t.read("out") is None
        process = c.command("template", t.path("none"), t.path("out"), "--once", "--server", c.servers())
        assert process.wait(20) == 1


# ---- three nodes

@test(3)
def killed_instance_leaves_and_watchers_hear_of_it_through_a_leader_kill(c):
    """Its session's node and leader die with it: it leaves within its time-out, and no watcher misses it."""
    ttl_ms = 3000
    with KeptAlive(c.http(0), 10000) as stays:
        good(c.http(0), "registry/register", service="kill", id="stays", address="h:1", session=stays.session)
        doomed = c.command("service", "register", "kill", "h:2", "--id", "dies", "--ttl", str(ttl_ms), "--server", c.servers(),
                           "--", "sleep", "100")
        for i in range(3):
            until("node %d knows both" % i, lambda: ids(c, "kill", i) == ["dies", "stays"])
        leader = c.leader()
        watchers = {i: watching(c, "kill", i) for i in range(3) if i != leader}
        doomed.kill()
        killed = time.monotonic()
        c.kill(leader)
        for i, watcher in watchers.items():
            told = watcher.answer()
            if told.status == 200:
                assert [one["id"] for one in told["instances"]] == ["stays"], told.body
            else:  # it lost its leader on the way, and says so
                assert told.error in ("not-applied", "unknown"), told.body
                until("node %d hears of it" % i, lambda: anywhere(c, "registry/show", service="kill")["instances"][0]["id"] == "stays")
        assert time.monotonic() - killed < ttl_ms / 1000 + 6
        c.start_all()


@test(3)
def checks_go_on_at_the_new_leader(c):
    with Target() as web, Target() as dies:
        fields = {"service": "led", "check": "http:/", "interval_ms": 500, "timeout_ms": 400, "failures": 2, "permanent": True}
        anywhere(c, "registry/register", id="web", address=web.address, **fields)
        anywhere(c, "registry/register", id="dies", address=dies.address, **fields)
        becomes(c, "led", "web", "passing")
        becomes(c, "led", "dies", "passing")
        leader = c.leader()
        c.kill(leader)
        other = (leader + 1) % 3
        dies.status = 500
        until("there is another leader", lambda: c.leader() != leader)
        until("the new leader finds out", lambda: anywhere(c, "registry/show", service="led").body["instances"][0]["health"] == "failing")
        before = web.seen
        until("it is looked at", lambda: web.seen > before + 2)
        dies.status = 200
        becomes(c, "led", "dies", "passing", node=other)
        assert health(c, "led", "web", other) == "passing"
        c.start_all()
        before, began = web.seen, time.monotonic()
        until("it is looked at", lambda: web.seen >= before + 6)
        assert time.monotonic() - began > 1.5, "one node looks, each half second"
    for id in ("web", "dies"):
        anywhere(c, "registry/deregister", service="led", id=id)


@test(3)
def registration_outlives_its_servers(c):
    """CMD runs on while all nodes are away for longer than the session lives, and is registered again."""
    process = c.command("service", "register", "again", "h:1", "--ttl", "2000", "--server", c.servers(), "--", "sleep", "100")
    until("it is there", lambda: ids(c, "again") == ["h:1"])
    first = show(c, "again")["instances"][0]["registration"]
    stand_still(process)
    until("it is gone", lambda: ids(c, "again") == [])
    process.send_signal(signal.SIGCONT)
    until("it is there again", lambda: ids(c, "again") == ["h:1"])
    assert show(c, "again")["instances"][0]["registration"] > first
    for _ in range(2):
        leader = c.leader()
        c.kill(leader)
        until("there is another leader", lambda: c.leader() != leader)
        c.start_all()
    assert process.poll() is None
    until("it is still there", lambda: ids(c, "again") == ["h:1"])
    process.terminate()
    process.wait(20)
    until("it is gone", lambda: ids(c, "again") == [])


@test(3)
def stale_reads_and_picks_need_no_leader(c):
    anywhere(c, "registry/register", service="stale", id="a", address="h:1", ttl_ms=600000)
    until("all know it", lambda: all(ids(c, "stale", i) == ["a"] for i in range(3)))
    c.kill(1)
    c.kill(2)
    try:
        assert good(c.http(0), "registry/pick", service="stale", stale=True)["address"] == "h:1"
        assert good(c.http(0), "registry/pick", service="stale", strategy="hash", key="k", stale=True)["id"] == "a"
        assert show(c, "stale", stale=True)["instances"][0]["id"] == "a"
        assert good(c.http(0), "registry/list", stale=True)["services"]
    finally:
        c.start_all()
    anywhere(c, "registry/deregister", service="stale", id="a")
