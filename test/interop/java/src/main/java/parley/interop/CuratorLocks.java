package parley.interop;

import static parley.interop.Stage.becomes;
import static parley.interop.Stage.check;
import static parley.interop.Stage.equal;
import static parley.interop.Stage.get;
import static parley.interop.Stage.session;
import static parley.interop.Stage.until;

import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.leader.LeaderLatch;
import org.apache.curator.framework.recipes.leader.LeaderLatchListener;
import org.apache.curator.framework.recipes.leader.LeaderSelector;
import org.apache.curator.framework.recipes.leader.LeaderSelectorListenerAdapter;
import org.apache.curator.framework.recipes.locks.InterProcessLock;
import org.apache.curator.framework.recipes.locks.InterProcessMultiLock;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.framework.recipes.locks.InterProcessReadWriteLock;
import org.apache.curator.framework.recipes.locks.InterProcessSemaphoreMutex;
import org.apache.curator.framework.recipes.locks.InterProcessSemaphoreV2;
import org.apache.curator.framework.recipes.locks.Lease;
import org.apache.curator.framework.recipes.locks.RevocationListener;
import org.apache.curator.framework.recipes.locks.Revoker;
import org.apache.curator.framework.recipes.shared.SharedCount;

/** Curator's locks and elections. In each the holder keeps what it has over the kill, and somebody waits over the kill. */
public final class CuratorLocks {
    /** One holds over the kill, one waits over it, and gets it after the release only. */
    private static void handOver(Stage stage, CuratorFramework first, CuratorFramework second, InterProcessLock held, InterProcessLock wanted)
            throws Exception {
        check(held.acquire(Stage.UNTIL_SECONDS, TimeUnit.SECONDS), "acquired");
        long id = session(first);
        check(!stage.async(() -> wanted.acquire(100, TimeUnit.MILLISECONDS)).get(), "held by another");
        AtomicBoolean released = new AtomicBoolean();
        Future<Boolean> waiting = stage.async(() -> {
            wanted.acquire();
            boolean early = !released.get();
            wanted.release();
            return early;
        });
        stage.kill();
        stage.settle(first);
        stage.settle(second);
        equal(id, session(first), "session");
        check(held.isAcquiredInThisProcess() && !waiting.isDone(), "still held");
        released.set(true);
        held.release();
        check(!get(waiting), "acquired by the other while held");
        check(held.acquire(Stage.UNTIL_SECONDS, TimeUnit.SECONDS), "acquired again");
        held.release();
        check(!held.isAcquiredInThisProcess(), "released");
    }

    public static void mutex(Stage stage) throws Exception {
        CuratorFramework first = stage.curator(), second = stage.curator();
        String path = stage.base + "/lock";
        InterProcessMutex held = new InterProcessMutex(first, path);
        held.acquire();
        held.acquire(); // the same thread may again
        held.release();
        check(held.isOwnedByCurrentThread(), "held once more");
        equal(1, held.getParticipantNodes().size(), "participants");
        held.release();
        handOver(stage, first, second, held, new InterProcessMutex(second, path));
    }

    public static void mutexRevoked(Stage stage) throws Exception {
        CuratorFramework first = stage.curator(), second = stage.curator();
        InterProcessMutex held = new InterProcessMutex(first, stage.base + "/lock");
        CountDownLatch asked = new CountDownLatch(1);
        held.makeRevocable((RevocationListener<InterProcessMutex>) lock -> asked.countDown());
        held.acquire();
        stage.kill();
        stage.settle(first);
        stage.settle(second);
        Revoker.attemptRevoke(second, held.getParticipantNodes().iterator().next());
        check(asked.await(Stage.UNTIL_SECONDS, TimeUnit.SECONDS), "the holder is asked to release");
        held.release();
    }

