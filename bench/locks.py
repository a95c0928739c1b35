#!/usr/bin/env python3
"""Locks side by side: `parley bench locks` on each system that test/native/systems.py can start, and Curator's recipe on ZooKeeper, in
alternating rounds on this machine; JSON lines. With --plot FILE: the tables of docs/locks.md and docs/locks.svg out of such a file.

Usage: bench/locks.py [--rounds 3] [--seconds 3] [--clients 100] [--port 24900] [--only NAME,...] --out FILE.jsonl
       bench/locks.py --plot FILE.jsonl
"""
import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "test", "native"))
sys.dont_write_bytecode = True
import systems  # noqa: E402

PARLEY = os.environ.get("PARLEY", os.path.join(ROOT, "build", "parley"))
PAGE = os.path.join(ROOT, "docs", "locks.md")
JARS = ":".join("/usr/share/java/%s.jar" % name for name in (
    "curator-recipes", "curator-framework", "curator-client", "zookeeper", "zookeeper-jute", "guava", "failureaccess", "slf4j-api",
    "slf4j-nop", "netty-all", "netty-handler", "netty-transport", "netty-common", "netty-buffer", "netty-resolver", "netty-codec"))
# name, system, recipes; the port's offset
PLACES = [("parley", systems.Native, [None], 0), ("zookeeper", systems.ZooKeeper, [None], 40), ("etcd", systems.Etcd, [None], 50),
          ("redis", systems.Redis, [None], 30), ("redlock", systems.Redlock, [None], 32), ("memcached", systems.Memcached, [None], 60),
          ("postgres", systems.Postgres, ["table", "advisory"], 65), ("mysql", systems.MariaDB, ["table", "advisory"], 70)]
NAMES = {"parley": "Parley, 3 nodes", "curator": "ZooKeeper, 3 nodes, Curator", "zookeeper": "ZooKeeper, 3 nodes, `--via`",
         "etcd": "etcd, 3 nodes", "redis": "Redis, 1", "redlock": "Redlock, 5 Redis", "memcached": "memcached, 1",
         "postgres?recipe=table": "PostgreSQL, 1, table", "postgres?recipe=advisory": "PostgreSQL, 1, advisory",
         "mysql?recipe=table": "MariaDB, 1, table", "mysql?recipe=advisory": "MariaDB, 1, GET_LOCK"}


def results(command, options):
    done = subprocess.run(command, capture_output=True, text=True, timeout=300 + 10 * options.seconds)
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return lines or [{"system": command[0], "failed": done.stderr[-300:]}]


def curator(system, options):
    if not shutil.which("javac") or not os.path.exists("/usr/share/java/curator-recipes.jar"):
        return []
    classes = os.path.join(system.folder, "classes")
    subprocess.run(["javac", "-cp", JARS, "-d", classes, os.path.join(ROOT, "bench", "curator", "Locks.java")], check=True)
    return results(["java", "-cp", classes + ":" + JARS, "Locks", system.addresses(), str(options.clients), str(options.seconds)], options)


def measure(name, kind, recipes, offset, options):
    folder = tempfile.mkdtemp(prefix="parley-locks-")
    os.chmod(folder, 0o755)
    system = kind(folder, options.port + offset)
    system.binary, system.java = PARLEY, ["-Xmx2g"]
    try:
        system.start()
        out = []
        for recipe in recipes:
            url = system.url(recipe) if recipe else system.url()
            out += results([PARLEY, "bench", "locks", "--json", "--clients", str(options.clients), "--seconds", str(options.seconds), url],
                           options)
        return out + (curator(system, options) if kind is systems.ZooKeeper else [])
    finally:
        system.stop()
        shutil.rmtree(folder)


def run(options):
    only = options.only.split(",") if options.only else [name for name, _, _, _ in PLACES]
    with open(options.out, "a") as out:
        def write(**record):
            out.write(json.dumps(record) + "\n")
            out.flush()
            print(json.dumps(record), flush=True)
        write(record="machine", cpus=os.cpu_count(), kernel=platform.release(), time=time.strftime("%Y-%m-%d %H:%M"),
              load=os.getloadavg()[0])
        for number in range(options.rounds):
            for name, kind, recipes, offset in PLACES if number % 2 == 0 else PLACES[::-1]:
                if name not in only:
                    continue
                if kind.missing():
                    print("%s: not installed" % name, file=sys.stderr)
                    continue
                for result in measure(name, kind, recipes, offset, options):
                    write(record="lock", round=number, **result)


