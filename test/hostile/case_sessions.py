"""Sessions that ask for too much, and floods of connections."""

import random
import select
import socket
import struct
import time

import harness
import wire
from stage import check

# ---- sessions that ask for too much

def refused_paths(server):
    client = wire.Client(server.zk)
    for path in (b"", b"x", b"/x/", b"//", b"/a//b", b"/a/./b", b"/a/..", b"/\0", b"/a\x01", b"/\xed\xa0\x80", b"/\xef\xbf\xbf", None):
        for code, body in ((wire.CREATE, wire.create(path)), (wire.DELETE, wire.blob(path) + b"\xff" * 4)):
            error = client.call(code, body)[0]
            wanted = (-8, -5, -101) if code == wire.DELETE else (-8, -5)
            check(error in wanted, "%d of %r: %d", code, path, error)
    client.close()


def deep_paths(server):
    client = wire.Client(server.zk, 40000)
    far = b"/a" * 200000
    check(client.call(wire.CREATE, wire.create(far))[0] == -101, "a parent that is not there")
    check(client.call(wire.GET, wire.watch(far))[0] == -101, "a path that is not there")
    paths = [b"/deep" * n for n in range(1, 401)]
    for path in paths:
        client.send(wire.CREATE, wire.create(path))
    for i, _ in enumerate(paths):
        check(client.answer(client.xid - len(paths) + 1 + i)[0] == 0, "level %d", i)
    client.ok(wire.EXISTS, wire.watch(paths[-1]))
    for path in reversed(paths):
        client.send(wire.DELETE, wire.blob(path) + b"\xff" * 4)
    for i, _ in enumerate(paths):
        check(client.answer(client.xid - len(paths) + 1 + i)[0] == 0, "removing level %d", i)
    client.close()


def huge_multi(server):
    client = wire.Client(server.zk, 40000)
    parts = [wire.part(wire.CREATE, wire.create(b"/multi-%d" % i)) for i in range(5000)]
    failing = wire.part(wire.CREATE, wire.create(b"/no/such/parent"))
    error, answer = client.call(wire.MULTI, b"".join(parts) + failing + wire.MULTI_END)
    check(error in (0, -101), "a failing multi: %d", error)
    for i in (0, 4999):
        check(client.call(wire.EXISTS, wire.watch(b"/multi-%d" % i))[0] == -101, "a part of a failed multi is there")
    check(client.call(wire.MULTI, b"".join(parts))[0] == -5, "a multi without an end")
    nothing = wire.part(13, wire.blob(b"/") + b"\xff" * 4)
    check(client.call(wire.MULTI, nothing * 40000 + wire.MULTI_END)[0] in (0, -5), "a multi of 40,000 checks")
    client.close()


def huge_set_watches(server):
    client = wire.Client(server.zk, 40000)
    for counts in ((2147483647, 0, 0), (-2, 0, 0), (0, 2147483647, 0), (100000, 0, 0)):
        error = client.call(wire.SET_WATCHES, struct.pack(">q", 0) + struct.pack(">iii", *counts))[0]
        check(error == -5, "counts %r: %d", counts, error)
    names = b"".join(wire.blob(b"/watch-%06d" % i) for i in range(50000))
    body = struct.pack(">q", 1 << 62) + struct.pack(">i", 0) + struct.pack(">i", 50000) + names + struct.pack(">i", 0)
    check(client.call(wire.SET_WATCHES, body)[0] == 0, "50,000 watches that are due")
    client.socket.sendall(struct.pack(">i", 3 << 20) + b"\0" * 1000)
    check(wire.rest(client.socket) is not None, "a longer one: closed")


def many_watches(server):
    before = server.monitor("zk_watch_count")
    client = wire.Client(server.zk, 40000)
    for start in range(0, 100000, 2000):
        client.socket.sendall(b"".join(wire.request(i + 1, wire.EXISTS, wire.watch(b"/watched/%d" % i))
                                       for i in range(start, start + 2000)))
        for i in range(start, start + 2000):
            check(client.answer(i + 1)[0] == -101, "exists")
    during = server.monitor("zk_watch_count")
    check(during >= 100000, "%s watches are counted", during)
    wire.reset(client.socket)
    harness.wait_until("the watches gone", lambda: server.monitor("zk_watch_count") <= before + 10, 10)


