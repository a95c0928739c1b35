"""Debian's zkCli.sh against the servers in ZK_HOSTS: each of its commands, typed into its standard input."""

import os
import queue
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import kit  # noqa: E402
from kit import HOSTS, equal, test, until  # noqa: E402

ROOT = "/zkcli-%s" % os.urandom(3).hex()


class Shell:
    """One zkCli.sh. `tell` types a command and gives all lines up to the answer to the question that marks its end."""

    def __init__(self, hosts=",".join(HOSTS), timeout_ms=10000):
        env = dict(os.environ, CLIENT_JVMFLAGS="-Xmx96m -XX:+UseSerialGC -XX:TieredStopAtLevel=1")
        self.process = subprocess.Popen(
            ["/usr/share/zookeeper/bin/zkCli.sh", "-timeout", str(timeout_ms), "-waitforconnection", "-server", hosts],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env)
        self.lines, self.marks, self.seen = queue.Queue(), 0, []
        threading.Thread(target=self.read, daemon=True).start()
        self.tell("version")  # and the greeting

    def read(self):
        for line in self.process.stdout:
            line = line.rstrip("\n")
            self.seen.append(line)
            self.lines.put(line)
        self.lines.put(None)

    def type(self, text):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def tell(self, command):
        """The lines of the answer, without those of watches."""
        self.marks += 1
        mark = "/no-such-mark-%d" % self.marks
        self.type(command)
        self.type("ls " + mark)
        answer = []
        while True:
            line = self.lines.get(timeout=25)
            assert line is not None, "zkCli ended: %s" % answer
            if mark in line:
                break
            answer.append(line)
        # An event prints: empty line, WATCHER::, empty line, WatchedEvent. It may begin in the answer before this one.
        def is_event(line):
            return line == "WATCHER::" or line.startswith("WatchedEvent ")

        return [line for line in answer if line and not is_event(line) and not line.startswith("SLF4J")]

    def events(self):
        return [line for line in self.seen if line.startswith("WatchedEvent")]

    def event(self, kind, path):
        wanted = "type:%s path:%s" % (kind, path)
        until(wanted, lambda: any(wanted in line for line in self.events()))

    def quit(self):
        self.type("quit")
        self.process.wait(10)  # its code tells of the last command: here of a mark


_shells = {}


def shell(node=0):
    """The shell that most tests share (of a node), begun at its first use."""
    number = node % len(HOSTS)
    if number not in _shells or _shells[number].process.poll() is not None:
        s = _shells[number] = Shell(HOSTS[number])
        s.tell("create %s" % ROOT)
    return _shells[number]


def fresh(name):
    path = "%s/%s" % (ROOT, name)
    equal(shell().tell("create %s" % path), ["Created %s" % path])
    return path


def fields(lines):
    """A printed Stat."""
    return dict(line.split(" = ", 1) for line in lines if " = " in line)


@test(30)
def connect_and_version():
    s = shell()
    assert any("SyncConnected" in line for line in s.events()), s.seen
    assert s.tell("version")[0].startswith("ZooKeeper CLI version: 3.")


@test()
def create_get_set_delete():
    at, s = fresh("basic"), shell()
    equal(s.tell("create %s/a one" % at), ["Created %s/a" % at])
    equal(s.tell("create %s/a one" % at), ["Node already exists: %s/a" % at])
    equal(s.tell("get %s/a" % at), ["one"])
    lines = s.tell("get -s %s/a" % at)
    equal(lines[0], "one")
    stat = fields(lines)
    equal((stat["dataVersion"], stat["dataLength"], stat["ephemeralOwner"]), ("0", "3", "0x0"))
    assert int(stat["cZxid"], 16) > 0 and stat["cZxid"] == stat["mZxid"]
    equal(s.tell("set %s/a two" % at), [])
    stat = fields(s.tell("set -s -v 1 %s/a three" % at))
    equal((stat["dataVersion"], stat["dataLength"]), ("2", "5"))
    equal(s.tell("set -v 1 %s/a four" % at), ["version No is not valid : %s/a" % at])
    equal(fields(s.tell("stat %s/a" % at)), stat)
    equal(s.tell("delete -v 9 %s/a" % at), ["version No is not valid : %s/a" % at])
    equal(s.tell("delete -v 2 %s/a" % at), [])
    equal(s.tell("get %s/a" % at), ["Node does not exist: %s/a" % at])
    equal(s.tell("delete %s/a" % at), ["Node does not exist: %s/a" % at])


@test()
def modes_of_create():
    at, s = fresh("modes"), shell()
    equal(s.tell("create -s %s/s- x" % at), ["Created %s/s-0000000000" % at])
    equal(s.tell("create -s -e %s/es- x" % at), ["Created %s/es-0000000001" % at])
    equal(s.tell("create -e %s/e x" % at), ["Created %s/e" % at])
    equal(s.tell("create %s/e/child x" % at), ["Ephemerals cannot have children: %s/e/child" % at])
    equal(s.tell("create -c %s/c x" % at), ["Created %s/c" % at])
    assert fields(s.tell("stat %s/e" % at))["ephemeralOwner"] != "0x0"
    equal(s.tell("create %s/x/y" % at), ["Node does not exist: %s/x/y" % at])


