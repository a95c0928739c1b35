"""One process of clients under test (kazoo): several threads, each with a session of its own, each operation a line of a history.

    workload.py KIND '{"hosts": ..., "out": ..., "first": ..., "clients": ..., "begin_us": ..., "seconds": ..., "rate": ...}'

KIND: register, set, queue, lock, or final: what is there at the end, read behind a sync. The lines' format: docs/chaos.md.
"""

import concurrent.futures
import fcntl
import json
import os
import random
import sys
import threading
import time
import traceback

from kazoo.client import KazooClient, KazooState
from kazoo.exceptions import BadVersionError, KazooException, LockTimeout, NoNodeError, NodeExistsError
from kazoo.retry import KazooRetry

SESSION_S = 6.0
ANSWER_S = 15.0  # longer than a session's time-out: whoever waits so long knows nothing
NUMBERS_A_THREAD = 1000  # sessions that one thread may use up
ERRORS = {NoNodeError: "no_node", NodeExistsError: "node_exists", BadVersionError: "bad_version"}
SET_EPOCH_S, QUEUE_EPOCH_S, REGISTER_EPOCH_S, REGISTER_KEYS = 20, 1, 10, 4  # old keys burden no check of new ones


def now_us():
    return time.monotonic_ns() // 1000


class History:
    def __init__(self, path):
        self.file, self.lock = open(path, "a"), threading.Lock()

    def write(self, line):
        text = json.dumps(line, separators=(",", ":")) + "\n"
        with self.lock:
            self.file.write(text)

    def close(self):
        with self.lock:
            self.file.close()


class Client:
    """A session and its number; each new session gets a new number."""

    def __init__(self, run, index):
        self.run, self.next_number, self.seq = run, run.first + index * NUMBERS_A_THREAD, 0
        self.losses, self.kazoo = 0, None

    def open(self):
        self.new_number()
        retry = KazooRetry(max_tries=-1, delay=0.1, backoff=1.5, max_delay=1.0)
        self.kazoo = KazooClient(hosts=self.run.hosts, timeout=SESSION_S, connection_retry=retry)
        self.kazoo.add_listener(self.on_state)
        self.kazoo.start_async()

    def new_number(self):
        self.number, self.next_number = self.next_number, self.next_number + 1

    def on_state(self, state):
        if state != KazooState.CONNECTED:
            self.losses += 1
        if state == KazooState.LOST:
            self.new_number()

    def close(self):
        kazoo, self.kazoo = self.kazoo, None
        try:
            kazoo.stop()
            kazoo.close()
        except Exception:  # whatever state it is in, it is given up; the session ends by time
            pass

    def connected(self):
        """Waits until there is a session; false: the time is over."""
        while not self.run.over():
            if self.kazoo is None:
                self.open()
            if self.kazoo.connected:
                return True
            time.sleep(0.02)
        return False

    def record(self, op, key, call, outcome, value=None, **more):
        self.seq += 1
        line = {"client": self.number, "seq": self.seq, "op": op, "key": key, "call": call, "return": now_us(),
                "outcome": outcome, "value": value}
        line.update(more)
        self.run.history.write(line)

    def change(self, op, key, value, submit, **more):
        """A write: gives (outcome, result). What is no answer of the server leaves the outcome unknown."""
        call, number = now_us(), self.number
        result = None
        try:
            result = submit().get(timeout=ANSWER_S)
            outcome = "ok"
        except tuple(ERRORS) as error:
            outcome = "fail"
            if op in ("write", "cas", "create"):  # elsewhere it tells of the parent, not of the key
                more["error"] = ERRORS[type(error)]
        except Exception:
            outcome = "unknown"
        stat = result if hasattr(result, "mzxid") or not isinstance(result, tuple) else result[1]  # a stat is a tuple too
        if hasattr(stat, "mzxid"):
            more["version"], more["zxid"] = stat.version, stat.mzxid
        self.record(op, key, call, outcome, value, **dict(more, client=number))
        return outcome, result

    def synced(self, path, submit):
        """A read behind a sync that was sent with it: (call, result). The result NoNodeError is an answer, None is none."""
        losses, call = self.losses, now_us()
        try:
            sync, read = self.kazoo.sync_async(path), submit()
            sync.get(timeout=ANSWER_S)
            result = read.get(timeout=ANSWER_S)
            result = NoNodeError if result is None else result  # exists says None for it
        except NoNodeError:
            result = NoNodeError
        except Exception:
            result = None
        return call, None if losses != self.losses else result


