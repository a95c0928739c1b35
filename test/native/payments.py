#!/usr/bin/env python3
"""Payments over five service processes: some are retried on another process while the first one stalls, some come to two
processes at the same moment, and leaders are killed. With an idempotency key each order is charged once; the same run without
keys counts the double charges. A small run is one of run.py's tests; the full one:

    test/native/payments.py --calls 1000000 --retry-one-in 10000 --kill-each 60
"""
import argparse
import asyncio
import collections
import itertools
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import time

from run import Cluster, test

SERVICES = 5
UNDER_WAY = 24  # calls of one service
LEASE_MS = 2000
WAIT_MS = 20000
TTL_MS = 600000  # a retry comes within minutes


# ---- the bank: a process with its own file. A charge is a line of it, and it charges whatever comes, twice too; but it
# refuses an older token of an order than it has seen.

async def bank_main(path):
    file = open(path, "a", buffering=1 << 16)
    charged, newest = collections.Counter(), {}

    def answer(verb, order, token):
        if token < newest.get(order, 0):
            return "refused"
        if token:
            newest[order] = token
        if verb == "look":
            return "charged" if charged[order] else "not charged"
        charged[order] += 1
        file.write(order + "\n")
        return "ok"

    async def serve(reader, writer):
        while line := await reader.readline():
            number, verb, order, token = line.decode().split()
            writer.write(("%s %s\n" % (number, answer(verb, order, int(token)))).encode())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)  # until the run is over
    file.close()
    os._exit(0)  # connections may still be open


# ---- a service

class Wire:
    """Questions with numbers over one connection to the bank."""

    async def open(self, port):
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port)
        self.waiting, self.numbers = {}, itertools.count()
        self.task = asyncio.ensure_future(self.read())

    async def read(self):
        while line := await self.reader.readline():
            number, words = line.decode().rstrip("\n").split(" ", 1)
            self.waiting.pop(int(number)).set_result(words)

    async def ask(self, verb, order, token):
        number = next(self.numbers)
        self.waiting[number] = asyncio.get_running_loop().create_future()
        answer = self.waiting[number]
        self.writer.write(("%d %s %s %d\n" % (number, verb, order, token)).encode())
        return await answer


class Nodes:
    """Operations on the cluster, on connections that are kept; what may not have been done is asked again elsewhere."""

    def __init__(self, ports):
        self.ports, self.idle, self.at = ports, [], 0

    async def once(self, request):
        reader, writer = self.idle.pop() if self.idle else await asyncio.open_connection("127.0.0.1", self.ports[self.at])
        try:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            body = await reader.readexactly(length)
        except BaseException:
            writer.close()
            raise
        self.idle.append((reader, writer))
        return int(head[9:12]), json.loads(body)

    async def ask(self, operation, **fields):
        body = json.dumps(fields).encode()
        request = b"POST /v1/%s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s" % (operation.encode(), len(body), body)
        while True:
            at = self.at
            try:
                status, answer = await asyncio.wait_for(self.once(request), 10 + fields.get("wait_ms", 0) / 1000)
                if status not in (503, 504):
                    return status, answer
            except (OSError, EOFError, asyncio.TimeoutError):
                pass
            if self.at == at:  # nobody has left that node yet
                self.at = (at + 1) % len(self.ports)
                for _, writer in self.idle:
                    writer.close()
                self.idle.clear()
            await asyncio.sleep(0.05)


class Service:
    def __init__(self, name, ports, keys):
        self.name, self.keys = name, keys
        self.nodes, self.bank, self.stalled, self.calls = Nodes(ports), Wire(), {}, itertools.count()
        self.nodes.at = int(name) % len(ports) if ports else 0

    async def stall(self, order, wanted, here):
        """A process that is paused, a call that hangs: until the story says that it goes on."""
        if wanted == here:
            self.stalled[order] = asyncio.get_running_loop().create_future()
            print("stalled", order, flush=True)
            await self.stalled[order]

    async def by_looking(self, order, stall):
        if await self.bank.ask("look", order, 0) == "not charged":
            await self.stall(order, stall, "before")
            await self.bank.ask("charge", order, 0)
            await self.stall(order, stall, "after")
        return "paid"

    async def by_key(self, order, stall):
        owner = "service %s %d, call %d" % (self.name, os.getpid(), next(self.calls))
        while True:
            status, begun = await self.nodes.ask("idempotency/begin", key=order, fingerprint="42 EUR", owner=owner,
                                                 lease_ms=LEASE_MS, ttl_ms=TTL_MS, wait_ms=WAIT_MS)
            if status != 200:
                assert begun["type"] in ("/errors/timed-out", "/errors/in-progress"), begun
                continue
            if begun["outcome"] == "stored":
                return begun["body"]
            token, done = begun["token"], "not charged"
            if begun["attempt"] > 1:  # what became of the one before? From now on the bank refuses its charge
                done = await self.bank.ask("look", order, token)
            if done == "not charged":
                await self.stall(order, stall, "before")
                done = await self.bank.ask("charge", order, token)
                await self.stall(order, stall, "after")
            stall = None
            if done == "refused":
                continue  # a newer run has begun
            receipt = "%s-by-%s-%d" % (order, self.name, token)
            status, answer = await self.nodes.ask("idempotency/complete", key=order, token=token, status=200, body=receipt)
            if status == 200:
                return receipt
            assert answer["type"] in ("/errors/not-held", "/errors/already"), answer

    async def call(self, order, stall):
        receipt = await (self.by_key if self.keys else self.by_looking)(order, stall)
        print("done", order, receipt, flush=True)


