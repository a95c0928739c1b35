"""Three nodes of one system, each in a network namespace with a disk of its own, and what can be done to them.

Everything runs inside one namespace without a link outside (run.py sees to that): a bridge 10.9.0.0/24, node k at 10.9.0.k, clients at
10.9.0.254. Each node's disk is an ext4 file system on a loop device, whose image is in memory.
"""

import ctypes
import glob
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.append(os.path.join(HERE, "..", "interop"))
from harness import wait_until  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(HERE))
BUILT = os.path.join(ROOT, "build", "chaos")
PARLEY = os.environ.get("PARLEY", os.path.join(ROOT, "build", "parley"))
JAR = os.environ.get("ZOOKEEPER_JAR", "/usr/share/java/zookeeper.jar")
LOG_JARS = "/usr/share/java/slf4j-log4j12.jar:/usr/share/java/log4j-1.2.jar"
BLKIO, CGROUP2 = "/sys/fs/cgroup/blkio", "/sys/fs/cgroup"
CLIENTS = "clients"  # the outer namespace, where a node would have its number
CLIENT_PORT, PROXY_PORT, PROXY_MARK = 2181, 9999, 7
IMAGES = "/run/chaos"  # in memory: no fault takes the machine's power, and nobody else's disk is measured
DISK_MB = 384
NODES = 3
RESTART_S = 1.0  # a supervisor starts a node again that ended by itself
LOG4J = """log4j.rootLogger=INFO, OUT
log4j.appender.OUT=org.apache.log4j.ConsoleAppender
log4j.appender.OUT.layout=org.apache.log4j.PatternLayout
log4j.appender.OUT.layout.ConversionPattern=%d{ISO8601} %p %c{1}: %m%n
"""


class Missing(Exception):
    """This kernel or machine cannot make a fault: the fault fails, it is not passed over."""


