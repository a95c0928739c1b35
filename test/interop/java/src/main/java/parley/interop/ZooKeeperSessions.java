package parley.interop;

import static parley.interop.Stage.again;
import static parley.interop.Stage.becomes;
import static parley.interop.Stage.check;
import static parley.interop.Stage.create;
import static parley.interop.Stage.equal;
import static parley.interop.Stage.fails;
import static parley.interop.Stage.get;
import static parley.interop.Stage.until;

import java.util.concurrent.CompletableFuture;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.KeeperException.Code;
import org.apache.zookeeper.Watcher.Event.EventType;
import org.apache.zookeeper.Watcher.Event.KeeperState;
import org.apache.zookeeper.ZooKeeper;

/** The official client: sessions that live over connections, and that end. */
public final class ZooKeeperSessions {
    public static void survivesTheKill(Stage stage) throws Exception {
        ZooKeeper zk = stage.zookeeper(), other = stage.zookeeper();
        String e = create(zk, stage.base + "/e", "", CreateMode.EPHEMERAL);
        long id = zk.getSessionId();
        check(id != 0 && zk.getSessionTimeout() == Stage.SESSION_MS, "session and its time-out");
        stage.kill();
        stage.settle(zk);
        equal(id, zk.getSessionId(), "session");
        equal(id, zk.exists(e, false).getEphemeralOwner(), "owner");
        stage.settle(other);
        ZooKeeperBasics.sync(other, e);
        check(other.exists(e, false) != null, "others see it");
        zk.close();
        ZooKeeperBasics.sync(other, e);
        equal(null, other.exists(e, false), "gone with its session, before close() has returned");
    }

    public static void attachWithPassword(Stage stage) throws Exception {
        CompletableFuture<Void> moved = new CompletableFuture<>();
        ZooKeeper first = stage.zookeeper(stage.hosts, Stage.SESSION_MS, event -> {
            if (event.getState() == KeeperState.Disconnected) {
                moved.complete(null);
            }
        });
        String e = create(first, stage.base + "/e", "mine", CreateMode.EPHEMERAL);
        stage.kill();
        stage.settle(first);
        long id = first.getSessionId();
        byte[] password = first.getSessionPasswd();
        CompletableFuture<KeeperState> wrong = new CompletableFuture<>();
        byte[] bad = password.clone();
        bad[3] ^= 1;
        ZooKeeper thief = new ZooKeeper(stage.hosts, Stage.SESSION_MS, event -> {
            if (event.getState() != KeeperState.Disconnected) {
                wrong.complete(event.getState());
            }
        }, id, bad);
        stage.own(thief::close);
        equal(KeeperState.Expired, get(wrong), "wrong password");
        CompletableFuture<KeeperState> state = new CompletableFuture<>();
        ZooKeeper second = new ZooKeeper(stage.hosts, Stage.SESSION_MS, event -> {
            if (event.getState() != KeeperState.Disconnected) {
                state.complete(event.getState());
            }
        }, id, password);
        stage.own(second::close);
        equal(KeeperState.SyncConnected, get(state), "right password");
        equal(id, second.getSessionId(), "session");
        ZooKeeperBasics.sync(second, e);
        equal(id, again(() -> second.exists(e, false)).getEphemeralOwner(), "owner");
        again(() -> second.setData(e, "still mine".getBytes(), -1));
        again(() -> {
            try {
                second.delete(e, -1);
            } catch (KeeperException.NoNodeException x) {
                // deleted by the try whose answer was lost
            }
            return null;
        });
    }

    public static void expires(Stage stage) throws Exception {
        ZooKeeper other = stage.zookeeper();
        Proxy proxy = stage.own(new Proxy(stage.hostList().get(0)));
        CompletableFuture<Void> expired = new CompletableFuture<>();
        ZooKeeper zk = stage.zookeeper(proxy.address(), 4000, event -> {
            if (event.getState() == KeeperState.Expired) {
                expired.complete(null);
            }
        });
        equal(4000, zk.getSessionTimeout(), "time-out");
        String e = create(zk, stage.base + "/e", "", CreateMode.EPHEMERAL);
        stage.kill();
        stage.settle(other);
        Stage.Events events = new Stage.Events();
        again(() -> {
            ZooKeeperBasics.sync(other, e);
            return other.exists(e, events);
        });
        proxy.cut();
        events.expect(EventType.NodeDeleted, e);
        check(!expired.isDone(), "nobody has told the client yet");
        proxy.restore();
        get(expired);
        equal(ZooKeeper.States.CLOSED, zk.getState(), "state");
        fails(Code.SESSIONEXPIRED, "use of a dead session", () -> zk.exists(e, false));
    }

    /** A client that goes from node to node never sees less than it saw, and reads what it wrote. */
    public static void readAfterReconnect(Stage stage) throws Exception {
        stage.zookeeper();
        Proxy proxy = stage.own(new Proxy(stage.hostList().get(0)));
        ZooKeeper zk = stage.zookeeper(proxy.address(), Stage.SESSION_MS, event -> { });
        String path = again(() -> create(zk, stage.base + "/n", "0", CreateMode.PERSISTENT));
        int hops = 6;
        for (int i = 1; i <= hops; i++) {
            if (i == hops / 2) {
                stage.kill();
            }
            byte[] value = Integer.toString(i).getBytes();
            again(() -> zk.setData(path, value, -1));
            proxy.turn(stage.hostList().get(i % stage.hostList().size()));
            equal(value, again(() -> zk.getData(path, false, null)), "own write after a reconnect");
        }
    }

    public static void timeoutIsNegotiated(Stage stage) throws Exception {
        ZooKeeper eager = stage.zookeeper(stage.hosts, 300, event -> { });
        ZooKeeper lazy = stage.zookeeper(stage.hosts, 10_000_000, event -> { });
        check(eager.getSessionTimeout() >= 1000, "least time-out: " + eager.getSessionTimeout());
        equal(40_000, lazy.getSessionTimeout(), "longest time-out");
        stage.kill();
    }

    /** Requests that were under way when the connection went end with ConnectionLoss, and nothing is applied twice. */
    public static void lostReply(Stage stage) throws Exception {
        ZooKeeper other = stage.zookeeper();
        Proxy proxy = stage.own(new Proxy(stage.hostList().get(0)));
        ZooKeeper zk = stage.zookeeper(proxy.address(), Stage.SESSION_MS, event -> { });
        String path = create(zk, stage.base + "/n", "", CreateMode.PERSISTENT);
        proxy.swallow();
        CompletableFuture<Integer> code = new CompletableFuture<>();
        zk.setData(path, "once".getBytes(), 0, (rc, p, context, stat) -> code.complete(rc), null);
        ZooKeeperBasics.sync(other, path);
        becomes(1, "the write is done", () -> other.exists(path, false).getVersion());
        proxy.cut();
        equal(Code.CONNECTIONLOSS.intValue(), get(code), "answer");
        proxy.restore();
        stage.kill();
        stage.settle(other);
        until("connected again", () -> zk.getState().isConnected());
        equal(1, again(() -> zk.exists(path, false)).getVersion(), "version: written once");
    }

    private ZooKeeperSessions() {
    }
}
