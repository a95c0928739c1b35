#!/usr/bin/env python3
"""A queue shields a database: writes arrive at the queue many times faster than a real MariaDB behind it is to see them. By the
database's own clock and counters no second has more than the cap, though consumers are killed, with rows in their hands; and each row
is there exactly once. The same without the queue's rate shows that the database would have seen more.

The cap is kept in every second, not on average: the deliveries of one second are burst + rate at most, and of those of earlier ones no
more than concurrency_max can be on their way. So the three of them add up to the cap.

Usage: test/native/shield.py [--binary build/parley] [--port 24900] [--required] [--full]
                             [--writes 3000] [--arrive 5000] [--cap 500] [--pushers 4] [--consumers 4] [--nodes 1] [--uncapped]
--full: 200,000 writes, 20,000 arrive each second, 2,000 are let through. --uncapped: the queue gets no rate, which fails.
--required: a missing MariaDB is a failure, not a skip. Last line: N passed, N failed, N skipped.
"""
import argparse
import collections
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

from limits_queues import Anywhere, empty, queue_waiters
from order import Ports
from run import Cluster, good, until
from systems import MariaDB

CONNECTIONS = 128  # of one pusher
UNDER_WAY = 16  # pushes on one connection
VISIBILITY_MS = 5000
DOOMED = ("before", "after")  # two consumers end before and after a transaction, with messages that are not acknowledged
DOOMED_AT = 5  # a claim
STATUS = re.compile(rb"HTTP/1\.1 (\d\d\d) ")


def request_of(name, number):
    body = b'{"name":"%s","body":"%d"}' % (name.encode(), number)
    return b"POST /v1/queue/push HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


class Connection:
    """Pushes on one connection, the answers are not waited for; they come in the order of the requests."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.asked, self.read = collections.deque(), b""

    def push(self, name, numbers):
        self.asked += numbers
        self.socket.sendall(b"".join(request_of(name, number) for number in numbers))  # few: they fit into its buffer

    def answers(self):
        """How many are done, and which are not."""
        got = self.socket.recv(1 << 16)
        assert got, "the server has closed the connection"
        self.read += got
        done, again, end = 0, [], 0
        for match in STATUS.finditer(self.read):
            number, end = self.asked.popleft(), match.end()
            assert match[1] in (b"200", b"503"), match[1]
            if match[1] == b"200":
                done += 1
            else:
                again.append(number)
        self.read = self.read[max(end, len(self.read) - 12):]
        return done, again


def push_main(name, first, count, per_second, port):
    connections, poll = [Connection(port) for _ in range(CONNECTIONS)], select.epoll()
    for connection in connections:
        poll.register(connection.socket, select.EPOLLIN)
    by_fd = {connection.socket.fileno(): connection for connection in connections}
    free = collections.deque(connections)
    print("ready", flush=True)
    sys.stdin.readline()  # until all are
    todo, sent, done, began = collections.deque(range(first, first + count)), 0, 0, time.monotonic()
    while done < count:
        due = min(int((time.monotonic() - began) * per_second) + 1 - sent, len(todo))
        while due > 0 and free:
            numbers = [todo.popleft() for _ in range(min(due, UNDER_WAY))]
            free.popleft().push(name, numbers)
            due, sent = due - len(numbers), sent + len(numbers)
        for fd, _ in poll.poll(0.002):  # or until more is due
            connection = by_fd[fd]
            more, again = connection.answers()
            done += more
            todo += again
            if not connection.asked:
                free.append(connection)
    print(began, time.monotonic(), flush=True)


# ---- the database

class Statements:
    """One connection: statements go in, and what they find comes out."""

    def __init__(self, port):
        self.process = subprocess.Popen(["mariadb", "--no-defaults", "-h", "127.0.0.1", "-P", str(port), "-u", "root", "-N", "--unbuffered",
                                         "shield"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, text):
        self.process.stdin.write(text + "SELECT 'over';\n")
        self.process.stdin.flush()
        found = []
        while (line := self.process.stdout.readline().rstrip("\n")) != "over":
            assert self.process.poll() is None, "mariadb ended"
            found.append(line)
        return found

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def consume_main(name, doomed, most, database, ports):
    """Takes messages from the queue, writes a row for each, acknowledges."""
    anywhere, statements, claims = Anywhere(Ports(ports)), Statements(database), 0

    def dies(here):
        if doomed == here and claims >= DOOMED_AT:
            print("has some in its hand", flush=True)
            signal.pause()

    while True:
        answer = anywhere.ask("queue/claim", name=name, max=most, visibility_ms=VISIBILITY_MS, wait_ms=1000)
        assert answer.status == 200, answer.body
        messages = answer["messages"]
        if not messages:
            continue
        claims += 1
        dies("before")
        statements.run("BEGIN;" + "".join("INSERT IGNORE INTO `%s` VALUES (%s, SYSDATE(6));" % (name, m["body"]) for m in messages) + "COMMIT;")
        dies("after")
        answer = anywhere.ask("queue/ack", name=name, tokens=[m["token"] for m in messages])
        # Not claimed: this machine stood still, and another consumer has them, or will; their rows are there already
        assert answer.status == 200 or answer.error == "not-claimed", answer.body


class Observer:
    """Looks at the database's own counter of INSERTs, over and over: (before, counter, after) by its clock."""
    LOOK = "SELECT UNIX_TIMESTAMP(SYSDATE(6)); SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'COM_INSERT';" \
           "SELECT UNIX_TIMESTAMP(SYSDATE(6));"

    def __init__(self, port):
        self.statements, self.seen, self.over = Statements(port), [], threading.Event()
        self.look()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def look(self):
        before, counter, after = self.statements.run(self.LOOK)
        self.seen.append((float(before), int(counter), float(after)))

    def run(self):
        while not self.over.wait(0.02):
            self.look()

    def end(self):
        self.over.set()
        self.thread.join()
        self.look()
        self.statements.close()

    def inserts(self):
        return self.seen[-1][1] - self.seen[0][1]

    def most_in_a_second(self):
        most = i = 0
        for _, counter, after in self.seen:
            while self.seen[i][0] < after - 1:
                i += 1
            most = max(most, counter - self.seen[i][1])
        return most


