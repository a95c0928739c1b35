"""The faults, one function each: it gets the stage and a clock and does its worst until the clock is over.

Each leaves the stage as it found it (healed, all nodes running); what it did stands in the stage's notes.
"""

import random
import signal

from stage import CLIENTS, Missing, address, wait_until

FAULTS = {}


class Fault:
    def __init__(self, name, run, text, tools, systems):
        self.name, self.run, self.text, self.tools, self.systems = name, run, text, tools, systems


def fault(name, text, tools=(), systems=("parley", "zookeeper", "broken")):
    """Marks a function as a fault; text is what docs/chaos.md says of it."""
    def mark(function):
        FAULTS[name] = Fault(name, function, text, tools, systems)
        return function
    return mark


def in_turn(stage, clock):
    """The leader, a follower, the leader, ... until the time is over; each time with all nodes serving."""
    turn = 0
    while not clock.over():
        stage.wait_served()
        leader = stage.leader()
        yield leader if turn % 2 == 0 else random.choice([n for n in stage.others(leader) if n.wanted])
        turn += 1


def parted(stage, clock, seconds, pairs):
    """Cuts the pairs (source, target), holds, heals, and waits until all serve again."""
    for source, target in pairs:
        stage.cut(source, target)
    clock.hold(seconds)
    stage.heal()
    stage.wait_served()
    clock.hold(random.uniform(4, 8))


@fault("none", "no fault: the base line")
def no_fault(stage, clock):
    clock.hold(clock.left())


@fault("kill", "kill -9 of the leader, then of a follower, in turn; started again after 1 to 6 s")
def kill(stage, clock):
    for node in in_turn(stage, clock):
        node.kill()
        clock.hold(random.uniform(1, 6))
        node.start()
        stage.wait_served()
        clock.hold(random.uniform(3, 7))


@fault("kill-all", "kill -9 of all three within a moment; all started again after 1 s")
def kill_all(stage, clock):
    while not clock.over():
        for node in stage.nodes:
            node.kill()
        clock.hold(1)
        for node in stage.nodes:
            node.start()
        stage.wait_served()
        clock.hold(random.uniform(5, 10))


