package parley.interop;

import java.util.ArrayDeque;
import java.util.Arrays;
import java.util.Deque;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Future;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.retry.RetryForever;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.WatchedEvent;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.ZooDefs;
import org.apache.zookeeper.ZooKeeper;

/** What a test gets: its place in the tree, clients that are closed at its end, and conditions with a deadline. */
final class Stage {
    static final boolean SLOW = System.getenv("INTEROP_SLOW") != null; // waits for what takes a minute, too
    static final int PHASE_SECONDS = SLOW ? 150 : 50; // for each half of all tests
    static final int UNTIL_SECONDS = 25; // for one condition
    static final int SESSION_MS = 15_000; // longer than any election

    /** Thrown by {@link #skip}. */
    static final class Skip extends RuntimeException {
        private static final long serialVersionUID = 1;

        Skip(String reason) {
            super(reason);
        }
    }

    final String base; // "/java-PID-NAME": nobody else writes there; made by the first client
    final String hosts;
    private final Main.Kill kill;
    private final Deque<AutoCloseable> owned = new ArrayDeque<>();
    private final long began = System.nanoTime();
    private long arrived, resumed;
    private boolean based;

    Stage(String name, String hosts, Main.Kill kill) {
        this.base = "/java-" + ProcessHandle.current().pid() + "-" + name;
        this.hosts = hosts;
        this.kill = kill;
    }

    List<String> hostList() {
        return Arrays.asList(hosts.split(","));
    }

    void arrive() {
        if (arrived == 0) {
            arrived = System.nanoTime();
            kill.arrive();
        }
    }

    /** The middle of the run: in kill mode the leader has been killed when this returns, and nobody has waited for the next. */
    void kill() throws InterruptedException {
        arrive();
        kill.pass();
        resumed = System.nanoTime();
    }

    /** After the kill: one more member joins the cluster; its client address, or null where none can join. */
    String grow() throws InterruptedException {
        String answer = kill.waitForMember();
        return answer.startsWith("added ") ? answer.substring("added ".length()) : null;
    }

    void finish() {
        kill.finish();
    }

    /** Nanoseconds before the kill. */
    long firstHalf() {
        return (arrived == 0 ? System.nanoTime() : arrived) - began;
    }

    /** Nanoseconds since the kill. */
    long secondHalf() {
        return resumed == 0 ? 0 : System.nanoTime() - resumed;
    }

    synchronized <T extends AutoCloseable> T own(T resource) {
        owned.push(resource);
        return resource;
    }

    void close() {
        while (true) {
            AutoCloseable next;
            synchronized (this) {
                next = owned.poll();
            }
            if (next == null) {
                return;
            }
            try {
                next.close();
            } catch (Exception e) {
                // a test closes some of its own things; closing twice is refused by many
            }
        }
    }

    static void skip(String reason) {
        throw new Skip(reason);
    }

    static void check(boolean truth, String what) {
        if (!truth) {
            throw new AssertionError(what);
        }
    }

    static void equal(Object expected, Object actual, String what) {
        if (!Objects.deepEquals(expected, actual)) {
            throw new AssertionError(what + ": expected " + text(expected) + ", got " + text(actual));
        }
    }

    private static String text(Object value) {
        return value instanceof byte[] ? new String((byte[]) value) : String.valueOf(value);
    }

    static void until(String what, Callable<Boolean> condition) throws Exception {
        until(what, UNTIL_SECONDS, condition);
    }

    static void until(String what, int seconds, Callable<Boolean> condition) throws Exception {
        long end = System.nanoTime() + seconds * 1_000_000_000L;
        while (!condition.call()) {
            if (System.nanoTime() > end) {
                throw new AssertionError("in vain for " + seconds + " s: " + what);
            }
            TimeUnit.MILLISECONDS.sleep(20);
        }
    }

    /** Waits for `actual` to give `expected`; the last value is in the error's text. */
    static <T> void becomes(T expected, String what, Callable<T> actual) throws Exception {
        Object[] last = new Object[1];
        try {
            until(what, () -> Objects.deepEquals(expected, last[0] = actual.call()));
        } catch (AssertionError e) {
            throw new AssertionError(e.getMessage() + ": expected " + text(expected) + ", last " + text(last[0]));
        }
    }

    static <T> T get(Future<T> future) throws Exception {
        return future.get(UNTIL_SECONDS, TimeUnit.SECONDS);
    }