    /** Ten threads of three clients: never two inside, and all get in. */
    public static void mutexContended(Stage stage) throws Exception {
        List<CuratorFramework> clients = List.of(stage.curator(), stage.curator(), stage.curator());
        AtomicInteger inside = new AtomicInteger(), entered = new AtomicInteger(), violations = new AtomicInteger();
        CountDownLatch half = new CountDownLatch(20);
        List<Future<Integer>> workers = new ArrayList<>();
        for (int w = 0; w < 10; w++) {
            InterProcessMutex lock = new InterProcessMutex(clients.get(w % 3), stage.base + "/lock");
            workers.add(stage.async(() -> {
                int times = 0;
                for (; times < 6; times++) {
                    lock.acquire();
                    if (inside.incrementAndGet() != 1) {
                        violations.incrementAndGet();
                    }
                    entered.incrementAndGet();
                    half.countDown();
                    inside.decrementAndGet();
                    lock.release();
                }
                return times;
            }));
        }
        half.await(Stage.UNTIL_SECONDS, TimeUnit.SECONDS);
        stage.kill();
        for (Future<Integer> worker : workers) {
            get(worker);
        }
        equal("0 60", violations + " " + entered, "violations and entries");
    }

    public static void semaphoreMutex(Stage stage) throws Exception {
        CuratorFramework first = stage.curator(), second = stage.curator();
        String path = stage.base + "/lock";
        handOver(stage, first, second, new InterProcessSemaphoreMutex(first, path), new InterProcessSemaphoreMutex(second, path));
    }

    public static void multiLock(Stage stage) throws Exception {
        CuratorFramework first = stage.curator(), second = stage.curator();
        List<String> paths = List.of(stage.base + "/a", stage.base + "/b", stage.base + "/c");
        handOver(stage, first, second, new InterProcessMultiLock(first, paths), new InterProcessMultiLock(second, paths.subList(1, 2)));
    }

    public static void readWriteLock(Stage stage) throws Exception {
        CuratorFramework first = stage.curator(), second = stage.curator();
        InterProcessReadWriteLock one = new InterProcessReadWriteLock(first, stage.base + "/lock");
        InterProcessReadWriteLock two = new InterProcessReadWriteLock(second, stage.base + "/lock");
        one.readLock().acquire();
        get(stage.async(() -> {
            two.readLock().acquire(); // readers share
            two.readLock().release();
            return null;
        }));
        check(!get(stage.async(() -> two.writeLock().acquire(100, TimeUnit.MILLISECONDS))), "a writer waits for readers");
        AtomicBoolean reading = new AtomicBoolean(true);
        CountDownLatch written = new CountDownLatch(1);
        Future<Boolean> writer = stage.async(() -> {
            two.writeLock().acquire();
            boolean early = reading.get();
            two.readLock().acquire(); // a writer may become a reader
            two.writeLock().release();
            written.await();
            two.readLock().release();
            return early;
        });
        stage.kill();
        stage.settle(first);
        stage.settle(second);
        check(one.readLock().isAcquiredInThisProcess() && !writer.isDone(), "still held");
        reading.set(false);
        one.readLock().release();
        one.readLock().acquire();
        check(!get(stage.async(() -> one.writeLock().acquire(100, TimeUnit.MILLISECONDS))), "two readers hold it");
        written.countDown();
        check(!get(writer), "a writer came in while it was read");
        one.readLock().release();
        one.writeLock().acquire();
        one.writeLock().release();
    }

    public static void semaphore(Stage stage) throws Exception {
        CuratorFramework first = stage.curator(), second = stage.curator();
        InterProcessSemaphoreV2 one = new InterProcessSemaphoreV2(first, stage.base + "/semaphore", 3);
        InterProcessSemaphoreV2 two = new InterProcessSemaphoreV2(second, stage.base + "/semaphore", 3);
        Collection<Lease> pair = one.acquire(2);
        Lease third = two.acquire();
        third.close();
        Lease again = two.acquire(Stage.UNTIL_SECONDS, TimeUnit.SECONDS);
        check(again != null, "a returned lease is given again");
        equal(null, one.acquire(100, TimeUnit.MILLISECONDS), "a fourth lease");
        Future<Lease> waiting = stage.async(two::acquire);
        stage.kill();
        stage.settle(first);
        stage.settle(second);
        check(!waiting.isDone(), "no fourth lease after the kill");
        one.returnAll(pair);
        two.returnLease(get(waiting));
        two.returnLease(again);
        equal(3, one.acquire(3, Stage.UNTIL_SECONDS, TimeUnit.SECONDS).size(), "all leases");
    }

