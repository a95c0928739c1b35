"""Connections that say nothing or little, and bytes that are no requests."""

import random
import resource
import select
import struct
import time

import wire
from stage import CONNECTIONS_MAX, Skip, check, closed_without_answer, still_open

# ---- connections that say nothing, or little

def silent_connections(server):
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    count = min(20000, files - 3500)  # the other cases beside it need some
    if count < 2 * CONNECTIONS_MAX:
        raise Skip("open files are limited to %d" % files)
    sockets, began = [], time.monotonic()
    try:
        for i in range(count):
            sockets.append(wire.dial(server.zk, "127.0.0.1"))
        left = still_open(sockets, min(8.0, max(1.0, began + 9 - time.monotonic())))
        check(len(left) <= CONNECTIONS_MAX, "%d of %d are open, %d are allowed", len(left), count, CONNECTIONS_MAX)
        kept = len(left)
        check(kept > 0, "none was kept")
        left = still_open(left, 25)
        check(not left, "%d are open after %.0f s", len(left), time.monotonic() - began)
    finally:
        for s in sockets:
            wire.reset(s)
    refused = server.monitor("zk_connection_rejected")
    check(refused >= count - CONNECTIONS_MAX, "zk_connection_rejected is %s", refused)
    check("connections refused" in server.log(), "nothing is logged of the refused ones")
    return "%d connections, %d kept at first, none after %.0f s" % (count, kept, time.monotonic() - began)


def connect_request_byte_by_byte(server):
    began, data = time.monotonic(), wire.hello()
    with wire.dial(server.zk) as s:
        for i in range(len(data)):  # a byte each 0.7 s would take half a minute
            if not wire.send(s, data[i:i + 1]) or select.select([s], [], [], 0.7)[0]:
                break
        check(wire.rest(s) == b"", "answered or open")
    check(9 < time.monotonic() - began < 25, "closed after %.0f s", time.monotonic() - began)


def quick_bytes_of_a_connect_request(server):
    with wire.dial(server.zk) as s:
        for byte in wire.hello():
            s.sendall(bytes([byte]))
        s.settimeout(10)
        check(len(s.recv(100)) > 30, "no session")


def connect_request_then_nothing(server):
    """Its session ends as ZooKeeper's does, and the connection with it."""
    began = time.monotonic()
    with wire.dial(server.zk) as s:
        s.sendall(wire.hello(4000))
        check(wire.rest(s, 20) is not None, "open after 20 s")
    return "closed after %.1f s" % (time.monotonic() - began)


def half_a_word(server):
    with wire.dial(server.zk) as s:
        s.sendall(b"ru")
        check(wire.rest(s, 20) == b"", "answered or open")


# ---- bytes that are no ZooKeeper

def garbage(server):
    rng = random.Random(1)
    for i in range(150):
        data = bytes([rng.randrange(128, 256)]) + bytes(rng.randrange(256) for _ in range(rng.randrange(3, 400)))
        closed_without_answer(server.zk, data)