@test()
def ttl_node_ends():
    at, s = fresh("ttl"), shell()
    equal(s.tell("create -t 700 %s/t x" % at), ["Created %s/t" % at])
    equal(s.tell("get %s/t" % at), ["x"])
    until("it ends", lambda: s.tell("get %s/t" % at) == ["Node does not exist: %s/t" % at])


@test()
def ls_in_all_ways():
    at, s = fresh("ls"), shell()
    for name in ("b", "a", "a/x", "a/y"):
        s.tell("create %s/%s" % (at, name))
    equal(s.tell("ls %s" % at), ["[a, b]"])
    equal(s.tell("ls -R %s" % at), [at, at + "/a", at + "/b", at + "/a/x", at + "/a/y"])
    lines = s.tell("ls -s %s" % at)
    equal(lines[0], "[a, b]")
    equal((fields(lines)["numChildren"], fields(lines)["cversion"]), ("2", "2"))
    equal(s.tell("getAllChildrenNumber %s" % at), ["4"])
    equal(s.tell("ls %s/none" % at), ["Node does not exist: %s/none" % at])


@test()
def delete_and_deleteall():
    at, s = fresh("deleteall"), shell()
    for name in ("a", "a/b", "a/b/c", "a/d", "e"):
        s.tell("create %s/%s" % (at, name))
    equal(s.tell("delete %s/a" % at), ["Node not empty: %s/a" % at])
    equal(s.tell("deleteall %s/a" % at), [])
    equal(s.tell("ls %s" % at), ["[e]"])
    for k in range(5):
        s.tell("create %s/n%d" % (at, k))
    equal(s.tell("deleteall %s -b 2" % at), [])
    equal(s.tell("ls %s" % at), ["Node does not exist: %s" % at])


@test()
def acl():
    at, s = fresh("acl"), shell()
    equal(s.tell("getAcl %s" % at), ["'world,'anyone", ": cdrwa"])
    stat = fields(s.tell("setAcl -s -v 0 %s world:anyone:rwa,ip:127.0.0.1:cd" % at))
    equal(stat["aclVersion"], "1")
    equal(s.tell("getAcl %s" % at), ["'world,'anyone", ": rwa", "'ip,'127.0.0.1", ": cd"])
    assert "aclVersion" in fields(s.tell("getAcl -s %s" % at))
    equal(s.tell("setAcl -v 0 %s world:anyone:r" % at), ["version No is not valid : %s" % at])
    s.tell("create %s/c" % at)
    equal(s.tell("setAcl -R %s world:anyone:cdra" % at), [])
    equal(s.tell("getAcl %s/c" % at), ["'world,'anyone", ": cdra"])
    equal(s.tell("set %s/c x" % at), ["Insufficient permission : %s/c" % at])
    equal(s.tell("setAcl %s nosuch:x:r" % at), ["Acl is not valid : %s" % at])


@test(30)
def addauth_and_whoami():
    at = fresh("auth")
    s = Shell(HOSTS[-1])
    equal(s.tell("whoami"), ["Auth scheme: User", "ip: 127.0.0.1"])
    equal(s.tell("addauth digest zoe:pw"), [])
    equal(sorted(s.tell("whoami")), ["Auth scheme: User", "digest: zoe", "ip: 127.0.0.1"])
    s.tell("sync %s" % at)
    equal(s.tell("create %s/n mine auth::cdrwa" % at), ["Created %s/n" % at])
    assert s.tell("getAcl %s/n" % at)[0].startswith("'digest,'zoe:")
    other = shell()
    other.tell("sync %s" % at)
    equal(other.tell("get %s/n" % at), ["Insufficient permission : %s/n" % at])
    equal(s.tell("get %s/n" % at), ["mine"])
    s.quit()


@test()
def watches_of_reads():
    at, s, other = fresh("watch"), shell(), shell(1)
    other.tell("sync %s" % at)
    s.tell("create %s/n 1" % at)
    s.tell("get -w %s/n" % at)
    other.tell("sync %s" % at)
    other.tell("set %s/n 2" % at)
    s.event("NodeDataChanged", at + "/n")
    s.tell("ls -w %s" % at)
    other.tell("create %s/m" % at)
    s.event("NodeChildrenChanged", at)
    s.tell("stat -w %s/m" % at)
    other.tell("delete %s/m" % at)
    s.event("NodeDeleted", at + "/m")


