package parley.interop;

import static parley.interop.Stage.again;
import static parley.interop.Stage.becomes;
import static parley.interop.Stage.check;
import static parley.interop.Stage.create;
import static parley.interop.Stage.equal;
import static parley.interop.Stage.fails;
import static parley.interop.Stage.get;
import static parley.interop.Stage.until;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Future;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.KeeperException.Code;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.OpResult;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooDefs.Perms;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.ClientInfo;
import org.apache.zookeeper.data.Id;
import org.apache.zookeeper.data.Stat;

/** The official client: every operation but watches and what sessions go through. */
public final class ZooKeeperBasics {
    public static void operations(Stage stage) throws Exception {
        ZooKeeper zk = stage.zookeeper();
        String a = stage.base + "/a";
        Stat made = new Stat();
        equal(a, zk.create(a, "one".getBytes(), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT, made), "name");
        check(made.getCzxid() > 0 && made.getCzxid() == made.getMzxid() && made.getMzxid() == made.getPzxid(), "zxids of a new node");
        check(Math.abs(made.getCtime() - System.currentTimeMillis()) < 60_000, "ctime is now");
        equal("0 0 0 0 3 0", made.getVersion() + " " + made.getCversion() + " " + made.getAversion() + " "
                + made.getEphemeralOwner() + " " + made.getDataLength() + " " + made.getNumChildren(), "stat of a new node");
        fails(Code.NODEEXISTS, "create twice", () -> create(zk, a, "", CreateMode.PERSISTENT));
        fails(Code.NONODE, "create without parent", () -> create(zk, stage.base + "/no/parent", "", CreateMode.PERSISTENT));
        equal(null, zk.exists(stage.base + "/nothing", false), "exists of nothing");
        fails(Code.NONODE, "getData", () -> zk.getData(stage.base + "/nothing", false, null));
        fails(Code.NONODE, "getChildren", () -> zk.getChildren(stage.base + "/nothing", false));
        fails(Code.NONODE, "setData", () -> zk.setData(stage.base + "/nothing", null, -1));
        fails(Code.NONODE, "getACL", () -> zk.getACL(stage.base + "/nothing", null));
        fails(Code.BADVERSION, "setData at a version", () -> zk.setData(a, "x".getBytes(), 7));
        Stat set = zk.setData(a, "second".getBytes(), 0);
        check(set.getMzxid() > set.getCzxid() && set.getVersion() == 1 && set.getDataLength() == 6, "stat after setData");
        Stat read = new Stat();
        equal("second".getBytes(), zk.getData(a, false, read), "data");
        equal(set, read, "stat of getData");
        equal(set, zk.exists(a, false), "stat of exists");
        equal(null, zk.getData(create(zk, a + "/child", "", CreateMode.PERSISTENT) + "", false, null).length == 0 ? null : "", "empty");
        zk.setData(a + "/child", null, -1);
        equal(null, zk.getData(a + "/child", false, null), "null data");
        fails(Code.NOTEMPTY, "delete of a parent", () -> {
            zk.delete(a, -1);
            return null;
        });
        create(zk, a + "/b", "", CreateMode.PERSISTENT);
        Stat parent = new Stat();
        equal(Set.of("b", "child"), new HashSet<>(zk.getChildren(a, false, parent)), "children");
        equal("2 2 1", parent.getNumChildren() + " " + parent.getCversion() + " " + parent.getVersion(), "stat of the parent");
        fails(Code.BADVERSION, "delete at a version", () -> {
            zk.delete(a + "/b", 3);
            return null;
        });
        zk.delete(a + "/b", 0);
        Stat later = zk.exists(a, false);
        check(later.getPzxid() > parent.getPzxid() && later.getCversion() == 3 && later.getNumChildren() == 1, "stat after a delete");
        stage.kill();
        stage.settle(zk);
        Stat after = new Stat();
        equal("second".getBytes(), zk.getData(a, false, after), "data after the kill");
        equal(later, after, "stat after the kill");
        equal(List.of("child"), zk.getChildren(a, false), "children after the kill");
        check(zk.setData(a, "third".getBytes(), 1).getMzxid() > later.getPzxid(), "zxid grows over the kill");
    }