@fault("pause", "SIGSTOP of the leader, then of a follower; 3 s and, past every session's time-out, 14 s")
def pause(stage, clock):
    for turn, node in enumerate(in_turn(stage, clock)):
        node.signal(signal.SIGSTOP)
        clock.hold(14 if turn // 2 % 2 else 3)
        node.signal(signal.SIGCONT)
        stage.wait_served()
        clock.hold(random.uniform(4, 8))


@fault("clients", "SIGSTOP of a process of clients for 10 s, past its sessions' time-out: who held a lock wakes up without it")
def stop_clients(stage, clock):
    while not clock.over():
        process = random.choice(stage.clients)
        process.send_signal(signal.SIGSTOP)
        stage.note("clients stopped", process.pid)
        clock.hold(10)
        process.send_signal(signal.SIGCONT)
        clock.hold(random.uniform(4, 6))


@fault("partition", "one node, the leader or a follower in turn, cut off from both others for 12 s; its clients still reach it")
def partition(stage, clock):
    for node in in_turn(stage, clock):
        parted(stage, clock, 12, [pair for other in stage.others(node) for pair in ((node.id, other.id), (other.id, node.id))])


@fault("leader-isolated", "the leader cut off from the others and from all clients, 4 to 16 s")
def leader_isolated(stage, clock):
    while not clock.over():
        leader = stage.leader()
        places = [n.id for n in stage.others(leader)] + [CLIENTS]
        parted(stage, clock, random.uniform(4, 16), [pair for p in places for pair in ((leader.id, p), (p, leader.id))])


@fault("one-way", "packets lost in one direction for 10 s: from the leader, to the leader, from a follower to both others, to it")
def one_way(stage, clock):
    turn = 0
    while not clock.over():
        leader = stage.leader()
        node = leader if turn % 4 < 2 else random.choice(stage.others(leader))
        away = turn % 2 == 0
        parted(stage, clock, 10, [(node.id, o.id) if away else (o.id, node.id) for o in stage.others(node)])
        turn += 1


@fault("loss", "20 % of all packets between nodes lost at random for 25 s, then 20 % of those between clients and nodes for 10 s")
def loss(stage, clock):
    while not clock.over():
        for a in stage.nodes:
            for b in stage.others(a):
                stage.cut(a.id, b.id, 200)
        clock.hold(25)
        stage.heal()
        for node in stage.nodes:
            stage.part(node.id, CLIENTS, 200)
        clock.hold(10)
        stage.heal()
        stage.wait_served()
        clock.hold(5)


@fault("partial", "two nodes do not reach each other, the third reaches both: leader and follower, then the two followers; 12 s each")
def partial(stage, clock):
    turn = 0
    while not clock.over():
        leader = stage.leader()
        one, other = stage.others(leader) if turn % 2 else (leader, random.choice(stage.others(leader)))
        parted(stage, clock, 12, [(one.id, other.id), (other.id, one.id)])
        turn += 1


@fault("bad-links", "a proxy on all links of nodes and clients: 5 to 25 ms of delay, stalls up to 3 s, connections cut inside a frame",
       tools=["proxy"])
def bad_links(stage, clock):
    for delay, jitter, stall, stall_ms, cut in [(5, 20, 0, 0, 0), (1, 5, 20, 3000, 0), (1, 5, 0, 0, 10), (5, 20, 10, 1500, 5)] * 100:
        if clock.over():
            break
        stage.bad_links(delay, jitter, stall, stall_ms, cut)
        clock.hold(15)
        stage.bad_links(0, 0, 0, 0, 0)
        stage.wait_served()
        clock.hold(4)
    stage.bad_links(0, 0, 0, 0, 0)


@fault("disk-full", "the disk of the leader, then of a follower, filled to the last block until it refuses writes, and 10 s more")
def disk_full(stage, clock):
    noticed = 0
    for node in in_turn(stage, clock):
        node.disk.fill()
        stage.note("full", node.id)
        for _ in range(9):  # room that was made before lasts for a while
            clock.hold(5)
            if stage.refuses_writes(node):
                noticed += 1
                clock.hold(10)
                break
        node.disk.empty()
        stage.note("room", node.id)
        stage.wait_served()
        clock.hold(random.uniform(5, 8))
    if not noticed:
        raise Missing("no node noticed that its disk was full")


@fault("disk-slow", "the leader's, then a follower's disk takes no more than 20 kB/s for 15 s")
def disk_slow(stage, clock):
    for node in in_turn(stage, clock):
        node.disk.slow(node.process.pid, 20000)
        stage.note("slow", node.id)
        clock.hold(15)
        node.disk.slow(node.process.pid, 0)
        stage.note("not slow", node.id)
        stage.wait_served()
        clock.hold(random.uniform(4, 8))


@fault("fsync-error", "the n-th fsync or fdatasync of the leader, then of a follower, fails with EIO (a library between them and the kernel)",
       tools=["shim"])
def fsync_error(stage, clock):
    for node in in_turn(stage, clock):
        before = len(node.ends)
        node.fail_sync(random.randint(1, 9))
        clock.hold(random.uniform(8, 14))
        stage.wait_served()
        if open(node.order).read()[:1] != "0":
            raise Missing("the library that makes fsync fail was never asked")
        stage.note("ends", node.id, len(node.ends) - before)


@fault("clock", "one node's wall clock jumps: +1 h, -1 h, +10 s, -30 days, back", tools=["shim"])
def clock_jumps(stage, clock):
    jumps = [3600, -3600, 10, 0, -30 * 86400, 0]
    for turn, node in enumerate(in_turn(stage, clock)):
        node.set_clock(jumps[turn % len(jumps)])
        clock.hold(random.uniform(4, 8))
    for node in stage.nodes:
        node.set_clock(0)


@fault("wipe", "a node, follower and leader in turn, killed and its disk emptied; the next only when it has all back")
def wipe(stage, clock):
    for node in in_turn(stage, clock):
        node.kill()
        node.wipe()
        node.start()
        stage.wait_voter(node)
        clock.hold(random.uniform(4, 8))


def ask(stage, what, method, path, body, wanted):
    """Asks the leader for a change of members until `wanted` holds: an answer may be lost, or a change be under way."""
    def settled():
        try:
            leader = stage.leader()
            if wanted(stage.roles(leader)):
                return True
            stage.http(leader, method, path, body)
        except (OSError, TimeoutError):
            pass
        return False
    wait_until(what, settled, 90)
    stage.note(what)


def replace_member(stage, clock, spare, cut_off, leaving):
    """While cut_off reaches no other node, spare comes in and leaving goes."""
    spare.start()
    for other in stage.others(cut_off):
        stage.part(cut_off.id, other.id)
    clock.hold(random.uniform(0, 3))
    ask(stage, "member %d added" % spare.id, "POST", "/v1/members",
        {"id": spare.id, "address": "%s:7451" % address(spare.id)}, lambda roles: spare.id in roles)
    ask(stage, "member %d promoted" % spare.id, "POST", "/v1/members/%d/promote" % spare.id, {},
        lambda roles: roles.get(spare.id) == "voter")
    ask(stage, "member %d removed" % leaving.id, "DELETE", "/v1/members/%d" % leaving.id, None,
        lambda roles: roles and leaving.id not in roles)
    stage.heal()
    leaving.kill()
    leaving.wipe()
    stage.wait_served()
    clock.hold(random.uniform(3, 6))


@fault("members", "while the leader or a follower is cut off, a new node comes in, is made a voter, and another member is removed (Parley only)",
       systems=("parley",))
def members(stage, clock):
    for node in in_turn(stage, clock):
        spare = next(n for n in stage.nodes if not n.wanted)
        voters = stage.others(spare)
        replace_member(stage, clock, spare, node, random.choice(voters))


SPARES = {"members": 1}
