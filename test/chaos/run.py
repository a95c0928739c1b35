#!/usr/bin/env python3
"""Chaos on real processes: faults against three nodes of Parley and of ZooKeeper, workloads of real clients, one table.

    test/chaos/run.py [--system parley|zookeeper|both] [--fault NAME,...] [--seconds N] [--out DIR] [--docs] [--self-test]

Needs root (namespaces, loop devices). Nothing leaves the machine: each system runs in a network namespace without a link outside.
"""

import argparse
import concurrent.futures
import json
import os
import shutil
import subprocess
import sys
import time

import judge
import self_test
import stage
from faults import FAULTS, SPARES

PYTHON = os.path.join(stage.ROOT, "build", "interop", "kazoo", "bin", "python")
SYSTEMS = {"parley": stage.Parley, "zookeeper": stage.ZooKeeper, "broken": stage.Broken}
COMMANDS = {"unshare": "util-linux", "nsenter": "util-linux", "ip": "iproute2", "nft": "nftables", "losetup": "mount",
            "mkfs.ext4": "e2fsprogs", "gcc": "gcc"}
# kind, clients, operations a second of each; one process each. The C client does registers too.
WORKLOADS = [("register", 4, 25), ("set", 3, 25), ("queue", 6, 20), ("lock", 2, 10), ("lock", 2, 10)]
C_CLIENTS, C_RATE = 4, 25
SETTLE_S, FINAL_S = 5, 60
NUMBERS_A_PROCESS = 100000
SERVICE_MIN = 5  # operations a second below which a run shows nothing
COLUMNS = ("operations", "acknowledged", "unknown", "lost", "stale", "lock", "double", "gap_ms")


HEADINGS = {"lock": "lock violations", "double": "taken twice", "gap_ms": "longest time without service, ms", "check": "checkers"}


class Clock:
    def __init__(self, seconds):
        self.end = time.monotonic() + seconds

    def left(self):
        return max(0.0, self.end - time.monotonic())

    def over(self):
        return self.left() <= 0

    def hold(self, seconds):
        """Lets a state last; not beyond the end."""
        time.sleep(min(seconds, self.left()))


# ---- what must be there

def prepare(systems):
    missing = []
    if os.geteuid() != 0:
        missing.append("root: namespaces and loop devices need it")
    for command, package in COMMANDS.items():
        if not shutil.which(command):
            missing.append("%s: apt-get install %s" % (command, package))
    if "zookeeper" in systems and not (shutil.which("java") and os.path.exists(stage.JAR)):
        missing.append("%s and java: apt-get install zookeeper default-jre-headless" % stage.JAR)
    if not os.path.exists("/usr/include/zookeeper/zookeeper.h"):
        missing.append("the C client: apt-get install libzookeeper-mt-dev")
    for path, target in ((stage.PARLEY, "build/parley"), (judge.CHECK, "check-binary")):
        if not os.path.exists(path):
            missing.append("%s: make %s" % (path, target))
    if missing:
        sys.exit("chaos: missing\n  " + "\n  ".join(missing))
    build()


def build():
    os.makedirs(stage.BUILT, exist_ok=True)
    flags = ["gcc", "-std=gnu17", "-D_GNU_SOURCE", "-O2", "-g", "-Wall", "-Wextra", "-Wno-unused-parameter"]
    for out, more in (("proxy", ["-lpthread"]), ("client", ["-lzookeeper_mt", "-lpthread"]), ("shim.so", ["-shared", "-fPIC", "-ldl"])):
        source = os.path.join(stage.HERE, out.split(".")[0] + ".c")
        stage.do(*flags, source, "-o", os.path.join(stage.BUILT, out), *more)
    stage.do(os.path.join(stage.ROOT, "test", "interop", "kazoo", "setup"))


# ---- one fault on one system; runs inside the namespace

MAKE_ROOTS = """
import sys
from kazoo.client import KazooClient
for host in sys.argv[1].split(","):
    client = KazooClient(host)
    client.start()
    for path in ("/register", "/set", "/queue", "/lock"):
        client.ensure_path(path)
    client.stop()
"""


