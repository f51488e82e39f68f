import java.io.IOException;
import java.nio.charset.StandardCharsets;

/** The commands of one connection. */
final class Commands {
    /** The most that WORK burns, in microseconds of CPU. */
    private static final long MAX_WORK_US = 10_000_000;
    /** The most that WAIT waits, in milliseconds. */
    private static final long MAX_WAIT_MS = 60_000;
    /** The most that TOUCH holds, in bytes. */
    private static final long MAX_TOUCH_BYTES = 1 << 30;

    private static final byte[] OK = {'O', 'K'};
    private static final byte[] PONG = {'P', 'O', 'N', 'G'};
    private static final String OUT_OF_MEMORY = "OOM command not allowed when used memory > 'maxmemory'.";
    private static final String NOT_AN_INTEGER = "ERR value is not an integer or out of range";
    private static final String KEY_TOO_LONG = "ERR key is longer than 1024 bytes";

    // Names as numbers: see `name`.
    private static final long PING = name("PING");
    private static final long ECHO = name("ECHO");
    private static final long GET = name("GET");
    private static final long SET = name("SET");
    private static final long DEL = name("DEL");
    private static final long INCR = name("INCR");
    private static final long INFO = name("INFO");
    private static final long CONFIG = name("CONFIG");
    private static final long COMMAND = name("COMMAND");
    private static final long QUIT = name("QUIT");
    private static final long WORK = name("WORK");
    private static final long WAIT = name("WAIT");
    private static final long TOUCH = name("TOUCH");
    private static final long BOOK = name("BOOK");
    private static final long CRASH = name("CRASH");

    private final Session session;
    private final Store store;
    private final Output output;
    /** The memory that TOUCH asked for. */
    private long touched;
    private long touchedBytes;

    Commands(Session session) {
        this.session = session;
        this.store = session.server.store;
        this.output = session.output;
    }

    /** Executes the request that was decoded; whether the connection goes on after it. */
    boolean execute(Decoder request) throws IOException {
        if (request.count == 0) {
            return true;
        }
        long name = name(request.bytes, request.from(0), request.to(0));
        int operands = request.count - 1;
        if (name == PING && operands == 0) {
            output.simple(PONG);
        } else if ((name == PING || name == ECHO) && operands == 1) {
            output.bulk(request.bytes, request.from(1), request.to(1));
        } else if (name == GET && operands == 1) {
            store.appendValue(request.bytes, request.from(1), request.to(1), output);
        } else if (name == SET && operands >= 2) {
            set(request);
        } else if (name == DEL && operands >= 1) {
            delete(request);
        } else if (name == INCR && operands == 1) {
            increment(request);
        } else if (name == QUIT) {
            output.simple(OK);
            return false;
        } else {
            rare(name, operands, request);
        }
        return true;
    }

    /** Frees what the connection holds beside the heap. */
    void release() {
        NativeMemory.free(touched, touchedBytes);
        touched = 0;
        touchedBytes = 0;
    }

    private void rare(long name, int operands, Decoder request) throws IOException {
        if (name == INFO) {
            output.bulk(info());
        } else if (name == COMMAND) {
            output.arrayLength(0);
        } else if (name == CONFIG && operands >= 1) {
            config(request);
        } else if (name == WORK && operands == 1) {
            work(request);
        } else if (name == WAIT && operands == 1) {
            await(request);
        } else if (name == TOUCH && operands == 1) {
            touch(request);
        } else if (name == BOOK && operands == 2) {
            book(request);
        } else if (name == CRASH && operands == 0) {
            crash();
        } else if (isKnown(name)) {
            wrongNumber(printable(request, 0).toLowerCase(java.util.Locale.ROOT));
        } else {
            output.error("ERR unknown command '" + printable(request, 0) + "'");
        }
    }

    private static boolean isKnown(long name) {
        return name == PING || name == ECHO || name == GET || name == SET || name == DEL || name == INCR
                || name == CONFIG || name == WORK || name == WAIT || name == TOUCH || name == BOOK
                || name == CRASH;
    }

    private void set(Decoder request) {
        if (request.count > 3) {
            output.error("ERR syntax error");
        } else if (request.length(1) > Store.MAX_KEY_BYTES) {
            output.error(KEY_TOO_LONG);
        } else if (store.set(request.bytes, request.from(1), request.to(1), request.from(2), request.to(2))) {
            output.simple(OK);
        } else {
            output.error(OUT_OF_MEMORY);
        }
    }

    private void delete(Decoder request) {
        int deleted = 0;
        for (int key = 1; key < request.count; key++) {
            if (store.delete(request.bytes, request.from(key), request.to(key))) {
                deleted++;
            }
        }
        output.integer(deleted);
    }

    private void increment(Decoder request) {
        if (request.length(1) > Store.MAX_KEY_BYTES) {
            output.error(KEY_TOO_LONG);
            return;
        }
        switch (store.increment(request.bytes, request.from(1), request.to(1), output)) {
            case null -> { }
            case FULL -> output.error(OUT_OF_MEMORY);
            case NOT_AN_INTEGER -> output.error(NOT_AN_INTEGER);
            case OVERFLOW -> output.error("ERR increment or decrement would overflow");
        }
    }

