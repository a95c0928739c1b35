"""Starts Parley clusters (or real ZooKeeper ensembles) for tests that drive real clients.

A node is ready when /readyz (ZooKeeper: `ruok` and a mode in `srvr`) says so; nothing here waits by a fixed sleep.
Only the standard library is used, so that the harness runs wherever Python 3.9 does.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
BINARY = os.environ.get("PARLEY", os.path.join(ROOT, "build", "parley"))


def free_ports(count):
    """Ports that nobody listens on now; all are held until all are known, so they differ."""
    held = []
    for _ in range(count):
        s = socket.socket()
        s.bind(("127.0.0.1", 0))
        held.append(s)
    ports = [s.getsockname()[1] for s in held]
    for s in held:
        s.close()
    return ports


def wait_until(what, condition, seconds=30.0):
    """Polls `condition` until it gives something true; raises with `what` after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError("waited %.0f s in vain: %s" % (seconds, what))
        time.sleep(0.01)


def four_letter(port, word, timeout=1.0):
    """The answer to a four-letter word, or None when the port does not answer."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=timeout) as s:
            s.sendall(word.encode())
            parts = []
            while True:
                part = s.recv(65536)
                if not part:
                    break
                parts.append(part)
        return b"".join(parts).decode("utf-8", "replace")
    except OSError:
        return None


def mode_of(port):
    """leader, follower, standalone, observer, or None."""
    for line in (four_letter(port, "srvr") or "").splitlines():
        if line.startswith("Mode: "):
            return line[6:].strip()
    return None


class Node:
    def __init__(self, cluster, number, ports):
        self.cluster, self.id = cluster, number
        self.zk_port, self.http_port, self.peer_port = ports
        self.data = os.path.join(cluster.folder, "node%d" % number)
        self.log_path = os.path.join(cluster.folder, "node%d.log" % number)
        self.process = None

    def start(self):
        assert self.process is None
        log = open(self.log_path, "ab")
        self.process = subprocess.Popen(
            self.cluster.command(self), stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            preexec_fn=_die_with_parent)
        log.close()

    def get(self, path):
        with urllib.request.urlopen("http://127.0.0.1:%d%s" % (self.http_port, path), timeout=2) as answer:
            return answer.read().decode()

    def ready(self):
        if self.process is None or self.process.poll() is not None:
            raise RuntimeError("node %d ended (%s): see %s\n%s" % (
                self.id, self.process and self.process.returncode, self.log_path, self.log_tail()))
        try:
            self.get("/readyz")
            return True
        except OSError:
            return False

    def log_tail(self, lines=25):
        with open(self.log_path, "r", errors="replace") as f:
            return "".join(f.readlines()[-lines:])

    def kill(self, how=signal.SIGKILL):
        self.process.send_signal(how)
        self.process.wait(30)
        self.process = None

    def stop(self):
        if self.process is not None:
            self.kill(signal.SIGTERM)

    def wipe(self):
        assert self.process is None
        shutil.rmtree(self.data)


def _die_with_parent():
    import ctypes
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class Cluster:
    """`with Cluster(3) as c:` gives three ready nodes; everything is gone afterwards."""

    def __init__(self, nodes, extra=(), binary=None, first=None):
        """first: ports (ZooKeeper, HTTP, peers) of the first node; else all are free ones."""
        self.folder = tempfile.mkdtemp(prefix="parley-interop-")
        self.extra, self.binary = list(extra), binary or BINARY
        ports = free_ports(3 * nodes)
        ports[:3] = first or ports[:3]
        self.nodes = [Node(self, k + 1, ports[3 * k:3 * k + 3]) for k in range(nodes)]

    def command(self, node):
        args = [self.binary, "server", "--data", node.data, "--id", str(node.id),
                "--zookeeper", "127.0.0.1:%d" % node.zk_port, "--http", "127.0.0.1:%d" % node.http_port,
                "--peer", "127.0.0.1:%d" % node.peer_port]
        if len(self.nodes) > 1:
            args += ["--cluster", ",".join("%d=127.0.0.1:%d" % (n.id, n.peer_port) for n in self.nodes)]
        return args + self.extra

    def __enter__(self):
        try:
            for node in self.nodes:
                node.start()
            self.wait_ready()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind, value, trace):
        for node in self.nodes:
            if node.process is not None:
                node.process.kill()
                node.process.wait()
                node.process = None
        if kind is None:
            shutil.rmtree(self.folder, ignore_errors=True)
        else:
            print("logs are kept in", self.folder)

    def wait_ready(self, seconds=30):
        for node in self.nodes:
            if node.process is not None:
                wait_until("node %d ready" % node.id, node.ready, seconds)

    @property
    def hosts(self):
        return ",".join("127.0.0.1:%d" % n.zk_port for n in self.nodes)

    def leader(self, seconds=20):
        def find():
            for node in self.nodes:
                if node.process is not None and mode_of(node.zk_port) in ("leader", "standalone"):
                    return node
            return None
        return wait_until("a leader", find, seconds)

    def add_member(self):
        """Starts one more node and makes it a voter; gives it once it is ready and one."""
        node = Node(self, max(n.id for n in self.nodes) + 1, free_ports(3))
        old = self.nodes[0]
        self.nodes.append(node)
        node.start()

        def member(*words):
            done = subprocess.run([self.binary, "member", *map(str, words), "--http", "127.0.0.1:%d" % old.http_port],
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=30)
            self.said = done.stdout
            return done.returncode == 0
        try:
            wait_until("member added", lambda: member("add", node.id, "127.0.0.1:%d" % node.peer_port))
            wait_until("member promoted", lambda: member("promote", node.id))
        except TimeoutError as error:
            raise TimeoutError("%s: %s" % (error, self.said)) from None
        wait_until("new member ready", node.ready)
        return node

    def view(self, node):
        return json.loads(node.get("/v1/cluster"))


class RealNode(Node):
    """One real ZooKeeper server of Debian's package: what the test programs themselves are tested against."""

    def start(self):
        os.makedirs(self.data, exist_ok=True)
        with open(os.path.join(self.data, "myid"), "w") as f:
            f.write("%d\n" % self.id)
        with open(self.data + ".cfg", "w") as f:
            f.write(self.cluster.config(self))
        super().start()

    def ready(self):
        if self.process is None or self.process.poll() is not None:
            raise RuntimeError("node %d ended: see %s\n%s" % (self.id, self.log_path, self.log_tail()))
        return four_letter(self.zk_port, "ruok") == "imok" and mode_of(self.zk_port) is not None


