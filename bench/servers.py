"""Starts and stops what is measured: Parley and Debian's ZooKeeper, one node or three, on this machine and one disk."""
import os
import shutil
import signal
import socket
import struct
import subprocess
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PARLEY = os.environ.get("PARLEY", os.path.join(ROOT, "build", "parley"))
WORK = os.environ.get("BENCH_DATA", "/tmp/parley-bench")  # both servers' data: the same disk
JAR = os.environ.get("ZOOKEEPER_JAR", "/usr/share/java/zookeeper.jar")
NETTY = ":".join("/usr/share/java/netty-%s.jar" % part  # ZooKeeper's TLS: Debian's package libnetty-java
                 for part in ("all", "buffer", "codec", "common", "handler", "resolver", "transport"))
TICK = os.sysconf("SC_CLK_TCK")

# row: (what `parley bench zookeeper` is told); sessions and requests under way as the targets have them
ROWS = {
    "set": ["-w", "set"],
    "get": ["-w", "get"],
    "ephemeral": ["-w", "ephemeral"],
    "multi": ["-w", "multi"],
    "set-64x1": ["-w", "set", "--sessions", "64", "--outstanding", "64"],
    "set-1x1": ["-w", "set", "--sessions", "1", "--outstanding", "1"],
}

LOGBACK = """<configuration>
  <appender name="OUT" class="ch.qos.logback.core.ConsoleAppender"><encoder><pattern>%d %p %m%n</pattern></encoder></appender>
  <root level="WARN"><appender-ref ref="OUT"/></root>
</configuration>
"""
LOG4J = """log4j.rootLogger=WARN, OUT
log4j.appender.OUT=org.apache.log4j.ConsoleAppender
log4j.appender.OUT.layout=org.apache.log4j.PatternLayout
log4j.appender.OUT.layout.ConversionPattern=%d %p %m%n
"""


