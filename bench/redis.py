#!/usr/bin/env python3
"""Beside Debian's Redis with appendfsync always, one node each, by redis-benchmark: rounds alternate, medians are told.

    bench/redis.py [--rounds 3] [--requests 100000] [--folder DIR] [--json FILE]
"""
import argparse
import csv
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
WORKS = [("SET", ["-t", "set"]), ("GET", ["-t", "get"]), ("INCR", ["-t", "incr"]), ("LPUSH", ["-t", "lpush"]),
         ("HSET", ["-t", "hset"]), ("SADD", ["-t", "sadd"]), ("ZADD", ["-t", "zadd"])]
TICKS = os.sysconf("SC_CLK_TCK")


def wait_for(port):
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as s:
                s.sendall(b"PING\r\n")
                if s.recv(64).startswith(b"+PONG"):
                    return
        except OSError:
            pass
        time.sleep(0.05)
    sys.exit("no server on port %d" % port)


def cpu_of(process):
    fields = open("/proc/%d/stat" % process.pid).read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident_of(process):
    for line in open("/proc/%d/status" % process.pid):
        if line.startswith("VmRSS"):
            return int(line.split()[1])


def measure(port, process, work, pipeline, requests):
    count = requests * (8 if pipeline > 1 else 1)
    before = cpu_of(process)
    out = subprocess.run(["redis-benchmark", "-p", str(port), "-c", "64", "-n", str(count), "-P", str(pipeline),
                          "-r", "100000", "-d", "100", "--csv", *work], capture_output=True, text=True, check=True).stdout
    row = list(csv.DictReader(out.splitlines()))[-1]
    return {"rate": float(row["rps"]), "p50_ms": float(row["p50_latency_ms"]), "p99_ms": float(row["p99_latency_ms"]),
            "cpu_us": (cpu_of(process) - before) * 1e6 / count}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=60000)
    parser.add_argument("--folder", help="where data goes: on the disk to be measured")
    parser.add_argument("--json")
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="parley-bench-redis-", dir=options.folder)
    os.mkdir(folder + "/redis")
    log = open(folder + "/log", "w")
    servers = {
        "redis": (26951, subprocess.Popen(["redis-server", "--port", "26951", "--dir", folder + "/redis", "--save", "",
                                           "--appendonly", "yes", "--appendfsync", "always"], stdout=log, stderr=log)),
        "parley": (26952, subprocess.Popen([ROOT + "/build/parley", "server", "--id", "1", "--data", folder + "/parley",
                                            "--redis", "127.0.0.1:26952", "--zookeeper", "off", "--http", "127.0.0.1:26953",
                                            "--peer", "127.0.0.1:26954"], stdout=log, stderr=log))}
    results = []
    try:
        for port, _ in servers.values():
            wait_for(port)
        for turn in range(options.rounds):
            for pipeline in (1, 16):
                for name, work in WORKS:
                    for server in sorted(servers, reverse=turn % 2 == 1):
                        port, process = servers[server]
                        row = measure(port, process, work, pipeline, options.requests)
                        results.append({"server": server, "work": name, "pipeline": pipeline, "round": turn, **row})
        print("| work | pipelined | Parley/s | Redis/s | times | p50 ms | p99 ms | p50 ms (Redis) | p99 ms (Redis) | CPU us | CPU us (Redis) |")
        print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
        for pipeline in (1, 16):
            for name, _ in WORKS:
                def median(server, field):
                    return statistics.median(r[field] for r in results if r["server"] == server and r["work"] == name
                                             and r["pipeline"] == pipeline)
                ours, theirs = median("parley", "rate"), median("redis", "rate")
                print("| %s | %d | %s | %s | **%.2f** | %s | %.1f | %.1f |" % (
                    name, pipeline, format(round(ours), ","), format(round(theirs), ","), ours / theirs,
                    " | ".join("%.2f" % median(s, f) for s in ("parley", "redis") for f in ("p50_ms", "p99_ms")),
                    median("parley", "cpu_us"), median("redis", "cpu_us")))
        print("resident at the end: Parley %d KB, Redis %d KB" % tuple(resident_of(servers[s][1]) for s in ("parley", "redis")))
        if options.json:
            with open(options.json, "a") as file:
                for row in results:
                    file.write(json.dumps(row) + "\n")
    finally:
        for _, process in servers.values():
            process.terminate()
            process.wait(20)
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
