"""Real servers of other systems from Debian's packages, each in a folder of its own and on ports of its own, never the system's service:
for via.py (tests of locks) and bench/locks.py. A system: start(), url(), kill(), restart(), stop()."""
import glob
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import threading
import urllib.request

import run
from run import until

ZOOKEEPER_JAR = "/usr/share/java/zookeeper.jar"
POSTGRES = (sorted(glob.glob("/usr/lib/postgresql/*/bin")) or ["/usr/lib/postgresql/bin"])[-1]


def reachable(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


def ask_text(port, words, timeout=2):
    """What a server of texts answers to `words`, until it says no more for a moment."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout) as s:
            s.sendall(words)
            return s.recv(65536)
    except OSError:
        return b""


class System:
    """Some servers of one kind."""
    name, binaries, count, cluster = "?", (), 1, False

    def __init__(self, folder, port):
        self.folder, self.port = os.path.join(folder, self.name), port
        self.processes = [None] * self.count

    @classmethod
    def missing(cls):
        return [b for b in cls.binaries if not (os.path.exists(b) if b.startswith("/") else shutil.which(b))]

    def prepare(self, i):
        os.makedirs("%s/%d" % (self.folder, i), exist_ok=True)

    def spawn(self, i):
        with open("%s/%d.log" % (self.folder, i), "ab") as log:
            self.processes[i] = subprocess.Popen(self.command(i), stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                                 cwd="%s/%d" % (self.folder, i))

    def start(self):
        os.makedirs(self.folder, exist_ok=True)
        for i in range(self.count):
            self.prepare(i)
            self.spawn(i)
        self.wait_ready()
        return self

    def wait_ready(self):
        for i in range(self.count):
            if self.processes[i] is not None:
                until("%s %d serves (%s)" % (self.name, i, self.folder), lambda: self.alive(i) and self.ready(i), 60)

    def alive(self, i):
        assert self.processes[i].poll() is None, "%s %d ended: see %s/%d.log" % (self.name, i, self.folder, i)
        return True

    def ready(self, i):
        return reachable(self.port + i)

    def addresses(self):
        return ",".join("127.0.0.1:%d" % (self.port + i) for i in range(self.count))

    def victim(self):
        """Whose death hurts most."""
        return 0

    def kill(self, i):
        self.processes[i].kill()
        self.processes[i].wait()
        self.processes[i] = None

    def restart(self, i):
        self.spawn(i)
        self.wait_ready()

    def stop(self):
        for process in self.processes:
            if process is not None:
                process.send_signal(signal.SIGCONT)
                process.kill()
                process.wait()


class Native(System):
    name, count, cluster = "native", 3, True

    def __init__(self, folder, port, binary="build/parley"):
        super().__init__(folder, port)
        self.binary = os.path.abspath(binary)

    def start(self):
        os.makedirs(self.folder)
        self.nodes = run.Cluster(self.binary, self.port, 3, self.folder)
        self.nodes.start_all()
        self.nodes.leader()
        return self

    def url(self):
        return "parley://" + self.nodes.servers()

    def victim(self):
        return self.nodes.leader()

    def kill(self, i):
        self.nodes.kill(i)

    def restart(self, i):
        self.nodes.start_all()

    def stop(self):
        self.nodes.stop()


class Redis(System):
    name, binaries = "redis", ("redis-server", "redis-cli")

    def command(self, i):
        return ["redis-server", "--port", str(self.port + i), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]

    def ready(self, i):
        return ask_text(self.port + i, b"PING\r\n") == b"+PONG\r\n"

    def ask(self, i, *words):
        return subprocess.run(["redis-cli", "-p", str(self.port + i), *words], capture_output=True, text=True, check=True).stdout.strip()

    def url(self):
        return "redis://" + self.addresses().split(",")[0]


class Pair(Redis):
    """A master and what shall be its replica."""
    name, count = "pair", 2


class Redlock(Redis):
    name, count, cluster = "redlock", 5, True

    def url(self):
        return "redlock://" + self.addresses()


class ZooKeeper(System):
    name, binaries, count, cluster = "zookeeper", ("java", ZOOKEEPER_JAR), 3, True
    java = ["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]  # starts fast; the bench has others

    def prepare(self, i):
        super().prepare(i)
        folder = "%s/%d" % (self.folder, i)
        with open(folder + "/myid", "w") as f:
            f.write("%d\n" % (i + 1))
        with open(folder + "/logback.xml", "w") as f:
            f.write('<configuration><appender name="OUT" class="ch.qos.logback.core.ConsoleAppender"><encoder>'
                    '<pattern>%d %p %m%n</pattern></encoder></appender><root level="WARN"><appender-ref ref="OUT"/></root></configuration>')
        lines = ["tickTime=1000", "initLimit=20", "syncLimit=10", "dataDir=" + folder, "clientPort=%d" % (self.port + i),
                 "clientPortAddress=127.0.0.1", "maxClientCnxns=0", "admin.enableServer=false", "maxSessionTimeout=60000",
                 "4lw.commands.whitelist=*"]
        lines += ["server.%d=127.0.0.1:%d:%d" % (k + 1, self.port + 3 + k, self.port + 6 + k) for k in range(3)]
        with open(folder + "/zoo.cfg", "w") as f:
            f.write("\n".join(lines) + "\n")

    def command(self, i):
        return ["java", *self.java, "-cp", "%s/%d:%s" % (self.folder, i, ZOOKEEPER_JAR),
                "org.apache.zookeeper.server.quorum.QuorumPeerMain", "%s/%d/zoo.cfg" % (self.folder, i)]

    def mode(self, i):
        for line in ask_text(self.port + i, b"srvr").decode().splitlines():
            if line.startswith("Mode: "):
                return line[6:]
        return None

    def ready(self, i):
        return self.mode(i) in ("leader", "follower")

    def victim(self):
        return [self.mode(i) for i in range(3)].index("leader")

    def url(self):
        return "zookeeper://" + self.addresses()


class Etcd(System):
    name, binaries, count, cluster = "etcd", ("etcd",), 3, True

    def command(self, i):
        def at(k, offset=0):
            return "http://127.0.0.1:%d" % (self.port + offset + k)
        return ["etcd", "--name", "n%d" % i, "--data-dir", "%s/%d/data" % (self.folder, i), "--listen-client-urls", at(i),
                "--advertise-client-urls", at(i), "--listen-peer-urls", at(i, 3), "--initial-advertise-peer-urls", at(i, 3),
                "--initial-cluster", ",".join("n%d=%s" % (k, at(k, 3)) for k in range(3)), "--log-level", "error"]

    def status(self, i):
        try:
            request = urllib.request.Request("http://127.0.0.1:%d/v3/maintenance/status" % (self.port + i), b"{}")
            with urllib.request.urlopen(request, timeout=2) as answer:
                return json.load(answer)
        except OSError:
            return {}

    def ready(self, i):
        return int(self.status(i).get("leader", "0")) != 0

    def victim(self):
        status = [self.status(i) for i in range(3)]
        return [s["header"]["member_id"] == s["leader"] for s in status].index(True)

    def url(self):
        return "etcd://" + self.addresses()


class Memcached(System):
    name, binaries = "memcached", ("memcached",)

    def command(self, i):
        return ["memcached", "-l", "127.0.0.1", "-p", str(self.port), "-U", "0", "-u", "nobody", "-m", "16"]

    def ready(self, i):
        return ask_text(self.port, b"version\r\n").startswith(b"VERSION")

    def url(self):
        return "memcached://" + self.addresses()


def as_user(name, folder):
    """A server that does not run as root gets a user and its folder."""
    if os.getuid() != 0:
        return []
    user = pwd.getpwnam(name)
    os.chown(folder, user.pw_uid, user.pw_gid)
    return ["setpriv", "--reuid", name, "--regid", str(user.pw_gid), "--clear-groups"]


class Postgres(System):
    name, binaries = "postgres", (POSTGRES + "/postgres",)
    clock = None  # a file of libfaketime's

    def prepare(self, i):
        super().prepare(i)
        self.user = as_user("postgres", "%s/%d" % (self.folder, i))
        subprocess.run(self.user + [POSTGRES + "/initdb", "-D", "%s/%d/data" % (self.folder, i), "-A", "trust", "-U", "tester",
                                    "--locale", "C"], check=True, stdout=subprocess.DEVNULL, cwd="/")

    def command(self, i):
        return self.user + faked(self.clock) + [POSTGRES + "/postgres", "-D", "%s/%d/data" % (self.folder, i), "-p", str(self.port), "-c",
                            "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "max_connections=400", "-c",
                            "shared_buffers=16MB"]

    def ask(self, sql):
        return subprocess.run([POSTGRES + "/psql", "-h", "127.0.0.1", "-p", str(self.port), "-U", "tester", "-d", "postgres", "-Atc", sql],
                              capture_output=True, text=True)

    def ready(self, i):
        return self.ask("SELECT 1").returncode == 0

    def kill(self, i):
        super().kill(i)  # the postmaster; the others end when they notice, and until then it does not start again
        until("the backends have ended", lambda: not reachable(self.port))

    def restart(self, i):
        def again():
            self.spawn(i)
            return until("it serves or has ended", lambda: self.processes[i].poll() is not None or self.ready(i)) and \
                self.processes[i].poll() is None
        until("it starts again", again, 60)

    def url(self, recipe="table"):
        return "postgres://tester@127.0.0.1:%d/postgres?recipe=%s" % (self.port, recipe)


class Standby(Postgres):
    """Replicates from the port `source`, asynchronously, as PostgreSQL does unless it is told otherwise."""
    name, source = "standby", 0

    def prepare(self, i):
        System.prepare(self, i)
        self.user = as_user("postgres", "%s/%d" % (self.folder, i))
        subprocess.run(self.user + [POSTGRES + "/pg_basebackup", "-h", "127.0.0.1", "-p", str(self.source), "-U", "tester", "-D",
                                    "%s/%d/data" % (self.folder, i), "-R", "--checkpoint=fast"], check=True, cwd="/")


class MariaDB(System):
    name, binaries = "mysql", ("mariadbd", "mariadb-install-db", "mariadb")
    clock = None

    def prepare(self, i):
        super().prepare(i)
        folder = "%s/%d" % (self.folder, i)
        self.user = as_user("mysql", folder)
        subprocess.run(self.user + ["mariadb-install-db", "--no-defaults", "--datadir=" + folder + "/data", "--auth-root-authentication-method=normal",
                                    "--skip-test-db", "--skip-name-resolve"], check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, cwd="/")

    def command(self, i):
        folder = "%s/%d" % (self.folder, i)
        return self.user + faked(self.clock) + ["mariadbd", "--no-defaults", "--datadir", folder + "/data", "--port", str(self.port), "--bind-address",
                            "127.0.0.1", "--socket", folder + "/socket", "--pid-file", folder + "/pid", "--max-connections", "400",
                            "--innodb-buffer-pool-size", "32M", "--skip-name-resolve"]

    def ask(self, sql):
        return subprocess.run(["mariadb", "--no-defaults", "-h", "127.0.0.1", "-P", str(self.port), "-u", "root", "-Ne", sql],
                              capture_output=True, text=True)

    def ready(self, i):
        return self.ask("CREATE DATABASE IF NOT EXISTS locks").returncode == 0

    def url(self, recipe="table"):
        return "mysql://root@127.0.0.1:%d/locks?recipe=%s" % (self.port, recipe)


FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"


def faked(clock):
    """Ahead of a server's command: a file steps its wall clock. Behind setpriv: what libfaketime makes must be the server's own."""
    if clock is None:
        return []
    return ["env", "LD_PRELOAD=" + FAKETIME, "FAKETIME_TIMESTAMP_FILE=" + clock, "FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1"]


class Relay:
    """A TCP connection between two servers that can be cut without either being told."""

    def __init__(self, port):
        self.port, self.frozen, self.sockets = port, threading.Event(), []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def address(self):
        return self.listener.getsockname()[1]

    def serve(self):
        while True:
            try:
                one = self.listener.accept()[0]
                two = socket.create_connection(("127.0.0.1", self.port))
            except OSError:
                return
            self.sockets += [one, two]
            for a, b in ((one, two), (two, one)):
                threading.Thread(target=self.pump, args=(a, b), daemon=True).start()

    def pump(self, a, b):
        try:
            while True:
                data = a.recv(65536)
                if not data:
                    return
                if not self.frozen.is_set():
                    b.sendall(data)
        except OSError:
            pass

    def close(self):
        self.listener.close()
        for one in self.sockets:
            one.close()
