#!/usr/bin/env python3
"""A lock protects a store, and its holders are paused (SIGSTOP) for longer than the lock lives. A store that takes whatever
comes is corrupted; one that refuses an older token than it has seen never is. The same lock, the same pauses, real processes.
A small run is one of run.py's tests; the full one:

    test/native/unfenced.py --rounds 1000
"""
import argparse
import collections
import json
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

from run import Cluster, ask, test, until

WORKERS = 4
TTL_MS = 400
WAIT_MS = 30000


# ---- the store: a process with its own file, which holds a list of names; each worker reads it all, adds one, writes it all

def store_main(path, fenced):
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    newest = 0
    open(path, "w").close()
    while True:
        connection, _ = listener.accept()
        with connection, connection.makefile("rw") as stream:
            question = json.loads(stream.readline())
            answer = {"done": True}
            if fenced and question["token"] < newest:
                answer = {"done": False, "newest": newest}
            else:
                newest = max(newest, question["token"])
                if "write" in question:
                    with open(path + ".new", "w") as file:
                        file.write(question["write"])
                    os.replace(path + ".new", path)
                else:
                    with open(path) as file:
                        answer["read"] = file.read()
            stream.write(json.dumps(answer) + "\n")


def store_ask(port, **question):
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection, connection.makefile("rw") as stream:
        stream.write(json.dumps(question) + "\n")
        stream.flush()
        return json.loads(stream.readline())


# ---- a worker: adds its entries, one each time that it has the lock; at some it is paused with the lock in its hand

def persist(ports, operation, **fields):
    def done():
        ports.append(ports.pop(0)) if done.again else None
        done.again = True
        try:
            answer = ask(ports[0], operation, **fields)
        except OSError:
            return None
        return answer if answer.status not in (503, 504) else None
    done.again = False
    return until(operation, done, 60)


def worker_main(name, store, rounds, pause_each, ports):
    written = 0
    while written < rounds:
        owner = "%s %d" % (name, written)
        held = persist(ports, "lock/acquire", name="list", owner=owner, ttl_ms=TTL_MS, wait_ms=WAIT_MS)
        if held.status != 200:
            assert held.error == "timed-out", held.body
            continue
        token, entry = held["token"], "%s-%d\n" % (name, written)
        before = store_ask(store, token=token)
        print("holds", flush=True)
        if before["done"]:
            if pause_each and written % pause_each == pause_each - 1:
                pause_each = -pause_each  # once for this entry
                os.kill(os.getpid(), signal.SIGSTOP)
            if store_ask(store, token=token, write=before["read"] + entry)["done"]:
                written, pause_each = written + 1, abs(pause_each)
                print("wrote", entry, end="", flush=True)
            else:
                print("refused", flush=True)
        persist(ports, "lock/release", name="list", owner=owner, token=token)  # not-held, if it was lost: as it should be


# ---- the run

