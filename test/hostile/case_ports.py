"""The peer port, the HTTP port, settings, and a server without descriptors."""

import os
import random
import select
import struct
import subprocess
import time

import wire
from stage import GAP_MAX_MS, Server, binary, check, closed_without_answer, good_server, still_open

# ---- peers

def peer_hello(number=2, cluster=b"\xee" * 16, empty=0, kind=1, channel=0, version=1):
    body = struct.pack("<IHBBI", 0x4b4e4c50, version, kind, channel, number) + b"\x11" * 16
    body += cluster + struct.pack("<BI", empty, 1) + b"\0"
    return struct.pack("<I", len(body)) + body


def peer_bytes(server):
    rng = random.Random(3)
    for i in range(60):
        body = bytes(rng.randrange(256) for _ in range(rng.randrange(1, 300)))
        closed_without_answer(server.peer, struct.pack("<I", len(body)) + body, what="random bytes")
    for n in (0xffffffff, 1 << 30, 8193):
        closed_without_answer(server.peer, struct.pack("<I", n) + b"x" * 100, what="a first frame of %d bytes" % n)
    for name, data in (("another version", peer_hello(version=9)), ("an answer unasked", peer_hello(kind=2)),
                       ("an unknown channel", peer_hello(channel=7)), ("id 0", peer_hello(number=0)), ("id 4000", peer_hello(number=4000))):
        closed_without_answer(server.peer, data, what=name)


def peer_of_another_cluster(server):
    for number in (2, 1, 200):
        with wire.dial(server.peer) as s:
            s.sendall(peer_hello(number))
            answer = wire.rest(s)
            check(answer is not None, "left open")
            check(len(answer) > 10 and answer[10] == 3, "not refused: %r", answer)


def silent_peers(server):
    sockets = [wire.dial(server.peer) for _ in range(1000)]
    half = peer_hello()
    for s in sockets[:100]:
        wire.send(s, half[:20])
    left = still_open(sockets, 15)
    check(not left, "%d are open after 15 s", len(left))


# ---- HTTP

def http_answer(server, data, seconds=20.0):
    with wire.dial(server.http) as s:
        wire.send(s, data)
        answer = wire.rest(s, seconds)
        check(answer is not None, "left open: %r", data[:60])
        return int(answer.split(b" ")[1]) if answer.startswith(b"HTTP/1.1 ") else 0


def http_slow_headers(server):
    began = time.monotonic()
    with wire.dial(server.http) as s:
        s.sendall(b"GET / HTTP/1.1\r\n")
        while time.monotonic() - began < 25:
            if not wire.send(s, b"X-A: b\r\n") or select.select([s], [], [], 0.5)[0]:
                break
        answer = wire.rest(s)
        check(answer is not None and answer.startswith(b"HTTP/1.1 408"), "%r", answer and answer[:60])
    return "closed after %.0f s" % (time.monotonic() - began)


