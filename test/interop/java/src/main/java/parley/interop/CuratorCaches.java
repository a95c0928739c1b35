package parley.interop;

import static parley.interop.Stage.becomes;
import static parley.interop.Stage.check;
import static parley.interop.Stage.until;

import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.cache.ChildData;
import org.apache.curator.framework.recipes.cache.CuratorCache;
import org.apache.curator.framework.recipes.cache.CuratorCacheListener;
import org.apache.curator.framework.recipes.cache.NodeCache;
import org.apache.curator.framework.recipes.cache.PathChildrenCache;
import org.apache.curator.framework.recipes.cache.TreeCache;
import org.apache.curator.framework.recipes.cache.TreeCacheEvent;
import org.apache.curator.framework.recipes.watch.PersistentWatcher;
import org.apache.zookeeper.Watcher.Event.EventType;

/** Curator's caches: what others write shows up in them, also what they wrote while the leader was dead. */
@SuppressWarnings("deprecation")
public final class CuratorCaches {
    public static void nodeCache(Stage stage) throws Exception {
        CuratorFramework here = stage.curator(), there = stage.curator();
        NodeCache cache = stage.own(new NodeCache(here, stage.base + "/node"));
        AtomicInteger changes = new AtomicInteger();
        cache.getListenable().addListener(changes::incrementAndGet);
        cache.start(true);
        check(cache.getCurrentData() == null, "nothing there");
        there.create().forPath(stage.base + "/node", "one".getBytes());
        becomes("one", "data", () -> text(cache.getCurrentData()));
        stage.kill();
        there.setData().forPath(stage.base + "/node", "two".getBytes());
        becomes("two", "data", () -> text(cache.getCurrentData()));
        there.delete().forPath(stage.base + "/node");
        becomes(null, "data", () -> text(cache.getCurrentData()));
        check(changes.get() >= 3, "listener is told");
    }

    private static String text(ChildData data) {
        return data == null ? null : new String(data.getData());
    }

    public static void pathChildrenCache(Stage stage) throws Exception {
        CuratorFramework here = stage.curator(), there = stage.curator();
        String path = stage.base + "/dir";
        there.create().forPath(path);
        there.create().forPath(path + "/a", "1".getBytes());
        PathChildrenCache cache = stage.own(new PathChildrenCache(here, path, true));
        Map<String, String> told = new ConcurrentHashMap<>();
        cache.getListenable().addListener((client, event) -> {
            switch (event.getType()) {
                case CHILD_ADDED, CHILD_UPDATED -> told.put(event.getData().getPath(), text(event.getData()));
                case CHILD_REMOVED -> told.remove(event.getData().getPath());
                default -> { }
            }
        });
        cache.start(PathChildrenCache.StartMode.POST_INITIALIZED_EVENT);
        there.create().forPath(path + "/b", "2".getBytes());
        there.setData().forPath(path + "/a", "3".getBytes());
        becomes(Map.of(path + "/a", "3", path + "/b", "2"), "children", () -> Map.copyOf(told));
        stage.kill();
        there.create().forPath(path + "/c", "4".getBytes());
        there.delete().forPath(path + "/a");
        there.setData().forPath(path + "/b", "5".getBytes());
        becomes(Map.of(path + "/b", "5", path + "/c", "4"), "children after the kill", () -> Map.copyOf(told));
        becomes("5", "current data", () -> text(cache.getCurrentData(path + "/b")));
    }

    public static void treeCache(Stage stage) throws Exception {
        CuratorFramework here = stage.curator(), there = stage.curator();
        String path = stage.base + "/tree";
        there.create().creatingParentsIfNeeded().forPath(path + "/a/b", "1".getBytes());
        TreeCache cache = stage.own(TreeCache.newBuilder(here, path).setMaxDepth(3).build());
        AtomicInteger initialized = new AtomicInteger();
        cache.getListenable().addListener((client, event) -> {
            if (event.getType() == TreeCacheEvent.Type.INITIALIZED) {
                initialized.incrementAndGet();
            }
        });
        cache.start();
        until("initialized", () -> initialized.get() > 0);
        there.create().forPath(path + "/a/c", "2".getBytes());
        becomes(Set.of("b", "c"), "children", () -> keys(cache, path + "/a"));
        stage.kill();
        there.create().creatingParentsIfNeeded().forPath(path + "/d/e", "3".getBytes());
        there.delete().deletingChildrenIfNeeded().forPath(path + "/a");
        becomes("3", "deep data", () -> text(cache.getCurrentData(path + "/d/e")));
        becomes(Set.of("d"), "children after the kill", () -> keys(cache, path));
    }

    private static Set<String> keys(TreeCache cache, String path) {
        Map<String, ChildData> children = cache.getCurrentChildren(path);
        return children == null ? Set.of() : Set.copyOf(children.keySet());
    }

    public static void curatorCache(Stage stage) throws Exception {
        CuratorFramework here = stage.curator(), there = stage.curator();
        String path = stage.base + "/tree";
        there.create().creatingParentsIfNeeded().forPath(path + "/a", "1".getBytes());
        CuratorCache cache = stage.own(CuratorCache.build(here, path));
        AtomicInteger initialized = new AtomicInteger(), deleted = new AtomicInteger();
        cache.listenable().addListener(CuratorCacheListener.builder().forInitialized(initialized::incrementAndGet)
                .forDeletes(data -> deleted.incrementAndGet()).build());
        cache.start();
        until("initialized", () -> initialized.get() > 0);
        for (int i = 0; i < 50; i++) {
            there.create().forPath(path + "/a/" + i, Integer.toString(i).getBytes());
        }
        becomes(52, "nodes", cache::size);
        stage.kill();
        Map<String, String> expected = new TreeMap<>();
        for (int i = 0; i < 50; i++) {
            String child = path + "/a/" + i;
            if (i % 2 == 0) {
                there.delete().forPath(child);
            } else {
                there.setData().forPath(child, ("new" + i).getBytes());
                expected.put(child, "new" + i);
            }
        }
        becomes(expected, "nodes after the kill", () -> {
            Map<String, String> now = new TreeMap<>();
            cache.stream().filter(data -> data.getPath().startsWith(path + "/a/")).forEach(data -> now.put(data.getPath(), text(data)));
            return now;
        });
        check(deleted.get() >= 25, "deletes are told");
    }

    public static void persistentWatcher(Stage stage) throws Exception {
        CuratorFramework here = stage.curator(), there = stage.curator();
        PersistentWatcher watcher = stage.own(new PersistentWatcher(here, stage.base + "/w", true));
        Set<String> seen = ConcurrentHashMap.newKeySet();
        AtomicInteger resets = new AtomicInteger();
        watcher.getListenable().addListener(event -> {
            if (event.getType() != EventType.None) {
                seen.add(event.getType() + event.getPath().substring(stage.base.length()));
            }
        });
        watcher.getResetListenable().addListener(resets::incrementAndGet);
        watcher.start();
        until("the watch is set", () -> resets.get() > 0);
        there.create().forPath(stage.base + "/w");
        there.create().forPath(stage.base + "/w/a");
        until("events", () -> seen.containsAll(Set.of("NodeCreated/w", "NodeCreated/w/a")));
        stage.kill();
        stage.settle(here);
        int[] number = {0};
        until("an event after the kill", () -> {
            String name = "/w/a" + number[0]++; // the watch may still be on its way to the new connection
            there.create().forPath(stage.base + name);
            return seen.stream().anyMatch(event -> event.startsWith("NodeCreated/w/a") && event.length() > "NodeCreated/w/a".length());
        });
    }

    private CuratorCaches() {
    }
}