async def service_main(name, bank_port, keys, ports):
    service = Service(name, ports, keys)
    await service.bank.open(bank_port)
    reader, tasks = asyncio.StreamReader(1 << 20), set()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)

    def ended(task):
        tasks.discard(task)
        if not task.cancelled() and task.exception():  # the run must not go on without it
            sys.stderr.write("service %s: %r\n" % (name, task.exception()))
            os._exit(1)
    while line := await reader.readline():
        words = line.decode().split()
        if words[0] == "go":
            service.stalled.pop(words[1]).set_result(None)
            continue
        task = asyncio.ensure_future(service.call(words[1], words[2] if len(words) > 2 else None))
        tasks.add(task)
        task.add_done_callback(ended)


# ---- the run

class Run:
    def __init__(self, options, cluster, keys, folder):
        self.o, self.cluster, self.keys, self.folder = options, cluster, keys, folder
        self.services, self.room, self.events, self.done = [], [], {}, 0
        self.receipts = collections.defaultdict(set)  # of orders that came more than once
        self.broken = None

    async def process(self, *arguments):
        return await asyncio.create_subprocess_exec(sys.executable, os.path.abspath(__file__), *arguments,
                                                    stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=1 << 20)

    async def listen(self, at):
        while line := await self.services[at].stdout.readline():
            what, order, *receipt = line.decode().split()
            if what == "done":
                self.done += 1
                self.room[at].release()
                if order in self.receipts or (at, order) in self.events:
                    self.receipts[order].add(receipt[0])
            event = self.events.get((at, order, what))
            if event:
                event.set()
        if not self.over:
            self.broken = "service %d ended" % at
            self.work.cancel()

    def tell(self, at, words):
        self.services[at].stdin.write((words + "\n").encode())

    async def send(self, at, order, stall=""):
        await self.room[at].acquire()
        self.tell(at, "pay %s %s" % (order, stall))

    async def hear(self, at, order, what):
        event = self.events[(at, order, what)]
        await event.wait()
        del self.events[(at, order, what)]

    def expect(self, at, order, *whats):
        self.receipts[order]
        for what in whats:
            self.events[(at, order, what)] = asyncio.Event()

    async def retried(self, at, order, number):
        """The first service stalls; the client goes to another one. Sometimes both are under way together."""
        other, stall = (at + 1) % SERVICES, ("before", "after")[number % 2]
        self.expect(at, order, "stalled", "done")
        self.expect(other, order, "done")
        await self.send(at, order, stall)
        await self.hear(at, order, "stalled")
        await self.send(other, order)
        if number % 4 < 2:
            await self.hear(other, order, "done")
            self.tell(at, "go " + order)
        else:
            self.tell(at, "go " + order)
            await self.hear(other, order, "done")
        await self.hear(at, order, "done")

    async def twice(self, at, order):
        other = (at + 2) % SERVICES
        self.expect(at, order, "done")
        self.expect(other, order, "done")
        await self.room[at].acquire()
        await self.room[other].acquire()
        self.tell(at, "pay " + order)
        self.tell(other, "pay " + order)
        await self.hear(at, order, "done")
        await self.hear(other, order, "done")

    async def all_calls(self):
        tasks, retries = set(), 0
        for k in range(self.o.calls):
            at, order = k % SERVICES, "order-%d" % k
            if k % self.o.retry_one_in == self.o.retry_one_in // 2:
                task = asyncio.ensure_future(self.retried(at, order, retries))
                retries += 1
            elif k % self.o.twice_one_in == 1:
                task = asyncio.ensure_future(self.twice(at, order))
            else:
                await self.send(at, order)
                continue
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            await asyncio.sleep(0)
        await asyncio.gather(*tasks)
        for room in self.room:  # until all have been answered
            for _ in range(UNDER_WAY):
                await room.acquire()

    def kill_leaders(self, ended):
        """Once when half is done, or each so many seconds; the node starts again."""
        last = time.monotonic()
        while not ended.wait(0.05):
            due = time.monotonic() - last > self.o.kill_each if self.o.kill_each else self.kills == 0 and self.done > self.o.calls / 2
            if due:
                leader = self.cluster.leader()
                self.cluster.kill(leader)
                self.cluster.start(leader)
                self.kills, last = self.kills + 1, time.monotonic()

    def killer(self, ended, loop):
        """In a thread of its own. A cluster without a leader ends the run: its services would wait for ever."""
        try:
            self.kill_leaders(ended)
        except AssertionError as error:
            self.broken = str(error)
            loop.call_soon_threadsafe(self.work.cancel)

    async def run(self):
        path = os.path.join(self.folder, "bank-%s" % ("keys" if self.keys else "none"))
        bank = await self.process("--bank", path)
        port = (await bank.stdout.readline()).decode().strip()
        ports = [str(p["http"]) for p in self.cluster.ports] if self.keys else []
        for at in range(SERVICES):
            self.services.append(await self.process("--service", str(at), port, "keys" if self.keys else "none", *ports))
            self.room.append(asyncio.Semaphore(UNDER_WAY))
        self.over, self.kills, began = False, 0, time.monotonic()
        listeners = [asyncio.ensure_future(self.listen(at)) for at in range(SERVICES)]
        ended = threading.Event()
        killer = threading.Thread(target=self.killer, args=(ended, asyncio.get_running_loop()))
        if self.keys:
            killer.start()
        try:
            self.work = asyncio.ensure_future(self.all_calls())
            await self.work
        except asyncio.CancelledError:
            raise AssertionError(self.broken) from None
        finally:
            ended.set()
            self.over = True
            if self.keys:
                await asyncio.get_running_loop().run_in_executor(None, killer.join)
            for process in self.services + [bank]:
                process.stdin.close()
                if self.broken and process.returncode is None:
                    process.kill()
            for process in self.services + [bank]:
                await process.wait()
            await asyncio.gather(*listeners)
        charges = collections.Counter(line.strip() for line in open(path))
        return {"keys": self.keys, "orders": self.o.calls, "calls": self.done, "leaders_killed": self.kills,
                "charges": sum(charges.values()), "not_charged": self.o.calls - len(charges),
                "charged_twice": sum(n > 1 for n in charges.values()),
                "different_receipts": sum(len(set(x)) > 1 for x in self.receipts.values()) if self.keys else 0,
                "calls_per_second": round(self.done / (time.monotonic() - began))}


