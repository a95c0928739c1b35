package parley.interop;

import static parley.interop.Stage.becomes;
import static parley.interop.Stage.check;
import static parley.interop.Stage.equal;
import static parley.interop.Stage.fails;
import static parley.interop.Stage.get;
import static parley.interop.Stage.until;

import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Future;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.api.transaction.CuratorOp;
import org.apache.curator.framework.api.transaction.CuratorTransactionResult;
import org.apache.curator.framework.api.transaction.OperationType;
import org.apache.curator.framework.state.ConnectionState;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException.Code;
import org.apache.zookeeper.Watcher.Event.EventType;
import org.apache.zookeeper.ZooDefs;
import org.apache.zookeeper.data.Stat;
import org.apache.zookeeper.server.quorum.QuorumPeer;
import org.apache.zookeeper.server.quorum.flexible.QuorumVerifier;

/** What Curator makes of the protocol by itself: protected creates, transactions, configuration of the ensemble. */
public final class CuratorFrameworkTests {
    /** The reply of a create gets lost: a protected create finds its node again and makes no second one. */
    public static void protection(Stage stage) throws Exception {
        CuratorFramework other = stage.curator();
        other.create().forPath(stage.base + "/p");
        Proxy proxy = stage.own(new Proxy(stage.hostList().get(0)));
        CuratorFramework client = stage.curator(stage.curatorBuilder().connectString(proxy.address()).ensembleTracker(false));
        client.sync().forPath(stage.base + "/p");
        for (int half = 0; half < 2; half++) {
            int before = half;
            proxy.swallow();
            Future<String> created = stage.async(() -> client.create().withProtection().withMode(CreateMode.EPHEMERAL_SEQUENTIAL)
                    .forPath(stage.base + "/p/lock-"));
            until("the node is there", () -> {
                other.sync().forPath(stage.base + "/p");
                return other.getChildren().forPath(stage.base + "/p").size() > before;
            });
            proxy.cut();
            proxy.restore();
            String path = get(created);
            check(path.matches(".*/p/_c_[0-9a-f-]{36}-lock-\\d{10}"), "name: " + path);
            other.sync().forPath(stage.base + "/p");
            List<String> children = other.getChildren().forPath(stage.base + "/p");
            equal(half + 1, children.size(), "nodes");
            check(children.contains(path.substring(path.lastIndexOf('/') + 1)), "the node of the first try");
            if (half == 0) {
                stage.kill();
                stage.settle(client);
                stage.settle(other);
            }
        }
    }

    /** Idempotent operations of Curator: repeated after a lost reply, they succeed and are done once. */
    public static void idempotent(Stage stage) throws Exception {
        CuratorFramework client = stage.curator();
        String path = stage.base + "/n";
        client.create().idempotent().forPath(path, "a".getBytes());
        client.create().idempotent().forPath(path, "a".getBytes());
        fails(Code.NODEEXISTS, "other data", () -> client.create().idempotent().forPath(path, "b".getBytes()));
        stage.kill();
        client.setData().idempotent().withVersion(0).forPath(path, "c".getBytes());
        equal(1, client.setData().idempotent().withVersion(0).forPath(path, "c".getBytes()).getVersion(), "written once");
        client.delete().idempotent().withVersion(1).forPath(path);
        client.delete().idempotent().withVersion(1).forPath(path);
    }

    public static void transactions(Stage stage) throws Exception {
        CuratorFramework client = stage.curator();
        String a = stage.base + "/a", b = stage.base + "/b";
        for (int half = 0; half < 2; half++) {
            List<CuratorOp> ops = new ArrayList<>();
            ops.add(client.transactionOp().create().forPath(a, "1".getBytes()));
            ops.add(client.transactionOp().create().withMode(CreateMode.EPHEMERAL).forPath(b));
            ops.add(client.transactionOp().setData().withVersion(0).forPath(a, "2".getBytes()));
            ops.add(client.transactionOp().check().withVersion(1).forPath(a));
            Collection<CuratorTransactionResult> results = client.transaction().forOperations(ops);
            equal(4, results.size(), "results");
            CuratorTransactionResult third = new ArrayList<>(results).get(2);
            equal(OperationType.SET_DATA + " " + a + " 1", third.getType() + " " + third.getForPath() + " " + third.getResultStat().getVersion(),
                    "third");
            fails(Code.BADVERSION, "a failed check", () -> client.transaction().forOperations(client.transactionOp().delete().forPath(b),
                    client.transactionOp().check().withVersion(8).forPath(a)));
            check(client.checkExists().forPath(b) != null, "nothing was deleted");
            client.transaction().forOperations(client.transactionOp().delete().forPath(b), client.transactionOp().delete().forPath(a));
            if (half == 0) {
                stage.kill();
                stage.settle(client);
            }
        }
    }

