"""The server under test, the client that watches it, and how a case is run and judged."""

import os
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "interop"))
import harness  # noqa: E402
import wire  # noqa: E402

GAP_MAX_MS = 5000
CONNECTIONS_MAX = 1000
LOG_LINES_BASE, LOG_LINES_A_SECOND = 40, 20  # a kind of mistake may say 5 lines a second
totals = {"passed": 0, "failed": 0, "skipped": 0}


class Skip(Exception):
    pass


def check(condition, text, *values):
    if not condition:
        raise AssertionError(text % values if values else text)


def binary():
    asan = os.path.join(harness.ROOT, "build", "debug", "parley")
    return os.environ.get("PARLEY") or (asan if os.path.exists(asan) else harness.BINARY)


class Server(harness.Cluster):
    def __init__(self, extra, files=0):
        self.files = files
        super().__init__(1, extra, binary=binary())
        self.node = self.nodes[0]
        self.asan = b"__asan_init" in open(self.binary, "rb").read()
        # Freed memory waits in quarantine under ASan, and every allocation has its red zones.
        self.rss_room_mb = 400 if self.asan else 150

    def command(self, node):
        return (["prlimit", "--nofile=%d" % self.files] if self.files else []) + super().command(node)

    def __enter__(self):
        os.environ["ASAN_OPTIONS"] = "quarantine_size_mb=8:malloc_context_size=6:allocator_release_to_os_interval_ms=500"
        super().__enter__()
        self.zk, self.http, self.peer = self.node.zk_port, self.node.http_port, self.node.peer_port
        self.pid = self.node.process.pid
        self.first_rss = self.rss_mb()
        self.observer = subprocess.Popen([sys.executable, os.path.join(HERE, "observer.py"), str(self.zk)],
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        harness.wait_until("the observer", lambda: self.observed()[1] > 0)
        return self

    def __exit__(self, kind, value, trace):
        self.observer.kill()
        self.observer.wait()
        super().__exit__(kind, value, trace)

    def observed(self):
        """Worst gap in ms, answers and lost connections since the last call."""
        self.observer.stdin.write("mark\n")
        self.observer.stdin.flush()
        if not select.select([self.observer.stdout], [], [], 20)[0]:
            return 20000, 0, 1
        return tuple(map(int, self.observer.stdout.readline().split()))

    def rss_mb(self):
        with open("/proc/%d/status" % self.node.process.pid) as f:
            return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1)) // 1024

    def log(self):
        with open(self.node.log_path, errors="replace") as f:
            return f.read()

    def report_of_sanitizer(self):
        found = re.search(r".*(AddressSanitizer|LeakSanitizer|runtime error:|ENSURE|UNREACHABLE|FATAL).*", self.log())
        return found.group(0) if found else None

    def new_session(self):
        client = wire.Client(self.zk)
        client.ok(wire.GET, wire.watch(b"/", False))
        client.close()

    def monitor(self, name):
        for line in (harness.four_letter(self.zk, "mntr", 5) or "").splitlines():
            if line.split("\t")[0] == name:
                return int(line.split("\t")[1])
        return None

    def end(self):
        """Stops it in good order: a crash or a leak shows in how it ends."""
        self.observer.kill()
        process = self.node.process
        process.send_signal(signal.SIGTERM)
        code = process.wait(30)
        self.node.process = None
        report = self.report_of_sanitizer()
        check(report is None, "the server's log says: %s", report)
        check(code == 0, "the server ended with %d", code)


def good_server(server):
    harness.wait_until("a new session", lambda: _works(server.new_session), 20)
    server.node.get("/readyz")


def _works(call):
    try:
        call()
        return True
    except (OSError, AssertionError, struct.error):
        return False


def matching(names):
    return any(not sys.argv[1:] or re.search(word, name) for name in names for word in (sys.argv[1:] or [""]))


