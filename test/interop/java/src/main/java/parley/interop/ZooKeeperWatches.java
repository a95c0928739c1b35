package parley.interop;

import static parley.interop.Stage.again;
import static parley.interop.Stage.create;
import static parley.interop.Stage.equal;
import static parley.interop.Stage.fails;
import static parley.interop.Stage.until;

import org.apache.zookeeper.AddWatchMode;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException.Code;
import org.apache.zookeeper.Watcher.Event.EventType;
import org.apache.zookeeper.Watcher.WatcherType;
import org.apache.zookeeper.ZooKeeper;

/** The official client: one-time, persistent and recursive watches, and what becomes of them when connections are lost. */
public final class ZooKeeperWatches {
    public static void oneTime(Stage stage) throws Exception {
        ZooKeeper zk = stage.zookeeper(), other = stage.zookeeper();
        String a = create(zk, stage.base + "/a", "", CreateMode.PERSISTENT);
        Stage.Events data = new Stage.Events(), exists = new Stage.Events(), children = new Stage.Events(), absent = new Stage.Events();
        zk.getData(a, data, null);
        zk.exists(a, exists);
        zk.getChildren(a, children);
        zk.exists(stage.base + "/b", absent);
        other.setData(a, "1".getBytes(), -1);
        data.expect(EventType.NodeDataChanged, a);
        exists.expect(EventType.NodeDataChanged, a);
        other.setData(a, "2".getBytes(), -1);
        create(other, a + "/c", "", CreateMode.PERSISTENT);
        children.expect(EventType.NodeChildrenChanged, a);
        create(other, stage.base + "/b", "", CreateMode.PERSISTENT);
        absent.expect(EventType.NodeCreated, stage.base + "/b");
        data.none("a watch fires once");
        zk.getData(a, data, null);
        zk.getChildren(a, children);
        zk.exists(stage.base + "/b", exists);
        Stage.Events late = new Stage.Events();
        zk.exists(stage.base + "/later", late);
        stage.kill();
        stage.settle(other);
        again(() -> other.setData(a, "3".getBytes(), -1));
        data.expect(EventType.NodeDataChanged, a);
        create(other, stage.base + "/later", "", CreateMode.PERSISTENT);
        late.expect(EventType.NodeCreated, stage.base + "/later");
        other.delete(a + "/c", -1);
        children.expect(EventType.NodeChildrenChanged, a);
        other.delete(stage.base + "/b", -1);
        exists.expect(EventType.NodeDeleted, stage.base + "/b");
        stage.settle(zk);
        zk.getData(a, data, null);
        zk.getChildren(a, data);
        other.delete(a, -1);
        data.expect(EventType.NodeDeleted, a);
        ZooKeeperBasics.sync(zk, a);
        data.none("NodeDeleted comes once to one watcher");
        children.none("nothing left");
    }

    /** A client sees the event of a change before any reply that shows the change. */
    public static void eventBeforeReply(Stage stage) throws Exception {
        ZooKeeper zk = stage.zookeeper(), other = stage.zookeeper();
        String a = create(zk, stage.base + "/a", "0", CreateMode.PERSISTENT);
        for (int i = 1; i <= 50; i++) {
            if (i == 25) {
                stage.kill();
                stage.settle(zk);
                stage.settle(other);
            }
            String[] order = new String[1];
            StringBuffer seen = new StringBuffer();
            zk.getData(a, event -> {
                if (event.getType() == EventType.NodeDataChanged) {
                    seen.append("event ");
                }
            }, null);
            int value = i;
            (i % 2 == 0 ? zk : other).setData(a, Integer.toString(value).getBytes(), -1);
            java.util.concurrent.CompletableFuture<Void> done = new java.util.concurrent.CompletableFuture<>();
            ZooKeeperBasics.sync(zk, a);
            zk.getData(a, false, (rc, path, context, data, stat) -> {
                order[0] = seen + new String(data);
                done.complete(null);
            }, null);
            Stage.get(done);
            equal("event " + value, order[0], "order of event and reply");
        }
    }

