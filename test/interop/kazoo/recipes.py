"""Every recipe of kazoo. Each is a generator that yields in its middle: there the leader may die (kit.py)."""

import datetime
import threading

from kazoo.exceptions import CancelledError, ConnectionLoss, LockTimeout, NoNodeError
from kazoo.protocol.states import KazooState
from kazoo.recipe.cache import TreeCache, TreeEvent
from kazoo.recipe.watchers import PatientChildrenWatch

from clients import background, client, followers, root
from kit import KILL, Skip, equal, raises, test, until


class Inside:
    """Counts who is in a critical section, and the most that ever were."""

    def __init__(self):
        self.guard, self.now, self.most, self.entries = threading.Lock(), 0, 0, 0

    def __enter__(self):
        with self.guard:
            self.now += 1
            self.entries += 1
            self.most = max(self.most, self.now)

    def __exit__(self, *_):
        with self.guard:
            self.now -= 1


def contend(clients, make, inside, stop):
    """A thread for each client that takes and gives back its lock until `stop` is set."""
    def work(k):
        lock = make(clients[k], k)
        while not stop.is_set():
            with lock:
                with inside:
                    clients[k].retry(clients[k].exists, "/")  # long enough for others to err
    return [background(lambda k=k: work(k)) for k in range(len(clients))]


def stop_all(clients):
    for c in clients:
        c.stop()


@test(30)
def lock_excludes():
    clients = [client(node=k) for k in range(4)]
    at = root(clients[0], "lock")
    inside, stop = Inside(), threading.Event()
    threads = contend(clients, lambda c, k: c.Lock(at + "/l", "c%d" % k), inside, stop)
    until("turns", lambda: inside.entries > 20)
    yield
    before = inside.entries
    until("turns after the death", lambda: inside.entries > before + 20, 20)
    stop.set()
    for t in threads:
        t.finish()
    equal(inside.most, 1, "holders at once")
    stop_all(clients)


@test(25)
def lock_held_through():
    a, b = client(node=0), client(node=1)
    at = root(a, "lock-held")
    b.retry(b.sync, at)
    mine, other = a.Lock(at, "a"), b.Lock(at, "b")
    assert mine.acquire()
    raises(LockTimeout, other.acquire, timeout=0.2)
    equal(other.acquire(blocking=False), False)
    waiter = background(lambda: other.acquire(timeout=40))
    until("two contenders", lambda: mine.contenders() == ["a", "b"])
    yield
    assert mine.is_acquired
    equal(a.retry(mine.contenders), ["a", "b"])
    assert waiter.is_alive()
    mine.release()
    assert waiter.finish()
    equal(b.retry(other.contenders), ["b"])
    other.release()
    stop_all((a, b))


@test()
def lock_cancelled():
    a, b = client(), client()
    at = root(a, "lock-cancel")
    b.sync(at)
    mine, other = a.Lock(at, "a"), b.Lock(at, "b")
    mine.acquire()
    waiter = background(lambda: raises(CancelledError, other.acquire))
    until("it waits", lambda: len(mine.contenders()) == 2)
    other.cancel()
    a.set(at, b"")  # no event that it waits for: only the cancelling ends the wait
    mine.release()
    waiter.finish()
    until("it left", lambda: not a.Lock(at).contenders())
    stop_all((a, b))


@test()
def lock_of_an_ended_session():
    a, b = client(), client()
    at = root(a, "lock-end")
    b.sync(at)
    a.Lock(at, "a").acquire()
    waiter = background(lambda: b.Lock(at, "b").acquire(timeout=15))
    until("it waits", lambda: len(b.Lock(at).contenders()) == 2)
    a.stop()
    assert waiter.finish()
    b.stop()


