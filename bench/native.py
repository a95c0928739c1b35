#!/usr/bin/env python3
"""The native operations of one node with fsync, over pipelined HTTP; then 100,000 waiters on one lock.

One JSON object per measurement goes to the file that is named, with the CPU that the server used per operation. Server and
generator run under the command that PRIORITY names (nice -n -15; on a busy machine: chrt -r 10)."""
import argparse
import http.client
import json
import os
import platform
import subprocess
import sys
import time

import compare
import servers

PRIORITY = os.environ.get("PRIORITY", "nice -n -15").split()
TARGETS = {"limiter": 100000, "idempotency": 50000, "queue": 50000, "lock": None, "sequence": None}
WAITERS_MAX_MB = 50


class Node(servers.Parley):
    def command(self, i):
        return PRIORITY + super().command(i)

    def http(self):
        return "%s:%d" % (self.host(0), self.base + 150)

    def ask(self, operation, **fields):
        connection = http.client.HTTPConnection(self.http(), timeout=60)
        connection.request("POST", "/v1/" + operation, json.dumps(fields))
        answer = json.loads(connection.getresponse().read())
        connection.close()
        return answer

    def wait_http(self, patience=60):
        end = time.monotonic() + patience
        while time.monotonic() < end:
            try:
                if self.ask("limiter/list", limit=1).get("limits") is not None:
                    return self
            except OSError:
                pass
            time.sleep(0.05)
        raise RuntimeError("no answer: see " + self.folder)


def generator(node, work, *more):
    return PRIORITY + [servers.PARLEY, "bench", "native", "-s", node.http(), "-w", work, "--json", "-q", *more]


def load(node, work, outstanding, seconds):
    before, begin = node.cpu_seconds(), time.monotonic()
    out = subprocess.run(generator(node, work, "--outstanding", str(outstanding), "--seconds", str(seconds), "--warm", "1"),
                         capture_output=True, text=True, timeout=120 + seconds)
    busy = (node.cpu_seconds() - before) / (time.monotonic() - begin)
    result = json.loads(out.stdout.strip().splitlines()[-1])
    result["server_cpu_cores"] = round(busy, 3)
    result["server_cpu_us_per_operation"] = round(busy * 1e6 / max(result["per_second"], 1), 3)
    return result


def resident_mb(node):
    return servers.rollup(node.processes[0].pid, ("Rss",)) / 1024.0


def waiters(node, count, connections):
    """One holds the lock, `count` calls wait for it on pipelined connections; then each that gets it gives it back."""
    held = node.ask("lock/acquire", name="bench-0", owner="first", ttl_ms=3600000)
    before = resident_mb(node)
    process = subprocess.Popen(generator(node, "wait", "--connections", str(connections), "--outstanding", str(count),
                                         "--seconds", "4"),
                               stdout=subprocess.PIPE, text=True)
    while node.ask("lock/show", name="bench-0", limit=1).get("waiters", 0) < count:
        if process.poll() is not None:
            raise RuntimeError("the waiters went away")
        time.sleep(0.1)
    after, begin = resident_mb(node), time.monotonic()
    cpu = node.cpu_seconds()
    node.ask("lock/release", name="bench-0", owner="first", token=held["token"])
    answer = json.loads(process.communicate(timeout=600)[0].strip().splitlines()[-1])
    seconds, grants = time.monotonic() - begin, answer["operations"]
    return {"work": "waiters", "waiters": count, "connections": connections, "resident_mb_before": round(before, 1),
            "resident_mb": round(after, 1), "bytes_per_waiter": round((after - before) * 1048576 / count),
            "grants": grants, "grants_per_second": round(grants / seconds, 1),
            "server_cpu_us_per_grant": round((node.cpu_seconds() - cpu) * 1e6 / grants, 2), "errors": answer["errors"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--outstanding", type=int, default=2048)
    parser.add_argument("--waiters", type=int, default=100000)
    parser.add_argument("--port", type=int, default=21800)
    arguments = parser.parse_args()
    with open(arguments.out, "a") as out:
        def write(**row):
            out.write(json.dumps(row) + "\n")
            out.flush()
            print(json.dumps(row), flush=True)

        write(kind="machine", cpus=os.cpu_count(), kernel=platform.release(), priority=" ".join(PRIORITY), load_1m=os.getloadavg()[0],
              time=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), disk_p50_us=round(compare.disk_p50_us(300)))
        for round_number in range(arguments.rounds):
            for work, target in TARGETS.items():
                node = Node(1, arguments.port)
                node.start()
                try:
                    outstanding = min(arguments.outstanding, 1000) if work == "queue" else arguments.outstanding  # keys: 1,000
                    result = load(node.wait_http(), work, outstanding, arguments.seconds)
                finally:
                    node.stop()
                ratio = None if target is None else round(result["per_second"] / target, 2)
                write(kind="native", round=round_number, nodes=1, target=target, ratio=ratio, load_1m=os.getloadavg()[0],
                      **result)
        for count in sorted({1000, arguments.waiters}):
            node = Node(1, arguments.port)
            node.start()
            try:
                result = waiters(node.wait_http(), count, max(1, count // 1000))
            finally:
                node.stop()
            write(kind="native", nodes=1, target_mb=WAITERS_MAX_MB, **result)


if __name__ == "__main__":
    sys.exit(main())