    public static void persistent(Stage stage) throws Exception {
        // Two clients: this client hands every event that it gets to its recursive watchers, also one that only a flat one asked for.
        ZooKeeper zk = stage.zookeeper(), deepZk = stage.zookeeper(), other = stage.zookeeper();
        String a = stage.base + "/a";
        Stage.Events flat = new Stage.Events(), deep = new Stage.Events();
        zk.addWatch(a, flat, AddWatchMode.PERSISTENT);
        deepZk.addWatch(stage.base, deep, AddWatchMode.PERSISTENT_RECURSIVE);
        for (int round = 0; round < 2; round++) {
            create(other, a, "", CreateMode.PERSISTENT);
            create(other, a + "/b", "", CreateMode.PERSISTENT);
            create(other, a + "/b/c", "", CreateMode.EPHEMERAL);
            other.setData(a + "/b/c", "1".getBytes(), -1);
            other.setData(a, "1".getBytes(), -1);
            other.delete(a + "/b/c", -1);
            other.delete(a + "/b", -1);
            other.delete(a, -1);
            flat.expect(EventType.NodeCreated, a);
            flat.expect(EventType.NodeChildrenChanged, a);
            flat.expect(EventType.NodeDataChanged, a);
            flat.expect(EventType.NodeChildrenChanged, a);
            flat.expect(EventType.NodeDeleted, a);
            deep.expect(EventType.NodeCreated, a);
            deep.expect(EventType.NodeCreated, a + "/b");
            deep.expect(EventType.NodeCreated, a + "/b/c");
            deep.expect(EventType.NodeDataChanged, a + "/b/c");
            deep.expect(EventType.NodeDataChanged, a);
            deep.expect(EventType.NodeDeleted, a + "/b/c");
            deep.expect(EventType.NodeDeleted, a + "/b");
            deep.expect(EventType.NodeDeleted, a);
            if (round == 0) {
                stage.kill();
                stage.settle(other);
                stage.settle(zk);
                stage.settle(deepZk);
                // A persistent watch gets nothing of the time without connection, and settle() wrote to the base in between. The
                // client sets its watches again before it sends anything else, so all writes from here on are seen.
                ZooKeeperBasics.sync(zk, a);
                ZooKeeperBasics.sync(deepZk, a);
                create(other, stage.base + "/mark", "", CreateMode.PERSISTENT);
                while (!deep.next().getPath().equals(stage.base + "/mark")) {
                    // events of settle()
                }
            }
        }
        deepZk.removeWatches(stage.base, deep, WatcherType.Any, false);
        deep.expect(EventType.PersistentWatchRemoved, stage.base);
        zk.removeAllWatches(a, WatcherType.Any, false);
        flat.expect(EventType.PersistentWatchRemoved, a);
        create(other, a, "", CreateMode.PERSISTENT);
        ZooKeeperBasics.sync(zk, a);
        ZooKeeperBasics.sync(deepZk, a);
        flat.none("removed");
        deep.none("removed");
    }

    public static void remove(Stage stage) throws Exception {
        ZooKeeper zk = stage.zookeeper(), other = stage.zookeeper();
        String a = create(zk, stage.base + "/a", "", CreateMode.PERSISTENT);
        Stage.Events data = new Stage.Events(), children = new Stage.Events();
        zk.getData(a, data, null);
        zk.getChildren(a, children);
        stage.kill();
        stage.settle(zk);
        stage.settle(other);
        zk.removeWatches(a, data, WatcherType.Data, false);
        data.expect(EventType.DataWatchRemoved, a);
        fails(Code.NOWATCHER, "no such watch", () -> {
            zk.removeWatches(a, data, WatcherType.Data, false);
            return null;
        });
        zk.removeAllWatches(a, WatcherType.Children, false);
        children.expect(EventType.ChildWatchRemoved, a);
        again(() -> other.setData(a, "1".getBytes(), -1));
        create(other, a + "/b", "", CreateMode.PERSISTENT);
        ZooKeeperBasics.sync(zk, a);
        zk.exists(a, false);
        data.none("removed");
        children.none("removed");
    }