@test()
def addwatch_and_removewatches():
    at, s, other = fresh("addwatch"), shell(), shell(1)
    other.tell("sync %s" % at)
    equal(s.tell("addWatch %s" % at), [])
    other.tell("create %s/a" % at)
    s.event("NodeCreated", at + "/a")
    other.tell("create %s/a/b" % at)
    s.event("NodeCreated", at + "/a/b")
    other.tell("set %s/a/b x" % at)
    s.event("NodeDataChanged", at + "/a/b")
    other.tell("delete %s/a/b" % at)
    s.event("NodeDeleted", at + "/a/b")
    s.tell("removewatches %s" % at)
    other.tell("create %s/silent" % at)
    s.tell("sync %s" % at)
    equal([line for line in s.events() if "silent" in line], [])
    s.tell("addWatch -m PERSISTENT %s/a" % at)
    for k in range(3):
        other.tell("set %s/a %d" % (at, k))
    wanted = "type:NodeDataChanged path:%s/a" % at
    until("a persistent watch fires each time", lambda: len([e for e in s.events() if e.endswith(wanted)]) == 3)
    equal(s.tell("removewatches %s/none" % at)[-1:], ["KeeperErrorCode = No such watcher for %s/none" % at])


@test()
def sync_and_ephemerals():
    at, s = fresh("ephemerals"), shell()
    equal(s.tell("sync %s" % at), ["Sync is OK"])
    s.tell("create -e %s/one" % at)
    s.tell("create -e %s/two" % at)
    equal(sorted(s.tell("getEphemerals %s" % at)[0][1:-1].split(", ")), [at + "/one", at + "/two"])
    text = s.tell("getEphemerals")[0]
    assert at + "/one" in text and at + "/two" in text, text
    equal(s.tell("getEphemerals %s/none" % at), ["[]"])


@test()
def config_and_reconfig():
    s = shell()
    lines = s.tell("config")
    if len(HOSTS) > 1:
        equal(len([line for line in lines if line.startswith("server.")]), 3)
    equal(s.tell("reconfig -remove 3"), ["KeeperErrorCode = Reconfig is disabled"])
    assert "cZxid" in fields(s.tell("config -s"))


@test()
def quota_nodes():
    at, s = fresh("quota"), shell()
    s.tell("setquota -n 1000 %s" % at)
    assert any("count=1000" in line for line in s.tell("listquota %s" % at)), "listquota shows what was set"
    s.tell("delquota %s" % at)


@test()
def history_and_redo():
    s = shell()
    s.tell("sync %s" % ROOT)
    lines = s.tell("history")
    number = [line.split(" - ")[0] for line in lines if line.endswith("sync %s" % ROOT)][-1]
    equal(s.tell("redo %s" % number), ["Sync is OK"])


@test()
def commands_that_are_no_commands():
    s = shell()
    assert any("Command not found" in line for line in s.tell("nosuch"))
    assert s.tell("create") and s.tell("get relative/path")
    equal(s.tell("sync %s" % ROOT), ["Sync is OK"])


@test(30)
def close_and_connect():
    s = Shell(HOSTS[0])
    s.tell("create -e %s/closing" % ROOT)
    s.type("close")
    s.type("connect %s" % HOSTS[-1])
    until("connected twice", lambda: len([e for e in s.events() if "SyncConnected type:None" in e]) == 2)
    s.tell("sync %s" % ROOT)
    equal(s.tell("get %s/closing" % ROOT), ["Node does not exist: %s/closing" % ROOT])
    s.quit()


@test(30)
def quit_ends_the_session():
    s, other = Shell(HOSTS[0]), shell(1)
    other.tell("sync %s" % ROOT)
    s.tell("create -e %s/quitting" % ROOT)
    other.tell("sync %s" % ROOT)
    equal(other.tell("get -w %s/quitting" % ROOT), ["null"])
    s.quit()
    other.event("NodeDeleted", ROOT + "/quitting")


@test(30)
def one_command_as_argument():
    done = subprocess.run(["/usr/share/zookeeper/bin/zkCli.sh", "-waitforconnection", "-server", ",".join(HOSTS),
                           "get", ROOT + "/basic"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=25)
    equal(done.returncode, 0)
    assert "null" in done.stdout.splitlines(), done.stdout


@test(40)
def shell_outlives_the_leader():
    s = Shell(timeout_ms=8000)
    at = ROOT + "/outlive"
    s.tell("create %s" % ROOT)
    s.tell("create %s" % at)
    s.tell("create -e %s/e" % at)
    s.tell("addWatch %s" % at)
    owner = fields(s.tell("stat %s/e" % at))["ephemeralOwner"]
    yield

    def still():  # zkCli says ConnectionLoss while there is no server; then it goes on
        return fields(s.tell("stat %s/e" % at)).get("ephemeralOwner") == owner

    until("the same session", still, 20)
    other = Shell(HOSTS[-1])
    until("a write", lambda: other.tell("create %s/after" % at) in (
        ["Created %s/after" % at], ["Node already exists: %s/after" % at]), 15)
    s.event("NodeCreated", at + "/after")
    s.quit()
    other.quit()


kit.main()
