package parley.interop;

import static parley.interop.Stage.becomes;
import static parley.interop.Stage.check;
import static parley.interop.Stage.equal;
import static parley.interop.Stage.get;
import static parley.interop.Stage.until;

import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.atomic.AtomicValue;
import org.apache.curator.framework.recipes.atomic.CachedAtomicLong;
import org.apache.curator.framework.recipes.atomic.DistributedAtomicLong;
import org.apache.curator.framework.recipes.atomic.PromotedToLock;
import org.apache.curator.framework.recipes.barriers.DistributedBarrier;
import org.apache.curator.framework.recipes.barriers.DistributedDoubleBarrier;
import org.apache.curator.framework.recipes.nodes.GroupMember;
import org.apache.curator.framework.recipes.nodes.PersistentNode;
import org.apache.curator.framework.recipes.nodes.PersistentTtlNode;
import org.apache.curator.framework.recipes.shared.SharedCount;
import org.apache.curator.framework.recipes.shared.SharedCountListener;
import org.apache.curator.framework.recipes.shared.SharedCountReader;
import org.apache.curator.framework.recipes.shared.SharedValue;
import org.apache.curator.framework.recipes.shared.VersionedValue;
import org.apache.curator.framework.state.ConnectionState;
import org.apache.curator.retry.RetryNTimes;
import org.apache.curator.x.discovery.ServiceCache;
import org.apache.curator.x.discovery.ServiceDiscovery;
import org.apache.curator.x.discovery.ServiceDiscoveryBuilder;
import org.apache.curator.x.discovery.ServiceInstance;
import org.apache.curator.x.discovery.ServiceProvider;
import org.apache.zookeeper.CreateMode;

/** Curator's nodes, counters, barriers and service discovery. */
public final class CuratorRecipes {
    public static void persistentNode(Stage stage) throws Exception {
        CuratorFramework here = stage.curator(), there = stage.curator();
        String path = stage.base + "/node";
        PersistentNode node = stage.own(new PersistentNode(here, CreateMode.EPHEMERAL, false, path, "mine".getBytes()));
        node.start();
        check(node.waitForInitialCreate(Stage.UNTIL_SECONDS, TimeUnit.SECONDS), "created");
        there.delete().forPath(path);
        until("it comes back", () -> there.checkExists().forPath(path) != null);
        stage.kill();
        stage.settle(here);
        stage.settle(there);
        until("it is there", () -> there.checkExists().forPath(path) != null);
        equal(Stage.session(here), there.checkExists().forPath(path).getEphemeralOwner(), "owner");
        node.setData("other".getBytes());
        becomes("other", "data", () -> new String(there.getData().forPath(path)));
        node.close();
        until("it goes", () -> there.checkExists().forPath(path) == null);
    }

    public static void persistentTtlNode(Stage stage) throws Exception {
        CuratorFramework here = stage.curator(), there = stage.curator();
        String path = stage.base + "/node";
        PersistentTtlNode node = stage.own(new PersistentTtlNode(here, path, 5000, "mine".getBytes()));
        node.start();
        check(node.waitForInitialCreate(Stage.UNTIL_SECONDS, TimeUnit.SECONDS), "created");
        until("it is touched", () -> there.checkExists().forPath(path) != null && !there.getChildren().forPath(path).isEmpty());
        stage.kill();
        stage.settle(there);
        int version = there.checkExists().forPath(path + "/touch").getVersion();
        until("it is touched again", () -> there.checkExists().forPath(path + "/touch").getVersion() > version);
        check(there.checkExists().forPath(path) != null, "it stays");
    }

    public static void groupMember(Stage stage) throws Exception {
        CuratorFramework here = stage.curator(), there = stage.curator();
        GroupMember one = stage.own(new GroupMember(here, stage.base + "/group", "one", "1".getBytes()));
        GroupMember two = stage.own(new GroupMember(there, stage.base + "/group", "two", "2".getBytes()));
        one.start();
        two.start();
        becomes(Set.of("one", "two"), "members", () -> one.getCurrentMembers().keySet());
        stage.kill();
        stage.settle(here);
        stage.settle(there);
        becomes(Set.of("one", "two"), "members", () -> two.getCurrentMembers().keySet());
        one.setThisData("new".getBytes());
        becomes("new", "a member's data", () -> new String(two.getCurrentMembers().getOrDefault("one", new byte[0])));
        one.close();
        becomes(Set.of("two"), "members", () -> two.getCurrentMembers().keySet());
    }

