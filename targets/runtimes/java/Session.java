import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.util.Arrays;

/** One connection, in a thread of its own: one read, all complete requests executed, one write. */
final class Session implements Runnable {
    /** The room for a read: to begin with, and once a client has filled that. */
    private static final int FIRST_READ_BYTES = 1 << 10;
    private static final int READ_BYTES = 16 << 10;
    /** Waiting replies beyond which no command is executed. */
    private static final int MAX_WAITING_BYTES = 64 << 10;
    /** The most that is handed to one write, which the runtime copies. */
    private static final int WRITE_BYTES = 64 << 10;

    final Server server;
    final Output output = new Output();
    private final SocketChannel connection;
    private final Decoder decoder = new Decoder();
    private final Commands commands;
    private byte[] input = new byte[FIRST_READ_BYTES];
    private ByteBuffer inputView = ByteBuffer.wrap(input);
    /** Where in the input what was read but not yet executed begins and ends. */
    private int start;
    private int end;

    Session(Server server, SocketChannel connection) {
        this.server = server;
        this.connection = connection;
        commands = new Commands(this);
    }

    @Override
    public void run() {
        try {
            exchange();
        } catch (IOException gone) {
            // There is nobody to tell.
        } catch (Throwable error) {
            // Ends this connection only.
            error.printStackTrace();
        }
        commands.release();
        Server.shutDown(connection);
        server.end(connection);
    }

    private void exchange() throws IOException {
        while (true) {
            makeRoom();
            inputView.limit(input.length).position(end);
            int read = connection.read(inputView);
            if (read < 0) {
                return;
            }
            end += read;
            boolean goesOn = execute();
            flush();
            if (!goesOn || server.stopping) {
                return;
            }
        }
    }

    /** Executes the complete requests of the input; whether the connection goes on. */
    private boolean execute() throws IOException {
        while (true) {
            if (output.length() >= MAX_WAITING_BYTES) {
                flush();
            }
            int length;
            try {
                length = decoder.decode(input, start, end);
            } catch (ProtocolException broken) {
                output.error("ERR Protocol error: " + broken.getMessage());
                return false;
            }
            if (length == 0) {
                return true;
            }
            boolean goesOn = commands.execute(decoder);
            decoder.nextRequest();
            start += length;
            if (!goesOn) {
                return false;
            }
        }
    }

    /** Writes all replies, waiting for the client to take them. */
    void flush() throws IOException {
        ByteBuffer view = output.view();
        int end = view.limit();
        while (view.position() < end) {
            view.limit(Math.min(end, view.position() + WRITE_BYTES));
            connection.write(view);
        }
        output.clear();
    }

    /** Lets time pass without CPU, once the replies so far are written. */
    void sleep(long milliseconds) throws IOException {
        flush();
        try {
            Thread.sleep(milliseconds);
        } catch (InterruptedException interrupted) {
            throw new IOException(interrupted);
        }
    }

    /** Room for a read behind what is there: more, once a read has filled it. */
    private void makeRoom() {
        boolean filled = end == input.length;
        if (start > 0) {
            System.arraycopy(input, start, input, 0, end - start);
            end -= start;
            start = 0;
        }
        int wanted = input.length;
        if (filled && wanted < READ_BYTES) {
            wanted = READ_BYTES;
        }
        if (end == 0 && wanted > 4 * MAX_WAITING_BYTES) {
            // One large request is not paid for by an idle connection.
            wanted = READ_BYTES;
        }
        if (wanted - end < wanted / 4) {
            wanted = end + Math.max(READ_BYTES, end);
        }
        if (wanted != input.length) {
            input = end == 0 ? new byte[wanted] : Arrays.copyOf(input, wanted);
            inputView = ByteBuffer.wrap(input);
        }
    }
}
