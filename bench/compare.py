#!/usr/bin/env python3
"""Parley and ZooKeeper side by side: both run all the time, the load goes to one, then to the other, round after round.

One JSON object per measurement goes to the file that is named, with the server, the number of nodes, and the CPU that the
servers used per operation."""
import argparse
import json
import os
import platform
import subprocess
import sys
import time

import servers

ROWS_OF = {1: list(servers.ROWS), 3: ["set", "get", "ephemeral", "multi"]}


def load(cluster, arguments, seconds, warm):
    command = [servers.PARLEY, "bench", "zookeeper", "-s", cluster.addresses(), "--seconds", str(seconds), "--warm",
               str(warm), "--json", "-q"] + arguments
    before, begin = cluster.cpu_seconds(), time.monotonic()
    out = subprocess.run(command, capture_output=True, text=True, timeout=120 + seconds)
    wall = time.monotonic() - begin
    result = json.loads(out.stdout.strip().splitlines()[-1])
    # The warm-up counts in the CPU but not in the operations, so both are taken as rates.
    busy = (cluster.cpu_seconds() - before) / wall
    result["server_cpu_cores"] = round(busy, 3)
    if result["per_second"] > 0:
        result["server_cpu_us_per_operation"] = round(busy * 1e6 / result["per_second"], 3)
    return result


def warm(cluster, seconds_max):
    """Until a second is hardly faster than the one before: Java compiles what is hot."""
    last, begin = 0.0, time.monotonic()
    while time.monotonic() - begin < seconds_max:
        rate = load(cluster, servers.ROWS["set"], 4, 0)["per_second"]
        if rate < last * 1.05:
            break
        last = rate
    for row in ("get", "ephemeral", "multi"):
        load(cluster, servers.ROWS[row], 3, 0)


def disk_p50_us(count=1500):
    """What one small write with its fdatasync costs, on written blocks of a file on the same disk."""
    path = os.path.join(servers.WORK, "disk")
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    os.write(fd, b"\0" * (count * 512))
    os.fsync(fd)
    times = []
    for i in range(count):
        begin = time.perf_counter()
        os.pwrite(fd, b"x" * 512, i * 512)
        os.fdatasync(fd)
        times.append((time.perf_counter() - begin) * 1e6)
    os.close(fd)
    os.unlink(path)
    return sorted(times)[count // 2]


def main():
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("--nodes", default="1,3")
    parse.add_argument("--rounds", type=int, default=3)
    parse.add_argument("--seconds", type=int, default=3)
    parse.add_argument("--warm-max", type=int, default=30, help="longest warm-up of a server, seconds")
    parse.add_argument("--rows", default="")
    parse.add_argument("--out", required=True)
    options = parse.parse_args()
    os.makedirs(servers.WORK, exist_ok=True)
    with open(options.out, "a") as out:

        def say(record):
            out.write(json.dumps(record) + "\n")
            out.flush()

        say({"record": "machine", "cpus": os.cpu_count(), "kernel": platform.release(),
             "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())})
        for nodes in (int(n) for n in options.nodes.split(",")):
            rows = options.rows.split(",") if options.rows else ROWS_OF[nodes]
            with servers.Parley(nodes, 27000).start() as parley, servers.ZooKeeper(nodes, 27010).start() as zookeeper:
                warm(parley, 5)
                warm(zookeeper, options.warm_max)
                for number in range(options.rounds):
                    if nodes == 1:
                        say({"record": "disk", "p50_us": round(disk_p50_us(), 1)})
                    for row in rows:
                        for cluster in (parley, zookeeper):
                            result = load(cluster, servers.ROWS[row], options.seconds, 1)
                            say(dict({"record": "load", "server": cluster.name, "nodes": nodes, "row": row,
                                      "round": number}, **result))
                            print("%d node%s round %d %-10s %-9s %9.0f/s  p50 %6d us  p99 %6d us  %.2f us CPU" %
                                  (nodes, "s"[:nodes > 1], number, row, cluster.name, result["per_second"],
                                   result["p50_us"], result["p99_us"], result.get("server_cpu_us_per_operation", 0)),
                                  file=sys.stderr)


if __name__ == "__main__":
    main()