def most_in_a_second(moments):
    most = i = 0
    for k, moment in enumerate(moments):
        while moments[i] <= moment - 1:
            i += 1
        most = max(most, k - i + 1)
    return most


# ---- a run

class Run:
    def __init__(self, options, cluster, database, capped, writes):
        self.o, self.c, self.database, self.capped = options, cluster, database, capped
        self.share = writes // options.pushers
        self.writes = self.share * options.pushers
        self.name = "capped" if capped else "uncapped"
        self.ports, self.processes, self.over, self.died = [str(p["http"]) for p in cluster.ports], [], False, 0
        self.concurrency, self.burst = options.cap // 8, options.cap // 32
        self.rate = options.cap - self.concurrency - self.burst

    def process(self, *arguments):
        made = subprocess.Popen([sys.executable, os.path.abspath(__file__), *map(str, arguments)], stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, text=True)
        self.processes.append(made)
        return made

    def consumer(self, doomed="never"):
        return self.process("--consume", self.name, doomed, self.burst, self.database.port, *self.ports)

    def die(self, consumer):
        if consumer.stdout.readline() != "" and not self.over:
            consumer.kill()
            consumer.wait()
            self.died += 1
            self.consumer()

    def push(self):
        """How many a second arrived."""
        pushers = []
        for i in range(self.o.pushers):
            pushers.append(self.process("--push", self.name, i * self.share, self.share, self.o.arrive / self.o.pushers,
                                        self.ports[i % len(self.ports)]))
        for pusher in pushers:
            assert pusher.stdout.readline() == "ready\n"
        queue_waiters(self.c, self.name, self.o.consumers)
        for pusher in pushers:
            pusher.stdin.close()
        times = []
        for pusher in pushers:
            times.append([float(word) for word in pusher.stdout.readline().split()])
            assert pusher.wait() == 0 and len(times[-1]) == 2, "a pusher ended with %d" % pusher.returncode
        return self.writes / (max(end for _, end in times) - min(began for began, _ in times))

    def run(self):
        more = dict(rate=self.rate, burst=self.burst, window_ms=1000, concurrency_max=self.concurrency) if self.capped else {}
        good(self.c.http(), "queue/configure", name=self.name, **more)
        made = self.database.ask("CREATE DATABASE IF NOT EXISTS shield; "
                                 "CREATE TABLE shield.`%s` (id BIGINT PRIMARY KEY, at TIMESTAMP(6) NOT NULL)" % self.name)
        assert made.returncode == 0, made.stderr
        observer, began, dying = Observer(self.database.port), time.monotonic(), []
        try:
            doomed = [self.consumer(here) for here in DOOMED]
            for _ in range(self.o.consumers - len(doomed)):
                self.consumer()
            dying = [threading.Thread(target=self.die, args=(one,)) for one in doomed]
            for thread in dying:
                thread.start()
            arrived = self.push()
            deepest = good(self.c.http(), "queue/show", name=self.name)["messages"]
            until("all is written", lambda: empty(self.c, self.name), 60 + 3 * self.writes / self.rate)
            took = time.monotonic() - began
        finally:
            self.over = True
            for process in self.processes:
                process.kill()
                process.wait()
            for thread in dying:
                thread.join()
            observer.end()
        rows = [line.split("\t") for line in
                self.database.ask("SELECT id, UNIX_TIMESTAMP(at) FROM shield.`%s` ORDER BY at" % self.name).stdout.splitlines()]
        return {"capped": self.capped, "arrived_per_second": round(arrived), "cap": self.o.cap, "writes": self.writes, "rows": len(rows),
                "lost": len(set(range(self.writes)) - {int(id) for id, _ in rows}), "deepest_queue": deepest,
                "most_rows_in_a_second": most_in_a_second([float(at) for _, at in rows]),
                "most_inserts_in_a_second": observer.most_in_a_second(), "inserts_repeated": observer.inserts() - len(rows),
                "consumers_killed": self.died, "rows_per_second": round(len(rows) / took)}