class Run:
    def __init__(self, kind, options):
        self.__dict__.update(options)
        self.kind, self.history = kind, History(self.out)
        self.recent, self.fence_path = [], os.path.join(os.path.dirname(self.out), "resource")

    def over(self):
        return now_us() >= self.begin_us + self.seconds * 1000000

    def epoch(self, length):
        return (now_us() - self.begin_us) // 1000000 // length


def paced(client, step):
    """Calls step(client) at the run's rate until the time is over."""
    run, pause = client.run, 1.0 / client.run.rate
    following = run.begin_us / 1e6 + random.random() * pause
    while client.connected():
        wait = following - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        following = max(following + pause, time.monotonic())
        if not run.over() and client.kazoo.connected:
            step(client)
    client.close()


# ---- register: reads behind a sync, writes, compare-and-set by version

def read_register(client, key):
    path = "/register/" + key
    call, result = client.synced(path, lambda: client.kazoo.get_async(path))
    if result is None:
        client.record("read", key, call, "unknown", consistency="linearizable")
        return None
    value, version = (None, -1) if result is NoNodeError else (result[0].decode(), result[1].version)
    client.record("read", key, call, "ok", value, version=version, consistency="linearizable")
    return version


def register(client):
    key = "e%dk%d" % (client.run.epoch(REGISTER_EPOCH_S), random.randrange(REGISTER_KEYS))
    path, value = "/register/" + key, "c%d-%d" % (client.number, client.seq + 1)
    kind, version = random.randrange(4), None
    if kind < 3:
        version = read_register(client, key)
    if kind < 2 or (kind == 2 and version is None):
        return
    if kind == 2 and version >= 0:
        client.change("cas", key, value, lambda: client.kazoo.set_async(path, value.encode(), version), expect=version)
        return
    outcome, result = client.change("write", key, value, lambda: client.kazoo.set_async(path, value.encode()))
    if outcome == "fail":
        client.change("create", key, value, lambda: client.kazoo.create_async(path, value.encode(), include_data=True))


def create_parent(client, path):
    try:
        client.kazoo.create_async(path, b"").get(timeout=ANSWER_S)
    except Exception:  # another client was first, or the next operation shows that there is none
        pass


# ---- set: unique children; each is asked for now and then, and all are read at the end

def add_element(client):
    key, value = "set/e%d" % client.run.epoch(SET_EPOCH_S), "x%d-%d" % (client.number, client.seq + 1)
    path = "/%s/%s" % (key, value)
    outcome, result = client.change("add", key, value, lambda: client.kazoo.create_async(path, b"", include_data=True))
    if outcome == "fail":
        create_parent(client, "/" + key)
    else:
        client.run.recent = client.run.recent[-200:] + [(key, value)]


def ask_for_element(client):
    key, value = random.choice(client.run.recent)
    path = "/%s/%s" % (key, value)
    call, result = client.synced(path, lambda: client.kazoo.exists_async(path))
    client.record("contains", key, call, "ok" if result else "unknown", value, found=result is not NoNodeError,
                  consistency="linearizable")


def set_of_children(client):
    if client.run.recent and random.random() < 0.4:
        ask_for_element(client)
    else:
        add_element(client)


# ---- queue: each element is taken once, the oldest first

def enqueue(client):
    key, value = "queue/e%d" % client.run.epoch(QUEUE_EPOCH_S), "q%d-%d" % (client.number, client.seq + 1)
    submit = client.kazoo.create_async
    outcome, result = client.change("enqueue", key, value, lambda: submit("/%s/n-" % key, value.encode(), sequence=True,
                                                                         include_data=True))
    if outcome == "fail":
        create_parent(client, "/" + key)