class Workloads:
    def __init__(self, hosts, folder, seconds):
        self.hosts, self.folder, self.processes, self.histories = hosts, folder, [], []
        self.begin_us = time.monotonic_ns() // 1000 + 1500000  # processes take a moment to start
        self.seconds = seconds

    def path(self, name):
        path = os.path.join(self.folder, name + ".jsonl")
        self.histories.append(path)
        open(path, "a").close()
        return path

    def python(self, kind, clients, rate, seconds):
        name = "%s%d" % (kind, len(self.histories))
        options = {"hosts": self.hosts, "out": self.path(name), "first": NUMBERS_A_PROCESS * len(self.histories), "clients": clients,
                   "begin_us": self.begin_us, "seconds": seconds, "rate": rate}
        with open(os.path.join(self.folder, "clients.log"), "ab") as log:
            return subprocess.Popen([PYTHON, os.path.join(stage.HERE, "workload.py"), kind, json.dumps(options)],
                                    stdout=log, stderr=log, preexec_fn=stage.die_with_parent)

    def start(self):
        for kind, clients, rate in WORKLOADS:
            self.processes.append(self.python(kind, clients, rate, self.seconds))
        words = [os.path.join(stage.BUILT, "client"), self.hosts, self.path("c"), NUMBERS_A_PROCESS * len(self.histories), C_CLIENTS,
                 self.begin_us, self.seconds, C_RATE, 10, 4]
        self.processes.append(subprocess.Popen([str(w) for w in words], preexec_fn=stage.die_with_parent))

    def finish(self):
        left = max(0, self.begin_us / 1e6 + self.seconds - time.monotonic())
        for process in self.processes:
            if process.wait(left + 60) != 0:
                raise RuntimeError("a client process ended with %d: see %s/clients.log" % (process.returncode, self.folder))

    def final(self):
        passed = (time.monotonic_ns() // 1000 - self.begin_us) // 1000000
        return self.python("final", 1, 1, passed + FINAL_S).wait(FINAL_S + 30) == 0


def run_fault(system, name, seconds, folder):
    """Gives what verdict() takes; the row's `error` says that the system did not come back."""
    fault, row = FAULTS[name], {"system": system, "fault": name, "seconds": seconds}
    theatre = SYSTEMS[system](folder, fault.tools, SPARES.get(name, 0))
    try:
        theatre.start()
        stage.do(PYTHON, "-c", MAKE_ROOTS, theatre.hosts(n for n in theatre.nodes if n.wanted))
        loads = Workloads(theatre.hosts(), folder, seconds + SETTLE_S)
        loads.start()
        theatre.clients = loads.processes
        theatre.wait_connections(C_CLIENTS + sum(clients for _, clients, _ in WORKLOADS))
        begin_us = time.monotonic_ns() // 1000
        try:
            fault.run(theatre, Clock(seconds))
            theatre.wait_served()
        except Exception as error:
            row["error"] = "%s: %s" % (type(error).__name__, error)
        theatre.heal()
        end_us = loads.begin_us + loads.seconds * 1000000
        loads.finish()
        if not loads.final():
            row.setdefault("error", "no answers at the end")
    finally:
        theatre.close()
        with open(os.path.join(folder, "notes.jsonl"), "w") as file:
            file.writelines(json.dumps(note) + "\n" for note in theatre.notes)
    row["ends"] = {n.id: n.ends for n in theatre.nodes if n.ends}
    return row, loads.histories, folder, begin_us, end_us


def verdict(row, histories, folder, begin_us, end_us):
    history = judge.load(histories)
    whole = os.path.join(folder, "history.jsonl")
    with open(whole, "w") as file:
        file.write(json.dumps({"meta": {"system": row["system"], "fault": row["fault"]}}) + "\n")
        file.writelines(json.dumps(o, separators=(",", ":")) + "\n" for o in history if o["op"] not in judge.ONLY_HERE)
    said = judge.Judgement(history)
    row.update(judge.outcomes(history))
    row.update({kind: said.counts[kind] for kind in judge.VIOLATIONS + ("fenced off",)})
    row["gap_ms"] = judge.longest_gap_ms(history, begin_us, end_us)
    row["check"], text = judge.checked(whole)
    with open(os.path.join(folder, "verdict.json"), "w") as file:
        json.dump({"row": row, "shown": said.shown, "check": text}, file, indent=1)
    return row


def run_inside(options):
    """One fault on one system, in namespaces of its own."""
    stage.prepare_namespace()
    row = verdict(*run_fault(options.system, options.fault, options.seconds, os.path.join(options.out, options.system, options.fault)))
    tell(options, row)


def tell(options, row):
    with open(os.path.join(options.out, row["system"] + ".jsonl"), "a") as file:
        file.write(json.dumps(row) + "\n")
    print("%s %s: %s" % (row["system"], row["fault"], wrong(row) or "ok"), flush=True)


# ---- the whole: systems side by side, the table, what stands in docs/

def outside(options, system, name):
    """One fault on one system: this program again, in namespaces that end with it. What breaks off costs this fault only."""
    log_path = os.path.join(options.out, "%s-%s.log" % (system, name))
    environment = dict(os.environ, CHAOS_RUN="%d-%s" % (os.getpid(), system))
    words = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", sys.executable,
             os.path.abspath(__file__), "--inside", "--system", system, "--fault", name, "--seconds", str(options.seconds),
             "--out", options.out]
    with open(log_path, "w") as log:
        code = subprocess.call(words, stdout=log, stderr=log, env=environment, preexec_fn=stage.die_with_parent)
    text = open(log_path).read().strip()
    if code == 0:
        print(text, flush=True)
    else:
        tell(options, {"system": system, "fault": name, "seconds": options.seconds, "check": "none",
                       "error": "broke off: " + (text.splitlines() or ["code %d" % code])[-1]})


