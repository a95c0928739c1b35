#!/usr/bin/env python3
"""The same commands to real Redis and to Parley, every reply compared, and all keys every 1,000 commands.

Commands are drawn from the argument trees that the real server's COMMAND DOCS tells, so every option comes up; values
and keys are drawn so that they hit (few keys, every type under every command). A difference is printed with the
commands on its key that led to it. What is known to differ stands in EXPECTED, with the reason.

    test/redis/differential.py [--commands N] [--seed S] [--only get,set] [--binary build/parley]
"""
import argparse
import collections
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Error(str):
    """An error reply."""


class Connection:
    """RESP over a socket: maps, sets and pushes come as tuples (kind, items)."""

    def __init__(self, port, resp3=False):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.file = self.socket.makefile("rb")
        if resp3:
            self.call("HELLO", "3")

    def call(self, *arguments):
        self.send(arguments)
        return self.read()

    def send(self, arguments):
        parts = [b"*%d\r\n" % len(arguments)]
        for argument in arguments:
            data = argument if isinstance(argument, bytes) else str(argument).encode()
            parts.append(b"$%d\r\n%s\r\n" % (len(data), data))
        self.socket.sendall(b"".join(parts))

    def read(self):
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("the connection ended")
        kind, rest = line[:1], line[1:-2]
        if kind in b"+":
            return ("simple", rest)
        if kind == b"-":
            return Error(rest.decode(errors="replace"))
        if kind == b":":
            return int(rest)
        if kind == b",":
            return ("double", rest)
        if kind == b"#":
            return ("bool", rest)
        if kind == b"_":
            return None
        if kind in b"$=":
            if rest == b"-1":
                return None
            data = self.file.read(int(rest) + 2)[:-2]
            return data if kind == b"$" else ("verbatim", data)
        if kind in b"*~>":
            if rest == b"-1":
                return ("null array",)
            items = [self.read() for _ in range(int(rest))]
            return items if kind == b"*" else (kind.decode(), items)
        if kind == b"%":
            return ("%", [(self.read(), self.read()) for _ in range(int(rest))])
        raise ConnectionError("unknown reply %r" % line)


# ---- the two servers

class Servers:
    def __init__(self, options):
        self.folder = tempfile.mkdtemp(prefix="parley-differential-")
        self.ports = [options.port, options.port + 1]
        self.processes = []
        os.mkdir(self.folder + "/redis")
        self.start("redis-server", "--port", self.ports[0], "--dir", self.folder + "/redis", "--save", "",
                   "--databases", "16")
        self.start(os.path.join(ROOT, options.binary), "server", "--id", "1", "--data", self.folder + "/parley",
                   "--redis", "127.0.0.1:%d" % self.ports[1], "--zookeeper", "off", "--http",
                   "127.0.0.1:%d" % (options.port + 2), "--peer", "127.0.0.1:%d" % (options.port + 3))
        for port in self.ports:
            deadline = time.monotonic() + 20
            while True:
                try:
                    if Connection(port).call("SET", "up", "1") == ("simple", b"OK"):
                        break
                except OSError:
                    pass
                if time.monotonic() > deadline:
                    raise SystemExit("no server on port %d" % port)
                time.sleep(0.05)

    def start(self, *command):
        log = open(self.folder + "/log%d" % len(self.processes), "w")
        self.processes.append(subprocess.Popen([str(word) for word in command], stdout=log, stderr=log))

    def stop(self):
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(20)
        shutil.rmtree(self.folder)


# ---- commands, drawn from the argument trees

TYPES = ["string", "int", "hash", "list", "set", "zset", "stream"]
KEYS = {kind: ["%s:%d" % (kind, i) for i in range(4)] for kind in TYPES + ["lex", "geo"]}
ALL_KEYS = [key for keys in KEYS.values() for key in keys] + ["none"]
GROUP_KIND = {"string": ["string", "int"], "hash": ["hash"], "list": ["list"], "set": ["set"], "sorted-set": ["zset"],
              "stream": ["stream"], "bitmap": ["string"], "hyperloglog": ["string"], "geo": ["zset"]}
WORDS = ["", "a", "b", "c", "abc", "0", "1", "-1", "10", "007", "3.5", "x" * 44, "x" * 45, "x" * 70, "a\r\nb",
         b"\x00\xff\x80", "9223372036854775807", "-9223372036854775808", "9223372036854775808", "inf", "(1", "[a", "+",
         "-", "hello world"]
