"""Runs real, unmodified clients against Parley: on one node, on three, and on three with the leader killed in the middle.

A client is a folder beside this file with an executable `setup` (installs and builds what it needs; exit 77: its runtime is missing)
and an executable `run`. `run` gets ZK_HOSTS and prints `N passed, N failed, N skipped` last. Where it prints a line
`KILL LEADER` it waits for a line on its standard input: the harness has then killed the leader (in the other modes: nothing was killed).
At a line `ADD MEMBER` it gets the line `added HOST:PORT` once a node has joined, or `no` where none can (one node, real ZooKeeper).
A client with a file `own_servers` starts its servers itself and is run once.

  python3 test/interop/run.py [--mode one|three|kill] [--required] [--real] [CLIENT ...]

A missing runtime is a counted skip; with --required (CI) it is a failure. --real drives the clients against real ZooKeeper
servers instead (PARLEY_HTTP is empty then): so the tests themselves are tested. Last line: `interop: N passed, N failed, N skipped`.
"""

import argparse
import os
import re
import subprocess
import sys
import threading
import time

from harness import Cluster, RealZooKeeper

HERE = os.path.dirname(os.path.abspath(__file__))
TOTALS = re.compile(r"(\d+) passed, (\d+) failed, (\d+) skipped")
LIMIT_SECONDS = 300


def clients():
    return sorted(d for d in os.listdir(HERE) if os.path.exists(os.path.join(HERE, d, "run")))


def drive(name, mode, real):
    """Runs one client in one mode; gives (passed, failed, skipped) and its output."""
    nodes = {"own": 0, "one": 1}.get(mode, 3)
    output, totals = [], [0, 0, 0]
    with RealZooKeeper(nodes) if real else Cluster(nodes, extra=os.environ.get("PARLEY_ARGS", "").split()) as cluster:
        http = "" if real else ",".join("127.0.0.1:%d" % n.http_port for n in cluster.nodes)
        env = dict(os.environ, ZK_HOSTS=cluster.hosts, ZK_MODE=mode, PARLEY_HTTP=http)
        process = subprocess.Popen([os.path.join(HERE, name, "run")] + ["--real"] * (real and not nodes), cwd=os.path.join(HERE, name), env=env,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        timer = threading.Timer(LIMIT_SECONDS, process.kill)
        timer.start()
        for line in process.stdout:
            output.append(line)
            if line.strip() == "KILL LEADER":
                if mode == "kill":
                    dead = cluster.leader()
                    dead.kill()
                    dead.start()  # comes back while the client goes on
                process.stdin.write("go\n")
                process.stdin.flush()
            if line.strip() == "ADD MEMBER":
                answer = "no" if real or nodes == 1 else "added 127.0.0.1:%d" % cluster.add_member().zk_port
                process.stdin.write(answer + "\n")
                process.stdin.flush()
            match = TOTALS.search(line)
            if match:
                totals = [int(match.group(i)) for i in (1, 2, 3)]
        code = process.wait()
        timer.cancel()
        if sum(totals) == 0 or (code != 0 and totals[1] == 0):
            totals[1] += 1
            output.append("(exit %d, totals missing or not telling)\n" % code)
        for node in cluster.nodes:  # a node that fell over may pass unseen behind the two others
            if node.process is None or node.process.poll() is not None:
                totals[1] += 1
                output.append("FAILED  node %d ended by itself (%s)\n" % (node.id, node.process and node.process.returncode))
        if totals[1]:
            for node in cluster.nodes:
                output.append("---- node %d\n%s" % (node.id, node.log_tail()))
    return totals, output


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--mode", choices=["one", "three", "kill"], action="append")
    parser.add_argument("--required", action="store_true")
    parser.add_argument("--real", action="store_true")
    parser.add_argument("--verbose", action="store_true", help="show the clients' output also when all is well")
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    sums = [0, 0, 0]
    for name in args.names or clients():
        setup = subprocess.run([os.path.join(HERE, name, "setup")], cwd=os.path.join(HERE, name),
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if setup.returncode != 0:
            missing = setup.returncode == 77 and not args.required
            sums[2 if missing else 1] += 1
            print("%-22s %s" % (name, "skipped: runtime missing" if missing else "SETUP FAILED (exit %d; 77: runtime missing)" % setup.returncode))
            if not missing:
                print(setup.stdout[-3000:])
            continue
        modes = args.mode or ["one", "three", "kill"]
        for mode in ["own"] if os.path.exists(os.path.join(HERE, name, "own_servers")) else modes:
            began = time.monotonic()
            try:
                totals, output = drive(name, mode, args.real)
            except Exception as error:  # a cluster that does not start is a failure of this row, not of the run
                totals, output = [0, 1, 0], ["%r\n" % error]
            for i in range(3):
                sums[i] += totals[i]
            print("%-22s %-6s %3d passed %3d failed %3d skipped  %5.1f s" % (
                name, mode, totals[0], totals[1], totals[2], time.monotonic() - began), flush=True)
            if totals[1] or args.verbose:
                sys.stdout.writelines(output[-150:])
    print("interop: %d passed, %d failed, %d skipped" % tuple(sums))
    return 1 if sums[1] else 0


if __name__ == "__main__":
    sys.exit(main())