def dequeue(client, key):
    """Takes the oldest. A list shows a prefix of history, so its first is the oldest even if others were put in since."""
    try:
        names = sorted(client.kazoo.get_children_async("/" + key).get(timeout=ANSWER_S))
        if not names:
            return
        path = "/%s/%s" % (key, names[0])
        value = client.kazoo.get_async(path).get(timeout=ANSWER_S)[0].decode()
    except Exception:  # it was another client's, or there was no answer: nothing was asked to change
        return
    client.change("dequeue", key, value, lambda: client.kazoo.delete_async(path))


def queue(client):
    producer = (client.number // NUMBERS_A_THREAD) % 2 == 0
    if producer:
        enqueue(client)
    else:
        dequeue(client, "queue/e%d" % max(0, client.run.epoch(QUEUE_EPOCH_S) - random.randrange(3)))


# ---- lock: kazoo's recipe; what it protects takes writes by fencing token only

def fence(run, token):
    """The resource outside: takes a write unless it has seen a higher token. True: taken."""
    with open(run.fence_path, "a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        highest = int(file.read() or 0)
        if token > highest:
            file.truncate(0)
            file.write(str(token))
        return token >= highest


def write_outside(client, token):
    call = now_us()
    client.record("fence", "lock", call, "ok" if fence(client.run, token) else "fail", str(token))


def lock(client):
    held = client.kazoo.Lock("/lock", str(client.number))
    call = now_us()
    try:
        if not held.acquire(timeout=ANSWER_S):
            return
        stat = client.kazoo.exists_async("/lock/" + held.node).get(timeout=ANSWER_S)
        token = stat.czxid
    except LockTimeout:
        return
    except Exception:
        client.record("lock", "lock", call, "unknown")
        client.close()  # nobody knows what of the lock is left in the session: it ends with the session
        return
    client.record("lock", "lock", call, "ok", str(token))
    for _ in range(2):
        write_outside(client, token)
        time.sleep(random.random() * 0.02)
    call = now_us()
    try:
        held.release()
        client.record("unlock", "lock", call, "ok", str(token))
    except Exception:
        client.record("unlock", "lock", call, "unknown", str(token))
        client.close()


# ---- the end: everything that is there

def read_sets(client):
    for epoch in sorted(client.kazoo.get_children("/set")):
        path = "/set/" + epoch
        call, result = client.synced(path, lambda: client.kazoo.get_children_async(path))
        if result is None or result is NoNodeError:
            raise KazooException("no answer")
        client.record("read", path[1:], call, "ok", sorted(result), consistency="linearizable")


def final(client):
    """Raises when the service does not answer."""
    client.kazoo.sync("/")
    for key in sorted(client.kazoo.get_children("/register")):
        if read_register(client, key) is None:
            raise KazooException("no answer")
    read_sets(client)
    client.kazoo.sync("/queue")
    for epoch in sorted(client.kazoo.get_children("/queue")):
        empty_queue(client, "queue/" + epoch)


def empty_queue(client, key):
    """Takes all that is left, the oldest first."""
    for path in ["/%s/%s" % (key, name) for name in sorted(client.kazoo.get_children("/" + key))]:
        value = client.kazoo.get(path)[0].decode()
        if client.change("dequeue", key, value, lambda: client.kazoo.delete_async(path))[0] == "unknown":
            raise KazooException("no answer")


def run_final(run):
    """Tries again after an error: the last client may meet the end of an election."""
    client, last = Client(run, 0), None
    while client.connected():
        try:
            final(client)
            client.close()
            return 0
        except Exception as error:
            last = error
            time.sleep(0.2)
    print("final: %r" % last, file=sys.stderr)
    return 1


def mistake(call, *args):
    """True if the call raised: a client that ended early must not pass for one that worked."""
    try:
        call(*args)
        return False
    except Exception:
        traceback.print_exc()
        return True


def main():
    kind, run = sys.argv[1], Run(sys.argv[1], json.loads(sys.argv[2]))
    if kind == "final":
        code = run_final(run)
    else:
        step = {"register": register, "set": set_of_children, "queue": queue, "lock": lock}[kind]
        with concurrent.futures.ThreadPoolExecutor(run.clients) as threads:
            code = int(any(list(threads.map(lambda i: mistake(paced, Client(run, i), step), range(run.clients)))))
    run.history.close()
    os._exit(code)  # kazoo's threads must not keep the process


main()