FIELDS = ["f%d" % i for i in range(12)] + WORDS[:8]

# Not compared here: what blocks, what is a connection's or the server's, what tells time or chance.
SKIPPED_GROUPS = {"connection", "server", "pubsub", "transactions", "scripting", "cluster", "sentinel"}
SKIPPED = {"wait", "migrate", "restore", "dump", "object", "sort", "sort_ro", "randomkey", "spop", "srandmember", "hrandfield",
           "zrandmember", "scan", "sscan", "hscan", "zscan", "touch", "move", "flushdb", "flushall", "swapdb", "keys",
           "pfdebug", "pfselftest", "dbsize", "blpop", "brpop", "brpoplpush", "blmove", "blmpop", "bzpopmin", "bzpopmax", "bzmpop",
           "waitaof", "copy"}
ALSO = ["object encoding", "scan", "keys"]  # DBSIZE of Redis counts keys whose time is over until it meets them
UNORDERED = {"smembers", "sinter", "sunion", "sdiff", "hkeys", "hvals", "keys", "hgetall"}

# (pattern of the command, of Redis's reply, of ours): differences that are kept, and why.
EXPECTED = [
    # Values are at most 64 MB here, and 512 MB in Redis: both refuse what is longer.
    (r"^(setrange|append|setbit)", r"string exceeds maximum", r"string exceeds maximum"),
]


class Source:
    def __init__(self, docs, names, seed, only):
        self.random = random.Random(seed)
        self.trees = {}
        for name, doc in sorted(docs.items()):  # the server tells them in an order of chance
            top = name.split("|")[0]
            if doc["group"] in SKIPPED_GROUPS or top in SKIPPED or name not in names or (only and top not in only):
                continue
            self.trees[name] = doc
        self.count = collections.Counter()
        self.options = collections.Counter()

    def pick(self, items):
        return items[self.random.randrange(len(items))]

    def key(self, group):
        if self.random.random() < 0.08:
            return self.pick(ALL_KEYS)
        kind = self.pick(GROUP_KIND.get(group) or TYPES)
        return self.pick(KEYS[kind])

    def value(self, argument, group):
        kind = argument["type"]
        if self.random.random() < 0.02:
            return [self.pick(WORDS if argument["name"] not in ("seconds", "milliseconds") else ["", "a", "1.5"])]
        if kind == "key":
            return [self.key(group)]
        if argument["name"] in ("seconds", "milliseconds"):  # nothing ends while both are compared
            return [self.pick([100000, 10000000, 500000000, 0, -5])]
        if kind == "integer":
            return [self.pick([0, 1, 2, 3, 5, -1, -2, -3, 10, 100, self.random.randrange(-20, 200)])]
        if kind == "double":
            return [self.pick(["1", "2.5", "-3", "0.1", "1e3", "inf", "-inf", "3.0", self.random.randrange(100)])]
        if kind == "unix-time":
            return [self.pick([int(time.time()) + 100000, (int(time.time()) + 100000) * 1000, 1, 0])]
        if kind == "pattern":
            return [self.pick(["*", "a*", "?", "[a-c]*", "f1*", "\\*", "[^a]"])]
        if group in ("hash", "sorted-set", "set") and argument["name"] in ("field", "member", "member1", "member2"):
            return [self.pick(FIELDS)]
        if argument["name"] in ("min", "max") and group == "sorted-set":
            return [self.pick(["-inf", "+inf", "(1", "2", "0", "[a", "(b", "-", "+", "10", "[f5", "(f3"])]
        return [self.pick(FIELDS if self.random.random() < 0.5 else WORDS)]

    def argument(self, argument, group):
        if "optional" in argument["flags"] and self.random.random() < 0.6:
            return []
        times = self.random.randrange(1, 4) if "multiple" in argument["flags"] else 1
        out = []
        for i in range(times):
            token = argument.get("token")
            if token is not None and (i == 0 or "multiple_token" in argument["flags"]) and argument["type"] != "pure-token":
                out.append(token)
                self.options[token.lower()] += 1
            kind = argument["type"]
            if kind == "pure-token":
                out.append(token)
                self.options[token.lower()] += 1
            elif kind == "oneof":
                out += self.argument(dict(self.pick(argument["arguments"]), flags=[]), group)
            elif kind == "block":
                for inner in argument["arguments"]:
                    out += self.argument(inner, group)
            else:
                out += self.value(argument, group)
        return out

    def draw(self):
        if self.random.random() < 0.02:
            return self.other()
        name = self.pick(list(self.trees))
        doc = self.trees[name]
        words = name.split("|")
        tail = []
        for argument in doc.get("arguments", []):
            tail += self.argument(argument, doc["group"])
        # numkeys says how many keys follow, most of the time
        names = [a["name"] for a in doc.get("arguments", [])]
        if "numkeys" in names and self.random.random() < 0.9:
            at = names.index("numkeys")
            if at == 0 or doc["arguments"][0]["type"] == "key":
                here = at if at < len(tail) else 0
                keys = [self.key(doc["group"]) for _ in range(self.random.randrange(1, 4))]
                rest = tail[here + 1:]
                while rest and str(rest[0]) in ALL_KEYS:
                    rest.pop(0)
                tail = tail[:here] + [len(keys)] + keys + rest
        if self.random.random() < 0.01 and tail:
            tail.pop(self.random.randrange(len(tail)))
        if self.random.random() < 0.01:
            tail.append(self.pick(WORDS))
        if "lex" in name or "BYLEX" in tail:  # Redis gives no order by bytes where scores differ: these have one score
            tail = [self.pick(KEYS["lex"]) if word in KEYS["zset"] else word for word in tail]
        elif name in ("zadd", "zincrby") or name.endswith("store"):
            tail = [self.pick(KEYS["zset"]) if word in KEYS["lex"] else word for word in tail]
        # Places among scores that are none (infinite ones) are what C leaves open, so they have keys of their own.
        own, others = (KEYS["geo"], KEYS["zset"] + KEYS["lex"]) if name.startswith("geo") else (KEYS["zset"], KEYS["geo"])
        tail = [self.pick(own) if word in others else word for word in tail]
        self.count[name] += 1
        return [word.upper() if self.random.random() < 0.1 else word for word in words] + tail

    def other(self):
        which = self.pick(ALSO)
        if "zadd" in self.trees and self.random.random() < 0.5:
            return ["zadd", self.pick(KEYS["lex"]), "0", self.pick(FIELDS)]
        self.count[which] += 1
        if which == "object encoding":
            return ["object", "encoding", self.pick(ALL_KEYS)]
        if which == "keys":
            return ["keys", self.pick(["*", "s*", "[h-l]*", "*:1", "?int*"])]
        if which == "scan":
            return ["scan", "0", "count", "10000"] + self.pick([[], ["match", "*:2"], ["type", self.pick(["hash", "zset", "no"])]])
        return [which]