    /** Curator puts the addresses of /zookeeper/config in place of its connect string: these must lead to the nodes. */
    public static void ensembleTracker(Stage stage) throws Exception {
        CuratorFramework client = stage.curator(stage.curatorBuilder().connectString(stage.hostList().get(0)));
        byte[] config = client.getConfig().forEnsemble();
        if (config == null || config.length == 0) {
            Stage.skip("a server alone publishes no configuration");
        }
        QuorumVerifier verifier = QuorumPeerConfigs.parse(config);
        Set<String> addresses = new TreeSet<>();
        for (QuorumPeer.QuorumServer server : verifier.getVotingMembers().values()) {
            addresses.add(server.clientAddr.getHostString() + ":" + server.clientAddr.getPort());
        }
        equal(new TreeSet<>(stage.hostList()), addresses, "client addresses of the members");
        becomes(new TreeSet<>(stage.hostList()), "connect string", () -> new TreeSet<>(List.of(
                client.getZookeeperClient().getCurrentConnectionString().split(","))));
        equal(verifier.getVersion(), client.getCurrentConfig().getVersion(), "version");
        long session = Stage.session(client);
        stage.kill();
        stage.settle(client); // it knew one node by name; in kill mode that may be the dead one
        equal(session, Stage.session(client), "session");
        becomes(new TreeSet<>(stage.hostList()), "connect string after the kill", () -> new TreeSet<>(List.of(
                client.getZookeeperClient().getCurrentConnectionString().split(","))));
    }

    /** A member joins: running clients take it up, and it serves them. */
    public static void ensembleTrackerGrows(Stage stage) throws Exception {
        CuratorFramework client = stage.curator();
        byte[] before = client.getConfig().forEnsemble();
        stage.kill();
        stage.settle(client);
        long session = Stage.session(client);
        String address = stage.grow();
        if (address == null) {
            Stage.skip("no member can join here");
        }
        Set<String> expected = new TreeSet<>(stage.hostList());
        expected.add(address);
        becomes(expected, "connect string", () -> new TreeSet<>(List.of(
                client.getZookeeperClient().getCurrentConnectionString().split(","))));
        check(client.getCurrentConfig().getVersion() > QuorumPeerConfigs.parse(before).getVersion(), "the version grows");
        stage.settle(client);
        equal(session, Stage.session(client), "session");
        CuratorFramework there = stage.curator(stage.curatorBuilder().connectString(address).ensembleTracker(false));
        there.create().forPath(stage.base + "/at-the-new-one", "1".getBytes());
        client.sync().forPath(stage.base);
        equal("1", new String(client.getData().forPath(stage.base + "/at-the-new-one")), "written there, read here");
    }

    private static final class QuorumPeerConfigs {
        static QuorumVerifier parse(byte[] config) throws Exception {
            java.util.Properties properties = new java.util.Properties();
            properties.load(new java.io.ByteArrayInputStream(config));
            return new org.apache.zookeeper.server.quorum.flexible.QuorumMaj(properties);
        }
    }

