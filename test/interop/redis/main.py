"""Real clients of Redis, and redis-server's own answers, against one node and three."""

import asyncio
import os
import subprocess
import threading
import time

from servers import RealRedis, RedisNodes, talk, wait_until

import kit  # noqa: E402  (servers.py put it on the path)
import redis
import redis.asyncio
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.retry import Retry
from redis.sentinel import Sentinel

HERE = os.path.dirname(os.path.abspath(__file__))
ONCE = Retry(NoBackoff(), 0)  # the library resends by itself otherwise: attempts could not be counted
END = b"this-is-the-end"


def cli(port, *words, given=None):
    done = subprocess.run(["redis-cli", "-p", str(port), *words], input=given, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=20)
    return done.stdout.decode()


@kit.test(60)
def conversations_as_redis():
    text = open(os.path.join(HERE, "conversations.txt")).read().split("\n---\n")[1:]
    blocks = [b.strip("\n").encode().decode("unicode_escape").encode("latin1") for b in text]
    with RealRedis() as real, RedisNodes(1) as cluster:
        mine = cluster.nodes[0].redis_port
        wrong = []
        for block in blocks:
            answers = []
            for port in (real.redis_port, mine):
                talk(port, b"FLUSHALL\r\n", b"+OK\r\n")
                # Whatever the conversation left open: RESET, then a bulk that can be nothing else.
                answers.append(talk(port, block + b"RESET\r\nECHO " + END + b"\r\n", b"$%d\r\n%s\r\n" % (len(END), END)))
            if answers[0] != answers[1]:
                wrong.append("%r\n  redis  %r\n  parley %r" % (block, answers[0], answers[1]))
        assert len(blocks) > 30
        assert not wrong, "\n".join(wrong)


@kit.test(60)
def redis_cli():
    with RedisNodes(1) as cluster:
        port = cluster.nodes[0].redis_port
        kit.equal(cli(port, "SET", "k", "v"), "OK\n")
        kit.equal(cli(port, "GET", "k"), "v\n")
        assert "proto" in cli(port, "-3", "HELLO", "3")
        commands = b"".join(b"*3\r\n$3\r\nSET\r\n$%d\r\nk%d\r\n$1\r\nx\r\n" % (len(b"k%d" % i), i) for i in range(5000))
        assert "errors: 0, replies: 5000" in cli(port, "--pipe", given=commands)
        kit.equal(cli(port, "DBSIZE"), "5001\n")
        assert "redis_version:7.0" in cli(port, "INFO", "server")
        kit.equal(cli(port, "-c", "GET", "k"), "v\n")


@kit.test(60)
def redis_py():
    with RedisNodes(1) as cluster:
        for protocol in (2, 3):
            r = redis.Redis(port=cluster.nodes[0].redis_port, protocol=protocol, decode_responses=True)
            r.flushall()
            assert r.ping() and r.set("a", "1") and r.incr("a") == 2 and r.get("a") == "2"
            assert r.set("lock", "x", nx=True, px=10000) and not r.set("lock", "y", nx=True, px=10000)
            assert 0 < r.pttl("lock") <= 10000
            with r.pipeline(transaction=True) as pipe:
                kit.equal(pipe.set("b", 1).incr("b").get("b").execute(), [True, 2, "2"])
            with r.pipeline(transaction=False) as pipe:
                for _ in range(1000):
                    pipe.incr("n")
                kit.equal(pipe.execute(), list(range(1, 1001)))
            other = redis.Redis(port=cluster.nodes[0].redis_port, decode_responses=True)
            with r.pipeline() as pipe:
                pipe.watch("b")
                other.set("b", 9)
                pipe.multi()
                pipe.set("b", 10)
                kit.raises(redis.WatchError, pipe.execute)
            kit.equal(r.get("b"), "9")
            assert r.client_info()["resp"] == str(protocol) and r.info()["redis_version"].startswith("7.")
            kit.equal(r.dbsize(), len(r.keys()))
            p = other.pubsub()
            p.subscribe("news")
            kit.equal(p.get_message(timeout=5)["type"], "subscribe")
            kit.equal(r.publish("news", "hello"), 1)
            kit.equal(p.get_message(timeout=5)["data"], "hello")
            p.close()


@kit.test(60)
def redis_py_asyncio():
    async def work(port):
        r = redis.asyncio.Redis(port=port, decode_responses=True)
        kit.equal(await asyncio.gather(*[r.incr("n") for _ in range(50)]) and await r.get("n"), "50")
        async with r.pipeline(transaction=True) as pipe:
            kit.equal(await pipe.set("a", "x").get("a").execute(), [True, "x"])
        await r.aclose()
    with RedisNodes(1) as cluster:
        asyncio.run(work(cluster.nodes[0].redis_port))


