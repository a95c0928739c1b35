#!/usr/bin/env python3
"""Three machines, each talking to a node of its own, send 1, 2, 3 of each of 1,000 keys so that they arrive out of order. Consumers are
killed with messages in their hands, and so is the leader. By what the consumers wrote into an outside log, each key is read in order
and one at a time, nothing is lost, and nothing is read again after it was acknowledged. The same run without numbers is read in
another order. One of run.py's tests; alone:

    test/native/order.py [--keys 1000] [--unnumbered]       (--unnumbered: as if it were numbered, which fails)
"""
import argparse
import collections
import json
import os
import queue
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

from limits_queues import Anywhere, empty, queue_waiters, together
from run import ROOT, Cluster, good, test, until

MACHINES = NUMBERS = 3
CONSUMERS = 6
DEATHS = 4
UNDER_WAY = 32  # pushes of one machine
APART = 10  # keys between two numbers of one key; far fewer than UNDER_WAY, so that pushes that wait do not wait for each other
DOOMED_AT = 25  # messages, which a consumer does not outlive
WORK_S = 0.005  # that a message asks for: so the next one of its key is there before
VISIBILITY_MS = 6000
CLAIM_WAIT_MS = 1000


class Ports:
    """As much of a cluster as another process knows."""

    def __init__(self, ports):
        self.ports, self.count = [int(port) for port in ports], len(ports)

    def http(self, i=0):
        return self.ports[i]


# ---- a machine: pushes what its lines say, in their order, many at once; a push is answered when the numbers before are there

def produce_main(name, node, numbered, ports):
    jobs = queue.Queue()

    def work():
        anywhere = Anywhere(Ports(ports), node)
        while (line := jobs.get()) is not None:
            key, number = line.split()
            more = {"number": int(number)} if numbered else {}
            answer = anywhere.ask("queue/push", seconds=60, timeout=30, name=name, key=key, body=number, **more)
            assert answer.status == 200, answer.body
            os.write(1, ("%s %s %d\n" % (key, number, answer["id"])).encode())  # a line is one write: they do not mix

    def read():
        for line in sys.stdin:
            jobs.put(line)
        for _ in range(UNDER_WAY):
            jobs.put(None)
    together([work] * UNDER_WAY + [read])


# ---- a consumer: what it does to a key is a line in the log

def consume_main(name, node, me, doomed, path, ports):
    log, anywhere, begun = os.open(path, os.O_WRONLY | os.O_APPEND), Anywhere(Ports(ports), node), 0

    def note(what, message, *more):
        os.write(log, (" ".join(map(str, (what, message["key"], message["body"], message["token"], me) + more)) + "\n").encode())

    while True:
        asked = time.monotonic()
        answer = anywhere.ask("queue/claim", name=name, max=8, visibility_ms=VISIBILITY_MS, wait_ms=CLAIM_WAIT_MS)
        assert answer.status == 200, answer.body
        for message in answer["messages"]:
            note("begin", message, asked, time.monotonic())
            begun += 1
        if 0 < doomed <= begun:
            print("has some in its hand", flush=True)
            signal.pause()
        for message in answer["messages"]:
            time.sleep(WORK_S)
            note("done", message)
            answer = anywhere.ask("queue/ack", name=name, tokens=[message["token"]])
            assert answer.status == 200 or answer.error == "not-claimed", answer.body
            if answer.status == 200:
                note("acked", message)


# ---- the judge

