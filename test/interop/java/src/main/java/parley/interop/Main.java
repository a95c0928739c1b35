package parley.interop;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;

/**
 * Runs all tests at once, each in a thread of its own. A test is a public static method that takes a {@link Stage}; in its middle it may
 * call {@link Stage#kill}, where all wait for each other: then `KILL LEADER` is printed, a line read, and all go on.
 */
public final class Main {
    private static final Class<?>[] SUITES = {
        ZooKeeperBasics.class, ZooKeeperWatches.class, ZooKeeperSessions.class, CuratorLocks.class, CuratorCaches.class,
        CuratorRecipes.class, CuratorQueues.class, CuratorFrameworkTests.class, HotConfiguration.class, ServiceOfTwo.class,
    };

    public static void main(String[] args) throws Exception {
        String hosts = System.getenv("ZK_HOSTS");
        Kill kill = new Kill();
        List<Running> all = new ArrayList<>();
        for (Class<?> suite : SUITES) {
            List<Method> methods = new ArrayList<>(List.of(suite.getDeclaredMethods()));
            methods.sort(Comparator.comparing(Method::getName));
            for (Method method : methods) {
                boolean test = Modifier.isPublic(method.getModifiers()) && Modifier.isStatic(method.getModifiers())
                        && method.getParameterCount() == 1 && method.getParameterTypes()[0] == Stage.class;
                String name = suite.getSimpleName() + "." + method.getName();
                if (test && wanted(name, args)) {
                    all.add(new Running(name, method, new Stage(name, hosts, kill)));
                }
            }
        }
        for (Running running : all) {
            running.start();
        }
        kill.waitForAll(all.size(), Stage.PHASE_SECONDS);
        System.out.println("KILL LEADER");
        System.out.flush();
        BufferedReader answers = new BufferedReader(new InputStreamReader(System.in));
        answers.readLine();
        kill.release();
        kill.waitForQuiet(all.size(), Stage.PHASE_SECONDS);
        if (kill.someoneWantsMore()) {
            System.out.println("ADD MEMBER");
            System.out.flush();
            kill.added(answers.readLine());
        }
        int passed = 0, failed = 0, skipped = 0;
        long end = System.nanoTime() + Stage.PHASE_SECONDS * 1_000_000_000L;
        for (Running running : all) {
            running.join(Math.max(1, (end - System.nanoTime()) / 1_000_000));
            String result = running.result();
            System.out.println(result);
            if (result.startsWith("ok")) {
                passed++;
            } else if (result.startsWith("skipped")) {
                skipped++;
            } else {
                failed++;
            }
        }
        System.out.printf("%d passed, %d failed, %d skipped%n", passed, failed, skipped);
        System.out.flush();
        Runtime.getRuntime().halt(failed == 0 ? 0 : 1); // threads of tests that hang must not hold the process
    }

    private static boolean wanted(String name, String[] args) {
        for (String arg : args) {
            if (name.contains(arg)) {
                return true;
            }
        }
        return args.length == 0;
    }

    /** The point in the middle, where all tests meet. */
    static final class Kill {
        private int arrived, finished, waiting;
        private boolean released;
        private String answer;

        synchronized void arrive() {
            arrived++;
            notifyAll();
        }

        synchronized void waitForAll(int count, int seconds) throws InterruptedException {
            long end = System.nanoTime() + seconds * 1_000_000_000L;
            while (arrived < count && System.nanoTime() < end) {
                wait(100);
            }
        }

        synchronized void release() {
            released = true;
            notifyAll();
        }

        synchronized void finish() {
            finished++;
            notifyAll();
        }

        /** Until every test has finished or waits for one more member. */
        synchronized void waitForQuiet(int count, int seconds) throws InterruptedException {
            long end = System.nanoTime() + seconds * 1_000_000_000L;
            while (finished + waiting < count && System.nanoTime() < end) {
                wait(100);
            }
        }

        synchronized boolean someoneWantsMore() {
            return waiting > 0;
        }

        synchronized void added(String line) {
            answer = line == null ? "no" : line;
            notifyAll();
        }

        /** "added HOST:PORT", or "no". */
        synchronized String waitForMember() throws InterruptedException {
            waiting++;
            notifyAll();
            while (answer == null) {
                wait();
            }
            return answer;
        }

        synchronized void pass() throws InterruptedException {
            while (!released) {
                wait();
            }
        }
    }

    private static final class Running extends Thread {
        private final Method method;
        private final Stage stage;
        private final String name;
        private volatile String result;

        Running(String name, Method method, Stage stage) {
            super(name);
            this.name = name;
            this.method = method;
            this.stage = stage;
            setDaemon(true);
        }

        @Override
        public void run() {
            try {
                method.invoke(null, stage);
                result = "ok      %s (%.1f + %.1f s)".formatted(name, stage.firstHalf() / 1e9, stage.secondHalf() / 1e9);
            } catch (InvocationTargetException e) {
                if (e.getCause() instanceof Stage.Skip) {
                    result = "skipped " + name + ": " + e.getCause().getMessage();
                } else {
                    result = "FAILED  " + name + ": " + trace(e.getCause());
                }
            } catch (Throwable e) {
                result = "FAILED  " + name + ": " + trace(e);
            }
            stage.arrive();
            stage.close();
            stage.finish();
        }

        String result() {
            if (result != null) {
                return result;
            }
            StringBuilder out = new StringBuilder("FAILED  " + name + ": not done in time; it stands at");
            for (StackTraceElement frame : getStackTrace()) {
                out.append("\n            ").append(frame);
            }
            return out.toString();
        }

        private static String trace(Throwable e) {
            StringBuilder out = new StringBuilder(e.toString());
            for (Throwable t = e; t != null; t = t.getCause()) {
                if (t != e) {
                    out.append("\n          because ").append(t);
                }
                for (StackTraceElement frame : t.getStackTrace()) {
                    if (frame.getClassName().startsWith("parley.") || t == e) {
                        out.append("\n            ").append(frame);
                    }
                }
            }
            return out.toString();
        }
    }

    private Main() {
    }
}
