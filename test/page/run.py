#!/usr/bin/env python3
"""The page at 7450 in headless Chromium, on three nodes, with locks that a real kazoo client and the native operations take.

Usage: test/page/run.py [--required] [--picture docs/page.png] [NAME...]
Without Chromium and its driver, or without kazoo, everything is one counted skip; with --required (CI) it is a failure.
Prints a line for each test, and last: N passed, N failed, N skipped.
"""

import argparse
import http.client
import json
import os
import subprocess
import sys
import time
import traceback

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
sys.path.insert(0, os.path.join(ROOT, "test", "interop"))
from browser import ENTER, SPACE, TAB, Browser, installed  # noqa: E402
from harness import Cluster, wait_until  # noqa: E402

KAZOO = os.path.join(ROOT, "build", "interop", "kazoo", "bin", "python")
PICTURE_BYTES_MAX = 400 * 1000
TESTS = []


def test(function):
    TESTS.append(function)
    return function


# ---- who takes locks

def post(node, operation, **body):
    connection = http.client.HTTPConnection("127.0.0.1", node.http_port, timeout=60)
    try:
        connection.request("POST", "/v1/" + operation, json.dumps(body))
        answer = connection.getresponse()
        value = json.loads(answer.read())
        assert answer.status == 200, (operation, answer.status, value)
        return value
    finally:
        connection.close()


class Waiting:
    """A native operation that is not answered yet; its answer is asked for as an event, so that one sees that it waits."""

    def __init__(self, node, operation, **body):
        self.connection = http.client.HTTPConnection("127.0.0.1", node.http_port, timeout=120)
        self.connection.request("POST", "/v1/" + operation, json.dumps(body), {"Accept": "text/event-stream"})
        self.answer = self.connection.getresponse()
        assert self.answer.getheader("Content-Type") == "text/event-stream", self.answer.read()
        assert self.answer.readline() == b": it waits\n"

    def event(self):
        text = self.answer.read().decode()
        self.connection.close()
        lines = [line for line in text.splitlines() if line and not line.startswith(":")]
        assert len(lines) == 2 and lines[0].startswith("event: ") and lines[1].startswith("data: "), text
        return lines[0][7:], json.loads(lines[1][6:])

    def close(self):
        self.answer.close()
        self.connection.close()


