"""Bytes of the three ports, written by hand: a client library would refuse to send what these tests send."""

import socket
import struct
import time

CREATE, DELETE, EXISTS, GET, SET, CHILDREN, SYNC, PING, MULTI = 1, 2, 3, 4, 5, 8, 9, 11, 14
AUTH, SET_WATCHES, CLOSE = 100, 101, -11


def blob(data):
    return struct.pack(">i", -1) if data is None else struct.pack(">i", len(data)) + data


OPEN_ACL = struct.pack(">ii", 1, 31) + blob(b"world") + blob(b"anyone")


def frame(body):
    return struct.pack(">i", len(body)) + body


def hello(timeout_ms=4000, session=0, password=b"\0" * 16, zxid=0):
    return frame(struct.pack(">iqiq", 0, zxid, timeout_ms, session) + blob(password) + b"\0")


def request(xid, code, body=b""):
    return frame(struct.pack(">ii", xid, code) + body)


def create(path, data=b"", flags=0):
    return blob(path) + blob(data) + OPEN_ACL + struct.pack(">i", flags)


def watch(path, on=True):
    return blob(path) + (b"\1" if on else b"\0")


def part(code, body):
    return struct.pack(">ibi", code, 0, -1) + body


MULTI_END = struct.pack(">ibi", -1, 1, -1)


def dial(port, host="127.0.0.1", timeout=10.0):
    s = socket.create_connection((host, port), timeout=timeout)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def reset(s):
    """Closes with a reset instead of an end of file."""
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


def rest(s, seconds=5.0):
    """All that comes until the other side closes; None when it does not close in time."""
    end, parts = time.monotonic() + seconds, []
    while True:
        left = end - time.monotonic()
        if left <= 0:
            return None
        s.settimeout(left)
        try:
            piece = s.recv(1 << 16)
        except socket.timeout:
            return None
        except OSError:
            break  # a reset ends it as well
        if not piece:
            break
        parts.append(piece)
    return b"".join(parts)


def send(s, data):
    """Sends what the other side takes; it may have closed meanwhile."""
    try:
        s.sendall(data)
        return True
    except OSError:
        return False


class Client:
    """A session that behaves, as far as its caller does."""

    def __init__(self, port, timeout_ms=4000, session=0, password=b"\0" * 16, wait=15.0):
        self.socket = dial(port, timeout=wait)
        self.buffer, self.xid = b"", 0
        self.socket.sendall(hello(timeout_ms, session, password))
        answer = self.take()
        _, self.timeout_ms, self.session = struct.unpack_from(">iiq", answer)
        self.password = answer[20:36]

    def fill(self, n):
        while len(self.buffer) < n:
            piece = self.socket.recv(1 << 18)
            if not piece:
                raise ConnectionError("closed by the server")
            self.buffer += piece

    def take(self):
        """The next frame's body."""
        self.fill(4)
        n = 4 + struct.unpack_from(">i", self.buffer)[0]
        self.fill(n)
        body, self.buffer = self.buffer[4:n], self.buffer[n:]
        return body

    def send(self, code, body=b""):
        self.xid += 1
        self.socket.sendall(request(self.xid, code, body))
        return self.xid

    def answer(self, xid):
        while True:
            body = self.take()
            got, _, error = struct.unpack_from(">iqi", body)
            if got != -1:  # not an event
                assert got == xid, "answer to %d instead of %d" % (got, xid)
                return error, body[16:]

    def call(self, code, body=b""):
        return self.answer(self.send(code, body))

    def ok(self, code, body=b""):
        error, answer = self.call(code, body)
        assert error == 0, "operation %d: error %d" % (code, error)
        return answer

    def close(self):
        self.call(CLOSE)
        self.socket.close()
