#!/usr/bin/env python3
"""What one operation costs inside of Parley: system calls (perf's tracepoints, which slow nothing), context switches, page
faults, and perf's picture of where the CPU time goes, by part. Prints Markdown. Needs perf, and root for its tracepoints."""
import json
import os
import re
import subprocess
import sys
import time

import servers

CALLS = ["epoll_wait", "epoll_pwait", "recvfrom", "sendmsg", "futex", "read", "write", "pwritev", "fdatasync", "epoll_ctl", "mprotect",
         "madvise", "munmap"]
PARTS = [  # the first that matches a symbol names its part
    ("kernel: TCP and sockets", r"tcp|sock|skb|inet|ip_|ip4|bbr|net_|nf_|loopback|sendmsg|recv|__dev|dst_|import_iovec|napi|softirq"),
    ("kernel: disk and filesystem", r"ext4|blk|bio|virtio|virtqueue|vring|iowrite|vp_|jbd2|iomap|folio|submit|dio|inode|file_|sync|dd_"),
    ("kernel: switches, wakes, waits", r"sched|switch|wake|futex|enqueue|dequeue|pick|epoll|poll|eventfd|rq_|update_|spin|hrtimer|timer|rcu|ttwu|idle"),
    ("digests and hashes", r"digest|hash|sip"),
    ("the tree", r"^tree|^op_|^set_data|^find_allowed|path_|memchr|may$|acl|node_|txn"),
    ("ZooKeeper's protocol", r"jute|pipeline|zookeeper|write_part|write_set|header_|reply|request|connection|multi"),
    ("copying memory", r"memmove|memcpy|memset|memcmp|copy_"),
    ("memory allocation", r"malloc|free|realloc|calloc|unlink_chunk"),
    ("consensus, streams, batches", r"^core|^raft|batch|section|stream|crc32c|propose|lease"),
    ("journal", r"journal|frame|gather|record|write_all|bounce"),
]


def run(work, extra):
    with servers.Parley(1, 27070).start() as cluster:
        pid = str(cluster.processes[0].pid)
        load = subprocess.Popen([servers.PARLEY, "bench", "zookeeper", "-s", cluster.addresses(), "-w", work, "--seconds", "9",
                                 "--warm", "1", "--json", "-q"] + extra, stdout=subprocess.PIPE, text=True)
        time.sleep(2)
        events = ["context-switches", "page-faults"] + ["syscalls:sys_enter_" + c for c in CALLS]
        begin = time.monotonic()
        stat = subprocess.run(["perf", "stat", "-x", ";", "-e", ",".join(events), "-p", pid, "--", "sleep", "3"],
                              capture_output=True, text=True).stderr
        seconds = 3.0
        data = os.path.join(servers.WORK, "perf.data")
        subprocess.run(["perf", "record", "-q", "-F", "2000", "-o", data, "-p", pid, "--", "sleep", "3"],
                       capture_output=True)
        rate = json.loads(load.communicate()[0])["per_second"]
        report = subprocess.run(["perf", "report", "-i", data, "--no-children", "-g", "none", "--sort", "comm,symbol"],
                                capture_output=True, text=True).stdout
        os.unlink(data)
    counts = {}
    for line in stat.splitlines():
        fields = line.split(";")
        if len(fields) > 2 and fields[0].replace(".", "").isdigit():
            counts[fields[2].replace("syscalls:sys_enter_", "")] = float(fields[0]) / seconds / rate
    parts, threads = {}, {}
    for line in report.splitlines():
        match = re.match(r"\s+([\d.]+)%\s+(\S+)\s+\[(.)\]\s+(\S+)", line)
        if not match:
            continue
        share, thread, where, symbol = float(match[1]), match[2], match[3], match[4]
        threads[thread] = threads.get(thread, 0) + share
        part = "other code in the kernel" if where == "k" else "other code of ours"
        for name, pattern in PARTS:
            kernel = name.startswith("kernel") or name == "copying memory"
            if (where == "k") == kernel or name == "copying memory":
                if re.search(pattern, symbol):
                    part = name
                    break
        parts[part] = parts.get(part, 0) + share
    return rate, counts, parts, threads


def main():
    print("| per operation | " + " | ".join(w for w, _ in WORKS) + " |")
    print("| --- |" + " ---: |" * len(WORKS))
    results = [run(work.split(",")[0], extra) for work, extra in WORKS]
    for key in ["context-switches", "page-faults"] + CALLS:
        if any(r[1].get(key, 0) >= 0.0005 for r in results):
            print("| %s | %s |" % (key, " | ".join("%.3f" % r[1].get(key, 0) for r in results)))
    print("| all system calls of these | %s |" % " | ".join(
        "%.3f" % sum(v for k, v in r[1].items() if k in CALLS) for r in results))
    print()
    print("| share of the server's CPU time, % | " + " | ".join(w for w, _ in WORKS) + " |")
    print("| --- |" + " ---: |" * len(WORKS))
    for name in sorted({p for r in results for p in r[2]}, key=lambda n: -results[0][2].get(n, 0)):
        print("| %s | %s |" % (name, " | ".join("%.0f" % r[2].get(name, 0) for r in results)))
    for name in ("service", "replication", "journal"):
        print("| thread: %s | %s |" % (name, " | ".join("%.0f" % r[3].get(name, 0) for r in results)))


ALL_WORKS = [("set", []), ("multi", []), ("get", []), ("set, 64 sessions x 1", ["--sessions", "64", "--outstanding", "64"])]
WORKS = ALL_WORKS[:1] if os.environ.get("QUICK") else ALL_WORKS
if __name__ == "__main__":
    os.makedirs(servers.WORK, exist_ok=True)
    main()
