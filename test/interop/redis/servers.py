"""Parley's nodes with a listener for Redis clients, and a real Redis beside them."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import Cluster, _die_with_parent, free_ports, wait_until  # noqa: E402


class RedisNodes(Cluster):
    def __init__(self, nodes, extra=()):
        super().__init__(nodes, extra)
        for node, port in zip(self.nodes, free_ports(nodes)):
            node.redis_port = port

    def command(self, node):
        return super().command(node) + ["--redis", "127.0.0.1:%d" % node.redis_port]


class RealRedis:
    def __enter__(self):
        self.folder, self.redis_port = tempfile.mkdtemp(prefix="redis-interop-"), free_ports(1)[0]
        self.process = subprocess.Popen(
            ["redis-server", "--port", str(self.redis_port), "--save", "", "--dir", self.folder, "--bind", "127.0.0.1"],
            stdout=subprocess.DEVNULL, preexec_fn=_die_with_parent)

        def answers():
            try:
                return talk(self.redis_port, b"PING\r\n", b"+PONG\r\n") == b"+PONG\r\n"
            except OSError:
                return False
        wait_until("redis-server answers", answers)
        return self

    def __exit__(self, kind, value, trace):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def talk(port, data, until):
    """Sends, and reads up to `until` or the end (None: until the end)."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as s:
        s.sendall(data)
        got = b""
        while until is None or not got.endswith(until):
            piece = s.recv(65536)
            if not piece:
                return got + b"<closed>"
            got += piece
        return got
