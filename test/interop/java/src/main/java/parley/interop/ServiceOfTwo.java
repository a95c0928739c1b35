package parley.interop;

import static parley.interop.Stage.again;
import static parley.interop.Stage.check;
import static parley.interop.Stage.create;
import static parley.interop.Stage.equal;
import static parley.interop.Stage.until;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.WatchedEvent;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.Stat;

/**
 * Service A asks for a piece of work and waits on a znode for the result of service B. Both are programs of their own; B is killed with
 * SIGKILL in its middle and started again, and goes on where it was.
 */
public final class ServiceOfTwo {
    private static final int STEPS = 40;
    private static final int SESSION_MS = 6000;

    public static void resultOfAKilledService(Stage stage) throws Exception {
        ZooKeeper zk = stage.zookeeper();
        for (String name : List.of("/requests", "/results", "/workers")) {
            create(zk, stage.base + name, "", CreateMode.PERSISTENT);
        }
        Process a = program(stage, A.class);
        CompletableFuture<String> answer = new CompletableFuture<>();
        stage.async(() -> {
            try (BufferedReader lines = new BufferedReader(new InputStreamReader(a.getInputStream()))) {
                StringBuilder all = new StringBuilder();
                for (String line; (line = lines.readLine()) != null;) {
                    all.append(line).append('\n');
                }
                answer.complete(all.toString());
            }
            return null;
        });
        Process b = program(stage, B.class);
        until("B has begun", () -> progress(zk, stage.base) >= 5);
        b.destroyForcibly(); // SIGKILL
        b.waitFor();
        stage.kill();
        check(!answer.isDone(), "A waits");
        int done = again(() -> {
            ZooKeeperBasics.sync(zk, stage.base);
            return progress(zk, stage.base);
        });
        check(done < STEPS && zk.exists(stage.base + "/results/1", false) == null, "B was killed in its middle, after step " + done);
        Process second = program(stage, B.class);
        equal("result: sum of 1 to " + STEPS + " is " + STEPS * (STEPS + 1) / 2 + "\n", Stage.get(answer), "what A says");
        equal(0, a.waitFor(), "A's exit");
        check(second.waitFor(Stage.UNTIL_SECONDS, TimeUnit.SECONDS) && second.exitValue() == 0, "B's exit");
        ZooKeeperBasics.sync(zk, stage.base);
        equal(List.of(), zk.getChildren(stage.base + "/requests", false), "the request is done");
        equal(STEPS, progress(zk, stage.base), "steps, none done twice");
        equal(STEPS, zk.exists(stage.base + "/workers/1", false).getVersion(), "writes of progress");
    }

    private static int progress(ZooKeeper zk, String base) throws Exception {
        try {
            String[] words = new String(again(() -> zk.getData(base + "/workers/1", false, null))).split(" ");
            return Integer.parseInt(words[0]);
        } catch (KeeperException.NoNodeException e) {
            return 0;
        }
    }

    private static Process program(Stage stage, Class<?> main) throws Exception {
        ProcessBuilder builder = new ProcessBuilder(ProcessHandle.current().info().command().orElse("java"), "-Xmx64m", "-XX:+UseSerialGC",
                "-XX:TieredStopAtLevel=1", "-cp", System.getProperty("java.class.path"), main.getName(), stage.hosts, stage.base);
        builder.redirectError(ProcessBuilder.Redirect.INHERIT);
        Process process = builder.start();
        stage.own(process::destroyForcibly);
        return process;
    }

    private static ZooKeeper connect(String hosts) throws Exception {
        CompletableFuture<Void> connected = new CompletableFuture<>();
        ZooKeeper zk = new ZooKeeper(hosts, SESSION_MS, event -> {
            if (event.getState() == Watcher.Event.KeeperState.SyncConnected) {
                connected.complete(null);
            }
        });
        Stage.get(connected);
        return zk;
    }

    /** Asks, waits, prints. */
    public static final class A {
        public static void main(String[] args) throws Exception {
            ZooKeeper zk = connect(args[0]);
            String request = args[1] + "/requests/1", result = args[1] + "/results/1";
            try {
                again(() -> create(zk, request, "sum of 1 to " + STEPS, CreateMode.PERSISTENT));
            } catch (KeeperException.NodeExistsException e) {
                // our own, by the try whose answer was lost
            }
            Watch watch = new Watch();
            while (again(() -> zk.exists(result, watch)) == null) {
                watch.await();
            }
            System.out.println("result: " + new String(again(() -> zk.getData(result, false, null))));
            zk.close();
        }
    }

    /** Waits for a request, works on it step by step, writes each step down, and in the end the result with the last. One B at a time. */
    public static final class B {
        public static void main(String[] args) throws Exception {
            ZooKeeper zk = connect(args[0]);
            String base = args[1], alive = base + "/workers/alive", progress = base + "/workers/1";
            Watch watch = new Watch();
            while (true) { // until the one before us, killed, has lost its session
                Stat stat = again(() -> zk.exists(alive, watch));
                if (stat == null) {
                    try {
                        again(() -> create(zk, alive, "", CreateMode.EPHEMERAL));
                    } catch (KeeperException.NodeExistsException e) {
                        continue;
                    }
                } else if (stat.getEphemeralOwner() == zk.getSessionId()) {
                    break;
                } else {
                    watch.await();
                }
            }
            while (again(() -> zk.exists(base + "/requests/1", watch)) == null) {
                watch.await();
            }
            byte[] request = again(() -> zk.getData(base + "/requests/1", false, null));
            try {
                again(() -> create(zk, progress, "0 0", CreateMode.PERSISTENT));
            } catch (KeeperException.NodeExistsException e) {
                // we go on where the one before us was
            }
            while (true) {
                Stat stat = new Stat();
                String[] words = new String(again(() -> zk.getData(progress, false, stat))).split(" ");
                int step = Integer.parseInt(words[0]) + 1, sum = Integer.parseInt(words[1]) + step;
                if (step > STEPS) {
                    break;
                }
                TimeUnit.MILLISECONDS.sleep(20); // the work itself: it takes its time, and nobody waits for a fixed one
                byte[] now = (step + " " + sum).getBytes();
                try {
                    if (step < STEPS) {
                        zk.setData(progress, now, stat.getVersion());
                    } else {
                        zk.multi(List.of(Op.setData(progress, now, stat.getVersion()),
                                Op.create(base + "/results/1", (new String(request) + " is " + sum).getBytes(), Ids.OPEN_ACL_UNSAFE,
                                        CreateMode.PERSISTENT),
                                Op.delete(base + "/requests/1", -1)));
                    }
                } catch (KeeperException.ConnectionLossException | KeeperException.BadVersionException e) {
                    // done or not: the next read tells
                }
            }
            zk.close();
        }
    }

    /** Wakes at any event, also one of the connection: then one looks again. */
    private static final class Watch implements Watcher {
        private boolean fired;

        @Override
        public synchronized void process(WatchedEvent event) {
            fired = true;
            notifyAll();
        }

        synchronized void await() throws InterruptedException {
            while (!fired) {
                wait();
            }
            fired = false;
        }
    }

    private ServiceOfTwo() {
    }
}