    /** What happened while the connection was lost is told on the next one, at whatever node. */
    public static void caughtUpAfterReconnect(Stage stage) throws Exception {
        ZooKeeper other = stage.zookeeper();
        String[] names = {"/changed", "/same", "/deleted", "/created", "/parent"};
        for (String name : names) {
            if (!name.equals("/created")) {
                create(other, stage.base + name, "", CreateMode.PERSISTENT);
            }
        }
        Proxy proxy = stage.own(new Proxy(stage.hostList().get(0)));
        ZooKeeper zk = stage.zookeeper(proxy.address(), Stage.SESSION_MS, event -> { });
        ZooKeeperBasics.sync(zk, stage.base);
        Stage.Events data = new Stage.Events(), exists = new Stage.Events(), children = new Stage.Events();
        zk.getData(stage.base + "/changed", data, null);
        zk.getData(stage.base + "/same", data, null);
        zk.exists(stage.base + "/deleted", exists);
        zk.exists(stage.base + "/created", exists);
        zk.getChildren(stage.base + "/parent", children);
        stage.kill();
        proxy.cut();
        stage.settle(other);
        until("disconnected", () -> !zk.getState().isConnected());
        other.setData(stage.base + "/changed", "1".getBytes(), -1);
        other.delete(stage.base + "/deleted", -1);
        create(other, stage.base + "/created", "", CreateMode.PERSISTENT);
        create(other, stage.base + "/parent/child", "", CreateMode.PERSISTENT);
        proxy.turn(stage.hostList().get(stage.hostList().size() - 1));
        proxy.restore();
        data.expect(EventType.NodeDataChanged, stage.base + "/changed");
        children.expect(EventType.NodeChildrenChanged, stage.base + "/parent");
        java.util.Set<String> both = new java.util.HashSet<>();
        for (int i = 0; i < 2; i++) {
            org.apache.zookeeper.WatchedEvent event = exists.next();
            both.add(event.getType() + " " + event.getPath());
        }
        equal(java.util.Set.of("NodeCreated " + stage.base + "/created", "NodeDeleted " + stage.base + "/deleted"), both, "exist watches");
        data.none("an unchanged node tells nothing");
        again(() -> other.setData(stage.base + "/same", "1".getBytes(), -1));
        data.expect(EventType.NodeDataChanged, stage.base + "/same");
    }

    /** More watches than fit into one setWatches packet of the client (128 KB) come back after a reconnect. */
    public static void thousandsAfterReconnect(Stage stage) throws Exception {
        ZooKeeper other = stage.zookeeper();
        Proxy proxy = stage.own(new Proxy(stage.hostList().get(0)));
        ZooKeeper zk = stage.zookeeper(proxy.address(), Stage.SESSION_MS, event -> { });
        Stage.Events events = new Stage.Events();
        String path = stage.base + "/" + "long-name-".repeat(8);
        int many = 3000;
        java.util.concurrent.CountDownLatch set = new java.util.concurrent.CountDownLatch(many);
        for (int i = 0; i < many; i++) {
            zk.exists(path + i, events, (rc, p, context, stat) -> set.countDown(), null);
        }
        Stage.check(set.await(Stage.UNTIL_SECONDS, java.util.concurrent.TimeUnit.SECONDS), "watches set");
        stage.kill();
        proxy.cut();
        stage.settle(other);
        until("disconnected", () -> !zk.getState().isConnected());
        proxy.restore();
        again(() -> zk.exists(stage.base, false));
        for (int i : new int[] {0, 1234, 1700, many - 1}) {
            create(other, path + i, "", CreateMode.PERSISTENT);
            events.expect(EventType.NodeCreated, path + i);
        }
        events.none("only what happened");
    }

    private ZooKeeperWatches() {
    }
}