    public static void createModes(Stage stage) throws Exception {
        ZooKeeper zk = stage.zookeeper();
        String at = stage.base + "/n";
        equal(at + "0000000000", create(zk, at, "", CreateMode.PERSISTENT_SEQUENTIAL), "first of a sequence");
        equal(at + "0000000001", create(zk, at, "", CreateMode.EPHEMERAL_SEQUENTIAL), "second of a sequence");
        create(zk, stage.base + "/e", "", CreateMode.EPHEMERAL);
        equal(stage.base + "/x0000000003", create(zk, stage.base + "/x", "", CreateMode.PERSISTENT_SEQUENTIAL), "the parent counts");
        equal(stage.base + "/0000000004", create(zk, stage.base + "/", "", CreateMode.PERSISTENT_SEQUENTIAL), "only a number");
        equal(zk.getSessionId(), zk.exists(stage.base + "/e", false).getEphemeralOwner(), "owner");
        fails(Code.NOCHILDRENFOREPHEMERALS, "child of an ephemeral", () -> create(zk, stage.base + "/e/c", "", CreateMode.PERSISTENT));
        Stat stat = new Stat();
        zk.create(stage.base + "/box", null, Ids.OPEN_ACL_UNSAFE, CreateMode.CONTAINER, stat);
        equal(0L, zk.exists(stage.base + "/box", false).getEphemeralOwner(), "owner of a container");
        create(zk, stage.base + "/box/c", "", CreateMode.PERSISTENT);
        String ttl = zk.create(stage.base + "/ttl", "t".getBytes(), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_WITH_TTL, stat, 60_000);
        equal(0L, stat.getEphemeralOwner(), "owner of a TTL node");
        String brief = zk.create(stage.base + "/brief", "t".getBytes(), Ids.OPEN_ACL_UNSAFE,
                CreateMode.PERSISTENT_SEQUENTIAL_WITH_TTL, stat, 200);
        check(brief.matches(".*/brief\\d{10}"), "name of a sequential TTL node");
        until("the TTL node ends", () -> zk.exists(brief, false) == null);
        stage.kill();
        stage.settle(zk);
        check(zk.exists(ttl, false) != null, "a TTL node in its time stays");
        check(zk.exists(stage.base + "/e", false) != null, "the ephemeral stays");
        check(zk.exists(stage.base + "/box", false) != null, "a container with a child stays");
        zk.delete(stage.base + "/box/c", -1);
        if (Stage.SLOW) { // after a minute, as in ZooKeeper's defaults
            until("the empty container ends", 90, () -> zk.exists(stage.base + "/box", false) == null);
        }
        check(create(zk, at, "", CreateMode.PERSISTENT_SEQUENTIAL).compareTo(at + "0000000005") >= 0, "the sequence goes on");
        zk.close();
        ZooKeeper other = stage.zookeeper();
        becomes(false, "ephemerals go with their session", () -> other.exists(stage.base + "/e", false) != null
                || other.exists(at + "0000000001", false) != null);
    }