def do(*words, given=None):
    done = subprocess.run(words, input=given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise RuntimeError("%s: %s" % (" ".join(words), done.stdout.strip()))
    return done.stdout.strip()


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def address(place):
    return "10.9.0.%d" % (254 if place == CLIENTS else place)


def in_namespace(place):
    return [] if place == CLIENTS else ["nsenter", "--net=/run/netns/n%d" % place]


def remove_groups(run):
    """The cgroups of a run (its CHAOS_RUN), once their processes and namespaces are gone."""
    for parent in (BLKIO, CGROUP2):
        for group in glob.glob(os.path.join(parent, "chaos-%s-*" % run)):
            os.rmdir(group)


def prepare_namespace():
    """In a new network and mount namespace: the bridge that all nodes share."""
    for folder in ("/run/netns", IMAGES):
        os.makedirs(folder, exist_ok=True)
        do("mount", "-t", "tmpfs", "none", folder)
    do("ip", "link", "set", "lo", "up")
    do("ip", "link", "add", "br0", "type", "bridge")
    do("ip", "addr", "add", address(CLIENTS) + "/24", "dev", "br0")
    do("ip", "link", "set", "br0", "up")


class Disk:
    """A loop device with ext4; full and slow on demand."""

    def __init__(self, folder, name):
        self.image, self.folder, self.name = os.path.join(IMAGES, name + ".img"), os.path.join(folder, name), name
        os.makedirs(self.folder)
        do("truncate", "-s", "%dM" % DISK_MB, self.image)
        do("mkfs.ext4", "-q", "-m", "0", self.image)
        self.device = do("losetup", "-f", "--show", self.image)
        # The kernel's write-back throttling guesses a disk's speed by its latency, which says nothing on a busy machine.
        with open("/sys/block/%s/queue/wbt_lat_usec" % os.path.basename(self.device), "w") as control:
            control.write("0")
        do("mount", self.device, self.folder)
        do("losetup", "-d", self.device)  # goes once nothing uses it any more, however this program ends
        self.data = os.path.join(self.folder, "data")

    def fill(self):
        """Leaves no block free."""
        with open(os.path.join(self.folder, "ballast"), "wb") as file:
            try:
                free = os.statvfs(self.folder)
                os.posix_fallocate(file.fileno(), 0, max(1, free.f_bavail * free.f_frsize * 98 // 100))
            except OSError:
                pass
            try:
                while True:
                    os.write(file.fileno(), b"x" * 4096)
            except OSError:
                pass

    def empty(self):
        ballast = os.path.join(self.folder, "ballast")
        if os.path.exists(ballast):
            os.unlink(ballast)

    def numbers(self):
        device = os.stat(self.device).st_rdev
        return "%d:%d" % (os.major(device), os.minor(device))

    def slow(self, pid, bytes_a_second):
        """Bounds what the process may write to this disk; 0: no bound. cgroup v2's io.max, or v1's blkio.throttle."""
        if os.path.exists(CGROUP2 + "/cgroup.controllers") and "io" in open(CGROUP2 + "/cgroup.controllers").read():
            parent, file, text = CGROUP2, "io.max", "%s wbps=%s" % (self.numbers(), bytes_a_second or "max")
        elif os.path.exists(BLKIO + "/blkio.throttle.write_bps_device"):
            parent, file, text = BLKIO, "blkio.throttle.write_bps_device", "%s %d" % (self.numbers(), bytes_a_second)
        else:
            raise Missing("no cgroup controller that bounds a disk: neither io (v2) nor blkio.throttle (v1)")
        group = os.path.join(parent, "chaos-%s-%s" % (os.environ["CHAOS_RUN"], self.name))
        os.makedirs(group, exist_ok=True)
        for name, value in ((file, text), ("cgroup.procs", str(pid))):
            with open(os.path.join(group, name), "w") as control:
                control.write(value)


class Node:
    def __init__(self, stage, number):
        self.stage, self.id, self.process = stage, number, None
        self.wanted, self.ends = False, []  # wanted: the supervisor starts it again
        self.disk = Disk(stage.folder, "n%d" % number)
        self.log_path = os.path.join(stage.folder, "n%d.log" % number)
        self.clock = os.path.join(stage.folder, "n%d.clock" % number)
        self.order = os.path.join(stage.folder, "n%d.shim" % number)
        for path, first in ((self.clock, bytes(8)), (self.order, b"0")):
            with open(path, "wb") as file:
                file.write(first)
        do("ip", "netns", "add", "n%d" % number)
        do("ip", "link", "add", "v%d" % number, "type", "veth", "peer", "name", "eth0", "netns", "n%d" % number)
        do("ip", "link", "set", "v%d" % number, "master", "br0", "up")
        do("ip", "-n", "n%d" % number, "addr", "add", address(number) + "/24", "dev", "eth0")
        do("ip", "-n", "n%d" % number, "link", "set", "eth0", "up")
        do("ip", "-n", "n%d" % number, "link", "set", "lo", "up")

    def tools(self):
        """What stands before the server's command: a library between it and the system, for the server alone."""
        if "shim" not in self.stage.tools:
            return []
        return ["env", "LD_PRELOAD=" + os.path.join(BUILT, "shim.so"), "CHAOS_SHIM=" + self.order, "CHAOS_CLOCK=" + self.clock]

    def start(self):
        assert self.process is None
        os.makedirs(self.disk.data, exist_ok=True)
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(in_namespace(self.id) + self.tools() + self.stage.command(self), stdout=log,
                                            stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd=self.stage.folder,
                                            preexec_fn=die_with_parent)
        self.wanted = True
        self.stage.note("start", self.id)

    def kill(self, how=signal.SIGKILL):
        self.wanted = False
        process, self.process = self.process, None
        if process is None:
            return
        process.send_signal(how)
        process.wait(30)
        self.stage.note("killed", self.id)

    def signal(self, how):
        if self.process is not None:
            self.process.send_signal(how)
            self.stage.note(how.name, self.id)

    def wipe(self):
        assert self.process is None
        shutil.rmtree(self.disk.data)
        self.stage.note("wiped", self.id)

    def set_clock(self, seconds):
        """Its wall clock is off by so much from now on."""
        with open(self.clock, "r+b") as file:
            file.write(struct.pack("=q", seconds))
        self.stage.note("clock", self.id, seconds)

    def fail_sync(self, count):
        with open(self.order, "r+") as file:
            file.write(str(count))
        self.stage.note("fsync error", self.id, count)

    def srvr(self, timeout=1.0):
        """The answer to `srvr`, empty without one."""
        parts = []
        try:
            with socket.create_connection((address(self.id), CLIENT_PORT), timeout) as s:
                s.sendall(b"srvr")
                while True:
                    part = s.recv(65536)
                    if not part:
                        break
                    parts.append(part)
        except OSError:
            return ""
        return b"".join(parts).decode("utf-8", "replace")

    def mode(self):
        for line in self.srvr().splitlines():
            if line.startswith("Mode: "):
                return line[6:].strip()
        return None

    def connections(self):
        for line in self.srvr().splitlines():
            if line.startswith("Connections: "):
                return int(line.split()[1])
        return 0

    def serves(self):
        return self.process is not None and self.mode() in ("leader", "follower", "standalone")


class Stage:
    """tools: what the nodes are started with (shim, proxy); spares: nodes beyond the three, not started."""

    name = "?"
    peer_ports = ()

    def __init__(self, folder, tools=(), spares=0):
        self.folder, self.tools, self.notes, self.cuts, self.proxies = folder, set(tools), [], {}, []
        os.makedirs(folder)
        self.closing = self.formed = False
        self.clients = []  # processes
        self.nodes = [Node(self, k + 1) for k in range(NODES + spares)]
        if "proxy" in self.tools:
            self.start_proxies()

    def note(self, what, *more):
        self.notes.append({"at": time.monotonic_ns() // 1000, "what": what, "more": more})

    def hosts(self, nodes=None):
        return ",".join("%s:%d" % (address(n.id), CLIENT_PORT) for n in nodes or self.nodes)

    def node(self, number):
        return next(n for n in self.nodes if n.id == number)

    def start(self):
        for node in self.nodes[:NODES]:
            node.start()
        threading.Thread(target=self.supervise, daemon=True).start()
        self.wait_served(90)
        self.formed = True

    def supervise(self):
        """As systemd would: who ended by itself is started again."""
        while not self.closing:
            for node in list(self.nodes):
                process = node.process
                if node.wanted and process is not None and process.poll() is not None:
                    node.ends.append(process.returncode)
                    self.note("ended", node.id, process.returncode)
                    time.sleep(RESTART_S)
                    if node.wanted and node.process is process and not self.closing:
                        node.process = None
                        node.start()
            time.sleep(0.2)

    def wait_served(self, seconds=60, nodes=None):
        for node in nodes or [n for n in self.nodes if n.wanted]:
            wait_until("%s node %d serves" % (self.name, node.id), node.serves, seconds)

    def wait_connections(self, count):
        """Until all clients are connected."""
        wait_until("%d clients connected" % count, lambda: sum(n.connections() for n in self.nodes) >= count, 30)

    def leader(self, patience=40):
        """The only one that says so twice, a second apart: one that was stopped or cut off believes for a while that it leads."""
        end, last = time.monotonic() + patience, None
        while time.monotonic() < end:
            now = [n for n in self.nodes if n.process is not None and n.mode() in ("leader", "standalone")]
            if len(now) == 1 and now == last:
                return now[0]
            last = now
            time.sleep(0.5)
        raise TimeoutError("no single leader of %s after %d s" % (self.name, patience))

    def others(self, *which):
        return [n for n in self.nodes if n not in which]

    # ---- the network: at each place, what of others' packets is dropped on arrival, per thousand

    def cut(self, source, target, per_mille=1000):
        """Packets from source to target (node numbers or CLIENTS) are lost."""
        self.cuts[(source, target)] = per_mille
        self.note("cut", source, target, per_mille)
        self.apply_cuts(target)

    def part(self, one, other, per_mille=1000):
        self.cut(one, other, per_mille)
        self.cut(other, one, per_mille)

    def apply_cuts(self, target):
        lines = ["add table inet chaos", "flush table inet chaos", "table inet chaos {", "chain input {",
                 "type filter hook input priority 0; policy accept;"]
        for (source, at), per_mille in self.cuts.items():
            if at == target:
                chance = "" if per_mille == 1000 else "numgen random mod 1000 < %d " % per_mille
                lines.append("ip saddr %s %sdrop" % (address(source), chance))
        do(*in_namespace(target), "nft", "-f", "-", given="\n".join(lines + ["}", "}", ""]))

    def heal(self):
        targets = {target for _, target in self.cuts}
        self.cuts = {}
        for target in targets:
            self.apply_cuts(target)
        self.note("heal")

    # ---- proxies: on each node's links to its peers, and on the clients' links

    def start_proxies(self):
        self.control = os.path.join(self.folder, "proxy.control")
        self.bad_links(0, 0, 0, 0, 0)
        for place in [n.id for n in self.nodes] + [CLIENTS]:
            self.proxies.append(subprocess.Popen(
                in_namespace(place) + [os.path.join(BUILT, "proxy"), str(PROXY_PORT), self.control],
                stdin=subprocess.DEVNULL, preexec_fn=die_with_parent))
            ports = ", ".join(map(str, (CLIENT_PORT,) if place == CLIENTS else self.peer_ports))
            do(*in_namespace(place), "nft", "-f", "-", given="""table ip chaosproxy {
                chain output {
                type nat hook output priority -100; policy accept;
                ip daddr 10.9.0.0/24 tcp dport { %s } meta mark != %d redirect to :%d
                }
                }
                """ % (ports, PROXY_MARK, PROXY_PORT))

    def bad_links(self, delay_ms, jitter_ms, stall_per_10000, stall_ms, cut_per_10000):
        with open(self.control + ".new", "w") as file:
            file.write("%d %d %d %d %d\n" % (delay_ms, jitter_ms, stall_per_10000, stall_ms, cut_per_10000))
        os.rename(self.control + ".new", self.control)
        self.note("links", delay_ms, jitter_ms, stall_per_10000, stall_ms, cut_per_10000)

    def close(self):
        """Ends the processes. Disks, links and rules go with the namespaces when this program ends."""
        self.closing = True
        for node in self.nodes:
            node.kill()
        for proxy in self.proxies:
            proxy.kill()


class Parley(Stage):
    name = "parley"
    peer_ports = (7451,)

    def members(self):
        """The first members form the cluster; who comes later is told of all."""
        return ",".join("%d=%s:7451" % (n.id, address(n.id)) for n in (self.nodes if self.formed else self.nodes[:NODES]))

    def command(self, node):
        # Small segments and frequent snapshots: minutes see what else takes days.
        return [PARLEY, "server", "--data", node.disk.data, "--id", str(node.id), "--zookeeper",
                "%s:%d" % (address(node.id), CLIENT_PORT), "--http", "%s:7450" % address(node.id), "--allow-remote", "on",
                "--peer", "%s:7451" % address(node.id), "--cluster", self.members(), "--segment-size", "1M", "--journal-align", "4096",
                "--snapshot-entries", "20000"]

    def http(self, node, method, path, body=None):
        request = urllib.request.Request("http://%s:7450%s" % (address(node.id), path), method=method,
                                         data=None if body is None else json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=5) as answer:
            return json.loads(answer.read() or b"null")

    def refuses_writes(self, node):
        """Whether the node has noticed that its disk is full."""
        with urllib.request.urlopen("http://%s:7450/metrics" % address(node.id), timeout=5) as answer:
            return b"\nparley_disk_full 1\n" in answer.read()

    def roles(self, node):
        """number -> role as this node sees it; empty without an answer."""
        try:
            return {m["id"]: m["role"] for m in self.http(node, "GET", "/v1/cluster")["members"]}
        except (OSError, ValueError):
            return {}

    def wait_voter(self, node, seconds=90):
        """Until node is a voter in its own eyes and the leader's, and serves."""
        def is_voter():
            return node.serves() and self.roles(node).get(node.id) == "voter"
        wait_until("node %d a voter" % node.id, is_voter, seconds)


class Broken(Parley):
    """Three nodes that know nothing of each other, under one list of addresses: what a test must call broken."""

    name = "broken"

    def command(self, node):
        return [PARLEY, "server", "--data", node.disk.data, "--zookeeper", "%s:%d" % (address(node.id), CLIENT_PORT),
                "--http", "off", "--peer", "off"]


class ZooKeeper(Stage):
    name = "zookeeper"
    peer_ports = (2888, 3888)

    def command(self, node):
        with open(os.path.join(node.disk.data, "myid"), "w") as f:
            f.write("%d\n" % node.id)
        with open(os.path.join(self.folder, "log4j.properties"), "w") as f:
            f.write(LOG4J)
        config = os.path.join(self.folder, "n%d.cfg" % node.id)
        lines = ["tickTime=2000", "initLimit=10", "syncLimit=5", "dataDir=" + node.disk.data, "snapCount=20000",
                 "clientPort=%d" % CLIENT_PORT, "clientPortAddress=" + address(node.id), "maxClientCnxns=0",
                 "admin.enableServer=false", "4lw.commands.whitelist=*", "autopurge.purgeInterval=1"]
        lines += ["server.%d=%s:2888:3888" % (n.id, address(n.id)) for n in self.nodes]
        with open(config, "w") as f:
            f.write("\n".join(lines) + "\n")
        return ["java", "-Xmx512m", "-Dzookeeper.preAllocSize=4096", "-cp", ":".join((self.folder, JAR, LOG_JARS)),
                "org.apache.zookeeper.server.quorum.QuorumPeerMain", config]

    def refuses_writes(self, node):
        with open(node.log_path) as log:
            return "No space left" in log.read()

    def wait_voter(self, node, seconds=90):
        self.wait_served(seconds, [node])