class RealZooKeeper(Cluster):
    """As Cluster, with real ZooKeeper servers (about 100 MB each); no HTTP."""

    JAR = "/usr/share/java/zookeeper.jar"

    def __init__(self, nodes, first=None):
        if not os.path.exists(self.JAR):
            raise FileNotFoundError("no %s: scripts/install_dependencies.sh zookeeper" % self.JAR)
        super().__init__(nodes, first=first)
        ports = free_ports(nodes)
        self.nodes = [RealNode(self, n.id, (n.zk_port, n.http_port, n.peer_port)) for n in self.nodes]
        self.election = dict(zip((n.id for n in self.nodes), ports))
        with open(os.path.join(self.folder, "log4j.properties"), "w") as f:
            f.write("log4j.rootLogger=INFO, out\nlog4j.appender.out=org.apache.log4j.ConsoleAppender\n"
                    "log4j.appender.out.layout=org.apache.log4j.PatternLayout\n"
                    "log4j.appender.out.layout.ConversionPattern=%d{ISO8601} %p %c{1}: %m%n\n")

    def config(self, node):
        lines = ["tickTime=500", "initLimit=20", "syncLimit=10", "minSessionTimeout=1000", "maxSessionTimeout=40000",
                 "maxClientCnxns=0", "admin.enableServer=false", "4lw.commands.whitelist=*", "dataDir=" + node.data]
        if len(self.nodes) == 1:
            lines += ["clientPort=%d" % node.zk_port, "clientPortAddress=127.0.0.1"]
        for n in self.nodes if len(self.nodes) > 1 else []:
            lines.append("server.%d=127.0.0.1:%d:%d:participant;127.0.0.1:%d" % (
                n.id, n.peer_port, self.election[n.id], n.zk_port))
        return "\n".join(lines) + "\n"

    def command(self, node):
        # Containers and TTL nodes end at a check; the default of one a minute is too slow for a test.
        return ["java", "-Xmx256m", "-Dzookeeper.extendedTypesEnabled=true", "-Dzookeeper.forceSync=no",
                "-Dznode.container.checkIntervalMs=300", "-cp", self.folder + ":" + self.JAR,
                "org.apache.zookeeper.server.quorum.QuorumPeerMain", node.data + ".cfg"]
