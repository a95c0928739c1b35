#!/usr/bin/env python3
"""What a rate does not show: idle sessions, a million znodes, restarts, snapshots, crowds of watchers and of sessions that
end, and fail-over. JSON objects go to the file that is named, one per scenario."""
import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import time

import netns
import servers


QUICK = False  # a try of the scripts themselves: small numbers that say nothing of speed
BASE_PORT = 27000


def some(count):
    """So many, or in the quick mode a tenth."""
    return max(1, count // 10) if QUICK else count


def port(offset):
    return BASE_PORT + offset


def measured(others):
    return {"others_%s" % key: others[key] for key in ("p50_us", "p99_us", "p999_us", "max_us", "per_second")}


def bench(cluster, arguments, background=False, which=None, timeout=300, addresses=None):
    command = [servers.PARLEY, "bench", "zookeeper", "-s", addresses or cluster.addresses(which), "--json", "-q"] + arguments
    if background:
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    out = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=timeout)
    return json.loads(out.stdout.strip().splitlines()[-1])


def finish(process, timeout=120):
    out, _ = process.communicate(timeout=timeout)
    return json.loads(out.strip().splitlines()[-1])


def idle(make):
    """10,000 sessions with a time-out of 10 s that do nothing."""
    with make(1, port(20)).start() as cluster:
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
    with make(1, port(30)).start() as cluster:
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


def snapshot_memory(make):
    """A million znodes of 100 bytes (paths of 17 bytes), then a snapshot while others write: the most memory at any moment, the
    server's resident pages and its child's own ones. ZooKeeper has no child; it writes its snapshots as it likes."""
    with make(1, port(32)).start() as cluster:
        bench(cluster, ["-w", "create", "--count", str(some(1000000))])
        time.sleep(3)  # a snapshot that is under way ends
        before = cluster.rss_mb()
        asked = time.monotonic()
        load = bench(cluster, ["-w", "set", "--sessions", "16", "--outstanding", "64", "--seconds", str(some(30)), "--warm", "0"],
                     background=True)
        peak, children, last = before, 0, 0.0
        while load.poll() is None:
            own, child = cluster.memory_mb()
            peak, children = max(peak, own + child), max(children, child)
            if child > 0:
                last = time.monotonic() - asked
            elif cluster.name == "parley" and last == 0.0:
                cluster.ask_snapshot()
            time.sleep(0.05)
        result = finish(load)
    return {"rss_mb": round(before, 1), "peak_mb": round(peak, 1), "child_private_mb": round(children, 1),
            "snapshot_seen": children > 0, "set_per_second": result["per_second"], "set_p99_us": result["p99_us"]}


def restart(make):
    """A million znodes in a snapshot, and a million further entries in the journal behind it."""
    with servers.Parley(1, port(35), ["--snapshot-entries", "1000000000"]).start() as cluster:
        bench(cluster, ["-w", "create", "--count", str(some(1000000))])
        cluster.ask_snapshot()
        snapshot = cluster.wait_snapshot()
        bench(cluster, ["-w", "create", "--count", str(some(1000000)), "--root", "/more"])
        entries = cluster.zxid(0) - snapshot
        cluster.kill(0)
        begin = time.monotonic()
        cluster.spawn(0)
        cluster.wait_ready(poll=0.01)
        took = time.monotonic() - begin
        return {"entries_behind_snapshot": entries, "restart_s": round(took, 3), "rss_mb": round(cluster.rss_mb(), 1)}


def crowd(work):
    def run(make):
        with make(1, port(40)).start() as cluster:
            mob = bench(cluster, ["-w", work, "--sessions", "1", "--outstanding", "1", "--crowd", str(some(9900)), "--timeout", "6000",
                                  "--warm", "3", "--seconds", "14", "--root", "/crowd"], background=True)
            cluster.wait_connections(some(9900))
            # The crowd is measured from three seconds on; its sessions end at most nine later.
            others = bench(cluster, ["-w", "set", "--sessions", "16", "--outstanding", "16", "--seconds", "12", "--warm", "0"])
            result = finish(mob)
        return {"crowd": some(9900), **measured(others),
                "others_p50_us": others["p50_us"], "others_p99_us": others["p99_us"],
                "others_p999_us": others["p999_us"], "others_max_us": others["max_us"],
                "others_per_second": others["per_second"], "crowd_gone": result["crowd_gone"],
                "crowd_events": result["crowd_events"], "crowd_ms": result["crowd_ms"]}
    return run