def run(options, cluster, keys, folder):
    return asyncio.run(Run(options, cluster, keys, folder).run())


def judge(options, cluster, folder):
    without = run(options, cluster, False, folder)
    print("  ", json.dumps(without), flush=True)
    assert without["charged_twice"] > 0 and without["not_charged"] == 0, without
    with_keys = run(options, cluster, True, folder)
    print("  ", json.dumps(with_keys), flush=True)
    assert with_keys["calls"] == without["calls"] > options.calls
    assert with_keys["charged_twice"] == with_keys["not_charged"] == with_keys["different_receipts"] == 0, with_keys
    assert with_keys["leaders_killed"] > 0, with_keys
    cluster.start_all()  # it fails when a node has ended by itself


@test(3)
def payments_are_charged_once(c):
    options = argparse.Namespace(calls=3000, retry_one_in=300, twice_one_in=50, kill_each=0)
    folder = os.path.join(c.folder, "payments")
    os.mkdir(folder)
    judge(options, c, folder)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", default="build/parley")
    parser.add_argument("--port", type=int, default=24200)
    parser.add_argument("--calls", type=int, default=20000)
    parser.add_argument("--retry-one-in", type=int, default=1000)
    parser.add_argument("--twice-one-in", type=int, default=1000)
    parser.add_argument("--kill-each", type=float, default=10, help="seconds between two leaders' deaths")
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="parley-payments-")
    cluster = Cluster(os.path.abspath(options.binary), options.port, 3, folder)
    try:
        cluster.start_all()
        judge(options, cluster, folder)
        print("1 passed, 0 failed, 0 skipped")
        shutil.rmtree(folder)
    except AssertionError as error:
        print("FAILED, data in %s: %s\n0 passed, 1 failed, 0 skipped" % (folder, error))
        sys.exit(1)
    finally:
        for process in cluster.processes:
            if process is not None:
                process.send_signal(signal.SIGKILL)
                process.wait()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--bank"]:
        asyncio.run(bank_main(sys.argv[2]))
    elif sys.argv[1:2] == ["--service"]:
        asyncio.run(service_main(sys.argv[2], int(sys.argv[3]), sys.argv[4] == "keys", [int(p) for p in sys.argv[5:]]))
    else:
        main()