def never_reads(server):
    """Large data asked for again and again; held at its bound, and closed when its session is over."""
    owner = wire.Client(server.zk, 40000)
    owner.call(wire.CREATE, wire.create(b"/large", b"x" * 900000))
    began, first = time.monotonic(), server.rss_mb()
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.settimeout(10)
    s.connect(("127.0.0.1", server.zk))
    s.sendall(wire.hello(4000))
    s.recv(41)
    asked, worst = 0, 0
    s.setblocking(False)
    one, poll = wire.request(1, wire.GET, wire.watch(b"/large", False)) * 100, select.poll()
    poll.register(s.fileno(), select.POLLRDHUP | select.POLLHUP | select.POLLERR)
    while time.monotonic() < began + 30:
        try:
            asked += s.send(one)
        except BlockingIOError:
            pass
        except OSError:
            break
        worst = max(worst, server.rss_mb() - first)
        if poll.poll(20):
            break
    else:
        raise AssertionError("open after 30 s")
    s.close()
    owner.call(wire.DELETE, wire.blob(b"/large") + b"\xff" * 4)
    owner.close()
    check(worst < server.rss_room_mb, "memory grew by %d MB", worst)
    return "asked %d KB of requests, memory grew by %d MB at most, closed after %.0f s" % (
        asked >> 10, worst, time.monotonic() - began)


def a_million_requests_unread(server):
    client = wire.Client(server.zk, 40000)
    count, first, worst = 1000000, server.rss_mb(), 0
    body = wire.watch(b"/nope", False)
    length, code = len(body) + 8, wire.EXISTS
    data = memoryview(b"".join(struct.pack(">iii", length, i + 1, code) + body for i in range(count)))
    s, sent, stuck = client.socket, 0, time.monotonic()
    s.setblocking(False)
    while sent < len(data) and time.monotonic() - stuck < 1.5:  # until the server takes no more
        try:
            sent += s.send(data[sent:sent + (1 << 20)])
            stuck = time.monotonic()
        except BlockingIOError:
            select.select([], [s], [], 0.1)
        worst = max(worst, server.rss_mb() - first)
    before_reading, got, rest, end = sent, 0, b"", time.monotonic() + 40
    while got < count and time.monotonic() < end:
        readable, writable, _ = select.select([s], [s] if sent < len(data) else [], [], 1)
        if writable:
            try:
                sent += s.send(data[sent:sent + (1 << 20)])
            except BlockingIOError:
                pass
        if readable:
            piece = s.recv(1 << 20)
            check(piece, "closed after %d answers", got)
            rest += piece
            whole = len(rest) // 20
            for length, xid, _, error in struct.iter_unpack(">iiqi", rest[:whole * 20]):
                got += 1
                if length != 16 or xid != got or error != -101:
                    raise AssertionError("answer %d: length %d, xid %d, error %d" % (got, length, xid, error))
            rest = rest[whole * 20:]
    check(got == count, "%d answers", got)
    s.close()
    check(worst < server.rss_room_mb, "memory grew by %d MB", worst)
    return "%d %% taken before the first was read, memory grew by %d MB at most" % (100 * before_reading // len(data), worst)


# ---- many connections

def connect_flood(server):
    for i in range(4000):
        s = wire.dial(server.zk)
        if i % 2:
            wire.send(s, wire.hello() if i % 4 == 1 else wire.hello()[:20])
        wire.reset(s)
    harness.wait_until("them gone", lambda: server.monitor("zk_num_alive_connections") < 50, 15)


def session_guessing(server):
    victim = wire.Client(server.zk, 40000)
    rng = random.Random(5)
    for i in range(200):
        session = victim.session if i % 2 else victim.session + rng.randrange(1, 1 << 40) if i % 4 else rng.randrange(1, 1 << 63)
        password = bytes(rng.randrange(256) for _ in range((16, 16, 0, 15)[i % 4]))
        with wire.dial(server.zk) as s:
            s.sendall(wire.hello(4000, session, password))
            answer = wire.rest(s)
            check(answer is not None, "guess %d: open", i)
            _, timeout, given = struct.unpack_from(">iiq", answer, 4)
            check(timeout == 0 and given == 0, "guess %d was given session %x", i, given)
            check(victim.password not in answer, "the password was told")
    victim.ok(wire.GET, wire.watch(b"/", False))
    again = wire.Client(server.zk, 40000, victim.session, victim.password)
    check(again.session == victim.session, "the owner cannot come back")
    again.close()


ALONE = (refused_paths, deep_paths, huge_multi, huge_set_watches, many_watches, a_million_requests_unread, connect_flood,
         session_guessing)