class Run:
    def __init__(self, cluster, folder, rounds, fenced):
        self.cluster, self.rounds, self.counts = cluster, rounds, collections.Counter()
        self.path = os.path.join(folder, "fenced" if fenced else "unfenced")
        self.store = self.process("--store", self.path, "fenced" if fenced else "unfenced")
        self.store_port = int(self.store.stdout.readline())
        self.wrote, self.paused = [], collections.deque()

    def process(self, *arguments):
        return subprocess.Popen([sys.executable, os.path.abspath(__file__), *arguments], stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE)

    def hear(self, worker, line):
        what, *more = line.split()
        self.counts[what] += 1
        if what == "wrote":
            self.wrote += more
            # Another has had the lock since: now those that were paused go on, as far as they know still holding it.
            for other in [w for w in self.paused if w is not worker]:
                self.paused.remove(other)
                other.send_signal(signal.SIGCONT)

    def stopped(self, worker):
        """Has it been paused? It is told once."""
        if worker.returncode is not None:
            return False
        try:
            pid, status = os.waitpid(worker.pid, os.WNOHANG | os.WUNTRACED)
        except ChildProcessError:
            return False
        if pid and not os.WIFSTOPPED(status):
            worker.returncode = os.waitstatus_to_exitcode(status)
        return pid and os.WIFSTOPPED(status)

    def run(self):
        ports = [str(p["http"]) for p in self.cluster.ports]
        workers = [self.process("--worker", "w%d" % i, str(self.store_port), str(self.rounds), "5" if i else "0",
                                *(ports[i % len(ports):] + ports[:i % len(ports)])) for i in range(WORKERS)]
        watch, rest, killed = selectors.DefaultSelector(), {}, False
        for worker in workers:
            os.set_blocking(worker.stdout.fileno(), False)
            watch.register(worker.stdout, selectors.EVENT_READ, worker)
        try:
            while any(worker.returncode is None for worker in workers):
                for key, _ in watch.select(0.02):
                    data = os.read(key.fd, 65536)
                    if not data:
                        watch.unregister(key.fileobj)
                    lines = (rest.get(key.fd, b"") + data).decode().split("\n")
                    rest[key.fd] = lines.pop().encode()
                    for line in lines:
                        self.hear(key.data, line)
                for worker in workers:
                    if self.stopped(worker):
                        self.counts["paused"] += 1
                        self.paused.append(worker)
                # Everybody else is done: then nobody can have had the lock since.
                if self.paused and all(w.returncode is not None or w in self.paused for w in workers):
                    self.paused.popleft().send_signal(signal.SIGCONT)
                if not killed and len(self.wrote) > self.rounds * WORKERS / 2:
                    leader = self.cluster.leader()
                    self.cluster.kill(leader)
                    self.cluster.start(leader)
                    killed = True
            assert all(worker.returncode == 0 for worker in workers), [worker.returncode for worker in workers]
            assert killed
        finally:
            for process in workers + [self.store]:
                if process.returncode is None:
                    process.kill()
                    process.wait()
                process.stdout.close()
        kept = open(self.path).read().split()
        return {"store": os.path.basename(self.path), "acknowledged": len(self.wrote), "kept": len(kept),
                "lost": len(set(self.wrote) - set(kept)), "twice": len(kept) - len(set(kept)),
                "paused": self.counts["paused"], "refused": self.counts["refused"]}


def judge(cluster, folder, rounds):
    unfenced = Run(cluster, folder, rounds, False).run()
    print("  ", json.dumps(unfenced), flush=True)
    assert unfenced["acknowledged"] == WORKERS * rounds and unfenced["lost"] > 0 and unfenced["paused"] > 0, unfenced
    for i in range(cluster.count):
        until("node %d is ready" % (i + 1), lambda: cluster.ready(i), 30)
    fenced = Run(cluster, folder, rounds, True).run()
    print("  ", json.dumps(fenced), flush=True)
    assert fenced["acknowledged"] == fenced["kept"] == WORKERS * rounds, fenced
    assert fenced["lost"] == fenced["twice"] == 0 and fenced["paused"] > 0 and fenced["refused"] > 0, fenced


@test(3)
def an_unfenced_store_is_corrupted_a_fenced_one_never(c):
    folder = os.path.join(c.folder, "stores")
    os.mkdir(folder)
    judge(c, folder, 10)
    c.start_all()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", default="build/parley")
    parser.add_argument("--port", type=int, default=24300)
    parser.add_argument("--rounds", type=int, default=100, help="entries of each of the %d workers" % WORKERS)
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="parley-unfenced-")
    cluster = Cluster(os.path.abspath(options.binary), options.port, 3, folder)
    try:
        cluster.start_all()
        judge(cluster, folder, options.rounds)
        print("1 passed, 0 failed, 0 skipped")
        shutil.rmtree(folder)
    except AssertionError as error:
        print("FAILED, data in %s: %s\n0 passed, 1 failed, 0 skipped" % (folder, error))
        sys.exit(1)
    finally:
        for process in cluster.processes:
            if process is not None:
                process.kill()
                process.wait()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--store"]:
        store_main(sys.argv[2], sys.argv[3] == "fenced")
    elif sys.argv[1:2] == ["--worker"]:
        worker_main(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]), [int(p) for p in sys.argv[6:]])
    else:
        main()