    public static void distributedAtomicLong(Stage stage) throws Exception {
        int clients = 3, each = 10;
        List<CuratorFramework> all = new ArrayList<>();
        for (int c = 0; c < clients; c++) {
            all.add(stage.curator());
        }
        PromotedToLock lock = PromotedToLock.builder().lockPath(stage.base + "/lock").retryPolicy(new RetryNTimes(100, 5)).build();
        for (int half = 1; half <= 2; half++) {
            List<Future<Long>> workers = new ArrayList<>();
            for (CuratorFramework client : all) {
                DistributedAtomicLong counter = new DistributedAtomicLong(client, stage.base + "/counter", new RetryNTimes(50, 10), lock);
                workers.add(stage.async(() -> {
                    long last = 0;
                    for (int i = 0; i < each; i++) {
                        AtomicValue<Long> value = counter.increment();
                        check(value.succeeded() && value.postValue() == value.preValue() + 1 && value.postValue() > last, "increment");
                        last = value.postValue();
                    }
                    return last;
                }));
            }
            for (Future<Long> worker : workers) {
                get(worker);
            }
            all.get(0).sync().forPath(stage.base + "/counter");
            equal((long) half * clients * each, new DistributedAtomicLong(all.get(0), stage.base + "/counter", new RetryNTimes(3, 5))
                    .add(0L).postValue(), "sum");
            if (half == 1) {
                stage.kill();
                for (CuratorFramework client : all) {
                    stage.settle(client);
                }
            }
        }
        DistributedAtomicLong counter = new DistributedAtomicLong(all.get(0), stage.base + "/counter", new RetryNTimes(3, 5));
        check(!counter.compareAndSet(1L, 2L).succeeded(), "compare fails");
        check(counter.compareAndSet(60L, 7L).succeeded(), "compare and set");
        equal(8L, new CachedAtomicLong(counter, 5).next().postValue(), "cached");
        equal(12L, counter.get().postValue(), "a block of five is taken");
    }

    public static void sharedCount(Stage stage) throws Exception {
        CuratorFramework here = stage.curator(), there = stage.curator();
        SharedCount one = stage.own(new SharedCount(here, stage.base + "/count", 5));
        SharedCount two = stage.own(new SharedCount(there, stage.base + "/count", 5));
        AtomicInteger told = new AtomicInteger();
        two.addListener(new SharedCountListener() {
            @Override
            public void countHasChanged(SharedCountReader count, int value) {
                told.set(value);
            }

            @Override
            public void stateChanged(CuratorFramework client, ConnectionState state) {
            }
        });
        one.start();
        two.start();
        equal(5, two.getCount(), "seed");
        one.setCount(6);
        becomes(6, "count", two::getCount);
        becomes(6, "listener", told::get);
        stage.kill();
        stage.settle(here);
        stage.settle(there);
        VersionedValue<Integer> old = two.getVersionedValue();
        one.setCount(7);
        check(!two.trySetCount(old, 8), "set from an old version");
        becomes(7, "count", two::getCount);
        until("set from the new version", () -> two.trySetCount(two.getVersionedValue(), 8));
        becomes(8, "count", one::getCount);
    }

    public static void sharedValue(Stage stage) throws Exception {
        CuratorFramework here = stage.curator(), there = stage.curator();
        SharedValue one = stage.own(new SharedValue(here, stage.base + "/value", "seed".getBytes()));
        SharedValue two = stage.own(new SharedValue(there, stage.base + "/value", "seed".getBytes()));
        one.start();
        two.start();
        equal("seed", new String(two.getValue()), "seed");
        stage.kill();
        one.setValue("new".getBytes());
        becomes("new", "value", () -> new String(two.getValue()));
    }

