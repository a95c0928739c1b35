#!/usr/bin/env python3
"""Makes docs/performance.md's tables and docs/performance.svg from a results file: medians over the rounds, and ratios. A
second file, what costs.py printed, goes in as it is."""
import json
import os
import statistics
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PAGE = os.environ.get("BENCH_PAGE", os.path.join(ROOT, "docs", "performance.md"))
PLOT = os.path.splitext(PAGE)[0] + ".svg"
NAMES = {
    "set": "setData, 16 sessions, 256 under way",
    "get": "getData, 16 sessions, 256 under way",
    "ephemeral": "create + delete of ephemerals, 256 under way",
    "multi": "multi of 10 setData, 256 under way",
    "set-64x1": "setData, 64 sessions, 1 under way each",
    "set-1x1": "setData, one session, 1 under way",
}


def read(path):
    loads, scenarios, machine, disk = {}, {}, [], []
    for line in open(path):
        r = json.loads(line)
        if r["record"] == "load":
            loads.setdefault((r["nodes"], r["row"]), {}).setdefault(r["server"], []).append(r)
        elif r["record"] == "scenario":
            scenarios.setdefault(r["scenario"], {})[r["server"]] = r
        elif r["record"] == "machine":
            machine.append(r)
        elif r["record"] == "disk":
            disk.append(r["p50_us"])
    return loads, scenarios, machine, disk


def median(records, key):
    values = [r[key] for r in records if key in r]
    return statistics.median(values) if values else 0


def number(value):
    return "{:,.0f}".format(value)


def load_table(loads):
    out = ["| nodes | work | Parley/s | ZooKeeper/s | times | p50 us | p99 us | p50 us (ZooKeeper) | p99 us (ZooKeeper) |"
           " CPU us/op | CPU us/op (ZooKeeper) |", "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"]
    bars = []
    for (nodes, row), both in sorted(loads.items(), key=lambda x: (x[0][0], list(NAMES).index(x[0][1]))):
        if "parley" not in both or "zookeeper" not in both:
            continue
        p, z = both["parley"], both["zookeeper"]
        ratio = median(p, "per_second") / max(median(z, "per_second"), 1e-9)
        bars.append((nodes, row, median(p, "per_second"), median(z, "per_second"), ratio))
        out.append("| %d | %s | %s | %s | **%.1f** | %s | %s | %s | %s | %.1f | %.1f |" % (
            nodes, NAMES[row], number(median(p, "per_second")), number(median(z, "per_second")), ratio,
            number(median(p, "p50_us")), number(median(p, "p99_us")), number(median(z, "p50_us")),
            number(median(z, "p99_us")), median(p, "server_cpu_us_per_operation"),
            median(z, "server_cpu_us_per_operation")))
    return out, bars


def scenario_table(scenarios, disk):
    def get(name, server, key, form="%s"):
        record = scenarios.get(name, {}).get(server, {})
        if "failed" in record:
            return "failed: " + record["failed"]
        value = record.get(key)
        if isinstance(value, list):
            return ", ".join("none in 40" if v is None else "%.2f" % v for v in value)
        return "-" if value is None else form % value

    rows = [("idle", "cpu_share_of_a_core", "%.3f", "9,990 idle sessions, time-out 10 s: share of a core"),
            ("idle", "rss_mb", "%.0f", "the same: resident MB"),
            ("idle", "sessions_lost", "%d", "the same: sessions lost in 20 s"),
            ("million", "rss_mb", "%.0f", "a million znodes of 100 bytes: resident MB"),
            ("million", "set_p99_us", "%d", "writes with a million znodes and a snapshot under way: p99 us"),
            ("million", "set_max_us", "%d", "the same: slowest us"),
            ("million", "restart_s", "%.2f", "kill -9 after that, start until it serves: s"),
            ("restart", "restart_s", "%.2f", "start from a snapshot of a million znodes and a million entries: s"),
            ("watch", "others_p99_us", "%d", "9,900 watchers of one node told each second: others' write p99 us"),
            ("watch", "others_max_us", "%d", "the same: slowest us"),
            ("watch", "crowd_ms", "%.0f", "the same: the last watcher is told after ms"),
            ("reconnect", "others_p99_us", "%d", "9,000 TLS clients cut off and back, again and again: others' write p99 us"),
            ("reconnect", "crowd_ms", "%.0f", "the same: all have resumed their sessions after ms"),
            ("reconnect", "sessions_lost", "%d", "the same: sessions lost"),
            ("snapshot-memory", "peak_mb", "%.0f", "a million znodes, a snapshot under write load: peak MB with the child's own"),
            ("expire", "others_p99_us", "%d", "9,900 sessions end at once: others' write p99 us"),
            ("expire", "others_max_us", "%d", "the same: slowest us"),
            ("failover-kill", "seconds", "%s", "leader killed, three nodes: s until a write succeeds"),
            ("failover-kill", "median_s", "%.2f", "the same: median"),
            ("failover-stop", "seconds", "%s", "leader stopped (SIGSTOP): s until a write succeeds"),
            ("failover-stop", "median_s", "%.2f", "the same: median"),
            ("failover-cut", "seconds", "%s", "leader cut off from the network: s until a write succeeds"),
            ("failover-cut", "median_s", "%.2f", "the same: median")]
    out = ["| scenario | Parley | ZooKeeper |", "| --- | ---: | ---: |"]
    for name, key, form, text in rows:
        if name in scenarios:
            out.append("| %s | %s | %s |" % (text, get(name, "parley", key, form), get(name, "zookeeper", key, form)))
    if disk:
        out.append("| p50 of one 512-byte write with fdatasync on this disk, us | %.0f | |" % statistics.median(disk))
    return out


