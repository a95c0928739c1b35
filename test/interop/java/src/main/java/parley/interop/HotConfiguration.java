package parley.interop;

import static parley.interop.Stage.becomes;
import static parley.interop.Stage.check;
import static parley.interop.Stage.equal;
import static parley.interop.Stage.until;

import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import org.I0Itec.zkclient.DistributedQueue;
import org.I0Itec.zkclient.IZkChildListener;
import org.I0Itec.zkclient.IZkDataListener;
import org.I0Itec.zkclient.IZkStateListener;
import org.I0Itec.zkclient.ZkClient;
import org.I0Itec.zkclient.exception.ZkBadVersionException;
import org.I0Itec.zkclient.exception.ZkNoNodeException;
import org.I0Itec.zkclient.exception.ZkNodeExistsException;
import org.I0Itec.zkclient.serialize.SerializableSerializer;
import org.I0Itec.zkclient.serialize.ZkSerializer;
import org.apache.zookeeper.Watcher.Event.KeeperState;
import org.apache.zookeeper.data.Stat;

/** 101tec's zkclient: a service that takes over its configuration as soon as it changes, and the rest of that library. */
public final class HotConfiguration {
    private static final ZkSerializer TEXT = new ZkSerializer() {
        @Override
        public byte[] serialize(Object data) {
            return ((String) data).getBytes(StandardCharsets.UTF_8);
        }

        @Override
        public Object deserialize(byte[] bytes) {
            return bytes == null ? null : new String(bytes, StandardCharsets.UTF_8);
        }
    };

    private static ZkClient client(Stage stage) throws Exception {
        stage.zookeeper(); // makes the base
        ZkClient client = new ZkClient(stage.hosts, Stage.SESSION_MS, Stage.UNTIL_SECONDS * 1000, TEXT);
        stage.own(client::close);
        return client;
    }

    public static void reloads(Stage stage) throws Exception {
        ZkClient service = client(stage), operator = client(stage);
        String path = stage.base + "/config";
        operator.createPersistent(path, "limit=1");
        check(service.waitUntilExists(path, TimeUnit.SECONDS, Stage.UNTIL_SECONDS), "the first configuration");
        AtomicReference<String> running = new AtomicReference<>(service.readData(path));
        List<String> history = new CopyOnWriteArrayList<>();
        service.subscribeDataChanges(path, new IZkDataListener() {
            @Override
            public void handleDataChange(String changed, Object data) {
                running.set((String) data);
                history.add((String) data);
            }

            @Override
            public void handleDataDeleted(String deleted) {
                running.set("defaults");
            }
        });
        for (int i = 2; i <= 10; i++) {
            String value = "limit=" + i;
            operator.writeData(path, value);
            becomes(value, "running configuration", running::get);
        }
        stage.kill();
        operator.writeData(path, "limit=100");
        becomes("limit=100", "running configuration after the kill", running::get);
        operator.delete(path);
        becomes("defaults", "without configuration", running::get);
        operator.createPersistent(path, "limit=7");
        becomes("limit=7", "configuration made again", running::get);
        List<String> sorted = history.stream().filter(value -> value.matches("limit=([2-9]|10)")).distinct().toList();
        equal(9, sorted.size(), "versions seen, none left out");
    }

    public static void childListener(Stage stage) throws Exception {
        ZkClient here = client(stage), there = client(stage);
        String path = stage.base + "/members";
        here.createPersistent(path, true);
        AtomicReference<Set<String>> members = new AtomicReference<>(Set.of());
        IZkChildListener listener = (parent, children) -> members.set(children == null ? Set.of() : new TreeSet<>(children));
        here.subscribeChildChanges(path, listener);
        there.createEphemeral(path + "/one");
        becomes(Set.of("one"), "members", members::get);
        String two = there.createEphemeralSequential(path + "/two-", "x");
        check(two.matches(".*/two-\\d{10}"), "sequential");
        becomes(2, "members", () -> members.get().size());
        stage.kill();
        there.delete(path + "/one");
        becomes(1, "members after the kill", () -> members.get().size());
        there.close();
        becomes(Set.of(), "members after close", members::get);
    }

    public static void operations(Stage stage) throws Exception {
        ZkClient client = client(stage);
        String path = stage.base + "/a";
        AtomicInteger sessions = new AtomicInteger();
        client.subscribeStateChanges(new IZkStateListener() {
            @Override
            public void handleStateChanged(KeeperState state) {
            }

            @Override
            public void handleNewSession() {
                sessions.incrementAndGet();
            }

            @Override
            public void handleSessionEstablishmentError(Throwable error) {
            }
        });
        client.createPersistent(path, "1");
        try {
            client.createPersistent(path, "1");
            throw new AssertionError("made twice");
        } catch (ZkNodeExistsException e) {
            // as it should be
        }
        try {
            client.writeData(path, "2", 5);
            throw new AssertionError("written at a wrong version");
        } catch (ZkBadVersionException e) {
            // as it should be
        }
        equal(1, client.writeDataReturnStat(path, "2", 0).getVersion(), "version");
        stage.kill();
        Stat stat = new Stat();
        equal("2", client.readData(path, stat), "data");
        equal(1, stat.getVersion(), "version");
        client.updateDataSerialized(path, data -> data + "+");
        equal("2+", client.readData(path), "updated");
        client.createPersistent(path + "/b/c", true);
        equal(List.of("b"), client.getChildren(path), "children");
        equal(1, client.countChildren(path), "count");
        check(client.exists(path + "/b/c") && client.getCreationTime(path) > 0, "exists");
        check(client.deleteRecursive(path) && !client.exists(path), "deleted");
        check(client.readData(path, true) == null, "nothing to read");
        try {
            client.readData(path);
            throw new AssertionError("read what is not there");
        } catch (ZkNoNodeException e) {
            // as it should be
        }
        stage.async(() -> {
            client.createPersistent(stage.base + "/late");
            return null;
        });
        check(client.waitUntilExists(stage.base + "/late", TimeUnit.SECONDS, Stage.UNTIL_SECONDS), "waited for");
        equal(0, sessions.get(), "sessions lost");
    }

    public static void queue(Stage stage) throws Exception {
        stage.zookeeper();
        ZkClient client = new ZkClient(stage.hosts, Stage.SESSION_MS, Stage.UNTIL_SECONDS * 1000, new SerializableSerializer());
        stage.own(client::close);
        client.createPersistent(stage.base + "/queue");
        DistributedQueue<String> queue = new DistributedQueue<>(client, stage.base + "/queue");
        queue.offer("a");
        queue.offer("b");
        stage.kill();
        until("connected", () -> client.exists(stage.base + "/queue"));
        equal("a", queue.peek(), "first");
        equal("a", queue.poll(), "first");
        equal("b", queue.poll(), "second");
        check(queue.isEmpty(), "empty");
    }

    private HotConfiguration() {
    }
}