@kit.test(60)
def password():
    with RedisNodes(1, ["--redis-requirepass", "secret"]) as cluster:
        port = cluster.nodes[0].redis_port
        kit.raises(redis.AuthenticationError, redis.Redis(port=port, retry=ONCE).ping)
        kit.raises(redis.AuthenticationError, redis.Redis(port=port, password="wrong", retry=ONCE).ping)
        assert redis.Redis(port=port, password="secret").ping()
        assert redis.Redis(port=port, username="default", password="secret", protocol=3).ping()


class Counter(threading.Thread):
    """Increments until it is told to stop: acknowledged <= counter <= attempted."""

    def __init__(self, client):
        super().__init__(daemon=True)
        self.client, self.acknowledged, self.attempted, self.over, self.longest = client, 0, 0, False, 0

    def run(self):
        last = time.monotonic()
        while not self.over:
            self.attempted += 1
            try:
                self.client.incr("counter")
                self.acknowledged += 1
                now = time.monotonic()
                self.longest, last = max(self.longest, now - last), now
            except redis.RedisError:
                time.sleep(0.01)


def survives(cluster, client, killed):
    """A lock and a counter live through the death of a node; the client moves by itself where it must."""
    assert client.set("lock", "mine", nx=True, px=600000)
    counter = Counter(client)
    counter.start()
    wait_until("increments", lambda: counter.acknowledged > 50)
    killed.kill()
    before = counter.acknowledged
    wait_until("increments after the death", lambda: counter.acknowledged > before + 100)
    counter.over = True
    counter.join(10)
    value = int(client.get("counter"))
    assert counter.acknowledged <= value <= counter.attempted, (counter.acknowledged, value, counter.attempted)
    assert not client.set("lock", "other", nx=True), "the lock was lost"
    kit.equal(client.get("lock"), b"mine")
    print("     longest gap %.2f s, %d acknowledged" % (counter.longest, counter.acknowledged), flush=True)


@kit.test(120)
def sentinel_form():
    with RedisNodes(3) as cluster:
        addresses = [("127.0.0.1", n.redis_port) for n in cluster.nodes]
        sentinel = Sentinel(addresses, sentinel_kwargs={"socket_timeout": 2, "retry": ONCE})
        leader = cluster.leader()
        kit.equal(sentinel.discover_master("mymaster"), ("127.0.0.1", leader.redis_port))
        kit.equal(len(sentinel.discover_slaves("mymaster")), 2)
        survives(cluster, sentinel.master_for("mymaster", socket_timeout=4, retry=ONCE), leader)


@kit.test(120)
def cluster_form():
    with RedisNodes(3, ["--redis-mode", "cluster"]) as cluster:
        nodes = [ClusterNode("127.0.0.1", n.redis_port) for n in cluster.nodes]
        client = RedisCluster(startup_nodes=nodes, socket_timeout=4, retry=ONCE)
        kit.equal(client.get_primaries()[0].port, cluster.leader().redis_port)
        kit.equal(len(client.get_replicas()), 2)
        survives(cluster, client, cluster.leader())


@kit.test(120)
def single_address_of_a_follower():
    with RedisNodes(3) as cluster:
        leader = cluster.leader()
        follower = next(n for n in cluster.nodes if n is not leader)
        survives(cluster, redis.Redis(port=follower.redis_port, socket_timeout=10, retry=ONCE), leader)


@kit.test(120)
def reads_on_followers():
    with RedisNodes(3) as cluster:
        leader = cluster.leader()
        clients = [redis.Redis(port=n.redis_port) for n in cluster.nodes]
        for i in range(300):  # linearizable: what one was told, the other sees
            clients[i % 3].set("k", i)
            kit.equal(int(clients[(i + 1) % 3].get("k")), i)
        for n in cluster.nodes:
            if n is not leader:
                n.kill()
        alone = redis.Redis(port=leader.redis_port, socket_timeout=8, retry=ONCE)
        begin = time.monotonic()
        wait_until("refusals", lambda: refused(alone))
        alone.execute_command("READONLY")
        assert time.monotonic() - begin < 15


def refused(client):
    """True once a write and a read are refused as surely not applied; each at most 1.5 s and a bit late."""
    texts = []
    for words in (("SET", "k", "x"), ("GET", "k")):
        begin = time.monotonic()
        try:
            client.execute_command(*words)
            return False
        except redis.RedisError as error:
            texts.append("%s %s" % (type(error).__name__, error))
            if time.monotonic() - begin > 3:
                return False
    return "NOREPLICAS" in texts[0] and "MASTERDOWN" in texts[1] or "MasterDown" in texts[1]


if __name__ == "__main__":
    kit.main()