@test(30)
def read_and_write_locks():
    readers, writers = [client() for _ in range(3)], [client() for _ in range(2)]
    at = root(readers[0], "rw")
    for c in readers + writers:
        c.retry(c.sync, at)
    held = [c.ReadLock(at, "r%d" % k) for k, c in enumerate(readers)]
    for lock in held:
        assert lock.acquire(timeout=5), "readers share"
    writing, reading, stop = Inside(), Inside(), threading.Event()
    first = background(lambda: writers[0].WriteLock(at, "w").acquire(timeout=40))
    until("the writer waits", lambda: len(held[0].contenders()) == 4)
    yield
    assert first.is_alive(), "a writer waits for all readers"
    late = background(lambda: writers[1].ReadLock(at, "late").acquire(timeout=40))
    until("all are in line", lambda: len(readers[0].retry(readers[0].get_children, at)) == 5)
    for lock in held:
        lock.release()
    assert first.finish()
    assert late.is_alive(), "a reader behind a writer waits"
    writers[0].stop()
    assert late.finish()
    writers[1].stop()

    def read(k):
        lock = readers[k].ReadLock(at + "/mixed", "r%d" % k)
        while not stop.is_set():
            with lock, reading:
                equal(writing.now, 0, "writers beside a reader")

    def write():
        c = client()
        lock = c.WriteLock(at + "/mixed", "w")
        for _ in range(5):
            with lock, writing:
                equal(reading.now, 0, "readers beside a writer")
        c.stop()

    threads = [background(lambda k=k: read(k)) for k in range(3)]
    background(write).finish(20)
    stop.set()
    for t in threads:
        t.finish()
    stop_all(readers)


@test(30)
def semaphore_admits_so_many():
    clients = [client(node=k) for k in range(4)]
    at = root(clients[0], "semaphore")
    inside, stop = Inside(), threading.Event()
    threads = contend(clients, lambda c, k: c.Semaphore(at + "/s", "c%d" % k, max_leases=2), inside, stop)
    until("turns", lambda: inside.entries > 10)
    yield
    before = inside.entries
    until("turns after the death", lambda: inside.entries > before + 10, 20)
    stop.set()
    for t in threads:
        t.finish()
    assert 1 <= inside.most <= 2, inside.most
    semaphore = clients[0].Semaphore(at + "/s", "x", max_leases=2)
    assert semaphore.acquire(blocking=False)
    equal(list(semaphore.lease_holders()), ["x"])
    raises(ValueError, clients[1].Semaphore(at + "/s", max_leases=3).acquire)
    semaphore.release()
    stop_all(clients)


@test(30)
def election_has_one_leader_at_a_time():
    clients = [client(node=k) for k in range(3)]
    at = root(clients[0], "election")
    inside, order, release = Inside(), [], [threading.Event() for _ in clients]

    def lead(k):
        with inside:
            order.append(k)
            assert release[k].wait(50)

    elections = [c.Election(at, "c%d" % k) for k, c in enumerate(clients)]
    threads = []
    for k in range(3):
        threads.append(background(lambda k=k: elections[k].run(lead, k)))
        until("candidate %d stands" % k, lambda: len(clients[k].retry(elections[k].contenders)) == k + 1)
    until("a leader", lambda: order == [0])
    equal(clients[1].retry(elections[1].contenders), ["c0", "c1", "c2"])
    yield
    equal(order, [0], "leadership lives through the death of a server")
    release[0].set()
    until("the next leader", lambda: order == [0, 1], 15)
    release[1].set()
    until("the last leader", lambda: order == [0, 1, 2], 15)
    release[2].set()
    for t in threads:
        t.finish()
    equal(inside.most, 1)
    stop_all(clients)


@test(30)
def queue_gives_each_once():
    producers, consumers = [client(node=0), client(node=1)], [client(node=k) for k in range(3)]
    at = root(producers[0], "queue")
    losses = []
    for c in consumers:
        c.retry(c.sync, at)
        c.add_listener(lambda s: losses.append(s) if s == KazooState.SUSPENDED else None)
    put, twice, got, stop = [], set(), [], threading.Event()

    def produce(k):
        queue, n = producers[k].Queue(at), 0
        while not stop.is_set() and n < 300:
            item = b"p%d-%04d" % (k, n)
            while True:
                try:
                    queue.put(item)
                    break
                except ConnectionLoss:  # perhaps it was applied: then the item is there twice
                    twice.add(item)
                    producers[k].retry(producers[k].exists, at)
            put.append(item)
            n += 1

    def consume(k):
        queue = consumers[k].Queue(at)
        while True:
            ended = stop.is_set()
            item = queue.get()
            if item is not None:
                got.append(item)
            elif ended:
                return

    makers = [background(lambda k=k: produce(k)) for k in range(2)]
    takers = [background(lambda k=k: consume(k)) for k in range(3)]
    until("items pass", lambda: len(got) > 20)
    yield
    before = len(got)
    until("items pass after the death", lambda: len(got) > before + 20 or not any(m.is_alive() for m in makers), 20)
    stop.set()
    for t in makers + takers:
        t.finish()
    once = [item for item in got if item not in twice]
    equal(len(set(once)), len(once), "items taken twice")
    missing = set(put) - set(got)
    # This queue deletes before it gives: who loses the connection between loses what was being taken.
    assert len(missing) <= len(losses), (missing, losses)
    queue = producers[0].Queue(at)
    for value, priority in ((b"low", 200), (b"high", 1), (b"middle", 100)):
        producers[0].retry(queue.put, value, priority)
    equal(len(queue), 3)
    equal([queue.get() for _ in range(4)], [b"high", b"middle", b"low", None])
    stop_all(producers + consumers)