class Contender:
    """A kazoo client in a process of its own."""

    def __init__(self, cluster):
        self.process = subprocess.Popen([KAZOO, os.path.join(ROOT, "test", "page", "contender.py"), cluster.hosts],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        shown = int(self.line())
        self.session, self.shown = shown & (1 << 56) - 1, "0x%x" % shown  # a client is told another first byte

    def line(self):
        line = self.process.stdout.readline()
        assert line, "the kazoo client ended"
        return line.strip()

    def ask(self, words):
        self.process.stdin.write(words + "\n")
        self.process.stdin.flush()
        return self.line()

    def close(self):
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()


# ---- what one sees

class Room:
    def __init__(self, cluster, browser, arguments):
        self.cluster, self.browser, self.arguments = cluster, browser, arguments
        self.asked = []  # every address that the browser asked for

    def visit(self, node):
        self.browser.open("about:blank")
        self.browser.console()
        self.browser.requests()
        self.browser.open("http://127.0.0.1:%d/" % node.http_port)
        self.browser.run("window.marked = true")  # gone when the page was loaded anew
        self.sees("#link", "live")

    def sees(self, selector, text, seconds=20):
        wait_until("%s shows %r, not %r" % (selector, text, self.browser.text(selector)),
                   lambda: text in (self.browser.text(selector) or ""), seconds)

    def misses(self, selector, text):
        wait_until("%s shows %r no more" % (selector, text), lambda: text not in (self.browser.text(selector) or ""), 20)

    def row(self, panel, name):
        """The cells of the row that begins with this name; None: there is none."""
        return self.browser.run("""
            for (const line of document.querySelectorAll(`#${arguments[0]} tbody tr`))
                if (line.firstElementChild.innerText.startsWith(arguments[1]))
                    return [...line.children].map((cell) => cell.innerText);
            return null;""", panel, name)

    def has(self, panel, name, *texts):
        def holds():
            cells = self.row(panel, name)
            return cells is not None and all(text in " | ".join(cells) for text in texts) and cells
        try:
            return wait_until("", holds, 20)
        except TimeoutError:
            raise AssertionError("%s %s: %r is not in %r" % (panel, name, texts, self.row(panel, name))) from None

    def has_not(self, panel, name):
        wait_until("%s has no %s" % (panel, name), lambda: self.row(panel, name) is None, 20)

    def undisturbed(self, node, ignore=()):
        """The page was never loaded anew, complained of nothing, and asked nobody but its node."""
        assert self.browser.run("return window.marked === true"), "the page was loaded anew"
        console = [entry for entry in self.browser.console() if not any(text in entry[1] for text in ignore)]
        assert console == [], console
        own = "http://127.0.0.1:%d/" % node.http_port
        others = [url for url in self.browser.requests() if not url.startswith(own)]
        assert others == [], others


def keep_a_lock(room, node):
    """One that no test gives back: taking it once more is another hold."""
    post(node, "lock/acquire", name="kept", owner="o", ttl_ms=600000)
    room.has("locks", "kept")


def leader_of(cluster, but=None):
    def find():
        for node in cluster.nodes:
            if node.process is None:
                continue
            try:
                leader = json.loads(node.get("/v1/cluster"))["leader"]
            except OSError:
                continue
            if leader and leader != but:
                return cluster.nodes[leader - 1]
        return None
    return wait_until("there is a leader", find)


@test
def native_locks_appear_and_vanish(room):
    node, other = room.cluster.nodes[0], room.cluster.nodes[1]
    room.visit(node)
    room.sees("#locks", "Nobody holds a lock")
    session = post(other, "session/create", ttl_ms=60000)["session"]
    number = session.split("-")[0]
    token = post(other, "lock/acquire", name="orders/1", owner="billing-1", session=session)["token"]
    room.has("locks", "orders/1", "native", "exclusive", "billing-1", "session " + number, "nobody")
    room.has("sessions", number, "native", "2")
    waiting = Waiting(other, "lock/acquire", name="orders/1", owner="billing-2", session=session, wait_ms=60000)
    room.has("locks", "orders/1", "billing-1", "billing-2", "gives up in")
    post(other, "lock/release", name="orders/1", owner="billing-1", session=session, token=token)
    kind, answer = waiting.event()
    assert kind == "answer" and answer["token"] > token, (kind, answer)
    cells = room.has("locks", "orders/1", "billing-2", "token %d" % answer["token"])
    assert "billing-1" not in " ".join(cells), cells
    post(other, "session/close", session=session)
    room.has_not("locks", "orders/1")
    room.has_not("sessions", number)
    room.sees("#locks", "Nobody holds a lock")
    room.undisturbed(node)


@test
def recipes_of_a_real_kazoo_client_appear_and_vanish(room):
    node = room.cluster.nodes[2]
    room.visit(node)
    one, two = Contender(room.cluster), Contender(room.cluster)
    try:
        room.has("sessions", str(one.session), "ZooKeeper", one.shown)
        one.ask("lock /shop/stock")
        wait_until("the first holds it", lambda: one.ask("held") == "1")
        room.has("locks", "/shop/stock", "ZooKeeper", "exclusive", "session %d" % one.session, "#0", "nobody")
        two.ask("lock /shop/stock")
        cells = room.has("locks", "/shop/stock", "session %d" % two.session)
        assert "session %d" % two.session in cells[3] and "session %d" % one.session in cells[2], cells
        one.ask("release")
        wait_until("the second holds it", lambda: two.ask("held") == "1")
        cells = room.has("locks", "/shop/stock", "nobody")
        assert "session %d" % two.session in cells[2], cells
        two.ask("release")
        room.has_not("locks", "/shop/stock")
        one.ask("read /shop/prices")
        two.ask("read /shop/prices")
        room.has("locks", "/shop/prices", "shared", "session %d" % one.session, "session %d" % two.session, "nobody")
    finally:
        one.close()
        two.close()
    room.has_not("locks", "/shop/prices")
    room.has_not("sessions", str(one.session))
    room.undisturbed(node)


@test
def queues_limits_and_keys_are_live(room):
    node = room.cluster.nodes[0]
    room.visit(node)
    for i in range(12):
        post(room.cluster.nodes[1], "queue/push", name="mails", key="hot" if i % 2 else "k%d" % i, body="b")
    room.has("queues", "mails", "12", "hot ×6")
    post(node, "limiter/take", name="api", algorithm="token-bucket", rate=10, window_ms=3600000, cost=4)
    room.has("limits", "api", "token-bucket", "10 in 1 h", "6 of 10 left")
    run = post(node, "idempotency/begin", key="payment/1", owner="me")
    room.has("keys", "payment/1", "running", "me")
    post(node, "idempotency/complete", key="payment/1", token=run["token"], status=200)
    room.has("keys", "payment/1", "stored")
    room.undisturbed(node)


@test
def names_are_text_and_never_markup(room):
    node = room.cluster.nodes[0]
    room.visit(node)
    name = "<img src=x onerror=window.marked=false> & \"'\u202e"
    token = post(node, "lock/acquire", name=name, owner="<script>window.marked=false</script>", ttl_ms=60000)["token"]
    room.has("locks", "<img src=x onerror", "<script>window.marked")
    assert room.browser.run("return document.querySelectorAll('main img, main script').length") == 0
    post(node, "lock/release", name=name, owner="<script>window.marked=false</script>", token=token)
    room.has_not("locks", "<img")
    room.undisturbed(node)


@test
def more_than_a_page_is_turned_by_keys(room):
    node = room.cluster.nodes[0]
    held = [(name, post(node, "lock/acquire", name=name, owner="o", ttl_ms=600000)["token"])
            for name in ["many/%03d" % i for i in range(120)]]
    room.visit(node)
    room.has("locks", "many/049")
    assert room.row("locks", "many/050") is None
    room.sees("nav", "120")
    for first, last in ((50, 99), (100, 119)):
        room.browser.run("[...document.querySelectorAll('#locks button')].find((b) => b.innerText === 'Next page').focus()")
        room.browser.press(ENTER)
        room.has("locks", "many/%03d" % first)
        room.has("locks", "many/%03d" % last)
        assert room.row("locks", "many/%03d" % (first - 1)) is None
    for name, token in held:
        post(node, "lock/release", name=name, owner="o", token=token)
    room.has_not("locks", "many/119")
    room.undisturbed(node)


@test
def everything_is_reached_by_keys(room):
    node = room.cluster.nodes[0]
    browser = room.browser
    session = post(node, "session/create", ttl_ms=60000)["session"]
    post(node, "lock/acquire", name="walk", owner="a", session=session)
    waits = [Waiting(node, "lock/acquire", name="walk", owner="w%d" % i, session=session, wait_ms=60000) for i in range(3)]
    room.visit(node)
    room.has("locks", "walk", "3 wait")
    seen = []
    browser.run("document.activeElement.blur(); document.body.focus()")
    for _ in range(60):
        browser.press(TAB)
        at = browser.run("""
            const e = document.activeElement;
            if (e === document.body) return null;
            const box = e.getBoundingClientRect(), style = getComputedStyle(e);
            return {tag: e.tagName, text: e.innerText.trim(), visible: box.width > 0 && box.bottom > 0,
                    ring: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2};""")
        if at is None:
            break
        assert at["visible"] and at["ring"], at  # where one is can be seen
        seen.append((at["tag"], at["text"].split("\n")[0]))
        if at["tag"] == "SUMMARY":
            assert "w1" not in browser.text("#locks")
            browser.press(SPACE)
            room.has("locks", "walk", "w0", "w1", "w2")
            # News draw the row anew: it stays open, and the focus stays.
            waits.append(Waiting(node, "lock/acquire", name="walk", owner="w3", session=session, wait_ms=60000))
            room.has("locks", "walk", "4 wait", "w1", "w3")
            assert browser.run("return document.activeElement.tagName") == "SUMMARY"
    assert seen[0] == ("A", "Skip to the panels"), seen
    links = [text for tag, text in seen if tag == "A"]
    for title in ("Members", "Locks", "Elections", "Queues", "Topics", "Sessions", "Limits", "Idempotency keys", "Services", "Configuration",
                  "Sequences"):
        assert any(text.startswith(title) for text in links), (title, seen)
    assert sum(tag == "SUMMARY" for tag, _ in seen) == 1, seen
    assert len([text for text in links if text.startswith("127.0.0.1:")]) == 2, seen  # the other nodes' pages
    browser.run("[...document.querySelectorAll('nav a')].find((a) => a.innerText.startsWith('Sessions')).focus()")
    browser.press(ENTER)
    assert browser.run("return location.hash") == "#sessions"
    for waiting in waits:
        waiting.close()
    post(node, "session/close", session=session)
    room.undisturbed(node)


@test
def elections_and_services_appear_and_vanish(room):
    node, other = room.cluster.nodes[0], room.cluster.nodes[1]
    room.visit(node)
    room.sees("#elections", "Nobody leads")
    room.sees("#services", "No service is registered")
    one, two = (post(other, "session/create", ttl_ms=60000)["session"] for _ in range(2))
    token = post(other, "election/campaign", name="leaders", candidate="host-a", session=one, value="secret-value")["token"]
    room.has("elections", "leaders", "host-a", "token %d" % token, "nobody")
    assert room.row("locks", "leaders") is None, "an election has a panel of its own"
    waiting = Waiting(other, "election/campaign", name="leaders", candidate="host-b", session=two, wait_ms=60000)
    cells = room.has("elections", "leaders", "host-b")
    assert "host-a" in cells[1] and "host-b" in cells[2], cells
    post(other, "election/resign", name="leaders", candidate="host-a", session=one, token=token)
    waiting.event()
    cells = room.has("elections", "leaders", "host-b", "nobody")
    assert "host-b" in cells[1], cells
    assert "secret-value" not in room.browser.text("body"), "names only"
    post(other, "registry/register", service="shop", id="shop-1", address="10.0.0.1:80", session=one)
    room.has("services", "shop", "1 ready", "shop-1", "10.0.0.1:80", "passing")
    second = post(other, "registry/register", service="shop", id="shop-2", address="10.0.0.2:80", session=two, zone="b")["registration"]
    room.has("services", "shop", "2 ready", "2 instances")
    post(other, "registry/report", service="shop", id="shop-2", registration=second, passing=False)
    room.has("services", "shop", "1 ready", "1 failing")
    post(other, "registry/update", service="shop", id="shop-1", drain=True)
    room.has("services", "shop", "0 ready", "1 other")
    post(other, "session/close", session=one)
    room.has("services", "shop", "shop-2", "zone b", "failing")
    post(other, "session/close", session=two)
    room.has_not("services", "shop")
    room.has_not("elections", "leaders")
    room.undisturbed(node)


@test
def topics_configuration_and_sequences_appear_and_vanish(room):
    node, other = room.cluster.nodes[2], room.cluster.nodes[1]
    room.visit(node)
    room.sees("#topics", "There is no topic")
    one, two = (post(other, "session/create", ttl_ms=60000)["session"] for _ in range(2))
    post(other, "topic/create", name="events", partitions=4)
    room.has("topics", "events", "4", "none")
    post(other, "topic/join", name="events", group="mail", member="m1", session=one, start="earliest")
    room.has("topics", "events", "mail", "nothing behind", "1 member")
    post(other, "topic/publish", name="events", messages=[{"key": "k%d" % i, "body": "secret-body"} for i in range(20)])
    room.has("topics", "events", "20 behind")
    room.browser.run("document.querySelector('#topics details').open = true")
    room.has("topics", "events", "m1", "reads 0–3")
    post(other, "topic/join", name="events", group="mail", member="m2", session=two)
    room.has("topics", "events", "2 members", "m1", "hands over")
    post(other, "session/close", session=one)
    room.has("topics", "events", "m2", "reads 0–3")
    post(other, "session/close", session=two)
    room.has("topics", "events", "4 partitions unread")
    post(other, "topic/group_delete", name="events", group="mail")
    post(other, "topic/delete", name="events")
    room.has_not("topics", "events")
    post(other, "config/publish", name="shop", items={"a": "secret-item"})
    room.has("config", "shop", "1", "all have it")
    version = post(other, "config/publish", name="shop", items={"a": "2"}, labels=["zone=b"], percent=50)["version"]
    room.has("config", "shop", "version %d" % version, "zone=b", "50 %")
    post(other, "config/promote", name="shop", version=version)
    room.has("config", "shop", str(version), "all have it")
    post(other, "config/delete", name="shop")
    room.has_not("config", "shop")
    post(other, "sequence/create", name="numbers", gapless=True, ceiling=2)
    room.has("sequences", "numbers", "gapless", "1")
    for i in range(2):
        post(other, "sequence/next", name="numbers", key="k%d" % i)
    room.has("sequences", "numbers", "exhausted")
    assert "secret-" not in room.browser.text("body"), "names only"
    room.undisturbed(node)


@test
def it_has_names_for_who_does_not_see_it(room):
    node = room.cluster.nodes[0]
    room.visit(node)
    wrong = room.browser.run("""
        const wrong = [], all = (selector) => [...document.querySelectorAll(selector)];
        if (all("h1").length !== 1 || !document.documentElement.lang) wrong.push("h1, lang");
        if (all("header, nav, main, footer").length < 4 || all("[role=status][aria-live=polite]").length !== 1) wrong.push("landmarks");
        for (const table of all("table"))
            if (!document.getElementById(table.getAttribute("aria-labelledby")) || [...table.tHead.rows[0].cells].some((c) => c.scope !== "col"))
                wrong.push(table.outerHTML.slice(0, 80));
        for (const line of all("tbody tr")) if (line.firstElementChild.scope !== "row") wrong.push(line.innerText);
        for (const one of all("button, a, summary")) if (!one.innerText.trim()) wrong.push(one.outerHTML);
        return wrong;""")
    assert wrong == [], wrong
    # Contrast of text to what is behind it, in both schemes: WCAG 2 AA asks for 4.5.
    for scheme in ("light", "dark"):
        room.browser.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        low = room.browser.run("""
            const part = (v) => ((v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
            const light = (c) => 0.2126 * part(c[0]) + 0.7152 * part(c[1]) + 0.0722 * part(c[2]);
            const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
            const behind = (e) => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor); if (c.length < 4 || c[3] > 0) return c; } return [255, 255, 255]; };
            const low = [];
            for (const e of document.querySelectorAll("body *")) {
                if (![...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim()) || !e.checkVisibility()) continue;
                if (e.closest("button:disabled, script, noscript")) continue;
                const a = light(rgb(getComputedStyle(e).color)), b = light(behind(e));
                const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
                if (ratio < 4.5) low.push([e.className || e.tagName, e.textContent.slice(0, 30), ratio.toFixed(2)]);
            }
            return low;""")
        assert low == [], (scheme, low)
    room.browser.command("Emulation.setEmulatedMedia", features=[])
    room.undisturbed(node)


@test
def narrow_screens_scroll_in_the_tables_only(room):
    node = room.cluster.nodes[0]
    room.visit(node)
    for width in (320, 390, 700, 1200):
        room.browser.command("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=False)
        wide = room.browser.run("return [document.documentElement.scrollWidth, innerWidth]")
        assert wide[0] <= wide[1], (width, wide)
    room.browser.command("Emulation.clearDeviceMetricsOverride")
    room.undisturbed(node)


@test
def a_leader_that_dies_is_replaced_on_the_page(room):
    cluster = room.cluster
    old = leader_of(cluster)
    node = next(n for n in cluster.nodes if n is not old)
    room.visit(node)
    room.has("members", "node %d" % old.id, "leader", "connected")
    keep_a_lock(room, node)
    old.kill()
    new = leader_of(cluster, but=old.id)
    room.has("members", "node %d" % new.id, "leader")
    cells = room.has("members", "node %d" % old.id, "not connected")
    assert "leader" not in " ".join(cells), cells
    room.sees("#news", "Node %d leads now." % new.id)
    room.has("locks", "kept")
    old.start()
    cluster.wait_ready()
    room.has("members", "node %d" % old.id, "connected")
    room.undisturbed(node)


@test
def a_node_without_a_leader_says_so(room):
    cluster = room.cluster
    node = cluster.nodes[1]
    room.visit(node)
    keep_a_lock(room, node)
    others = [n for n in cluster.nodes if n is not node]
    for other in others:
        other.kill()
    room.sees("#banner", "knows no leader")
    room.sees("#banner", "Not connected: node 1, node 3")
    room.sees("#node", "no leader")
    room.has("locks", "kept")  # what it knows is still there
    for other in others:
        other.start()
    cluster.wait_ready()
    wait_until("the banner has gone", lambda: not room.browser.run("return document.getElementById('banner').checkVisibility()"))
    room.undisturbed(node)


@test
def a_node_that_is_lost_is_told_and_found_again(room):
    node = room.cluster.nodes[0]
    room.visit(node)
    keep_a_lock(room, node)
    node.kill()
    room.sees("#banner", "does not answer")
    room.sees("#link", "not live")
    room.sees("#news", "The node does not answer.")
    assert room.row("locks", "kept") is not None  # what was seen stays, dimmed
    assert room.browser.run("return getComputedStyle(document.querySelector('#locks .sheet')).opacity") < "1"
    node.start()
    room.cluster.wait_ready()
    room.sees("#link", "live")
    room.sees("#news", "The node answers again.")
    room.has("locks", "kept")
    post(node, "lock/acquire", name="behind", owner="o", ttl_ms=600000)
    room.has("locks", "behind")  # and events come again
    room.undisturbed(node, ignore=["net::ERR_CONNECTION_REFUSED", "net::ERR_CONNECTION_RESET", "net::ERR_INCOMPLETE_CHUNKED_ENCODING",
                                   "net::ERR_EMPTY_RESPONSE"])


@test
def a_node_that_hangs_is_told_too(room):
    node = room.cluster.nodes[2]
    room.visit(node)
    keep_a_lock(room, node)
    node.process.send_signal(19)  # SIGSTOP: its connections stay open, and nothing comes
    try:
        room.sees("#banner", "does not answer")
    finally:
        node.process.send_signal(18)
    room.cluster.wait_ready()
    room.sees("#link", "live")
    wait_until("it is found again", lambda: not room.browser.run("return document.getElementById('banner').checkVisibility()"))
    room.undisturbed(node)


def fill_registry_topics_and_the_rest(node, sessions):
    """What the picture shows of services, topics, configuration and sequences; all ends with the sessions, or is taken back."""
    for i, health in enumerate(("passing", "passing", "failing")):
        one = post(node, "registry/register", service="billing", id="billing-%d" % (i + 1), address="10.0.0.%d:8080" % (i + 1),
                   session=sessions[i], zone="ab"[i % 2])
        if health == "failing":
            post(node, "registry/report", service="billing", id="billing-%d" % (i + 1), registration=one["registration"], passing=False)
    post(node, "registry/register", service="search", id="search-1", address="10.0.1.1:9200", session=sessions[3])
    post(node, "topic/create", name="shipments", partitions=8)
    post(node, "topic/publish", name="shipments", messages=[{"key": "order-%d" % i, "body": "{}"} for i in range(60)])
    for i in range(3):
        post(node, "topic/join", name="shipments", group="warehouse", member="packer-%d" % (i + 1), session=sessions[i], handover_ms=1)
    post(node, "topic/join", name="shipments", group="audit", member="auditor", session=sessions[4], start="latest")
    for _ in range(3):
        post(node, "config/publish", name="checkout", items={"retries": "3"}, author="ann")
    post(node, "config/publish", name="checkout", items={"retries": "5"}, labels=["zone=b"], percent=10, author="ann")
    post(node, "config/publish", name="search", items={"shards": "6"}, author="bob")
    post(node, "sequence/create", name="invoices", gapless=True)
    for i in range(17):
        post(node, "sequence/next", name="invoices", key="order-%d" % i)
    post(node, "sequence/next", name="tickets", count=1000)


@test
def the_picture_is_taken(room):
    """Real content from real clients; --picture keeps it."""
    cluster, browser = room.cluster, room.browser
    leader = leader_of(cluster)
    node = cluster.nodes[leader.id % 3]
    for name in ("kept", "behind"):
        claims = post(node, "lock/show", name=name)["claims"]
        for one in claims:
            post(node, "lock/break", name=name, token=one["token"], reason="the test ends")
    sessions = [post(node, "session/create", ttl_ms=60000)["session"] for _ in range(5)]
    waits, contenders = [], [Contender(cluster) for _ in range(3)]
    try:
        post(node, "lock/acquire", name="orders/4711", owner="billing-1", session=sessions[0])
        for i in (1, 2, 3):
            waits.append(Waiting(node, "lock/acquire", name="orders/4711", owner="billing-%d" % (i + 1), session=sessions[i], wait_ms=600000))
        for i in (0, 1):
            post(node, "lock/acquire", name="price-list", owner="shop-%d" % (i + 1), mode="shared", session=sessions[i])
        waits.append(Waiting(node, "lock/acquire", name="price-list", owner="importer", session=sessions[3], wait_ms=600000))
        for i in (0, 2):
            post(node, "lock/acquire", name="export-slots", owner="job-%d" % (i + 1), mode="permits", total=3, permits=1 + i // 2, session=sessions[i])
        post(node, "lock/acquire", name="nightly-report", owner="host-a", ttl_ms=900000)
        contenders[0].ask("lock /shop/stock/sku-20")
        wait_until("held", lambda: contenders[0].ask("held") == "1")
        for one in contenders[1:]:
            one.ask("lock /shop/stock/sku-20")
            one.ask("read /shop/catalogue")
        contenders[0].ask("write /shop/catalogue")
        post(node, "election/campaign", name="scheduler", candidate="host-a", session=sessions[0], value="10.0.0.7")
        for i in (1, 2):
            waits.append(Waiting(node, "election/campaign", name="scheduler", candidate="host-" + "abc"[i], session=sessions[i], wait_ms=600000))
        fill_registry_topics_and_the_rest(node, sessions)
        for i in range(42):
            post(node, "queue/push", name="payments", key="customer-%d" % (17 if i % 2 else i % 9), body="{}")
        post(node, "queue/claim", name="payments", max=3, session=sessions[4])
        for _ in range(37):
            post(node, "limiter/take", name="api/acme", algorithm="token-bucket", rate=100, burst=100, window_ms=3600000)
        for i in (1, 2, 3):
            post(node, "limiter/take", name="imports", algorithm="concurrency", rate=4, session=sessions[i])
        post(node, "idempotency/begin", key="payment/4711", owner="billing-1", session=sessions[0], lease_ms=600000)
        run = post(node, "idempotency/begin", key="payment/4710", owner="billing-1", session=sessions[0])
        post(node, "idempotency/complete", key="payment/4710", token=run["token"], status=200, body="charged")
        run = post(node, "idempotency/begin", key="payment/4709", owner="billing-2", session=sessions[1])
        post(node, "idempotency/fail", key="payment/4709", token=run["token"], store=True, status=402)
        room.visit(node)
        room.has("locks", "/shop/catalogue", "shared")
        room.has("locks", "/shop/stock/sku-20", "2 wait")
        room.has("keys", "payment/4709", "failed")
        room.has("topics", "shipments", "warehouse")
        browser.run("for (const panel of ['locks', 'services']) document.querySelector(`#${panel} details`).open = true;"
                    "document.querySelector('#topics li:last-child details').open = true")
        path = room.arguments.picture or os.path.join(cluster.folder, "page.png")
        browser.screenshot(path, 1400, 0)
        assert 20000 < os.path.getsize(path) < PICTURE_BYTES_MAX, os.path.getsize(path)
        room.undisturbed(node)
    finally:
        for one in waits + contenders:
            one.close()
        for session in sessions:
            post(node, "session/close", session=session)


def missing():
    if None in installed():
        return "there is no chromium or chromedriver (Debian: apt-get install chromium chromium-driver)"
    setup = subprocess.run([os.path.join(ROOT, "test", "interop", "kazoo", "setup")], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return None if setup.returncode == 0 else "kazoo cannot be installed: %s" % setup.stdout[-500:]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--required", action="store_true", help="a missing browser is a failure")
    parser.add_argument("--picture", help="where the screenshot goes")
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    lacks = missing()
    if lacks:
        print(("FAILED  " if arguments.required else "skipped: ") + lacks)
        print("0 passed, %d failed, %d skipped" % ((1, 0) if arguments.required else (0, 1)))
        return 1 if arguments.required else 0
    passed = failed = 0
    with Cluster(3) as cluster:
        browser = Browser()
        try:
            room = Room(cluster, browser, arguments)
            for one in TESTS:
                if arguments.names and one.__name__ not in arguments.names:
                    continue
                began = time.monotonic()
                try:
                    one(room)
                    passed += 1
                    print("ok      %s (%.1f s)" % (one.__name__, time.monotonic() - began), flush=True)
                except Exception:  # the others go on
                    failed += 1
                    print("FAILED  %s\n%s" % (one.__name__, traceback.format_exc()), flush=True)
                    browser.screenshot("/tmp/parley-page-failed-%s.png" % one.__name__, 1320, 0)
        finally:
            browser.close()
    print("%d passed, %d failed, 0 skipped" % (passed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
