#!/usr/bin/env python3
"""Two builds of Parley beside each other: `bench/ab.py A B [--row set] [--nodes 1] [--rounds 8] [--seconds 1]`.

Rounds alternate, so that what else runs on the machine falls on both; medians, and the quietest of ten rounds, are printed. The
same generator (this tree's build) loads both. Context switches are the kernel's own count of the servers' threads, per operation:
they hardly depend on what else runs."""
import argparse
import glob
import json
import os
import statistics
import subprocess
import time

import servers

class Build(servers.Parley):
    def __init__(self, binary, label, nodes, base_port, extra):
        self.binary, self.name = binary, label
        super().__init__(nodes, base_port, extra)

    def command(self, i):
        return [self.binary] + super().command(i)[1:]

    def switches(self):
        total = 0
        for p in self.processes:
            for path in glob.glob("/proc/%d/task/*/status" % p.pid):
                for line in open(path):
                    if "ctxt_switches" in line:
                        total += int(line.split()[1])
        return total


def measure(build, generator, row, seconds):
    command = [generator, "bench", "zookeeper", "-s", build.addresses(), "--seconds", str(seconds), "--warm", "0", "--json",
               "-q"] + servers.ROWS[row]
    cpu, switches, begin = build.cpu_seconds(), build.switches(), time.monotonic()
    result = json.loads(subprocess.run(command, capture_output=True, text=True).stdout.splitlines()[-1])
    wall = time.monotonic() - begin
    count = max(result["operations"], 1)
    return {"rate": result["per_second"], "p50": result["p50_us"], "p99": result["p99_us"],
            "cores": (build.cpu_seconds() - cpu) / wall, "cpu_us": (build.cpu_seconds() - cpu) * 1e6 / count,
            "switches": (build.switches() - switches) / count,
            "generator_us": (result["generator_user_cpu_s"] + result["generator_system_cpu_s"]) * 1e6 / count}


def main():
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("builds", nargs="+")
    parse.add_argument("--row", default="set")
    parse.add_argument("--nodes", type=int, default=1)
    parse.add_argument("--rounds", type=int, default=8)
    parse.add_argument("--seconds", type=int, default=1)
    parse.add_argument("--port", type=int, default=27200)
    parse.add_argument("--generator", default=servers.PARLEY)
    parse.add_argument("--extra", default="", help="settings for all servers")
    options = parse.parse_args()
    os.makedirs(servers.WORK, exist_ok=True)
    builds = [Build(os.path.abspath(b), "build%d" % i, options.nodes, options.port + 300 * i, options.extra.split())
              for i, b in enumerate(options.builds)]
    try:
        for build in builds:
            build.start()
            measure(build, options.generator, "set", 1)
        for row in options.row.split(","):
            seen = [[] for _ in builds]
            for number in range(options.rounds):
                order = range(len(builds)) if number % 2 == 0 else reversed(range(len(builds)))
                for i in order:
                    seen[i].append(measure(builds[i], options.generator, row, options.seconds))
            for i, build in enumerate(builds):
                middle = {k: statistics.median(r[k] for r in seen[i]) for k in seen[i][0]}
                best = sorted((r["rate"] for r in seen[i]), reverse=True)[len(seen[i]) // 10]
                print("%-9s %d  %-22s %9.0f/s  best %9.0f  p50 %5d  p99 %6d  server %.2f cores %6.2f us  switches %.4f  generator %.2f us"
                      % (row, options.nodes, os.path.basename(build.binary), middle["rate"], best, middle["p50"], middle["p99"],
                         middle["cores"], middle["cpu_us"], middle["switches"], middle["generator_us"]), flush=True)
    finally:
        for build in builds:
            build.stop()


main()