    public static void multi(Stage stage) throws Exception {
        ZooKeeper zk = stage.zookeeper();
        String a = stage.base + "/a", b = stage.base + "/b";
        List<OpResult> results = zk.multi(List.of(
                Op.create(a, "1".getBytes(), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT),
                Op.create(b, "2".getBytes(), Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL_SEQUENTIAL),
                Op.create(stage.base + "/box", null, Ids.OPEN_ACL_UNSAFE, CreateMode.CONTAINER),
                Op.create(stage.base + "/ttl", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_WITH_TTL, 100_000),
                Op.setData(a, "3".getBytes(), 0), Op.check(a, 1)));
        equal(6, results.size(), "results");
        equal(a, ((OpResult.CreateResult) results.get(0)).getPath(), "created");
        equal(b + "0000000001", ((OpResult.CreateResult) results.get(1)).getPath(), "created in sequence");
        equal(stage.base + "/box", ((OpResult.CreateResult) results.get(2)).getPath(), "created container");
        check(((OpResult.CreateResult) results.get(2)).getStat() != null, "a container's creation tells its stat");
        equal(1, ((OpResult.SetDataResult) results.get(4)).getStat().getVersion(), "set");
        check(results.get(5) instanceof OpResult.CheckResult, "checked");
        Stat first = zk.exists(a, false), second = zk.exists(b + "0000000001", false);
        equal(first.getCzxid(), second.getCzxid(), "one zxid for all");
        try {
            zk.multi(List.of(Op.setData(a, "4".getBytes(), -1), Op.check(a, 9), Op.delete(a, -1)));
            throw new AssertionError("the check must fail");
        } catch (KeeperException.BadVersionException e) {
            List<OpResult> failed = e.getResults();
            equal("0 " + Code.BADVERSION.intValue() + " " + Code.RUNTIMEINCONSISTENCY.intValue(), error(failed, 0) + " " + error(failed, 1)
                    + " " + error(failed, 2), "results of a failed multi");
        }
        equal("3".getBytes(), zk.getData(a, false, null), "nothing of it happened");
        fails(Code.NODEEXISTS, "failed create in a multi", () -> zk.transaction().delete(a, -1)
                .create(b + "0000000001", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT).commit());
        check(zk.exists(a, false) != null, "nothing of it happened");
        equal(0, zk.multi(List.of()).size(), "an empty multi");
        List<OpResult> reads = zk.multi(List.of(Op.getData(a), Op.getChildren(stage.base), Op.getData(stage.base + "/none")));
        equal("3".getBytes(), ((OpResult.GetDataResult) reads.get(0)).getData(), "read in a multi");
        equal(4, ((OpResult.GetChildrenResult) reads.get(1)).getChildren().size(), "children in a multi");
        equal(Code.NONODE.intValue(), ((OpResult.ErrorResult) reads.get(2)).getErr(), "failed read in a multi");
        stage.kill();
        stage.settle(zk);
        CompletableFuture<Integer> code = new CompletableFuture<>();
        zk.multi(List.of(Op.check(a, 1), Op.delete(a, 1), Op.create(a, null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT)),
                (rc, path, context, list) -> code.complete(rc * 100 + list.size()), null);
        equal(3, get(code), "asynchronous multi");
        equal(0, zk.exists(a, false).getVersion(), "a new node");
    }

    private static int error(List<OpResult> results, int place) {
        return ((OpResult.ErrorResult) results.get(place)).getErr();
    }

    /** Many requests without waiting: answers come in order, each once. */
    public static void pipelined(Stage stage) throws Exception {
        ZooKeeper zk = stage.zookeeper();
        int many = 2000;
        List<Integer> answers = Collections.synchronizedList(new ArrayList<>());
        CompletableFuture<Void> done = new CompletableFuture<>();
        for (int i = 0; i < many; i++) {
            int number = i;
            zk.create(stage.base + "/" + i, new byte[100], Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT, (rc, path, context, name, stat) -> {
                if (rc == 0) {
                    answers.add(number);
                }
                if (number == many - 1) {
                    done.complete(null);
                }
            }, null);
        }
        get(done);
        List<Integer> expected = new ArrayList<>();
        for (int i = 0; i < many; i++) {
            expected.add(i);
        }
        equal(expected, new ArrayList<>(answers), "answers in order");
        stage.kill();
        stage.settle(zk);
        equal(many, zk.getChildren(stage.base, false).size(), "all are there");
        equal(many, zk.getAllChildrenNumber(stage.base), "all are counted");
    }

    /** Compare and set from several clients: the versions give every increment its place. */
    public static void compareAndSet(Stage stage) throws Exception {
        ZooKeeper first = stage.zookeeper();
        String path = create(first, stage.base + "/counter", "0", CreateMode.PERSISTENT);
        for (int half = 0; half < 2; half++) {
            List<Future<Integer>> workers = new ArrayList<>();
            for (int w = 0; w < 3; w++) {
                ZooKeeper zk = stage.zookeeper();
                workers.add(stage.async(() -> {
                    int conflicts = 0;
                    for (int done = 0; done < 20;) {
                        Stat stat = new Stat();
                        int value = Integer.parseInt(new String(zk.getData(path, false, stat)));
                        try {
                            zk.setData(path, Integer.toString(value + 1).getBytes(), stat.getVersion());
                            done++;
                        } catch (KeeperException.BadVersionException e) {
                            conflicts++;
                        }
                    }
                    return conflicts;
                }));
            }
            for (Future<Integer> worker : workers) {
                get(worker);
            }
            Stat stat = new Stat();
            sync(first, path);
            equal(Integer.toString(60 * (half + 1)).getBytes(), first.getData(path, false, stat), "sum");
            equal(60 * (half + 1), stat.getVersion(), "version");
            if (half == 0) {
                stage.kill();
                stage.settle(first);
            }
        }
    }