def reconnect(make):
    """10,000 TLS connections (TLS 1.3, certificates of both sides) are cut at once and resume their sessions, again and again;
    meanwhile others write over plain connections."""
    count = some(9000)  # old and new connections of a moment, in both processes, under a limit of 20,000 descriptors
    cluster = make(1, port(45))
    cluster.tls = servers.certificates(os.path.join(servers.WORK, "certificates"))
    with cluster.start():
        tls = ["--tls-ca", cluster.tls["ca"], "--tls-cert", cluster.tls["client_cert"], "--tls-key", cluster.tls["client_key"]]
        mob = bench(cluster, ["-w", "reconnect", "--sessions", "1", "--outstanding", "1", "--crowd", str(count), "--timeout",
                              "40000", "--warm", "1", "--seconds", str(some(20)), "--root", "/crowd"] + tls,
                    background=True, addresses="127.0.0.1:%d" % cluster.tls_port(0))
        cluster.wait_connections(count)
        others = bench(cluster, ["-w", "set", "--sessions", "16", "--outstanding", "16", "--seconds", str(some(18)),
                                 "--warm", "2"])
        result = finish(mob)
    return {"crowd": count, "rounds": result["crowd_rounds"], "crowd_ms": result["crowd_ms"],
            "connections_failed": result["crowd_retries"], "sessions_lost": result["sessions_lost"],
            **measured(others)}


def write_again(cluster, alive, begin, patience):
    """Seconds from `begin` until a write is acknowledged by one of the nodes that live."""
    session, at = None, 0
    while time.monotonic() - begin < patience:
        try:
            if session is None:
                session = servers.Session(cluster.address(alive[at % len(alive)]))
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


def kill(cluster, leader):
    cluster.kill(leader)
    return lambda: cluster.spawn(leader)


def stop(cluster, leader):
    cluster.kill(leader, signal.SIGSTOP)
    return lambda: cluster.kill(leader, signal.SIGCONT)


def cut(cluster, leader):
    """Each node has a network of its own here (netns.py): the leader's cable is pulled."""
    cluster.network.pull(leader)
    return lambda: cluster.network.plug(leader)


def failover(fail, rounds, network=False):
    """How long a client waits for its write on a survivor, from the moment in which the leader fails."""
    def run(make):
        times = []
        cluster = make(3, port(50))
        if network:
            cluster.network = netns.Network(3)
        with cluster.start():
            session = servers.Session(cluster.address(0), 5)
            session.frame(time.monotonic() + 5)
            session.create("/failover")
            session.frame(time.monotonic() + 5)
            session.close()
            for _ in range(some(rounds[make.name])):
                leader = cluster.only_leader()
                alive = [i for i in range(3) if i != leader]
                begin = time.monotonic()
                heal = fail(cluster, leader)
                times.append(write_again(cluster, alive, begin, 40))
                heal()
                cluster.wait_ready()
        known = sorted(40.0 if t is None else t for t in times)
        return {"seconds": [t if t is None else round(t, 3) for t in times], "median_s": round(statistics.median(known), 3),
                "max_s": round(known[-1], 3)}
    return run


SCENARIOS = {
    "idle": (idle, "both"),
    "million": (million, "both"),
    "restart": (restart, "parley"),
    "watch": (crowd("watch"), "both"),
    "expire": (crowd("expire"), "both"),
    "snapshot-memory": (snapshot_memory, "both"),
    "reconnect": (reconnect, "both"),
    "failover-kill": (failover(kill, {"parley": 15, "zookeeper": 5}), "both"),
    "failover-stop": (failover(stop, {"parley": 15, "zookeeper": 5}), "both"),
    "failover-cut": (failover(cut, {"parley": 15, "zookeeper": 5}, network=True), "both"),
}


def main():
    global QUICK, BASE_PORT
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("--only", default="", help="names: " + ", ".join(SCENARIOS))
    parse.add_argument("--servers", default="parley,zookeeper")
    parse.add_argument("--quick", action="store_true", help="a tenth of everything: tries the scripts, measures nothing")
    parse.add_argument("--base-port", type=int, default=BASE_PORT)
    parse.add_argument("--out", required=True)
    options = parse.parse_args()
    QUICK, BASE_PORT = options.quick, options.base_port
    netns.enter()  # before anything runs: a network that is ours alone, where links may be cut
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