def run(options, cluster, database, capped, writes):
    got = Run(options, cluster, database, capped, writes).run()
    print("  ", json.dumps(got), flush=True)
    assert got["rows"] == got["writes"] and got["lost"] == 0, got
    return got


def check_capped(got):
    assert got["arrived_per_second"] > got["cap"], "this machine pushes too slowly to need a shield: %s" % got
    assert got["most_rows_in_a_second"] <= got["cap"] and got["most_inserts_in_a_second"] <= got["cap"], got
    # What was written and not acknowledged came once more, and its unique key was there already
    assert got["consumers_killed"] == len(DOOMED) and got["inserts_repeated"] > 0, got


def queue_shields_a_database(options, cluster, database):
    without = run(options, cluster, database, False, min(options.writes, 6 * options.cap))
    if options.uncapped:
        return check_capped(without)
    assert without["most_rows_in_a_second"] > options.cap < without["most_inserts_in_a_second"], "nothing to shield from: %s" % without
    return check_capped(run(options, cluster, database, True, options.writes))


def options_of(arguments):
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", default="build/parley")
    parser.add_argument("--port", type=int, default=24900)
    for flag in ("--required", "--full", "--uncapped"):
        parser.add_argument(flag, action="store_true")
    for name, default in (("writes", 3000), ("arrive", 5000), ("cap", 500), ("pushers", 4), ("consumers", 4), ("nodes", 1)):
        parser.add_argument("--" + name, type=int, default=default)
    if "--full" in arguments:
        parser.set_defaults(writes=200000, arrive=20000, cap=2000)
    return parser.parse_args(arguments)


def main():
    options = options_of(sys.argv[1:])
    if MariaDB.missing():
        print("MariaDB is not installed: %s" % " ".join(MariaDB.missing()))
        print("0 passed, 1 failed, 0 skipped" if options.required else "0 passed, 0 failed, 1 skipped")
        sys.exit(1 if options.required else 0)
    folder = tempfile.mkdtemp(prefix="parley-shield-")
    os.chmod(folder, 0o755)  # the database runs as a user of its own
    cluster, database = Cluster(os.path.abspath(options.binary), options.port, options.nodes, folder), MariaDB(folder, options.port + 90)
    try:
        cluster.start_all()
        database.start()
        queue_shields_a_database(options, cluster, database)
        cluster.stop()
        database.stop()
        shutil.rmtree(folder)
        print("1 passed, 0 failed, 0 skipped")
    except AssertionError as error:
        print("FAILED, data in %s: %s\n0 passed, 1 failed, 0 skipped" % (folder, error))
        sys.exit(1)
    finally:
        database.stop()
        for process in cluster.processes:
            if process is not None:
                process.kill()
                process.wait()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--push"]:
        push_main(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5]), int(sys.argv[6]))
    elif sys.argv[1:2] == ["--consume"]:
        consume_main(sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]), sys.argv[6:])
    else:
        main()