def run_system(options, system):
    for name in options.fault.split(","):
        if system in FAULTS[name].systems:
            outside(options, system, name)
            stage.remove_groups("%d-%s" % (os.getpid(), system))


def wrong(row):
    """Why a row is not as it should be, or nothing."""
    found = ["%s %d" % (kind, row[kind]) for kind in judge.VIOLATIONS if row.get(kind)]
    if row.get("check") != "ok":
        found.append("check: %s" % row.get("check"))
    if row.get("error"):
        found.append(row["error"])
    if row.get("acknowledged", 0) < row["seconds"] * SERVICE_MIN:
        found.append("hardly any service: nothing is shown")
    return ", ".join(found)


def table(rows):
    names = ["fault", "system"] + list(COLUMNS) + ["check"]
    lines = ["| %s |" % " | ".join(HEADINGS.get(n, n) for n in names), "| --- | --- |" + " ---: |" * len(COLUMNS) + " --- |"]
    order = list(FAULTS)
    for row in sorted(rows, key=lambda r: (order.index(r["fault"]), r["system"])):
        cells = [str(row.get(n, "-")) for n in names]
        if row.get("error"):
            cells[-1] += "; " + row["error"]
        lines.append("| %s |" % " | ".join(cells))
    return "\n".join(lines)


def write_docs(rows, commit):
    proof = os.path.join(stage.ROOT, "docs", "proof", "chaos.jsonl")
    os.makedirs(os.path.dirname(proof), exist_ok=True)
    with open(proof, "a") as file:
        file.writelines(json.dumps(dict({"commit": commit}, **row)) + "\n" for row in rows)
    page = os.path.join(stage.ROOT, "docs", "chaos.md")
    text = open(page).read()
    faults = "\n".join("| %s | %s |" % (fault.name, fault.text) for fault in FAULTS.values())
    for mark, inside in (("table", table(rows)), ("faults", faults)):
        begin, end = "<!-- %s -->\n" % mark, "<!-- end of %s -->" % mark
        text = text.split(begin)[0] + begin + inside + "\n" + end + text.split(end)[1]
    with open(page, "w") as file:
        file.write(text)


def finish(options, systems):
    rows = []
    for system in systems:
        with open(os.path.join(options.out, system + ".jsonl")) as file:
            rows += [json.loads(line) for line in file]
    print(table(rows))
    if options.docs:
        write_docs(rows, stage.do("git", "-C", stage.ROOT, "rev-parse", "--short", "HEAD"))
    failed = 0
    for row in filter(wrong, rows):
        theirs = row["system"] == "zookeeper" and "broke off" not in row.get("error", "")
        print("%s %s under %s: %s" % ("note" if theirs else "FAIL", row["system"], row["fault"], wrong(row)))
        failed += not theirs
    print("%d passed, %d failed, 0 skipped" % (len(rows) - failed, failed))
    return 1 if failed else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--system", default="both", choices=list(SYSTEMS) + ["both"])
    parser.add_argument("--fault", default=",".join(FAULTS), help="names with commas between: " + ", ".join(FAULTS))
    parser.add_argument("--seconds", type=int, default=180, help="length of each fault (180)")
    parser.add_argument("--out", default="/tmp/parley-chaos", help="histories, logs, verdicts; emptied first")
    parser.add_argument("--docs", action="store_true", help="write docs/chaos.md's table and docs/proof/chaos.jsonl")
    parser.add_argument("--report", action="store_true", help="run nothing: judge by what --out holds of an earlier run")
    parser.add_argument("--self-test", action="store_true", help="show that broken histories and a broken system are called so")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    for name in options.fault.split(","):
        if name not in FAULTS:
            parser.error("no fault %s; there are: %s" % (name, ", ".join(FAULTS)))
    if options.inside:
        return run_inside(options)
    systems = ["parley", "zookeeper"] if options.system == "both" else [options.system]
    if options.report:
        return finish(options, systems)
    prepare(systems)
    shutil.rmtree(options.out, ignore_errors=True)
    os.makedirs(options.out)
    if options.self_test:
        return self_test.run(options, run_system)
    with concurrent.futures.ThreadPoolExecutor(len(systems)) as threads:
        list(threads.map(lambda system: run_system(options, system), systems))
    return finish(options, systems)


if __name__ == "__main__":
    sys.exit(main())