@test(30)
def locking_queue_gives_back_what_was_not_consumed():
    a, b = client(node=0), client(node=1)
    at = root(a, "locking-queue")
    b.retry(b.sync, at)
    first, second = a.LockingQueue(at), b.LockingQueue(at)
    first.put(b"one")
    first.put_all([b"two", b"three"])
    first.put(b"urgent", priority=1)
    equal(len(first), 4)
    equal(first.get(5), b"urgent")
    equal(first.get(5), b"urgent", "the same until it is consumed")
    equal(second.get(5), b"one")
    assert first.holds_lock() and second.holds_lock()
    yield
    assert a.retry(first.holds_lock) and b.retry(second.holds_lock), "taken items stay taken"
    assert first.consume()
    equal(first.consume(), False)
    assert second.release()
    equal(second.get(5), b"one", "given back, it is first again")
    b.stop()
    got = []
    for _ in range(3):
        got.append(first.get(10))
        assert first.consume()
    equal(got, [b"one", b"two", b"three"])
    equal(first.get(0.2), None)
    waiter = background(lambda: first.get(20))
    c = client()
    c.sync(at)
    c.LockingQueue(at).put(b"late")
    equal(waiter.finish(), b"late")
    stop_all((a, c))


@test(25)
def barrier_holds_until_removed():
    a, b = client(node=0), client(node=1)
    at = root(a, "barrier") + "/b"
    barrier = a.Barrier(at)
    barrier.create()
    b.retry(b.sync, at)
    equal(b.Barrier(at).wait(0.2), False)

    def wait(c):  # in slices: kazoo's barrier forgets its watch when the connection is lost, on any server
        return any(c.retry(c.Barrier(at).wait, 0.5) for _ in range(80))

    waiters = [background(lambda c=c: wait(c)) for c in (a, b)]
    yield
    assert all(w.is_alive() for w in waiters)
    assert a.retry(barrier.remove)
    for w in waiters:
        equal(w.finish(), True)
    equal(barrier.remove(), False)
    equal(a.Barrier(at).wait(1), True, "no barrier, no wait")
    stop_all((a, b))


@test(25)
def double_barrier_enters_and_leaves_together():
    steady = followers()  # of the two that wait; they keep their connections while the leader changes
    clients = [client(node=steady[k % len(steady)]) for k in range(2)] + [client()]
    suspended = []
    for c in clients[:2]:
        c.add_listener(lambda s: suspended.append(s) if s == KazooState.SUSPENDED else None)
    at = root(clients[0], "double")
    for c in clients:
        c.retry(c.sync, at)
    barriers = [c.DoubleBarrier(at + "/d", 3, "c%d" % k) for k, c in enumerate(clients)]
    entering = [background(barriers[k].enter) for k in range(2)]
    until("two are there", lambda: clients[2].retry(clients[2].exists, at + "/d")
          and len(clients[2].retry(clients[2].get_children, at + "/d")) == 2)
    yield
    if suspended:  # real ZooKeeper's followers drop their clients with the leader
        raise Skip("kazoo's double barrier forgets its watch when the connection is lost")
    assert all(t.is_alive() for t in entering)
    entering.append(background(barriers[2].enter))
    for t in entering:
        t.finish()
    assert all(b.participating for b in barriers)
    leaving = [background(barriers[k].leave) for k in range(2)]
    until("they wait for the last", lambda: all(t.is_alive() for t in leaving))
    leaving.append(background(barriers[2].leave))
    for t in leaving:
        t.finish()
    assert not any(b.participating for b in barriers)
    stop_all(clients)