# ---- comparing

def normal(command, reply):
    name = str(command[0]).lower()
    if isinstance(reply, list) and name in UNORDERED and name != "hgetall":
        return sorted(reply, key=repr)
    if name == "hgetall" and isinstance(reply, list):
        return sorted(zip(reply[::2], reply[1::2]), key=repr)
    if isinstance(reply, tuple) and reply[0] in ("%", "~"):
        return (reply[0], sorted(reply[1], key=repr))
    if name == "scan" and isinstance(reply, list):
        return [reply[0], sorted(reply[1], key=repr)]
    if name in ("ttl", "pttl") and isinstance(reply, int) and reply > 0:
        return ("left", round(reply / (10 if name == "ttl" else 10000)))
    if name in ("expiretime", "pexpiretime") and isinstance(reply, int) and reply > 0:
        return ("at", round(reply / (20 if name == "expiretime" else 20000)))
    return reply


def expected(command, theirs, ours):
    line = " ".join(str(word) for word in command).lower()
    return any(re.search(c, line) and re.search(t, str(theirs)) and re.search(o, str(ours)) for c, t, o in EXPECTED)


def content(connection, key):
    kind = connection.call("TYPE", key)
    if kind == ("simple", b"none"):
        return kind
    read = {b"string": ("GET", key), b"hash": ("HGETALL", key), b"list": ("LRANGE", key, 0, -1), b"set": ("SMEMBERS", key),
            b"zset": ("ZRANGE", key, 0, -1, "WITHSCORES"), b"stream": ("XRANGE", key, "-", "+")}[kind[1]]
    ttl = connection.call("PTTL", key)
    return kind, normal(read, connection.call(*read)), connection.call("OBJECT", "ENCODING", key), ttl > 0