def other_protocols(server):
    tls = bytes.fromhex("16030100c8010000c40303") + bytes(range(32)) + b"\0" * 161
    closed_without_answer(server.zk, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", what="HTTP on the ZooKeeper port")
    closed_without_answer(server.zk, tls, what="TLS on the ZooKeeper port")
    closed_without_answer(server.peer, wire.hello(), what="ZooKeeper on the peer port")
    closed_without_answer(server.peer, tls, what="TLS on the peer port")
    closed_without_answer(server.peer, b"GET / HTTP/1.1\r\n\r\n", what="HTTP on the peer port")
    for data in (wire.hello(), tls):
        with wire.dial(server.http) as s:
            wire.send(s, data)
            answer = wire.rest(s)
            check(answer is not None and (answer == b"" or answer.startswith(b"HTTP/1.1 400")), "HTTP port: %r", answer)


def bad_lengths(server):
    for n in (-1, -2147483648, 2147483647, 1048576, 1 << 30):
        closed_without_answer(server.zk, struct.pack(">i", n) + b"x" * 40, what="length %d" % n)
        client = wire.Client(server.zk)
        client.socket.sendall(struct.pack(">i", n))
        check(wire.rest(client.socket) == b"", "length %d in a session", n)
    for n in (0, 1, 7):
        client = wire.Client(server.zk)
        client.socket.sendall(struct.pack(">i", n) + b"\0" * n)
        check(wire.rest(client.socket) == b"", "a request of %d bytes", n)
    client = wire.Client(server.zk)
    for body in (struct.pack(">i", -7) + b"\0", struct.pack(">i", 1 << 30) + b"\0", b"\0", b""):
        check(client.call(wire.GET, body)[0] == -5, "a body that cannot be read: MarshallingError")
    check(client.call(4711)[0] == -6, "an unknown operation: Unimplemented")
    client.close()


def half_frames(server):
    """Each sends most of a large frame and goes; what was kept of it goes too."""
    data = struct.pack(">i", 900000) + b"x" * 300000
    for i in range(150):
        with wire.dial(server.zk) as s:
            wire.send(s, data)
    sockets = []
    for i in range(150):
        s = wire.dial(server.zk)
        wire.send(s, data)
        sockets.append(s)
    for s in sockets:
        wire.reset(s)


def words_byte_by_byte(server):
    for word in (b"ruok", b"srvr", b"mntr"):
        with wire.dial(server.zk) as s:
            for byte in word:
                s.sendall(bytes([byte]))
                select.select([s], [], [], 0.02)
            answer = wire.rest(s)
            check(answer and (word != b"ruok" or answer == b"imok"), "%s: %r", word, answer)


def out_of_order(server):
    closed_without_answer(server.zk, wire.request(-2, wire.PING), what="a ping before the connect request")
    client = wire.Client(server.zk)
    client.socket.sendall(wire.hello())  # a request of xid 0 and code 0
    client.socket.settimeout(5)
    answer = client.take()
    check(struct.unpack_from(">iqi", answer)[2] == -6, "a second connect request: %r", answer)
    client.socket.sendall(wire.request(1, wire.CLOSE) + wire.request(2, wire.CREATE, wire.create(b"/behind-close")))
    wire.rest(client.socket)
    other = wire.Client(server.zk)
    check(other.call(wire.EXISTS, wire.watch(b"/behind-close"))[0] == -101, "a request behind the close was done")
    other.send(wire.AUTH, struct.pack(">i", 0) + wire.blob(b"no-such-scheme") + wire.blob(b"x"))
    check(wire.rest(other.socket) is not None, "an unknown scheme leaves the connection open")


def mutated_requests(server):
    """Real requests with bytes turned, over the network: each gives an answer or ends the connection."""
    rng = random.Random(7)
    seeds = [(wire.CREATE, wire.create(b"/m", b"d")), (wire.GET, wire.watch(b"/m")), (wire.DELETE, wire.blob(b"/m") + b"\xff" * 4),
             (wire.SET, wire.blob(b"/m") + wire.blob(b"e") + b"\xff" * 4), (wire.CHILDREN, wire.watch(b"/")),
             (wire.MULTI, wire.part(wire.CREATE, wire.create(b"/m", b"d")) + wire.part(wire.DELETE, wire.blob(b"/m") + b"\xff" * 4) +
              wire.MULTI_END), (wire.SET_WATCHES, struct.pack(">q", 0) + (struct.pack(">i", 1) + wire.blob(b"/m")) * 3)]
    for _ in range(60):
        client = wire.Client(server.zk)
        try:
            for xid in range(1, 30):
                code, body = rng.choice(seeds)
                body = bytearray(body)
                for _ in range(rng.randrange(3)):
                    body[rng.randrange(len(body))] = rng.randrange(256)
                client.socket.sendall(wire.request(xid, code, bytes(body[:rng.randrange(1, len(body) + 1)])))
            client.socket.sendall(wire.request(99, wire.CLOSE))
        except OSError:
            pass
        check(wire.rest(client.socket, 10) is not None, "no answer and no end")
    cleaner = wire.Client(server.zk)
    for path in (b"/m",):
        cleaner.call(wire.DELETE, wire.blob(path) + b"\xff" * 4)
    cleaner.close()


ALONE = (quick_bytes_of_a_connect_request, garbage, other_protocols, bad_lengths, half_frames, words_byte_by_byte,
         out_of_order, mutated_requests)