    private String info() {
        Options options = session.server.options;
        return "# Server\r\nserver:connscope-target\r\nversion:" + options.version
                + "\r\nmodel:virtual-threads\r\nprocess_id:" + ProcessHandle.current().pid()
                + "\r\n\r\n# Clients\r\nconnected_clients:" + session.server.clients()
                + "\r\nmaxclients:" + options.maxConnections
                + "\r\n\r\n# Memory\r\nmaxmemory:" + store.bytes + "\r\n";
    }

    /** What redis-benchmark and redis-cli ask for; any other parameter is not there. */
    private void config(Decoder request) {
        if (!is(request, 1, "get")) {
            output.error("ERR unknown subcommand '" + printable(request, 1) + "'.");
            return;
        }
        if (request.count < 3) {
            wrongNumber("config|get");
            return;
        }
        String[][] known = {
            {"save", ""},
            {"appendonly", "no"},
            {"maxclients", Long.toString(session.server.options.maxConnections)},
            {"maxmemory", Long.toString(store.bytes)},
        };
        var found = new java.util.ArrayList<String>();
        for (String[] parameter : known) {
            for (int asked = 2; asked < request.count; asked++) {
                if (is(request, asked, parameter[0])) {
                    found.add(parameter[0]);
                    found.add(parameter[1]);
                    break;
                }
            }
        }
        output.arrayLength(found.size());
        found.forEach(output::bulk);
    }

    private void work(Decoder request) {
        long microseconds = bounded(request, MAX_WORK_US);
        if (microseconds >= 0) {
            NativeMemory.burn(microseconds * 1000);
            output.simple(OK);
        }
    }

    private void await(Decoder request) throws IOException {
        long milliseconds = bounded(request, MAX_WAIT_MS);
        if (milliseconds >= 0) {
            session.sleep(milliseconds);
            output.simple(OK);
        }
    }

    /** Holds so much private memory, each page written; what was held before is freed first. */
    private void touch(Decoder request) {
        long bytes = bounded(request, MAX_TOUCH_BYTES);
        if (bytes < 0) {
            return;
        }
        release();
        long address = NativeMemory.touched(bytes);
        if (address < 0) {
            output.error("ERR cannot map that much memory");
            return;
        }
        touched = address;
        touchedBytes = bytes;
        output.simple(OK);
    }

    /** Replies 1 and the retries to who has the seat, the retries below 0 to who came too late. */
    private void book(Decoder request) throws IOException {
        if (request.length(1) > Booking.MAX_NAME_BYTES) {
            output.error("ERR name of a seat is longer than 128 bytes");
            return;
        }
        for (Booking.Mode mode : Booking.Mode.values()) {
            if (is(request, 2, mode.word)) {
                var booking = new Booking(request.bytes, request.from(1), request.to(1), mode);
                switch (booking.run(store, session)) {
                    case BOOKED -> output.integer(1 + booking.retries());
                    case TAKEN -> output.integer(-booking.retries());
                    default -> output.error(OUT_OF_MEMORY);
                }
                return;
            }
        }
        output.error("ERR unknown mode '" + printable(request, 2) + "'; there are none, lock and optimistic");
    }

    private void crash() {
        if (session.server.options.allowCrash) {
            NativeMemory.crash();
        }
        output.error("ERR CRASH is refused; serve with --allow-crash");
    }

    /** The operand up to a bound; -1, and an error reply, if it is none. */
    private long bounded(Decoder request, long most) {
        long number = Decimal.bounded(request.bytes, request.from(1), request.to(1), most);
        if (number < 0) {
            output.error(NOT_AN_INTEGER);
        }
        return number;
    }

    private void wrongNumber(String name) {
        output.error("ERR wrong number of arguments for '" + name + "' command");
    }

    /** Whether an argument is this word in lower case, in any case. */
    private static boolean is(Decoder request, int argument, String word) {
        if (request.length(argument) != word.length()) {
            return false;
        }
        for (int at = 0; at < word.length(); at++) {
            byte letter = request.bytes[request.from(argument) + at];
            if ((letter >= 'A' && letter <= 'Z' ? letter + 32 : letter) != word.charAt(at)) {
                return false;
            }
        }
        return true;
    }

    /** The first 128 bytes of an argument, fit for an error line. */
    private static String printable(Decoder request, int argument) {
        int from = request.from(argument);
        return Output.escaped(request.bytes, from, Math.min(request.to(argument), from + 128));
    }

    private static long name(String name) {
        byte[] bytes = name.getBytes(StandardCharsets.US_ASCII);
        return name(bytes, 0, bytes.length);
    }

    /** A name in upper case with its length before it, as one number; 0 if it is longer than any command. */
    private static long name(byte[] from, int start, int end) {
        if (end - start > 7) {
            return 0;
        }
        long name = end - start;
        for (int at = start; at < end; at++) {
            int letter = from[at] & 0xff;
            name = name << 8 | (letter >= 'a' && letter <= 'z' ? letter - 32 : letter);
        }
        return name;
    }
}
