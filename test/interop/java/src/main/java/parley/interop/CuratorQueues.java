package parley.interop;

import static parley.interop.Stage.becomes;
import static parley.interop.Stage.check;
import static parley.interop.Stage.equal;
import static parley.interop.Stage.get;
import static parley.interop.Stage.until;

import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentSkipListSet;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.queue.DistributedDelayQueue;
import org.apache.curator.framework.recipes.queue.DistributedIdQueue;
import org.apache.curator.framework.recipes.queue.DistributedPriorityQueue;
import org.apache.curator.framework.recipes.queue.DistributedQueue;
import org.apache.curator.framework.recipes.queue.QueueBuilder;
import org.apache.curator.framework.recipes.queue.QueueConsumer;
import org.apache.curator.framework.recipes.queue.QueueSerializer;
import org.apache.curator.framework.recipes.queue.SimpleDistributedQueue;
import org.apache.curator.framework.state.ConnectionState;

/** Curator's queues: what was put in before the kill comes out after it. */
public final class CuratorQueues {
    private static final QueueSerializer<String> TEXT = new QueueSerializer<>() {
        @Override
        public byte[] serialize(String item) {
            return item.getBytes();
        }

        @Override
        public String deserialize(byte[] bytes) {
            return new String(bytes);
        }
    };

    private interface Take {
        void take(String item) throws Exception;
    }

    private static QueueConsumer<String> consumer(Take take) {
        return new QueueConsumer<>() {
            @Override
            public void consumeMessage(String item) throws Exception {
                take.take(item);
            }

            @Override
            public void stateChanged(CuratorFramework client, ConnectionState state) {
            }
        };
    }

    private static Set<String> names(int count) {
        Set<String> all = new TreeSet<>();
        for (int i = 0; i < count; i++) {
            all.add("item" + i);
        }
        return all;
    }

    /** With a lock path nothing is lost: an item leaves the queue when it has been worked on. */
    public static void distributedQueue(Stage stage) throws Exception {
        CuratorFramework here = stage.curator(), there = stage.curator(), producer = stage.curator();
        Set<String> taken = new ConcurrentSkipListSet<>();
        for (CuratorFramework client : List.of(here, there)) {
            stage.own(QueueBuilder.builder(client, consumer(taken::add), TEXT, stage.base + "/queue").lockPath(stage.base + "/locks")
                    .buildQueue()).start();
        }
        DistributedQueue<String> queue = stage.own(QueueBuilder.builder(producer, null, TEXT, stage.base + "/queue").buildQueue());
        queue.start();
        for (int i = 0; i < 20; i++) {
            queue.put("item" + i);
        }
        becomes(names(20), "items", () -> new TreeSet<>(taken));
        stage.kill();
        for (int i = 20; i < 40; i++) {
            queue.put("item" + i);
        }
        becomes(names(40), "items after the kill", () -> new TreeSet<>(taken));
        until("the queue is empty", () -> producer.getChildren().forPath(stage.base + "/queue").isEmpty());
    }

    public static void priorityQueue(Stage stage) throws Exception {
        CuratorFramework client = stage.curator();
        DistributedPriorityQueue<String> producer = stage.own(QueueBuilder.builder(client, null, TEXT, stage.base + "/queue")
                .buildPriorityQueue(10));
        producer.start();
        producer.put("low", 9);
        producer.put("high", 1);
        producer.put("middle", 5);
        check(producer.flushPuts(Stage.UNTIL_SECONDS, TimeUnit.SECONDS), "puts done");
        stage.kill();
        stage.settle(client);
        List<String> order = new CopyOnWriteArrayList<>();
        stage.own(QueueBuilder.builder(client, consumer(order::add), TEXT, stage.base + "/queue").buildPriorityQueue(10)).start();
        becomes(List.of("high", "middle", "low"), "order", () -> List.copyOf(order));
    }

    public static void idQueue(Stage stage) throws Exception {
        CuratorFramework client = stage.curator();
        DistributedIdQueue<String> producer = stage.own(QueueBuilder.builder(client, null, TEXT, stage.base + "/queue").buildIdQueue());
        producer.start();
        producer.put("kept", "id1");
        producer.put("removed", "id2");
        check(producer.flushPuts(Stage.UNTIL_SECONDS, TimeUnit.SECONDS), "puts done");
        stage.kill();
        stage.settle(client);
        equal(1, producer.remove("id2"), "removed");
        Set<String> taken = new ConcurrentSkipListSet<>();
        stage.own(QueueBuilder.builder(client, consumer(taken::add), TEXT, stage.base + "/queue").buildIdQueue()).start();
        becomes(Set.of("kept"), "items", () -> Set.copyOf(taken));
    }

    public static void delayQueue(Stage stage) throws Exception {
        CuratorFramework client = stage.curator();
        List<String> order = new CopyOnWriteArrayList<>();
        long begin = System.currentTimeMillis();
        DistributedDelayQueue<String> queue = stage.own(QueueBuilder.builder(client, consumer(item -> {
            check(!item.equals("later") || System.currentTimeMillis() >= begin + 1000, "not before its time");
            order.add(item);
        }), TEXT, stage.base + "/queue").buildDelayQueue());
        queue.start();
        queue.put("later", begin + 1000);
        queue.put("now", begin);
        becomes("now", "first", () -> order.isEmpty() ? "" : order.get(0));
        stage.kill();
        stage.settle(client);
        becomes(List.of("now", "later"), "both", () -> List.copyOf(order));
    }

    public static void simpleDistributedQueue(Stage stage) throws Exception {
        CuratorFramework here = stage.curator(), there = stage.curator();
        SimpleDistributedQueue one = new SimpleDistributedQueue(here, stage.base + "/queue");
        SimpleDistributedQueue two = new SimpleDistributedQueue(there, stage.base + "/queue");
        equal(null, two.poll(100, TimeUnit.MILLISECONDS), "empty");
        for (String item : List.of("a", "b", "c")) {
            check(one.offer(item.getBytes()), "offered");
        }
        equal("a", new String(two.take()), "first");
        there.sync().forPath(stage.base + "/queue");
        equal("b", new String(two.peek()), "next");
        stage.kill();
        stage.settle(here);
        stage.settle(there);
        equal("b", new String(two.poll()), "second");
        equal("c", new String(two.remove()), "third");
        Future<byte[]> waiting = stage.async(() -> two.take());
        one.offer("d".getBytes());
        equal("d", new String(get(waiting)), "waited for");
    }

    private CuratorQueues() {
    }
}
