"""What a history shows: counts, and simple checks of its own beside those of build/release/check (a second opinion).

lost: acknowledged and gone at the end. stale: a read behind a sync, or a write, that knew less than what had been acknowledged
before it was sent. lock: the same fencing token twice, or a token that went back. double: a queue's element taken twice.
"""

import collections
import json
import os
import subprocess

import stage

CHECK = os.environ.get("PARLEY_CHECK", os.path.join(stage.ROOT, "build", "release", "check"))
# A search for the order of a queue's operations has too many branches; that each is taken once is counted here.
ONLY_HERE = ("enqueue", "dequeue")
VIOLATIONS = ("lost", "stale", "lock", "double", "unexpected")


def load(paths):
    lines = []
    for path in paths:
        with open(path) as file:
            lines += [json.loads(line) for line in file]
    return [line for line in lines if "op" in line]


def going_back(operations, number):
    """Operations whose number is lower than one that was known before they were called."""
    ends = sorted((o["return"], number(o)) for o in operations)
    highest, at, found = None, 0, []
    for o in sorted(operations, key=lambda o: o["call"]):
        while at < len(ends) and ends[at][0] < o["call"]:
            highest = ends[at][1] if highest is None else max(highest, ends[at][1])
            at += 1
        if highest is not None and number(o) < highest:
            found.append(o)
    return found


class Judgement:
    def __init__(self, history):
        self.counts, self.shown = collections.Counter(), []
        self.by_op = collections.defaultdict(list)
        for o in history:
            self.by_op[o["op"]].append(o)
        self.registers()
        self.sets()
        self.queue()
        self.locks()

    def found(self, kind, text, *operations):
        self.counts[kind] += 1
        if len(self.shown) < 20:
            self.shown.append({"kind": kind, "text": text, "operations": operations})

    def registers(self):
        keys = collections.defaultdict(list)
        for op in ("read", "write", "cas", "create"):
            for o in self.by_op[op]:
                if o["outcome"] == "ok" and not isinstance(o["value"], list):
                    keys[o["key"]].append(dict({"version": -1}, **o))
        for operations in keys.values():
            self.register(operations)

    def register(self, operations):
        for o in going_back(operations, lambda o: o["version"]):
            self.found("stale", "version lower than one known before", o)
        values, last = {}, max(operations, key=lambda o: o["call"])
        for o in operations:
            other = values.setdefault(o["version"], o)
            if other["value"] != o["value"]:
                self.found("lost", "two values under one version", other, o)
            if o["op"] != "read" and o["version"] > last["version"]:
                self.found("lost", "acknowledged, and gone at the end", o, last)

    def sets(self):
        final = {}
        for o in self.by_op["read"]:
            if isinstance(o["value"], list):
                final[o["key"]] = set(o["value"])
        added = {(o["key"], o["value"]): o for o in self.by_op["add"] if o["outcome"] == "ok"}
        tried = {(o["key"], o["value"]) for o in self.by_op["add"]}
        for (key, value), o in added.items():
            if value not in final.get(key, ()):
                self.found("lost", "added, and gone at the end", o)
        for key, values in final.items():
            for value in values:
                if (key, value) not in tried:
                    self.found("unexpected", "never added: %s in %s" % (value, key))
        for o in self.by_op["contains"]:
            before = added.get((o["key"], o["value"]))
            if o["outcome"] == "ok" and not o["found"] and before and before["return"] < o["call"]:
                self.found("stale", "added, and not found behind a sync", before, o)

    def queue(self):
        taken = collections.defaultdict(list)
        for o in self.by_op["dequeue"]:
            if o["outcome"] != "fail":
                taken[o["value"]].append(o)
        tried = {o["value"] for o in self.by_op["enqueue"]}
        for o in self.by_op["enqueue"]:
            if o["outcome"] == "ok" and o["value"] not in taken:
                self.found("lost", "enqueued, and neither taken nor left", o)
        for value, operations in taken.items():
            sure = [o for o in operations if o["outcome"] == "ok"]
            if len(sure) > 1:
                self.found("double", "taken twice", *sure)
            if value not in tried:
                self.found("unexpected", "taken, and never enqueued", *operations)

    def locks(self):
        grants = [o for o in self.by_op["lock"] if o["outcome"] == "ok"]
        tokens = {}
        for o in grants:
            other = tokens.setdefault(o["value"], o)
            if other is not o:
                self.found("lock", "granted twice under one token", other, o)
        for o in going_back(grants, lambda o: int(o["value"])):
            self.found("lock", "a token below one that had been granted before", o)
        for o in going_back([o for o in self.by_op["fence"] if o["outcome"] == "ok"], lambda o: int(o["value"])):
            self.found("lock", "the resource took a token that was too old", o)
        self.counts["fenced off"] = sum(o["outcome"] == "fail" for o in self.by_op["fence"])


def longest_gap_ms(history, begin_us, end_us):
    """The longest time without any acknowledged operation of any client."""
    times = sorted(o["return"] for o in history
                   if o["outcome"] == "ok" and o["op"] != "fence" and begin_us <= o["return"] <= end_us)
    edges = [begin_us] + times + [end_us]
    return max(b - a for a, b in zip(edges, edges[1:])) // 1000


def outcomes(history):
    said = collections.Counter(o["outcome"] for o in history if o["op"] != "fence")
    return {"operations": sum(said.values()), "acknowledged": said["ok"], "refused": said["fail"], "unknown": said["unknown"]}


def checked(path, patience=240):
    """What build/release/check says: (verdict, text)."""
    try:
        done = subprocess.run(["nice", "-n", "10", CHECK, path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=patience)
    except subprocess.TimeoutExpired:
        return "unknown", "out of time after %d s" % patience
    return {0: "ok", 1: "violation", 2: "unknown"}.get(done.returncode, "error %d" % done.returncode), done.stdout
