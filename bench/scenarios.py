#!/usr/bin/env python3
"""What a rate does not show: idle sessions, a million znodes, restarts, snapshots, crowds of watchers and of sessions that
end, and fail-over. JSON objects go to the file that is named, one per scenario."""
import argparse
import json
import os
import signal
import subprocess
import sys
import time

import servers


def bench(cluster, arguments, background=False, which=None, timeout=300):
    command = [servers.PARLEY, "bench", "zookeeper", "-s", cluster.addresses(which), "--json", "-q"] + arguments
    if background:
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    out = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=timeout)
    return json.loads(out.stdout.strip().splitlines()[-1])


def finish(process, timeout=120):
    out, _ = process.communicate(timeout=timeout)
    return json.loads(out.strip().splitlines()[-1])


def idle(make):
    """10,000 sessions with a time-out of 10 s that do nothing."""
    with make(1, 27020).start() as cluster:
        empty = cluster.rss_mb()
        crowd = bench(cluster, ["-w", "idle", "--sessions", "9990", "--timeout", "10000", "--warm", "4", "--seconds", "16"],
                      background=True)
        opening = cluster.wait_connections(9990)
        time.sleep(6)
        cpu, begin = cluster.cpu_seconds(), time.monotonic()
        time.sleep(10)
        share = (cluster.cpu_seconds() - cpu) / (time.monotonic() - begin)
        rss = cluster.rss_mb()
        result = finish(crowd)
    return {"sessions": 9990, "cpu_share_of_a_core": round(share, 4), "rss_mb": round(rss, 1),
            "rss_mb_before": round(empty, 1), "opening_s": round(opening, 1), "sessions_lost": result["sessions_lost"]}


def million(make):
    """A million znodes of 100 bytes, then writes beside a snapshot, then a restart from a snapshot and a long journal."""
    out = {}
    with make(1, 27030).start() as cluster:
        created = bench(cluster, ["-w", "create", "--count", "1000000"])
        out["create_per_second"] = created["per_second"]
        time.sleep(3)  # a snapshot that is under way ends: its child's pages would count twice
        out["rss_mb"] = round(cluster.rss_mb(), 1)
        # Without the rest of a snapshot's time; the journal passes a million entries within this load.
        beside = bench(cluster, ["-w", "set", "--sessions", "16", "--outstanding", "64", "--seconds", "15", "--warm", "1"])
        out["set_p99_us"], out["set_max_us"] = beside["p99_us"], beside["max_us"]
        out["set_operations"] = beside["operations"]
        bench(cluster, ["-w", "set", "--seconds", "6", "--warm", "0"])
        time.sleep(2)
        cluster.kill(0)
        begin = time.monotonic()
        cluster.spawn(0)
        cluster.wait_ready(poll=0.01)
        out["restart_s"] = round(time.monotonic() - begin, 3)
        out["rss_mb_after_restart"] = round(cluster.rss_mb(), 1)
    return out


def restart(make):
    """A million znodes in a snapshot, and a million further entries in the journal behind it."""
    with servers.Parley(1, 27035, ["--snapshot-entries", "1000000"]).start() as cluster:
        bench(cluster, ["-w", "create", "--count", "1000100"])
        time.sleep(4)
        bench(cluster, ["-w", "create", "--count", "940000", "--root", "/more"])
        cluster.kill(0)
        begin = time.monotonic()
        cluster.spawn(0)
        cluster.wait_ready(poll=0.01)
        return {"restart_s": round(time.monotonic() - begin, 3), "rss_mb": round(cluster.rss_mb(), 1)}


def crowd(work):
    def run(make):
        with make(1, 27040).start() as cluster:
            mob = bench(cluster, ["-w", work, "--sessions", "1", "--outstanding", "1", "--crowd", "9900", "--timeout", "6000",
                                  "--warm", "3", "--seconds", "14", "--root", "/crowd"], background=True)
            cluster.wait_connections(9900)
            # The crowd is measured from three seconds on; its sessions end at most nine later.
            others = bench(cluster, ["-w", "set", "--sessions", "16", "--outstanding", "16", "--seconds", "12", "--warm", "0"])
            result = finish(mob)
        return {"crowd": 9900, "others_p50_us": others["p50_us"], "others_p99_us": others["p99_us"],
                "others_p999_us": others["p999_us"], "others_max_us": others["max_us"],
                "others_per_second": others["per_second"], "crowd_gone": result["crowd_gone"],
                "crowd_events": result["crowd_events"], "crowd_ms": result["crowd_ms"]}
    return run


def write_again(cluster, alive, begin, patience):
    """Seconds from `begin` until a write is acknowledged by one of the nodes that live."""
    session, at = None, 0
    while time.monotonic() - begin < patience:
        try:
            if session is None:
                session = servers.Session(cluster.port(alive[at % len(alive)]))
                if session.frame(time.monotonic() + 1.0) is None:
                    raise OSError("no session")
            xid = session.set("/failover", b"x" * 100)
            until = time.monotonic() + 1.0
            while True:
                frame = session.frame(until)
                if frame is None:
                    raise OSError("no answer")
                if int.from_bytes(frame[:4], "big", signed=True) == xid:
                    break
            if int.from_bytes(frame[12:16], "big", signed=True) == 0:
                return time.monotonic() - begin
            time.sleep(0.005)
        except OSError:
            if session:
                session.close()
            session, at = None, at + 1
            time.sleep(0.01)
    return None


def failover(how, rounds):
    def run(make):
        times = []
        with make(3, 27050).start() as cluster:
            session = servers.Session(cluster.port(0), 5)
            session.frame(time.monotonic() + 5)
            session.create("/failover")
            session.frame(time.monotonic() + 5)
            session.close()
            for _ in range(rounds):
                leader = cluster.only_leader()
                alive = [i for i in range(3) if i != leader]
                begin = time.monotonic()
                cluster.kill(leader, how)
                times.append(write_again(cluster, alive, begin, 40))
                if how == signal.SIGSTOP:
                    cluster.kill(leader, signal.SIGCONT)
                else:
                    cluster.spawn(leader)
                cluster.wait_ready()
                time.sleep(1.5)
        return {"seconds": [t if t is None else round(t, 3) for t in times]}
    return run


SCENARIOS = {
    "idle": (idle, "both"),
    "million": (million, "both"),
    "restart": (restart, "parley"),
    "watch": (crowd("watch"), "both"),
    "expire": (crowd("expire"), "both"),
    "failover-kill": (failover(signal.SIGKILL, 3), "both"),
    "failover-stop": (failover(signal.SIGSTOP, 3), "both"),
}


def main():
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("--only", default="")
    parse.add_argument("--servers", default="parley,zookeeper")
    parse.add_argument("--out", required=True)
    options = parse.parse_args()
    os.makedirs(servers.WORK, exist_ok=True)
    with open(options.out, "a") as out:
        for name, (run, who) in SCENARIOS.items():
            if options.only and name not in options.only.split(","):
                continue
            for make in (servers.Parley, servers.ZooKeeper):
                if make.name not in options.servers.split(",") or (who == "parley" and make is servers.ZooKeeper):
                    continue
                try:
                    record = dict({"record": "scenario", "scenario": name, "server": make.name}, **run(make))
                except Exception as error:  # a scenario that fails is a result, not the end of the others
                    record = {"record": "scenario", "scenario": name, "server": make.name, "failed": repr(error)}
                out.write(json.dumps(record) + "\n")
                out.flush()
                print(json.dumps(record), file=sys.stderr)


main()