def http_bad_requests(server):
    end = b"Host: localhost\r\nConnection: close\r\n\r\n"
    for wanted, data in (
            ((400,), b"\0\xff\xfe garbage\r\n\r\n"), ((400, 0), b"\r\n\r\n\r\nNOTHING\r\n\r\n"), ((404,), b"GET /none HTTP/1.1\r\n" + end),
            ((405, 501), b"PUT / HTTP/1.1\r\nContent-Length: 0\r\n" + end), ((414, 431), b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\n" + end),
            ((431,), b"GET / HTTP/1.1\r\nX: " + b"b" * 200000 + b"\r\n" + end),
            ((431,), b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 50000 + end),
            ((413,), b"POST /v1/members HTTP/1.1\r\nContent-Length: 99999999999\r\n" + end),
            ((413,), b"POST /v1/members HTTP/1.1\r\nContent-Length: 1000000\r\n" + end + b"x" * 1000000),
            ((413,), b"POST /v1/members HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + end + (b"4000\r\n" + b"x" * 0x4000 + b"\r\n") * 40),
            ((400,), b"POST /v1/members HTTP/1.1\r\nContent-Length: -1\r\n" + end),
            ((400,), b"POST /v1/members HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + end + b"zz\r\n"),
            ((400,), b"POST /v1/members HTTP/1.1\r\nContent-Length: 4\r\n" + end + b"nope"),
            ((400, 404), b"GET /../../etc/passwd HTTP/1.1\r\n" + end)):
        status = http_answer(server, data)
        # bytes behind an early refusal may be answered by a reset, which takes the answer away
        check(status in wanted or (status == 0 and len(data) > 60000), "%r: %d", data[:60], status)


def http_pipelining(server):
    """Requests whose answers nobody reads; then they are read, and each is there."""
    one, count, first = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", 300, server.rss_mb()
    with wire.dial(server.http) as s:
        s.setblocking(False)
        data, sent, stuck = memoryview(one * count), 0, time.monotonic()
        while sent < len(data) and time.monotonic() - stuck < 1:
            try:
                sent += s.send(data[sent:])
                stuck = time.monotonic()
            except BlockingIOError:
                select.select([], [s], [], 0.1)
        grown, got, tail, end = server.rss_mb() - first, 0, b"", time.monotonic() + 30
        while got < count and time.monotonic() < end:
            readable, writable, _ = select.select([s], [s] if sent < len(data) else [], [], 1)
            if writable:
                sent += s.send(data[sent:])
            if readable:
                piece = s.recv(1 << 20)
                check(piece, "closed after %d answers", got)
                whole = tail + piece
                got += whole.count(b"HTTP/1.1 200")
                tail = whole[-11:]
        check(got == count, "%d answers", got)
        check(grown < server.rss_room_mb, "memory grew by %d MB", grown)


def http_never_reads(server):
    """Metrics and status asked for by connections that read nothing and go."""
    sockets = []
    for _ in range(50):
        s = wire.dial(server.http)
        s.setblocking(False)
        try:
            s.send(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 2000)
        except BlockingIOError:
            pass
        sockets.append(s)
    for _ in range(5):
        server.node.get("/readyz")
        server.new_session()
    for s in sockets:
        wire.reset(s)


# ---- settings

def bad_settings():
    folder = "/nonexistent-parley/data"
    file = os.path.join("/tmp", "parley-hostile-%d.conf" % os.getpid())
    mistakes = [["--bogus", "1"], ["--id", "0"], ["--id", "256"], ["--id", "x"], ["--id"], ["--id", ""], ["--zookeeper", "localhost:99999"],
                ["--zookeeper", "localhost:-1"], ["--http", "a:b:c"], ["--max-connections", "-1"], ["--max-connections", "1e9"],
                ["--heartbeat", "1h"], ["--heartbeat", "100 parsecs"], ["--segment-size", "1"], ["--segment-size", "99999999999999999999"],
                ["--journal-align", "1000"], ["--log-level", "loud"], ["--allow-remote", "maybe"], ["--cluster", "1"],
                ["--cluster", "1=localhost:1,1=localhost:2"], ["--cluster", "2=localhost:1"], ["--cluster", "0=localhost:1"],
                ["--zookeeper-tls", "localhost:1"], ["--tls-cert", "/nonexistent.pem"], ["--zookeeper-super-digest", "nobody"],
                ["--zookeeper-min-session-timeout", "50s", "--zookeeper-max-session-timeout", "5s"], ["--config", "/nonexistent.conf"],
                ["stray"]]
    lines = ["bogus = 1", "id", "id = 300", "= 3", "id = 1\nid = 2\nheartbeat = fast", "\0\0\0", "id = 1 \0 x",
             "a" * 70000, "\xff\xfe = 1"]
    for words in mistakes + lines:
        if isinstance(words, str):
            with open(file, "w", encoding="latin-1") as f:
                f.write(words + "\n")
            known = words = ["--config", file]
        else:
            known = words  # the setting, or what stands where one should
        done = subprocess.run([binary(), "server", "--data", folder] + words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=20)
        text = done.stdout.decode("utf-8", "replace")
        check(done.returncode == 2, "%r: exit %d: %s", words, done.returncode, text[:300])
        check(0 < len(text) < 2000 and any(word.lstrip("-") in text for word in known), "%r: %s", words, text[:300])
    if os.path.exists(file):
        os.remove(file)
    return "%d mistakes" % len(mistakes + lines)


def no_descriptors():
    """A server that may open few files: who is over them is closed, who is in is served, and later all is as before."""
    with Server(["--max-connections", "0"], files=200) as server:
        sockets = [wire.dial(server.zk) for _ in range(400)]
        left = still_open(sockets, 3)
        check(0 < len(left) < 200, "%d of 400 are open", len(left))
        gap, answers, lost = server.observed()
        check(gap < GAP_MAX_MS and answers and not lost, "observer: gap %d ms, %d answers, %d lost", gap, answers, lost)
        for s in sockets:
            wire.reset(s)
        good_server(server)
        check(server.log().count("\n") < 100, "many log lines")
        server.end()
        return "%d kept, worst gap %d ms" % (len(left), gap)


ALONE = (peer_bytes, peer_of_another_cluster, http_bad_requests, http_pipelining, http_never_reads)