def judge(lines, keys):
    """What is wrong in a log, and how often something was delivered again. A delivery may follow another of its key that is not
    done if that one's consumer is dead, or its visibility over."""
    wrong, again, dead = collections.Counter(), 0, set()
    at = {}  # of a key: number, token, consumer, when it was asked for, "begun", "done" or "acked"
    for line in lines:
        what, *words = line.split()
        if what == "killed":
            dead.add(words[0])
            continue
        key, number, token, consumer = words[0], int(words[1]), int(words[2]), words[3]
        now = at.get(key)
        if what != "begin":
            if now is not None and now[1] == token:
                at[key] = now[:4] + (what,)
            elif what == "acked":  # the key's next message may have begun by then, but not this one once more
                wrong["read again after its acknowledgement"] += now is not None and now[0] == number
            continue
        asked, moment = float(words[4]), float(words[5])
        if now is not None:
            overlaps = now[4] == "begun" and now[2] not in dead and moment < now[3] + VISIBILITY_MS / 1000
            wrong["two at a time"] += overlaps
            wrong["an older token after a newer one"] += token <= now[1]
            wrong["read again after its acknowledgement"] += number == now[0] and now[4] == "acked"
        last = now[0] if now is not None else 0
        wrong["out of order"] += number not in (last, last + 1)
        again += number == last
        at[key] = (number, token, consumer, asked, "begun")
    for key in keys:
        wrong["lost"] += key not in at or at[key][0] != NUMBERS or at[key][4] == "begun"
    return +wrong, again


def judge_notices():
    """What each of its rules is for."""
    def of(*lines):
        return dict(judge(["begin k 1 5 a 0 1", *lines], ["k"])[0])
    end = ["done k 1 5 a", "begin k 2 6 b 2 2", "done k 2 6 b", "acked k 1 5 a", "begin k 3 7 a 3 3", "done k 3 7 a"]
    assert of(*end) == {}
    assert of(*end[1:]) == {"two at a time": 1}
    assert of("killed a", "begin k 1 6 b 2 2", "done k 1 6 b", "begin k 2 7 b 2 2", "done k 2 7 b", "begin k 3 8 b 3 3", "done k 3 8 b") == {}
    assert of("begin k 1 6 b 2 2", *end[1:]) == {"two at a time": 2, "an older token after a newer one": 1}
    assert of(*end[:-1]) == {"lost": 1}
    assert of(*end[:3]) == {"lost": 1}
    assert of("done k 1 5 a", "begin k 3 6 b 2 2", "done k 3 6 b") == {"out of order": 1}
    assert of(end[0], "acked k 1 5 a", "begin k 1 6 b 2 2", "done k 1 6 b", *end[4:]) == \
        {"read again after its acknowledgement": 1, "out of order": 1}
    assert of(end[0], "begin k 1 6 b 2 2", "acked k 1 5 a", "done k 1 6 b", "begin k 2 7 b 2 2", "done k 2 7 b", "begin k 3 8 b 3 3",
              "done k 3 8 b") == {"read again after its acknowledgement": 1}


# ---- the run