    static void sync(ZooKeeper zk, String path) throws Exception {
        again(() -> {
            CompletableFuture<Integer> code = new CompletableFuture<>();
            zk.sync(path, (rc, p, context) -> code.complete(rc), null);
            int rc = get(code);
            if (rc != 0) {
                throw KeeperException.create(Code.get(rc), path);
            }
            return null;
        });
    }

    /** After sync a client on any node reads what another wrote on any other. */
    public static void syncThenRead(Stage stage) throws Exception {
        ZooKeeper writer = stage.zookeeper();
        String path = create(writer, stage.base + "/n", "-1", CreateMode.PERSISTENT);
        List<ZooKeeper> readers = new ArrayList<>();
        for (String host : stage.hostList()) {
            readers.add(stage.zookeeper(host, Stage.SESSION_MS, event -> { }));
        }
        for (int i = 0; i < 30; i++) {
            byte[] value = Integer.toString(i).getBytes();
            writer.setData(path, value, -1);
            for (ZooKeeper reader : readers) {
                sync(reader, path);
                equal(value, reader.getData(path, false, null), "read after sync");
            }
        }
        stage.kill();
        stage.settle(writer);
        byte[] value = "after".getBytes();
        writer.setData(path, value, -1);
        for (ZooKeeper reader : readers) {
            again(() -> {
                sync(reader, path);
                equal(value, reader.getData(path, false, null), "read after sync and kill");
                return null;
            });
        }
    }

    public static void ephemeralsAndCounts(Stage stage) throws Exception {
        ZooKeeper zk = stage.zookeeper(), other = stage.zookeeper();
        for (String name : List.of("/p", "/q")) {
            create(zk, stage.base + name, "", CreateMode.PERSISTENT);
            create(zk, stage.base + name + "/e", "", CreateMode.EPHEMERAL);
        }
        create(other, stage.base + "/p/foreign", "", CreateMode.EPHEMERAL);
        stage.kill();
        stage.settle(zk);
        stage.settle(other);
        equal(new TreeSet<>(List.of(stage.base + "/p/e", stage.base + "/q/e")), new TreeSet<>(zk.getEphemerals()), "mine");
        equal(List.of(stage.base + "/p/e"), zk.getEphemerals(stage.base + "/p"), "mine below");
        equal(List.of(stage.base + "/p/foreign"), other.getEphemerals(), "the other's");
        sync(zk, stage.base);
        equal(5, zk.getAllChildrenNumber(stage.base), "nodes below");
        zk.delete(stage.base + "/p/e", -1);
        equal(List.of(stage.base + "/q/e"), zk.getEphemerals(), "mine, one deleted");
    }