def party_test(kind):
    clients = [client(node=k) for k in range(3)]
    at = root(clients[0], kind)
    for c in clients:
        c.retry(c.sync, at)
    parties = [getattr(c, kind)(at, "c%d" % k) for k, c in enumerate(clients)]
    for p in parties:
        p.join()
        p.join()
    clients[0].retry(clients[0].sync, at)
    equal(sorted(parties[0]), ["c0", "c1", "c2"])
    equal(len(parties[0]), 3)
    yield
    clients[1].retry(clients[1].sync, at)
    equal(sorted(clients[1].retry(lambda: list(parties[1]))), ["c0", "c1", "c2"], "members stay")
    parties[2].leave()
    clients[0].retry(clients[0].exists, at)  # connected again: only then its end is told
    clients[0].stop()
    until("one is left", lambda: sorted(parties[1]) == ["c1"])
    parties[2].join()
    until("two", lambda: len(parties[1]) == 2)
    stop_all(clients[1:])


@test(25)
def party():
    yield from party_test("Party")


@test(25)
def shallow_party():
    yield from party_test("ShallowParty")


@test(30)
def counter_counts_all():
    clients = [client(node=k) for k in range(4)]
    at = root(clients[0], "counter") + "/n"
    losses, added, stop = [0], [0] * 4, threading.Event()
    for c in clients:
        c.add_listener(lambda s: losses.append(1) if s == KazooState.SUSPENDED else None)

    def work(k):
        counter = clients[k].Counter(at)
        while not stop.is_set():
            counter += 1
            added[k] += 1

    threads = [background(lambda k=k: work(k)) for k in range(4)]
    until("some are counted", lambda: sum(added) > 20)
    yield
    before = sum(added)
    until("more are counted after the death", lambda: sum(added) > before + 20, 20)
    stop.set()
    for t in threads:
        t.finish()
    clients[0].retry(clients[0].sync, at)
    value = clients[0].Counter(at).value
    # kazoo repeats an addition whose reply was lost, so a lost connection may count one twice, and never loses one.
    assert sum(added) <= value <= sum(added) + len(losses) - 1, (value, sum(added), losses)
    if not KILL:
        equal(value, sum(added))
    real = clients[1].Counter(at + "-float", default=1.5)
    real += 2.25
    real -= 0.75
    equal(real.value, 3.0)
    equal((real.pre_value, real.post_value), (3.75, 3.0))
    stop_all(clients)


@test(25)
def tree_cache_follows():
    c, other = client(node=0), client(node=1)
    at = root(c, "cache")
    other.retry(other.sync, at)
    other.create(at + "/a/b", b"1", makepath=True)
    c.retry(c.sync, at)
    cache, events = TreeCache(c, at), []
    cache.listen(events.append)
    cache.start()
    until("it is filled", lambda: any(e.event_type == TreeEvent.INITIALIZED for e in events))
    equal(cache.get_data(at + "/a/b").data, b"1")
    equal(set(cache.get_children(at)), {"a"})
    other.set(at + "/a/b", b"2")
    until("a change", lambda: cache.get_data(at + "/a/b").data == b"2")
    yield
    other.retry(other.set, at + "/a/b", b"3")
    until("a change after the death", lambda: cache.get_data(at + "/a/b").data == b"3", 15)
    other.retry(other.ensure_path, at + "/c/d/e")
    until("a new branch", lambda: cache.get_data(at + "/c/d/e") is not None)
    other.delete(at + "/a", recursive=True)
    until("a branch less", lambda: cache.get_data(at + "/a") is None)
    # The cache's data changes a moment before its background thread hands the event to its listeners.
    wanted = {TreeEvent.NODE_ADDED, TreeEvent.NODE_UPDATED, TreeEvent.NODE_REMOVED}
    until("its events", lambda: wanted <= {e.event_type for e in events})
    cache.close()
    stop_all((c, other))


@test(25)
def non_blocking_lease():
    a, b = client(node=0), client(node=1)
    at = root(a, "lease")
    b.retry(b.sync, at)
    hour = datetime.timedelta(hours=1)
    assert a.NonBlockingLease(at, hour, identifier="a")
    assert not b.NonBlockingLease(at, hour, identifier="b")
    yield
    assert not b.retry(b.NonBlockingLease, at, hour, identifier="b"), "the lease lives through the death"
    assert a.retry(a.NonBlockingLease, at, hour, identifier="a"), "its holder renews it"
    later = datetime.datetime.utcnow() + 2 * hour
    assert b.NonBlockingLease(at, hour, identifier="b", utcnow=lambda: later), "an old one is taken over"
    stop_all((a, b))