def plot(bars):
    width, line, left, top = 760, 44, 300, 46
    height = top + line * len(bars) + 20
    longest = max(b[4] for b in bars)
    out = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="13">' % (width, height),
           '<rect width="%d" height="%d" fill="#ffffff"/>' % (width, height),
           '<text x="12" y="24" font-size="15" font-weight="bold">Parley beside ZooKeeper 3.8: operations a second, ZooKeeper = 1</text>']
    for i, (nodes, row, p, z, ratio) in enumerate(bars):
        y, scale = top + i * line, (width - left - 90) / longest
        out.append('<text x="12" y="%d">%d node%s: %s</text>' % (y + 18, nodes, "s" if nodes > 1 else "", row))
        out.append('<text x="12" y="%d" font-size="11" fill="#666666">%s and %s a second</text>' % (y + 33, number(p), number(z)))
        out.append('<rect x="%d" y="%d" width="%.1f" height="15" fill="#2f6f9f"/>' % (left, y + 6, ratio * scale))
        out.append('<rect x="%d" y="%d" width="%.1f" height="9" fill="#b9b9b9"/>' % (left, y + 23, scale))
        out.append('<text x="%.1f" y="%d" font-weight="bold">%.1f</text>' % (left + ratio * scale + 6, y + 18, ratio))
    out.append("</svg>")
    return "\n".join(out) + "\n"


def replace(text, mark, lines):
    begin, end = "<!-- %s -->" % mark, "<!-- end %s -->" % mark
    head, rest = text.split(begin, 1)
    return head + begin + "\n" + "\n".join(lines) + "\n" + end + rest.split(end, 1)[1]


def main():
    path = sys.argv[1]
    loads, scenarios, machine, disk = read(path)
    text = open(PAGE).read()
    table, bars = load_table(loads)
    if bars:
        text = replace(text, "loads", table)
        with open(PLOT, "w") as f:
            f.write(plot(bars))
    if scenarios:
        text = replace(text, "scenarios", scenario_table(scenarios, disk))
    if machine:
        rounds = {n: max(len(r) for (k, _), both in loads.items() if k == n for r in both.values())
                  for n in sorted({k for k, _ in loads})}
        text = replace(text, "machine", ["%s CPUs, Linux %s; runs begun %s; medians of %s; raw: `bench/results/%s`." % (
            machine[-1]["cpus"], machine[-1]["kernel"], ", ".join(m["time"] for m in machine),
            ", ".join("%d rounds (%d node%s)" % (r, n, "s" if n > 1 else "") for n, r in rounds.items()),
            os.path.basename(path))])
    if len(sys.argv) > 2 and os.path.getsize(sys.argv[2]) > 0:
        text = replace(text, "costs", ["", *open(sys.argv[2]).read().rstrip().splitlines(), ""])
    with open(PAGE, "w") as f:
        f.write(text)


main()