    public static void semaphoreWithSharedCount(Stage stage) throws Exception {
        CuratorFramework first = stage.curator(), second = stage.curator();
        SharedCount here = stage.own(new SharedCount(first, stage.base + "/max", 1));
        SharedCount there = stage.own(new SharedCount(second, stage.base + "/max", 1));
        here.start();
        there.start();
        InterProcessSemaphoreV2 one = new InterProcessSemaphoreV2(first, stage.base + "/semaphore", here);
        InterProcessSemaphoreV2 two = new InterProcessSemaphoreV2(second, stage.base + "/semaphore", there);
        Lease lease = one.acquire();
        Future<Lease> waiting = stage.async(two::acquire);
        stage.kill();
        stage.settle(first);
        stage.settle(second);
        check(!waiting.isDone(), "one lease only");
        here.setCount(2);
        check(get(waiting) != null, "a lease more");
        lease.close();
    }

    public static void leaderLatch(Stage stage) throws Exception {
        List<LeaderLatch> latches = new ArrayList<>();
        List<CuratorFramework> clients = new ArrayList<>();
        AtomicInteger gained = new AtomicInteger();
        for (int i = 0; i < 3; i++) {
            CuratorFramework client = stage.curator();
            LeaderLatch latch = stage.own(new LeaderLatch(client, stage.base + "/latch", "candidate" + i));
            latch.addListener(new LeaderLatchListener() {
                @Override
                public void isLeader() {
                    gained.incrementAndGet();
                }

                @Override
                public void notLeader() {
                }
            });
            latch.start();
            clients.add(client);
            latches.add(latch);
        }
        becomes(1L, "leaders", () -> leaders(latches));
        stage.kill();
        for (CuratorFramework client : clients) {
            stage.settle(client);
        }
        until("one leader whom all know", () -> agreed(latches));
        LeaderLatch leader = latches.stream().filter(LeaderLatch::hasLeadership).findFirst().get();
        leader.close();
        latches.remove(leader);
        until("another leader whom all know", () -> agreed(latches));
        latches.stream().filter(LeaderLatch::hasLeadership).findFirst().get().await(); // returns at once
        check(gained.get() >= 2, "listeners are told");
    }

    private static long leaders(List<LeaderLatch> latches) {
        return latches.stream().filter(LeaderLatch::hasLeadership).count();
    }

    private static boolean agreed(List<LeaderLatch> latches) throws Exception {
        if (leaders(latches) != 1) {
            return false;
        }
        String name = latches.stream().filter(LeaderLatch::hasLeadership).findFirst().get().getId();
        for (LeaderLatch latch : latches) {
            if (!latch.getLeader().getId().equals(name) || latch.getParticipants().size() != latches.size()) {
                return false;
            }
        }
        return true;
    }

    public static void leaderSelector(Stage stage) throws Exception {
        AtomicInteger inside = new AtomicInteger(), most = new AtomicInteger(), terms = new AtomicInteger();
        AtomicBoolean hold = new AtomicBoolean(true);
        List<LeaderSelector> selectors = new ArrayList<>();
        List<CuratorFramework> clients = new ArrayList<>();
        for (int i = 0; i < 2; i++) {
            CuratorFramework client = stage.curator();
            LeaderSelector selector = stage.own(new LeaderSelector(client, stage.base + "/selector", new LeaderSelectorListenerAdapter() {
                @Override
                public void takeLeadership(CuratorFramework c) throws Exception {
                    terms.incrementAndGet();
                    most.accumulateAndGet(inside.incrementAndGet(), Math::max);
                    try {
                        while (hold.get()) {
                            TimeUnit.MILLISECONDS.sleep(10);
                        }
                    } finally {
                        inside.decrementAndGet();
                    }
                }
            }));
            selector.setId("candidate" + i);
            selector.autoRequeue();
            selector.start();
            clients.add(client);
            selectors.add(selector);
        }
        becomes(1, "leader", inside::get);
        stage.kill();
        for (CuratorFramework client : clients) {
            stage.settle(client);
        }
        becomes(1, "leader", inside::get);
        becomes(2, "participants", () -> selectors.get(0).getParticipants().size());
        hold.set(false);
        int before = terms.get();
        until("leadership goes round", () -> terms.get() > before + 4);
        equal(1, most.get(), "leaders at one time");
    }

    private CuratorLocks() {
    }
}
