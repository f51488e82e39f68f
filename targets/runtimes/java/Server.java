import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.ClosedChannelException;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.util.HashSet;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import sun.misc.Signal;

/** Accepting, refusing, draining: what threads share. */
final class Server {
    /** How long a server that was asked to end waits for requests in progress; its runtime ends slowly. */
    private static final long DRAIN_MS = 1300;
    /** How long to leave the listener alone after an error that only time can cure. */
    private static final long PAUSE_MS = 10;
    private static final int STANDARD_ERROR = 2;
    private static final byte[] REFUSED =
            "-ERR max number of clients reached\r\n".getBytes(StandardCharsets.US_ASCII);

    final Options options;
    final Store store;
    volatile boolean stopping;
    private final ServerSocketChannel listener;
    /** Taken hold of when a connection begins or ends, never for a request. */
    private final ReentrantLock lock = new ReentrantLock();
    private final Condition ended = lock.newCondition();
    private final Set<SocketChannel> connections = new HashSet<>();
    /** A descriptor to give up when there are no more, so that a client can still be refused. */
    private int spare = -1;

    Server(ServerSocketChannel listener, Options options) {
        this.listener = listener;
        this.options = options;
        this.store = new Store(options.sharedStateBytes);
    }

    /** Serves each client that comes in a virtual thread of its own, until the listener is closed. */
    void acceptAll() throws InterruptedException {
        openSpare();
        while (true) {
            try {
                SocketChannel connection = listener.accept();
                if (begin(connection)) {
                    Thread.ofVirtual().start(new Session(this, connection));
                } else {
                    refuse(connection);
                }
            } catch (ClosedChannelException closed) {
                return;
            } catch (IOException error) {
                switch (Lack.of(error)) {
                    case DESCRIPTORS -> refuseWithSpare();
                    case MEMORY -> Thread.sleep(PAUSE_MS);
                    // A connection that failed before it was accepted.
                    case NONE -> {}
                }
            }
        }
    }

    int clients() {
        lock.lock();
        try {
            return connections.size();
        } finally {
            lock.unlock();
        }
    }

    /** Notes a client, unless it is one too many. */
    private boolean begin(SocketChannel connection) {
        lock.lock();
        try {
            if (connections.size() >= options.maxConnections) {
                return false;
            }
            if (stopping) {
                connection.shutdownInput();
            }
            return connections.add(connection);
        } catch (IOException gone) {
            // Its thread will notice.
            return connections.add(connection);
        } finally {
            lock.unlock();
        }
    }

    void end(SocketChannel connection) {
        close(connection);
        lock.lock();
        try {
            connections.remove(connection);
            ended.signalAll();
        } finally {
            lock.unlock();
        }
    }

    /** Tells a client that comes while there are no descriptors left that it is one too many. */
    private void refuseWithSpare() throws InterruptedException {
        boolean refused = false;
        if (spare >= 0) {
            NativeMemory.close(spare);
            try {
                // It may have gone meanwhile, and the next one may find descriptors: not waited for.
                listener.configureBlocking(false);
                SocketChannel connection = listener.accept();
                if (connection != null) {
                    refuse(connection);
                    refused = true;
                }
            } catch (IOException error) {
                // As if nobody had come; of a listener that was closed the next accept tells.
            } finally {
                waitForClientsAgain();
            }
        }
        openSpare();
        if (!refused) {
            Thread.sleep(PAUSE_MS);
        }
    }

    private void waitForClientsAgain() {
        try {
            listener.configureBlocking(true);
        } catch (IOException closed) {
            // The next accept tells.
        }
    }

    /** Not one for the listener, which would be listening on when it is closed. */
    private void openSpare() {
        spare = NativeMemory.duplicate(STANDARD_ERROR);
    }

    /** Ends by status 0 once SIGTERM or SIGINT came and all connections have ended, or time is up. */
    void drainOnSignals() {
        for (String name : new String[] {"TERM", "INT"}) {
            Signal.handle(new Signal(name), signal -> {
                drain();
                Runtime.getRuntime().halt(0);
            });
        }
    }

    private void drain() {
        long left = TimeUnit.MILLISECONDS.toNanos(DRAIN_MS);
        stopping = true;
        close(listener);
        lock.lock();
        try {
            for (SocketChannel connection : connections) {
                try {
                    // Wakes the thread that waits for a request.
                    connection.shutdownInput();
                } catch (IOException gone) {
                    // Its thread will notice.
                }
            }
            while (!connections.isEmpty() && left > 0) {
                left = ended.awaitNanos(left);
            }
        } catch (InterruptedException interrupted) {
            // As if the time were up.
        } finally {
            lock.unlock();
        }
    }

    static void refuse(SocketChannel connection) {
        try {
            // The empty send buffer of a new connection takes this at once.
            connection.configureBlocking(false);
            connection.write(ByteBuffer.wrap(REFUSED));
        } catch (IOException gone) {
            // Nobody to tell.
        }
        shutDown(connection);
        close(connection);
    }

    /**
     * Ends a connection so that the client sees the last reply: closing with input unread would send a
     * reset, which may overtake it. Does not block and reads a bounded amount.
     */
    static void shutDown(SocketChannel connection) {
        try {
            connection.shutdownOutput();
            connection.configureBlocking(false);
            var rest = ByteBuffer.allocate(4096);
            for (int read = 0; read < 64 && connection.read(rest) > 0; read++) {
                rest.clear();
            }
        } catch (IOException gone) {
            // All the better.
        }
    }

    private static void close(java.nio.channels.Channel channel) {
        try {
            channel.close();
        } catch (IOException error) {
            // Its descriptor is free all the same.
        }
    }
}