class Run:
    def __init__(self, c, keys, numbered):
        self.c, self.numbered, self.name = c, numbered, "order-numbered" if numbered else "order-plain"
        self.keys = ["k%d" % k for k in range(keys)]
        self.path = os.path.join(c.folder, self.name)
        self.log = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self.ports = [str(p["http"]) for p in c.ports]
        self.ids = collections.defaultdict(dict)
        self.processes, self.died, self.over = [], 0, False

    def process(self, *arguments):
        made = subprocess.Popen([sys.executable, os.path.abspath(__file__), *map(str, arguments), *self.ports], stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, text=True)
        self.processes.append(made)
        return made

    def jobs(self):
        """The numbers of each key in another order than 1, 2, 3; each from another machine."""
        draw, slots = random.Random(7), []
        for k, key in enumerate(self.keys):
            order = [1, 2, 3]
            while order == [1, 2, 3]:
                draw.shuffle(order)
            slots += [(k + APART * place, key, number, (k + number) % MACHINES) for place, number in enumerate(order)]
        return sorted(slots)

    def consumer(self, i, doomed=0):
        return self.process("--consume", self.name, i % MACHINES, "consumer-%d" % len(self.processes), doomed, self.path)

    def die(self, i, consumer):
        """A consumer ends with messages in its hand; another one takes its place."""
        name = "consumer-%d" % self.processes.index(consumer)
        if consumer.stdout.readline() == "" or self.over:
            return
        consumer.kill()
        consumer.wait()
        os.write(self.log, ("killed %s\n" % name).encode())
        self.died += 1
        self.consumer(i)

    def listen(self, machine):
        for line in machine.stdout:
            key, number, id = line.split()
            self.ids[key][int(number)] = int(id)
        assert machine.wait() == 0, "a machine ended with %d" % machine.returncode

    def kill_leader(self):
        until("half has been sent", lambda: sum(map(len, list(self.ids.values()))) > NUMBERS * len(self.keys) / 2, 120)
        self.c.kill(self.c.leader())
        self.c.start_all()

    def feed(self, machines):
        for _, key, number, machine in self.jobs():
            machines[machine].stdin.write("%s %d\n" % (key, number))
        for machine in machines:
            machine.stdin.close()

    def run(self):
        good(self.c.http(), "queue/configure", name=self.name)
        began, dying = time.monotonic(), []
        try:
            consumers = [self.consumer(i, DOOMED_AT if i < DEATHS else 0) for i in range(CONSUMERS)]
            queue_waiters(self.c, self.name, CONSUMERS)
            machines = [self.process("--produce", self.name, i, int(self.numbered)) for i in range(MACHINES)]
            dying = [threading.Thread(target=self.die, args=(i, consumers[i])) for i in range(DEATHS)]
            for thread in dying:
                thread.start()
            together([lambda: self.feed(machines), self.kill_leader] + [lambda m=m: self.listen(m) for m in machines])
            until("all is read", lambda: empty(self.c, self.name), 60)
            # What the last ones noted is in the log once all ask for more.
            queue_waiters(self.c, self.name, CONSUMERS)
        finally:
            self.over = True
            for process in self.processes:
                process.kill()
                process.wait()
            for thread in dying:
                thread.join()
        assert sum(map(len, self.ids.values())) == NUMBERS * len(self.keys)
        wrong, again = judge(open(self.path).read().splitlines(), self.keys)
        return {"numbered": self.numbered, "keys": len(self.keys), "arrived_out_of_order": sum(map(mixed, self.ids.values())),
                "wrong": dict(wrong), "consumers_killed": self.died, "delivered_again": again,
                "seconds": round(time.monotonic() - began, 1)}


def mixed(ids):
    """Did the numbers of a key arrive in another order? An id is a place in the cluster's log; 0: nobody knows it any more."""
    known = [ids[number] for number in sorted(ids) if ids[number]]
    return known != sorted(known)


def run_and_judge(c, keys, control):
    judge_notices()
    without = Run(c, control, False).run()
    print("  ", json.dumps(without), flush=True)
    assert without["wrong"].get("out of order", 0) > control / 2, without
    got = Run(c, keys, True).run()
    print("  ", json.dumps(got), flush=True)
    check(got)


def check(got):
    assert got["wrong"] == {}, got
    assert got["arrived_out_of_order"] > got["keys"] / 2, got
    assert got["consumers_killed"] == DEATHS and got["delivered_again"] >= DEATHS, got


@test(3)
def order_is_kept_over_three_machines(c):
    run_and_judge(c, 1000, 150)


@test(3)
def calls_are_ordered_in_three_ways(c):
    """examples/ordered.c notices itself when a call runs too early or beside another of its key."""
    done = subprocess.run([os.path.join(ROOT, "build/debug/examples/ordered"), c.servers(), "20", "5", "8"], capture_output=True, text=True,
                          timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [re.match(r"(\w+) +\d+ calls/s", line)[1] for line in done.stdout.splitlines()] == ["lock", "queue", "executor"], done.stdout


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", default="build/parley")
    parser.add_argument("--port", type=int, default=24300)
    parser.add_argument("--keys", type=int, default=1000)
    parser.add_argument("--unnumbered", action="store_true")
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="parley-order-")
    cluster = Cluster(os.path.abspath(options.binary), options.port, 3, folder)
    try:
        cluster.start_all()
        if options.unnumbered:
            check(Run(cluster, options.keys, False).run())
        else:
            run_and_judge(cluster, options.keys, min(options.keys, 150))
        cluster.stop()
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
    if sys.argv[1:2] == ["--produce"]:
        produce_main(sys.argv[2], int(sys.argv[3]), sys.argv[4] == "1", sys.argv[5:])
    elif sys.argv[1:2] == ["--consume"]:
        consume_main(sys.argv[2], int(sys.argv[3]), sys.argv[4], int(sys.argv[5]), sys.argv[6], sys.argv[7:])
    else:
        main()
