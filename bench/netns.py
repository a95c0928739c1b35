"""A network of its own for each node, so that one can be cut off: a bridge and a cable to each. All of it lives in a namespace of
this process and is gone with it. Needs root, `unshare` and `ip`."""
import os
import subprocess
import sys

ENTERED = "PARLEY_BENCH_NETNS"


def enter():
    """Runs this program again in a namespace of its own (network and mounts), if that is possible."""
    if os.geteuid() != 0:
        return
    if os.environ.get(ENTERED):
        run("ip", "link", "set", "lo", "up")
        return
    os.environ[ENTERED] = "1"
    os.execvp("unshare", ["unshare", "-n", "-m", sys.executable] + sys.argv)


def run(*words):
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


class Network:
    def __init__(self, nodes):
        if not os.environ.get(ENTERED):
            raise RuntimeError("networks that can be cut need root")
        os.makedirs("/run/netns", exist_ok=True)
        run("mount", "-t", "tmpfs", "tmpfs", "/run/netns")
        run("ip", "link", "add", "hub", "type", "bridge")
        run("ip", "address", "add", "10.77.0.254/24", "dev", "hub")
        run("ip", "link", "set", "hub", "up")
        self.nodes = nodes
        for i in range(nodes):
            name, inside = "node%d" % i, ["ip", "-n", "node%d" % i]
            run("ip", "netns", "add", name)
            run("ip", "link", "add", "plug%d" % i, "type", "veth", "peer", "name", "eth0", "netns", name)
            run("ip", "link", "set", "plug%d" % i, "master", "hub", "up")
            run(*inside, "address", "add", self.host(i) + "/24", "dev", "eth0")
            run(*inside, "link", "set", "eth0", "up")
            run(*inside, "link", "set", "lo", "up")

    def host(self, i):
        return "10.77.0.%d" % (i + 1)

    def within(self, i, command):
        return ["ip", "netns", "exec", "node%d" % i] + command

    def pull(self, i):
        run("ip", "link", "set", "plug%d" % i, "down")

    def plug(self, i):
        run("ip", "link", "set", "plug%d" % i, "up")

    def close(self):
        for i in range(self.nodes):
            run("ip", "link", "delete", "plug%d" % i)
            run("ip", "netns", "delete", "node%d" % i)
        run("ip", "link", "delete", "hub")
        run("umount", "/run/netns")