    public static void authAndAcl(Stage stage) throws Exception {
        ZooKeeper anyone = stage.zookeeper(), owner = stage.zookeeper();
        owner.addAuthInfo("digest", "anna:secret".getBytes());
        String path = stage.base + "/secret";
        owner.create(path, "s".getBytes(), Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT);
        String digest = org.apache.zookeeper.server.auth.DigestAuthenticationProvider.generateDigest("anna:secret");
        equal(List.of(new ACL(Perms.ALL, new Id("digest", digest))), owner.getACL(path, new Stat()), "ACL");
        sync(anyone, path);
        fails(Code.NOAUTH, "read", () -> anyone.getData(path, false, null));
        fails(Code.NOAUTH, "write", () -> anyone.setData(path, null, -1));
        fails(Code.NOAUTH, "children", () -> anyone.getChildren(path, false));
        fails(Code.NOAUTH, "setACL", () -> anyone.setACL(path, Ids.OPEN_ACL_UNSAFE, -1));
        fails(Code.NOAUTH, "create below", () -> create(anyone, path + "/c", "", CreateMode.PERSISTENT));
        check(anyone.exists(path, false) != null, "exists asks for no right");
        fails(Code.INVALIDACL, "creator without identity", () -> anyone.create(stage.base + "/x", null, Ids.CREATOR_ALL_ACL,
                CreateMode.PERSISTENT));
        fails(Code.INVALIDACL, "unknown scheme", () -> anyone.create(stage.base + "/x", null,
                Arrays.asList(new ACL(Perms.ALL, new Id("nobody", "knows"))), CreateMode.PERSISTENT));
        fails(Code.BADVERSION, "setACL at a version", () -> owner.setACL(path, Ids.OPEN_ACL_UNSAFE, 5));
        List<ACL> both = Arrays.asList(new ACL(Perms.READ, Ids.ANYONE_ID_UNSAFE), new ACL(Perms.ALL, new Id("digest", digest)),
                new ACL(Perms.WRITE, new Id("ip", "127.0.0.1")));
        equal(1, owner.setACL(path, both, 0).getAversion(), "version of the ACL");
        sync(anyone, path);
        equal("s".getBytes(), anyone.getData(path, false, null), "all may read now");
        anyone.setData(path, "t".getBytes(), -1); // allowed by address
        Set<String> who = new HashSet<>();
        for (ClientInfo info : owner.whoAmI()) {
            who.add(info.getAuthScheme() + " " + info.getUser());
        }
        equal(Set.of("ip 127.0.0.1", "digest anna"), who, "whoAmI");
        stage.kill();
        stage.settle(owner);
        stage.settle(anyone);
        owner.setACL(path, Ids.CREATOR_ALL_ACL, 1); // the client said its password again on the new connection
        equal("t".getBytes(), owner.getData(path, false, null), "read after the kill");
        sync(anyone, path);
        fails(Code.NOAUTH, "read after the kill", () -> anyone.getData(path, false, null));
        ZooKeeper late = stage.zookeeper();
        sync(late, path);
        late.addAuthInfo("digest", "anna:wrong".getBytes());
        fails(Code.NOAUTH, "wrong password", () -> late.getData(path, false, null));
        late.addAuthInfo("digest", "anna:secret".getBytes());
        sync(late, path);
        equal("t".getBytes(), late.getData(path, false, null), "right password");
        List<ACL> masked = new ArrayList<>();
        owner.setACL(path, Arrays.asList(new ACL(Perms.READ, Ids.ANYONE_ID_UNSAFE), new ACL(Perms.ALL, new Id("digest", digest))), 2);
        sync(anyone, path);
        masked.addAll(anyone.getACL(path, null));
        equal("anna:x", masked.get(1).getId().getId(), "a digest is shown to administrators only");
    }

    public static void bigAndUnicode(Stage stage) throws Exception {
        ZooKeeper zk = stage.zookeeper();
        byte[] big = new byte[1_000_000];
        for (int i = 0; i < big.length; i++) {
            big[i] = (byte) (i * 31 + (i >> 8));
        }
        String path = stage.base + "/größe-漢字";
        zk.create(path, big, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        equal(big, zk.getData(path, false, null), "a million bytes");
        equal(path.substring(path.lastIndexOf('/') + 1), zk.getChildren(stage.base, false).get(0), "name");
        stage.kill();
        stage.settle(zk);
        equal(big, zk.getData(path, false, null), "a million bytes after the kill");
        zk.setData(path, "kurz".getBytes(StandardCharsets.UTF_8), 0);
        equal(4, zk.exists(path, false).getDataLength(), "shorter now");
    }

    public static void chroot(Stage stage) throws Exception {
        ZooKeeper root = stage.zookeeper();
        create(root, stage.base + "/jail", "", CreateMode.PERSISTENT);
        Stage.Events events = new Stage.Events();
        ZooKeeper zk = stage.zookeeper(stage.hosts + stage.base + "/jail", Stage.SESSION_MS, event -> { });
        zk.exists("/a", events);
        equal("/a", create(zk, "/a", "x", CreateMode.PERSISTENT), "name inside");
        events.expect(org.apache.zookeeper.Watcher.Event.EventType.NodeCreated, "/a");
        zk.getChildren("/", events);
        stage.kill();
        stage.settle(root);
        again(() -> root.setData(stage.base + "/jail/a", "y".getBytes(), -1));
        again(() -> {
            sync(zk, "/a");
            equal("y".getBytes(), zk.getData("/a", false, null), "same node");
            return null;
        });
        create(root, stage.base + "/jail/b", "", CreateMode.PERSISTENT);
        events.expect(org.apache.zookeeper.Watcher.Event.EventType.NodeChildrenChanged, "/");
    }

    private ZooKeeperBasics() {
    }
}