# ---- the page

def read(path):
    rows, machine = {}, None
    for line in open(path):
        record = json.loads(line)
        if record["record"] == "machine":
            machine = record
        elif "failed" not in record:
            rows.setdefault(record["system"], []).append(record)
    return rows, machine


def middle(records, key):
    values = [r[key] for r in records if key in r]
    return statistics.median(values) if values else 0


def table(rows):
    out = ["| lock | take + give back /s, one client | p50 ms | p99 ms | hand-over p50 ms, %d clients | p99 ms |"
           % max(r["clients"] for records in rows.values() for r in records), "| --- |" + " ---: |" * 5]
    for system, name in NAMES.items():
        if system in rows:
            r = rows[system]
            out.append("| %s | %s | %s |" % (name, "{:,.0f}".format(middle(r, "per_second")), " | ".join(
                "%.2f" % (middle(r, key) / 1000) for key in ("p50_us", "p99_us", "hand_over_p50_us", "hand_over_p99_us"))))
    if "parley" in rows and "curator" in rows:
        p, c = rows["parley"], rows["curator"]
        out += ["", "Parley beside Curator's recipe on ZooKeeper: %.1f times the pairs a second; the hand-over takes %.2f of the time (p50), "
                "%.2f (p99)." % (middle(p, "per_second") / middle(c, "per_second"),
                                 middle(p, "hand_over_p50_us") / middle(c, "hand_over_p50_us"),
                                 middle(p, "hand_over_p99_us") / middle(c, "hand_over_p99_us"))]
    return out


def bars(out, rows, title, key, unit, scale, top, color):
    shown = [(name, middle(rows[system], key) * scale) for system, name in NAMES.items() if system in rows]
    longest = max(value for _, value in shown) or 1
    out.append('<text x="12" y="%d" font-size="15" font-weight="bold">%s</text>' % (top + 18, title))
    for i, (name, value) in enumerate(shown):
        y = top + 30 + 24 * i
        width = 380 * value / longest
        out.append('<text x="12" y="%d">%s</text>' % (y + 13, name.replace("`", "")))
        out.append('<rect x="240" y="%d" width="%.1f" height="16" fill="%s"/>' % (y, max(width, 1), "#2f6f9f" if i == 0 else color))
        out.append('<text x="%.1f" y="%d" font-weight="bold">%s%s</text>' % (246 + width, y + 13, "{:,.0f}".format(value) if value >= 100
                                                                           else "%.2f" % value, unit))
    return top + 50 + 24 * len(shown)


def plot(rows):
    out = []
    below = bars(out, rows, "Take and give back, one client, per second (more is better)", "per_second", "", 1, 10, "#b9b9b9")
    below = bars(out, rows, "Hand-over among waiting clients, p50 in ms (less is better)", "hand_over_p50_us", " ms", 0.001, below, "#b9b9b9")
    head = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 740 %d" font-family="sans-serif" font-size="13">' % below,
            '<rect width="740" height="%d" fill="#ffffff"/>' % below]
    return "\n".join(head + out + ["</svg>"]) + "\n"


def replace(text, mark, lines):
    begin, end = "<!-- %s -->" % mark, "<!-- end %s -->" % mark
    head, rest = text.split(begin, 1)
    return head + begin + "\n" + "\n".join(lines) + "\n" + end + rest.split(end, 1)[1]


def publish(path):
    rows, machine = read(path)
    rounds = max(len(records) for records in rows.values())
    text = replace(open(PAGE).read(), "speed", table(rows))
    text = replace(text, "machine", ["%d CPUs, Linux %s, %s, load %.1f before it began; medians of %d round%s; raw: `bench/results/%s`." % (
        machine["cpus"], machine["kernel"], machine["time"], machine["load"], rounds, "s" if rounds > 1 else "", os.path.basename(path))])
    with open(PAGE, "w") as f:
        f.write(text)
    with open(os.path.splitext(PAGE)[0] + ".svg", "w") as f:
        f.write(plot(rows))


def main():
    parser = argparse.ArgumentParser()
    for name, value in (("rounds", 3), ("seconds", 3), ("clients", 100), ("port", 24900)):
        parser.add_argument("--" + name, type=int, default=value)
    for name in ("only", "out", "plot"):
        parser.add_argument("--" + name)
    options = parser.parse_args()
    if options.plot:
        publish(options.plot)
    elif options.out:
        run(options)
    else:
        parser.error("--out FILE or --plot FILE")


main()