def certificates(folder):
    """An authority, a server's and a client's certificate (ECDSA P-256), as files; for Java key and certificate in one."""
    os.makedirs(folder, exist_ok=True)

    def openssl(*words):
        subprocess.run(("openssl",) + words, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    new = ("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl(*new, "-x509", "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=bench authority")
    with open(os.path.join(folder, "names"), "w") as f:
        f.write("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    for name in ("server", "client"):
        openssl(*new, "-keyout", name + ".key", "-out", name + ".csr", "-subj", "/CN=" + name)
        openssl("x509", "-req", "-in", name + ".csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
                "-extfile", "names", "-out", name + ".pem")
        with open(os.path.join(folder, name + "-both.pem"), "w") as f:
            for part in (".key", ".pem"):
                f.write(open(os.path.join(folder, name + part)).read())
    return {"ca": os.path.join(folder, "ca.pem"),
            **{name + kind: os.path.join(folder, name + end) for name in ("server", "client")
               for kind, end in (("_cert", ".pem"), ("_key", ".key"), ("_both", "-both.pem"))}}


def four_letters(address, word, timeout=1.0):
    with socket.create_connection(address, timeout) as s:
        s.sendall(word)
        out = b""
        while True:
            more = s.recv(65536)
            if not more:
                return out.decode()
            out += more


def rollup(pid, fields):
    total = 0
    for line in open("/proc/%d/smaps_rollup" % pid):
        name, _, rest = line.partition(":")
        if name in fields:
            total += int(rest.split()[0])
    return total


class Cluster:
    name = "?"

    def __init__(self, nodes, base_port, extra=()):
        self.nodes, self.base, self.extra = nodes, base_port, list(extra)
        self.folder = os.path.join(WORK, "%s-%d" % (self.name, nodes))
        self.processes = [None] * nodes
        self.network = None  # netns.Network: each node in one of its own
        self.tls = None  # certificates(): clients may come by TLS too, at tls_port
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.folder)

    def port(self, i):
        return self.base + i

    def tls_port(self, i):
        return self.base + 50 + i

    def host(self, i):
        return "127.0.0.1" if self.network is None else self.network.host(i)

    def address(self, i):
        return self.host(i), self.port(i)

    def addresses(self, which=None):
        return ",".join("%s:%d" % self.address(i) for i in (range(self.nodes) if which is None else which))

    def spawn(self, i):
        log = open(os.path.join(self.folder, "log%d" % i), "ab")
        self.processes[i] = subprocess.Popen(self.command(i) if self.network is None else self.network.within(i, self.command(i)), stdout=log, stderr=subprocess.STDOUT, cwd=self.folder)

    def start(self):
        for i in range(self.nodes):
            self.spawn(i)
        return self.wait_ready()

    def wait_ready(self, patience=60, poll=0.05):
        begin = time.monotonic()
        waiting = set(i for i in range(self.nodes) if self.processes[i])
        while waiting:
            for i in list(waiting):
                try:
                    text = four_letters(self.address(i), b"srvr")
                    if any("Mode: " + mode in text for mode in ("leader", "follower", "standalone")):
                        waiting.discard(i)
                except OSError:
                    pass
                if self.processes[i].poll() is not None:
                    raise RuntimeError("%s ended: see %s/log%d" % (self.name, self.folder, i))
            if time.monotonic() - begin > patience:
                raise RuntimeError("%s is not ready after %d s: see %s" % (self.name, patience, self.folder))
            time.sleep(poll)
        return self

    def wait_connections(self, count, patience=70):
        """A server with a short listen backlog takes half a minute for ten thousand."""
        begin = time.monotonic()
        while time.monotonic() - begin < patience:
            for line in four_letters(self.address(0), b"srvr", 10).splitlines():
                if line.startswith("Connections: ") and int(line.split()[1]) >= count:
                    return time.monotonic() - begin
            time.sleep(0.2)
        raise RuntimeError("fewer than %d connections after %d s" % (count, patience))

    def leaders(self):
        out = []
        for i in range(self.nodes):
            try:
                text = four_letters(self.address(i), b"srvr")
            except OSError:
                continue
            if "Mode: leader" in text or "Mode: standalone" in text:
                out.append(i)
        return out

    def only_leader(self, patience=30):
        """One that was stopped believes for a while that it still leads: stopping that one again would measure nothing."""
        begin, last = time.monotonic(), None
        while time.monotonic() - begin < patience:
            now = self.leaders()
            if len(now) == 1 and now == last:
                return now[0]
            last = now
            time.sleep(1.0)
        raise RuntimeError("no single leader after %d s: %s" % (patience, last))

    def cpu_seconds(self):
        total = 0.0
        for p in self.processes:
            if p and p.poll() is None:
                fields = open("/proc/%d/stat" % p.pid).read().rsplit(")", 1)[1].split()
                total += (int(fields[11]) + int(fields[12])) / TICK
        return total

    def rss_mb(self):
        total = 0
        for p in self.processes:
            if p and p.poll() is None:
                for line in open("/proc/%d/status" % p.pid):
                    if line.startswith("VmRSS"):
                        total += int(line.split()[1])
        return total / 1024.0

    def memory_mb(self):
        """Of the first node: its resident memory, and what its children (who write snapshots) have of their own."""
        own, child, pid = 0, 0, self.processes[0].pid
        try:
            own = rollup(pid, ("Rss",))
            for thread in os.listdir("/proc/%d/task" % pid):
                for one in open("/proc/%d/task/%s/children" % (pid, thread)).read().split():
                    child += rollup(int(one), ("Private_Clean", "Private_Dirty"))
        except OSError:
            pass  # it has just ended
        return own / 1024.0, child / 1024.0

    def zxid(self, i):
        for line in four_letters(self.address(i), b"srvr").splitlines():
            if line.startswith("Zxid: "):
                return int(line.split()[1], 16)
        raise RuntimeError("no zxid")

    def kill(self, i, how=signal.SIGKILL):
        self.processes[i].send_signal(how)
        if how == signal.SIGKILL:
            self.processes[i].wait()

    def stop(self):
        for p in self.processes:
            if p and p.poll() is None:
                p.send_signal(signal.SIGCONT)
                p.kill()
                p.wait()
        if self.network is not None:
            self.network.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.stop()


class Parley(Cluster):
    name = "parley"

    def command(self, i):
        peers = ",".join("%d=%s:%d" % (k + 1, self.host(k), self.base + 100 + k) for k in range(self.nodes))
        alone = ["--peer", "off"]
        among = ["--id", str(i + 1), "--peer", "%s:%d" % (self.host(i), self.base + 100 + i), "--cluster", peers]
        return [PARLEY, "server", "--data", os.path.join(self.folder, "data%d" % i), "--zookeeper",
                "%s:%d" % self.address(i), "--http", "%s:%d" % (self.host(i), self.base + 150 + i)] + (alone if self.nodes == 1 else among) + self.secure(i) + self.extra

    def ask_snapshot(self):
        """A snapshot of the first node begins; it is done when a client gets it, who does not want it."""
        with socket.create_connection((self.host(0), self.base + 150), 60) as s:
            s.sendall(b"GET /v1/backup HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")

    def wait_snapshot(self, patience=60):
        """The index of the newest one, once there is one."""
        begin = time.monotonic()
        folder = os.path.join(self.folder, "data0", "snapshots")
        while time.monotonic() - begin < patience:
            made = [int(n.split("-")[0]) for n in os.listdir(folder) if n.endswith(".snap")]
            if made and max(made) > 1:  # 1 is that of the formation
                return max(made)
            time.sleep(0.05)
        raise RuntimeError("no snapshot after %d s" % patience)

    def secure(self, i):
        if self.tls is None:
            return []
        return ["--zookeeper-tls", "127.0.0.1:%d" % self.tls_port(i), "--tls-cert", self.tls["server_cert"], "--tls-key",
                self.tls["server_key"], "--tls-ca", self.tls["ca"], "--max-connections", "0"]


class ZooKeeper(Cluster):
    name = "zookeeper"

    def command(self, i):
        folder = os.path.join(self.folder, "data%d" % i)
        os.makedirs(folder, exist_ok=True)
        for name, text in (("logback.xml", LOGBACK), ("log4j.properties", LOG4J)):
            with open(os.path.join(self.folder, name), "w") as f:
                f.write(text)
        lines = ["tickTime=2000", "initLimit=10", "syncLimit=5", "dataDir=" + folder, "clientPort=%d" % self.port(i),
                 "clientPortAddress=" + self.host(i), "maxClientCnxns=0", "admin.enableServer=false", "forceSync=yes",
                 "minSessionTimeout=4000", "clientPortListenBacklog=4096", "maxSessionTimeout=60000", "4lw.commands.whitelist=*"]
        if self.nodes > 1:
            with open(os.path.join(folder, "myid"), "w") as f:
                f.write("%d\n" % (i + 1))
            lines += ["server.%d=%s:%d:%d" % (k + 1, self.host(k), self.base + 100 + k, self.base + 200 + k)
                      for k in range(self.nodes)]
        if self.tls is not None:
            lines += ["secureClientPort=%d" % self.tls_port(i), "secureClientPortAddress=127.0.0.1",
                      "serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory",
                      "ssl.keyStore.location=" + self.tls["server_both"], "ssl.trustStore.location=" + self.tls["ca"],
                      "ssl.enabledProtocols=TLSv1.3", "ssl.protocol=TLSv1.3",
                      "ssl.ciphersuites=TLS_AES_256_GCM_SHA384,TLS_AES_128_GCM_SHA256"]  # its own list has none of 1.3
        config = os.path.join(self.folder, "zoo%d.cfg" % i)
        with open(config, "w") as f:
            f.write("\n".join(lines) + "\n")
        return ["java", "-Xmx2g", "-cp", self.folder + ":" + JAR + ":" + NETTY,
                "org.apache.zookeeper.server.quorum.QuorumPeerMain", config]


class Session:
    """A client just good enough to see when a write succeeds again."""

    def __init__(self, address, timeout=0.25):
        self.socket = socket.create_connection(address, timeout)
        self.socket.settimeout(timeout)
        self.buffer, self.xid = b"", 0
        self.send(struct.pack(">iqiqi16sb", 0, 0, 10000, 0, 16, b"\0" * 16, 0))

    def send(self, body):
        self.socket.sendall(struct.pack(">i", len(body)) + body)

    def frame(self, until):
        """The next frame, or None when there is none until then; OSError when the connection is gone."""
        while True:
            if len(self.buffer) >= 4:
                size = struct.unpack(">i", self.buffer[:4])[0]
                if len(self.buffer) >= 4 + size:
                    out, self.buffer = self.buffer[4:4 + size], self.buffer[4 + size:]
                    return out
            left = until - time.monotonic()
            if left <= 0:
                return None
            self.socket.settimeout(left)
            try:
                more = self.socket.recv(65536)
            except socket.timeout:
                return None
            if not more:
                raise OSError("closed")
            self.buffer += more

    def set(self, path, value):
        self.xid += 1
        p = path.encode()
        self.send(struct.pack(">iii", self.xid, 5, len(p)) + p + struct.pack(">i", len(value)) + value + struct.pack(">i", -1))
        return self.xid

    def create(self, path, value=b""):
        self.xid += 1
        p = path.encode()
        self.send(struct.pack(">iii", self.xid, 1, len(p)) + p + struct.pack(">i", len(value)) + value +
                  struct.pack(">iii", 1, 31, 5) + b"world" + struct.pack(">i", 6) + b"anyone" + struct.pack(">i", 0))
        return self.xid

    def close(self):
        self.socket.close()