@test(25)
def multi_non_blocking_lease():
    c = client()
    at = root(c, "multi-lease")
    hour = datetime.timedelta(hours=1)

    def lease(who):
        return bool(c.retry(c.MultiNonBlockingLease, 2, at, hour, identifier=who))

    assert lease("a") and lease("b") and not lease("c")
    yield
    assert lease("a") and lease("b") and not lease("c")
    c.stop()


@test(25)
def data_watch_and_children_watch():
    c, other = client(node=0), client(node=1)
    at = root(c, "data-watch")
    other.retry(other.sync, at)
    values, names, some = [], [], []

    @c.DataWatch(at + "/n")
    def changed(data, stat, event):
        values.append((data, stat and stat.version, event and event.type))

    @c.ChildrenWatch(at, send_event=True)
    def children(found, event):
        names.append(sorted(found))

    @c.DataWatch(at + "/n")
    def until_two(data, stat):
        some.append(data)
        return data != b"2"

    equal(values, [(None, None, None)], "called at once, also for a node that is not there")
    other.create(at + "/n", b"1")
    until("created", lambda: values[-1][:2] == (b"1", 0) and names[-1] == ["n"])
    yield
    other.retry(other.set, at + "/n", b"2")
    until("changed after the death", lambda: values[-1][:1] == (b"2",), 15)
    until("the one that stops", lambda: some[-1] == b"2")
    other.set(at + "/n", b"3")
    other.create(at + "/m")
    until("changed again", lambda: values[-1][0] == b"3" and names[-1] == ["m", "n"])
    other.delete(at + "/n")
    until("deleted", lambda: values[-1][0] is None and names[-1] == ["m"])
    equal(some[-1], b"2", "a function that gives False is called no more")
    stop_all((c, other))


@test(25)
def patient_children_watch():
    c, other = client(node=0), client(node=1)
    at = root(c, "patient")
    other.retry(other.sync, at)
    watch = PatientChildrenWatch(c, at, time_boundary=0.3).start()
    other.create(at + "/a")
    children, later = watch.get(10)
    equal(children, ["a"])
    assert not later.ready()
    yield
    other.retry(other.create, at + "/b")
    # The death takes c's connection where c was on the leader; kazoo then gives the waiter a NONE event, which counts as change.
    until("the later change", later.ready)
    stop_all((c, other))


@test(30)
def set_partitioner_shares_out():
    clients = [client(node=k) for k in range(3)]
    at = root(clients[0], "partition")
    for c in clients:
        c.retry(c.sync, at)
    everything = set(range(9))

    def share(c, k):
        return c.SetPartitioner(at, everything, identifier="c%d" % k, time_boundary=0.3)

    parts = [share(c, k) for k, c in enumerate(clients)]
    stop = threading.Event()

    def drive(k):  # the loop that kazoo's documentation gives to users
        p = parts[k]
        while not stop.is_set():
            if p.failed:
                raise AssertionError("partitioner %d failed" % k)
            if p.release:
                p.release_set()
            elif p.acquired:
                stop.wait(0.02)
            elif p.allocating:
                p.wait_for_acquire(1)

    threads = [background(lambda k=k: drive(k)) for k in range(3)]

    def shared_by(who):
        shares = [list(parts[k]) for k in who if parts[k].acquired]
        return len(shares) == len(who) and sorted(x for s in shares for x in s) == sorted(everything)

    until("all is shared out", lambda: shared_by((0, 1, 2)), 15)
    yield
    until("still, or again", lambda: shared_by((0, 1, 2)) or any(not t.is_alive() for t in threads), 20)
    stop.set()
    for k, t in enumerate(threads):
        try:
            t.finish()
        except AssertionError:  # kazoo gives up its share for good when its connection is suspended
            assert KILL, k
    for k, p in enumerate(parts):
        p.finish()
    stop_all(clients)


@test(25)
def recipes_below_a_chroot():
    plain = client()
    at = root(plain, "chroot-recipes")
    c = client(chroot=at)
    c.retry(c.sync, "/")
    with c.Lock("/lock", "x"):
        plain.retry(plain.sync, at)
        equal(plain.retry(plain.get_children, at), ["lock"])
    values = []
    c.DataWatch("/n", lambda data, stat: values.append(data))
    yield
    plain.retry(plain.create, at + "/n", b"1")
    until("the watch below the chroot", lambda: values[-1:] == [b"1"], 15)
    raises(NoNodeError, c.retry, c.get, "/none")
    stop_all((c, plain))