    <T> Future<T> async(Callable<T> work) {
        FutureTask<T> task = new FutureTask<>(work);
        Thread thread = new Thread(task, "helper of " + base);
        thread.setDaemon(true);
        thread.start();
        return task;
    }

    /** Expects one error of ZooKeeper. */
    static void fails(KeeperException.Code code, String what, Callable<?> work) throws Exception {
        try {
            Object value = work.call();
            throw new AssertionError(what + ": expected " + code + ", got " + text(value));
        } catch (KeeperException e) {
            equal(code, e.code(), what);
        }
    }

    /** Repeats what may be repeated while the connection is lost. */
    static <T> T again(Callable<T> work) throws Exception {
        long end = System.nanoTime() + UNTIL_SECONDS * 1_000_000_000L;
        while (true) {
            try {
                return work.call();
            } catch (KeeperException.ConnectionLossException e) {
                if (System.nanoTime() > end) {
                    throw e;
                }
                TimeUnit.MILLISECONDS.sleep(20);
            }
        }
    }

    ZooKeeper zookeeper() throws Exception {
        return zookeeper(hosts, SESSION_MS, event -> { });
    }

    ZooKeeper zookeeper(String where, int timeout, Watcher watcher) throws Exception {
        CompletableFuture<Void> connected = new CompletableFuture<>();
        ZooKeeper zk = new ZooKeeper(where, timeout, event -> {
            if (event.getState() == Watcher.Event.KeeperState.SyncConnected) {
                connected.complete(null);
            }
            watcher.process(event);
        });
        own(zk::close);
        get(connected);
        if (!where.contains("/")) {
            makeBase(zk);
        }
        return zk;
    }

    private synchronized void makeBase(ZooKeeper zk) throws Exception {
        if (!based) {
            based = true;
            again(() -> {
                try {
                    return create(zk, base, "", CreateMode.PERSISTENT);
                } catch (KeeperException.NodeExistsException e) {
                    return base; // made by the try whose answer was lost
                }
            });
        }
    }

    static String create(ZooKeeper zk, String path, String data, CreateMode mode) throws Exception {
        return zk.create(path, data.getBytes(), ZooDefs.Ids.OPEN_ACL_UNSAFE, mode);
    }

    /** After the kill: the cluster takes writes of this session again. In a settled cluster no connection is lost any more. */
    void settle(ZooKeeper zk) throws Exception {
        again(() -> zk.setData(base, "settled".getBytes(), -1));
    }

    void settle(CuratorFramework client) throws Exception {
        client.setData().forPath(base, "settled".getBytes());
    }

    CuratorFrameworkFactory.Builder curatorBuilder() {
        return CuratorFrameworkFactory.builder().connectString(hosts).sessionTimeoutMs(SESSION_MS).connectionTimeoutMs(10_000)
                .retryPolicy(new RetryForever(100));
    }

    CuratorFramework curator() throws Exception {
        return curator(curatorBuilder());
    }

    CuratorFramework curator(CuratorFrameworkFactory.Builder builder) throws Exception {
        CuratorFramework client = builder.build();
        client.start();
        own(client);
        check(client.blockUntilConnected(UNTIL_SECONDS, TimeUnit.SECONDS), "connected");
        makeBase(client.usingNamespace(null).getZookeeperClient().getZooKeeper());
        return client;
    }

    static long session(CuratorFramework client) throws Exception {
        return client.getZookeeperClient().getZooKeeper().getSessionId();
    }

    /** A watcher that keeps all events that are about nodes. */
    static final class Events implements Watcher {
        private final Deque<WatchedEvent> events = new ArrayDeque<>();

        @Override
        public synchronized void process(WatchedEvent event) {
            if (event.getType() != Event.EventType.None) {
                events.add(event);
                notifyAll();
            }
        }

        synchronized int count() {
            return events.size();
        }

        synchronized WatchedEvent next() throws InterruptedException {
            long end = System.nanoTime() + UNTIL_SECONDS * 1_000_000_000L;
            while (events.isEmpty()) {
                if (System.nanoTime() > end) {
                    throw new AssertionError("no event came");
                }
                wait(100);
            }
            return events.poll();
        }

        void expect(Event.EventType type, String path) throws InterruptedException {
            WatchedEvent event = next();
            equal(type + " " + path, event.getType() + " " + event.getPath(), "event");
        }

        void none(String what) {
            equal(0, count(), what + ": events");
        }
    }
}