def run(server, *cases):
    """Runs the cases side by side, prints a line for each."""
    cases = [c for c in cases if matching([c.__name__])]
    if not cases:
        return
    server.observed()
    lines, began, results = server.log().count("\n"), time.monotonic(), {}

    def one(case):
        start = time.monotonic()
        try:
            note, error = case(server) or "", None
        except Skip as skip:
            note, error = "skip: %s" % skip, None
        except BaseException:
            note, error = "", traceback.format_exc(limit=-4)
        results[case] = (note, error, time.monotonic() - start)

    threads = [threading.Thread(target=one, args=(case,), daemon=True) for case in cases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    shared = None
    try:
        check(server.node.process.poll() is None, "the server ended: %s", server.log()[-3000:])
        good_server(server)
    except BaseException:
        shared = traceback.format_exc(limit=-3)
    gap, answers, lost = server.observed()
    rss = server.rss_mb() if server.node.process.poll() is None else 0
    written = server.log().count("\n") - lines
    seconds = time.monotonic() - began
    if gap > GAP_MAX_MS or lost or not answers:
        shared = "the observer: %d answers, worst gap %d ms, %d connections lost\n%s" % (answers, gap, lost, shared or "")
    if rss - server.first_rss > server.rss_room_mb:
        shared = "memory grew from %d to %d MB\n%s" % (server.first_rss, rss, shared or "")
    if written > LOG_LINES_BASE + LOG_LINES_A_SECOND * seconds:
        shared = "%d log lines in %.1f s\n%s" % (written, seconds, shared or "")
    if server.report_of_sanitizer():
        shared = "the log says: %s\n%s" % (server.report_of_sanitizer(), shared or "")
    for case in cases:
        note, error, took = results.get(case, ("", "not over after 60 s", 60.0))
        error = error or shared
        kind = "failed" if error else "skipped" if note.startswith("skip: ") else "passed"
        totals[kind] += 1
        print("%-4s %-32s %5.1f s, worst gap %4d ms, memory %d to %d MB, log lines %d%s%s" % (
            {"passed": "ok", "failed": "FAIL", "skipped": "skip"}[kind], case.__name__, took, gap, server.first_rss, rss,
            written, "; " + note if note else "", "\n" + error if error else ""), flush=True)


def ended(name, call):
    """A check that belongs to no case under way."""
    if not matching([name]):
        return
    began = time.monotonic()
    try:
        note, error = call() or "", None
    except Skip as skip:
        note, error = "skip: %s" % skip, None
    except BaseException:
        note, error = "", traceback.format_exc(limit=-4)
    kind = "failed" if error else "skipped" if note.startswith("skip: ") else "passed"
    totals[kind] += 1
    print("%-4s %-32s %5.1f s%s%s" % ({"passed": "ok", "failed": "FAIL", "skipped": "skip"}[kind], name,
                                      time.monotonic() - began, "; " + note if note else "",
                                      "\n" + error if error else ""), flush=True)


def closed_without_answer(port, data, seconds=5.0, what="", shut=False):
    with wire.dial(port) as s:
        wire.send(s, data)
        if shut:
            s.shutdown(socket.SHUT_WR)
        answer = wire.rest(s, seconds)
        check(answer is not None, "%s: not closed in %g s", what or data[:20], seconds)
        check(answer == b"", "%s: answered %r", what or data[:20], answer[:60])


def still_open(sockets, seconds):
    """How many of the sockets end within so many seconds; gives those that are open still."""
    poll = select.poll()
    waiting = {s.fileno(): s for s in sockets}
    for fd in waiting:
        poll.register(fd, select.POLLIN | select.POLLHUP)
    end = time.monotonic() + seconds
    while waiting and time.monotonic() < end:
        for fd, _ in poll.poll(200):
            try:
                piece = waiting[fd].recv(4096)
            except OSError:
                piece = b""
            check(piece == b"", "a silent connection was told %r", piece[:40])
            poll.unregister(fd)
            del waiting[fd]
    return list(waiting.values())


def table(cases):
    """TABLE.md and the cases name each other, and what it names of unit tests exists."""
    with open(os.path.join(HERE, "TABLE.md")) as f:
        named = re.findall(r"`([^`]+)`", f.read())
    unit, tests = os.path.join(harness.ROOT, "test", "unit"), ""
    for name in os.listdir(unit):
        if name.endswith(".c"):
            with open(os.path.join(unit, name)) as f:
                tests += name[:-2] + "\n" + f.read()
    for case in cases:
        check(case.__name__ in named, "%s is not in TABLE.md", case.__name__)
    for name in named:
        if re.fullmatch(r"[a-z]+(_[a-z0-9]+)+", name) and name not in [c.__name__ for c in cases]:
            check(re.search(r"\b%s\b" % name, tests) or name.startswith("zk_"), "TABLE.md names %s, which is nowhere", name)
    return "%d cases" % len(cases)