def show(value):
    text = repr(value)
    return text if len(text) < 300 else text[:300] + "..."


class Run:
    def __init__(self, options):
        self.options = options
        self.servers = Servers(options)
        self.pairs = [[Connection(port, resp3) for port in self.servers.ports] for resp3 in (False, True)]
        docs = self.docs(self.pairs[0][0])
        names = self.names(self.pairs[0][0]) & self.names(self.pairs[0][1])
        self.source = Source(docs, names, options.seed, options.only.split(",") if options.only else None)
        self.history = collections.deque(maxlen=4000)
        self.differences = collections.OrderedDict()

    @staticmethod
    def names(connection):
        return {name.decode().lower() for name in connection.call("COMMAND", "LIST")}

    @staticmethod
    def docs(connection):
        def table(reply):  # RESP2: name, value, name, value
            out = {}
            for name, value in zip(reply[::2], reply[1::2]):
                out[name.decode()] = value
            return out

        def arguments(reply):
            out = []
            for one in reply:
                one = table(one)
                argument = {"name": one["name"].decode(), "type": one["type"].decode(),
                            "flags": [flag[1].decode() for flag in one.get("flags", [])]}
                if "token" in one:
                    argument["token"] = one["token"].decode()
                if "arguments" in one:
                    argument["arguments"] = arguments(one["arguments"])
                out.append(argument)
            return out
        docs = {}
        for name, doc in table(connection.call("COMMAND", "DOCS")).items():
            doc = table(doc)
            docs[name] = {"group": doc["group"].decode(), "arguments": arguments(doc.get("arguments", []))}
        return docs

    def differ(self, command, theirs, ours):
        shape = (str(command[0]).lower(), re.sub(r"\d+", "N", show(theirs))[:60], re.sub(r"\d+", "N", show(ours))[:60])
        if shape in self.differences:
            self.differences[shape] += 1
            return
        self.differences[shape] = 1
        if len(self.differences) > self.options.show:
            return
        print("DIFFERENT %s\n    redis  %s\n    parley %s" % (show(command), show(theirs), show(ours)))
        keys = {str(word) for word in command} & set(ALL_KEYS)
        before = [c for c in self.history if {str(word) for word in c} & keys][-6:-1]
        for c in before:
            print("      after %s" % show(c))
        sys.stdout.flush()

    def compare_keys(self):
        for key in ALL_KEYS:
            theirs, ours = (content(connection, key) for connection in self.pairs[0])
            if theirs != ours:
                self.differ(["(content)", key], theirs, ours)
                for connection in self.pairs[0]:  # so that one difference is told once
                    connection.call("DEL", key)

    def run(self):
        if not self.source.trees:
            raise SystemExit("no command is known to both")
        for i in range(self.options.commands):
            command = self.source.draw()
            self.history.append(command)
            pair = self.pairs[i % 2]
            for connection in pair:
                connection.send(command)
            theirs, ours = (normal(command, connection.read()) for connection in pair)
            if theirs != ours and not expected(command, theirs, ours):
                self.differ(command, theirs, ours)
            if i % 1000 == 999:
                self.compare_keys()
            if i % 20000 == 19999:
                for connection in self.pairs[0]:
                    connection.call("FLUSHALL")
        self.compare_keys()
        self.servers.stop()
        least = self.source.count.most_common()[-1]
        print("%d commands of %d kinds (least often: %s, %d times), %d options" % (
            self.options.commands, len(self.source.count), least[0], least[1], len(self.source.options)))
        total = sum(self.differences.values())
        for shape, count in list(self.differences.items())[:40] if total else []:
            print("  %6d x %s" % (count, " | ".join(shape)))
        print("%d passed, %d failed, 0 skipped" % (self.options.commands - total, total))
        return 1 if total else 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--commands", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--port", type=int, default=26900)
    parser.add_argument("--only", help="commands, with commas")
    parser.add_argument("--show", type=int, default=30, help="differences to print")
    parser.add_argument("--binary", default="build/parley")
    run = Run(parser.parse_args())
    try:
        code = run.run()
    finally:
        for process in run.servers.processes:
            if process.poll() is None:
                process.kill()
    sys.exit(code)


if __name__ == "__main__":
    main()
