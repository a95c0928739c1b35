// What `parley bench locks` does, with Curator's InterProcessMutex: one client alone, then many that all wait; the same rules
// (src/cli/bench_locks.c). Prints the same JSON.
//   java -cp ... Locks HOSTS CLIENTS SECONDS
import java.util.ArrayList;
import java.util.List;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.retry.RetryOneTime;

public class Locks {
    static String hosts;
    static long seconds;
    static int ready;
    static boolean go, stop;
    static long grants, releasedNs;
    static final List<Long> handOvers = new ArrayList<>();
    static final Object monitor = new Object();

    static CuratorFramework connect() throws Exception {
        CuratorFramework client = CuratorFrameworkFactory.newClient(hosts, 30000, 20000, new RetryOneTime(100));
        client.start();
        client.blockUntilConnected();
        return client;
    }

    static long percentile(long[] sorted, double share) {
        return sorted.length == 0 ? 0 : sorted[(int) Math.min(sorted.length - 1, (long) (sorted.length * share))] / 1000;
    }

    static long[] alone(String path) throws Exception {
        CuratorFramework client = connect();
        InterProcessMutex lock = new InterProcessMutex(client, path);
        List<Long> times = new ArrayList<>();
        // The JVM is given three seconds to compile.
        long warm = System.nanoTime() + 3_000_000_000L, end = warm + seconds * 1_000_000_000L;
        for (long now = System.nanoTime(); now < end; ) {
            long asked = now;
            lock.acquire();
            lock.release();
            now = System.nanoTime();
            if (asked >= warm) times.add(now - asked);
        }
        client.close();
        return times.stream().mapToLong(Long::longValue).sorted().toArray();
    }

    static void client(String path) {
        try {
            CuratorFramework client = connect();
            InterProcessMutex lock = new InterProcessMutex(client, path);
            lock.acquire();
            lock.release();
            synchronized (monitor) {
                ready++;
                monitor.notifyAll();
                while (!go) monitor.wait();
            }
            for (boolean goesOn = true; goesOn; ) {
                lock.acquire();
                long mine;
                synchronized (monitor) {
                    if (releasedNs != 0 && !stop) handOvers.add(System.nanoTime() - releasedNs);
                    mine = ++grants;
                    monitor.notifyAll();
                    releasedNs = System.nanoTime();
                }
                lock.release();
                synchronized (monitor) {
                    while (grants == mine && !stop) monitor.wait();
                    goesOn = !stop;
                }
            }
            client.close();
        } catch (Exception e) {
            e.printStackTrace();
            System.exit(1);
        }
    }

    static long[] many(String path, int clients) throws Exception {
        List<Thread> threads = new ArrayList<>();
        for (int i = 0; i < clients; i++) threads.add(new Thread(() -> client(path)));
        for (Thread thread : threads) thread.start();
        synchronized (monitor) {
            while (ready < clients) monitor.wait();
            go = true;
            monitor.notifyAll();
        }
        Thread.sleep(seconds * 1000);
        synchronized (monitor) {
            stop = true;
            monitor.notifyAll();
        }
        for (Thread thread : threads) thread.join();
        return handOvers.stream().mapToLong(Long::longValue).sorted().toArray();
    }

    public static void main(String[] arguments) throws Exception {
        hosts = arguments[0];
        int clients = Integer.parseInt(arguments[1]);
        seconds = Long.parseLong(arguments[2]);
        String path = "/curator/bench-" + System.nanoTime();
        long[] one = alone(path + "-alone"), all = many(path + "-many", clients);
        System.out.printf("{\"system\":\"curator\",\"clients\":%d,\"per_second\":%.1f,\"p50_us\":%d,\"p99_us\":%d,\"hand_overs\":%d,"
                + "\"hand_over_p50_us\":%d,\"hand_over_p99_us\":%d}%n", clients, (double) one.length / seconds, percentile(one, 0.5),
                percentile(one, 0.99), all.length, percentile(all, 0.5), percentile(all, 0.99));
        System.exit(0);
    }
}