    public static void connectionStates(Stage stage) throws Exception {
        Proxy proxy = stage.own(new Proxy(stage.hostList().get(0)));
        CuratorFramework other = stage.curator();
        CuratorFramework client = stage.curator(stage.curatorBuilder().connectString(proxy.address()).ensembleTracker(false)
                .sessionTimeoutMs(4000));
        List<ConnectionState> states = new java.util.concurrent.CopyOnWriteArrayList<>();
        client.getConnectionStateListenable().addListener((c, state) -> states.add(state));
        String path = client.create().withMode(CreateMode.EPHEMERAL).forPath(stage.base + "/e");
        stage.kill();
        stage.settle(other);
        stage.settle(client);
        long session = Stage.session(client);
        states.clear();
        proxy.cut();
        until("suspended", () -> states.contains(ConnectionState.SUSPENDED));
        until("lost", () -> states.contains(ConnectionState.LOST));
        until("the ephemeral is gone", () -> other.checkExists().forPath(path) == null);
        proxy.restore();
        until("reconnected", () -> states.contains(ConnectionState.RECONNECTED));
        stage.settle(client);
        check(session != Stage.session(client), "a new session");
    }

    public static void containersAndNamespaces(Stage stage) throws Exception {
        CuratorFramework root = stage.curator();
        CuratorFramework client = root.usingNamespace(stage.base.substring(1) + "/inner/space");
        client.create().creatingParentContainersIfNeeded().forPath("/a/b", "1".getBytes());
        equal("1", new String(root.getData().forPath(stage.base + "/inner/space/a/b")), "namespace");
        client.create().orSetData().forPath("/a/b", "2".getBytes());
        client.create().compressed().forPath("/zip", "y".repeat(10_000).getBytes());
        check(client.checkExists().forPath("/zip").getDataLength() < 1000, "compressed");
        stage.kill();
        stage.settle(root);
        equal(10_000, client.getData().decompressed().forPath("/zip").length, "decompressed");
        equal("2", new String(client.getData().forPath("/a/b")), "set");
        client.delete().guaranteed().deletingChildrenIfNeeded().forPath("/a");
        client.delete().quietly().forPath("/a");
        equal(null, client.checkExists().forPath("/a"), "deleted");
        Stat stat = new Stat();
        client.create().withTtl(60_000).storingStatIn(stat).withMode(CreateMode.PERSISTENT_WITH_TTL).forPath("/ttl", "t".getBytes());
        equal(1, stat.getDataLength(), "stat of a TTL node");
    }

    public static void aclAndAuth(Stage stage) throws Exception {
        CuratorFramework owner = stage.curator(stage.curatorBuilder().authorization("digest", "bob:pw".getBytes()));
        CuratorFramework other = stage.curator();
        String path = stage.base + "/mine";
        owner.create().withACL(ZooDefs.Ids.CREATOR_ALL_ACL).forPath(path, "1".getBytes());
        other.sync().forPath(path);
        fails(Code.NOAUTH, "read", () -> other.getData().forPath(path));
        stage.kill();
        equal("1", new String(owner.getData().forPath(path)), "read");
        fails(Code.NOAUTH, "read", () -> other.getData().forPath(path));
        owner.setACL().withACL(ZooDefs.Ids.OPEN_ACL_UNSAFE).forPath(path);
        other.sync().forPath(path);
        equal("1", new String(other.getData().forPath(path)), "read");
    }

    public static void watchesAndBackground(Stage stage) throws Exception {
        CuratorFramework here = stage.curator(), there = stage.curator();
        CompletableFuture<Integer> created = new CompletableFuture<>();
        here.create().inBackground((client, event) -> created.complete(event.getResultCode())).forPath(stage.base + "/a", "1".getBytes());
        equal(0, get(created), "created in the background");
        there.sync().forPath(stage.base + "/a");
        Stage.Events gone = new Stage.Events(), kept = new Stage.Events();
        here.getData().usingWatcher(gone).forPath(stage.base + "/a");
        here.checkExists().usingWatcher(kept).forPath(stage.base + "/b");
        here.watchers().remove(gone).forPath(stage.base + "/a");
        gone.expect(EventType.DataWatchRemoved, stage.base + "/a");
        stage.kill();
        there.setData().forPath(stage.base + "/a", "2".getBytes());
        there.create().orSetData().forPath(stage.base + "/b");
        kept.expect(EventType.NodeCreated, stage.base + "/b");
        gone.none("removed");
    }

    private CuratorFrameworkTests() {
    }
}
