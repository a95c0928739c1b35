package parley.interop;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.HashSet;
import java.util.Set;

/** A TCP proxy to one server at a time: it can be cut, turned to another server, and told to keep the replies for itself. */
final class Proxy implements AutoCloseable {
    private final ServerSocket listener = new ServerSocket(0, 50, InetAddress.getByName("127.0.0.1"));
    private final Set<Socket> sockets = new HashSet<>();
    private volatile String target;
    private volatile boolean open = true, swallowing;

    Proxy(String target) throws IOException {
        this.target = target;
        start(this::accept);
    }

    String address() {
        return "127.0.0.1:" + listener.getLocalPort();
    }

    /** Closes all connections and takes no more until {@link #restore}. */
    void cut() {
        open = false;
        closeAll();
    }

    void restore() {
        swallowing = false;
        open = true;
    }

    /** Closes all connections; the next ones go to another server. */
    void turn(String to) {
        target = to;
        closeAll();
    }

    /** Requests still reach the server; its replies get lost. */
    void swallow() {
        swallowing = true;
    }

    @Override
    public void close() throws IOException {
        listener.close();
        cut();
    }

    private static void start(Runnable work) {
        Thread thread = new Thread(work, "proxy");
        thread.setDaemon(true);
        thread.start();
    }

    private void closeAll() {
        synchronized (sockets) {
            sockets.forEach(Proxy::quietly);
            sockets.clear();
        }
    }

    private static void quietly(Socket socket) {
        try {
            socket.close();
        } catch (IOException e) {
            // it is closed
        }
    }

    private void accept() {
        while (!listener.isClosed()) {
            Socket client = null;
            try {
                client = listener.accept();
                String to = target;
                int colon = to.lastIndexOf(':');
                Socket server = new Socket(to.substring(0, colon), Integer.parseInt(to.substring(colon + 1)));
                boolean wanted;
                synchronized (sockets) {
                    wanted = open && to.equals(target);
                    if (wanted) {
                        sockets.add(client);
                        sockets.add(server);
                    }
                }
                if (!wanted) {
                    quietly(client);
                    quietly(server);
                    continue;
                }
                Socket from = client;
                start(() -> pump(from, server, false));
                start(() -> pump(server, from, true));
            } catch (IOException e) {
                if (client != null) {
                    quietly(client);
                }
            }
        }
    }

    private void pump(Socket from, Socket to, boolean replies) {
        try {
            InputStream in = from.getInputStream();
            OutputStream out = to.getOutputStream();
            byte[] chunk = new byte[16384];
            for (int n; (n = in.read(chunk)) > 0;) {
                if (!(replies && swallowing)) {
                    out.write(chunk, 0, n);
                }
            }
        } catch (IOException e) {
            // one side has gone: so goes the other
        }
        quietly(from);
        quietly(to);
    }
}