    public static void barrier(Stage stage) throws Exception {
        CuratorFramework here = stage.curator(), there = stage.curator();
        DistributedBarrier one = new DistributedBarrier(here, stage.base + "/barrier");
        DistributedBarrier two = new DistributedBarrier(there, stage.base + "/barrier");
        one.setBarrier();
        there.sync().forPath(stage.base + "/barrier");
        check(!two.waitOnBarrier(100, TimeUnit.MILLISECONDS), "the barrier stands");
        Future<Void> waiting = stage.async(() -> {
            two.waitOnBarrier();
            return null;
        });
        stage.kill();
        stage.settle(here);
        stage.settle(there);
        check(!waiting.isDone(), "the barrier still stands");
        one.removeBarrier();
        get(waiting);
    }

    public static void doubleBarrier(Stage stage) throws Exception {
        int members = 3;
        AtomicInteger entered = new AtomicInteger(), left = new AtomicInteger();
        List<DistributedDoubleBarrier> barriers = new ArrayList<>();
        List<CuratorFramework> clients = new ArrayList<>();
        List<Future<Void>> entering = new ArrayList<>(), leaving = new ArrayList<>();
        for (int i = 0; i < members; i++) {
            CuratorFramework client = stage.curator();
            DistributedDoubleBarrier barrier = new DistributedDoubleBarrier(client, stage.base + "/barrier", members);
            barriers.add(barrier);
            clients.add(client);
            equal(0, entered.get(), "entered before all are there");
            entering.add(stage.async(() -> {
                barrier.enter();
                entered.incrementAndGet();
                return null;
            }));
        }
        for (Future<Void> one : entering) {
            get(one);
        }
        stage.kill();
        for (CuratorFramework client : clients) {
            stage.settle(client); // this recipe ends with an error where a connection is lost while it waits
        }
        for (int i = 0; i < members; i++) {
            DistributedDoubleBarrier barrier = barriers.get(i);
            equal(0, left.get(), "left before all do");
            leaving.add(stage.async(() -> {
                barrier.leave();
                left.incrementAndGet();
                return null;
            }));
        }
        for (Future<Void> one : leaving) {
            get(one);
        }
    }

    public static void discovery(Stage stage) throws Exception {
        CuratorFramework here = stage.curator(), there = stage.curator();
        List<ServiceInstance<Void>> instances = new ArrayList<>();
        for (int port = 1; port <= 3; port++) {
            instances.add(ServiceInstance.<Void>builder().name("shop").address("127.0.0.1").port(port).id("shop-" + port).build());
        }
        ServiceDiscovery<Void> services = ServiceDiscoveryBuilder.builder(Void.class).client(here).basePath(stage.base + "/services")
                .thisInstance(instances.get(0)).build();
        stage.own(services);
        services.start();
        services.registerService(instances.get(1));
        ServiceDiscovery<Void> clients = ServiceDiscoveryBuilder.builder(Void.class).client(there).basePath(stage.base + "/services").build();
        stage.own(clients);
        clients.start();
        becomes(2, "instances", () -> clients.queryForInstances("shop").size());
        equal(Set.of("shop"), Set.copyOf(clients.queryForNames()), "names");
        ServiceCache<Void> cache = stage.own(clients.serviceCacheBuilder().name("shop").build());
        cache.start();
        ServiceProvider<Void> provider = stage.own(clients.serviceProviderBuilder().serviceName("shop").build());
        provider.start();
        stage.kill();
        stage.settle(here);
        stage.settle(there);
        services.registerService(instances.get(2));
        becomes(3, "instances in the cache", () -> cache.getInstances().size());
        becomes(3, "instances of the provider", () -> provider.getAllInstances().size());
        check(provider.getInstance().getPort() != provider.getInstance().getPort(), "round robin");
        services.unregisterService(instances.get(1));
        becomes(2, "instances in the cache", () -> cache.getInstances().size());
        equal(null, clients.queryForInstance("shop", "shop-2"), "unregistered");
        services.close();
        becomes(0, "instances in the cache", () -> cache.getInstances().size());
    }

    private CuratorRecipes() {
    }
}
