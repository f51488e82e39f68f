import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.concurrent.atomic.AtomicLong;

/**
 * The last-ticket race: a customer looks whether a seat is free, thinks for a millisecond, and buys it.
 * A seat is the key `seat:NAME`, so that GET tells how often it was sold: `1`, or more where it was
 * oversold. While it is held for somebody, the end of that (in nanoseconds since the server began) and
 * the holder follow.
 */
final class Booking {
    static final int MAX_NAME_BYTES = 128;
    private static final byte[] PREFIX = "seat:".getBytes(StandardCharsets.US_ASCII);
    /** How long a customer thinks before buying. */
    private static final long THINKING_MS = 1;
    /** After how long a customer looks again at a seat that is held for another. */
    private static final long LOOK_AGAIN_MS = 1;
    /** For how long a seat is held at most. */
    private static final long HOLD_NS = 1_000_000_000;
    private static final long BEGUN_NS = System.nanoTime();
    /** Tells customers apart. */
    private static final AtomicLong LAST_CUSTOMER = new AtomicLong();

    /** What keeps two customers from buying the same seat. */
    enum Mode {
        NONE("none"), LOCK("lock"), OPTIMISTIC("optimistic");

        final String word;

        Mode(String word) {
            this.word = word;
        }
    }

    /** What came of a look or a purchase. */
    enum Step { THINK, LOOK_AGAIN, BOOKED, TAKEN, FULL }

    /** How often a seat was sold; for whom and until when it is held, for nobody if that is over. */
    private record Seat(long sold, long untilNs, long customer) {
        /** Anything else than what `text` writes is a seat that is free: a client may set the key too. */
        static Seat read(byte[] text) {
            long[] numbers = new long[3];
            int from = 0;
            for (int number = 0; text != null && number < 3 && from <= text.length; number++) {
                int to = from;
                while (to < text.length && text[to] != ' ') {
                    to++;
                }
                numbers[number] = Math.max(0, Decimal.bounded(text, from, to, Long.MAX_VALUE));
                from = to + 1;
            }
            return new Seat(numbers[0], numbers[1], numbers[2]);
        }

        byte[] text() {
            String text = untilNs == 0 && customer == 0 ? "" + sold : sold + " " + untilNs + " " + customer;
            return text.getBytes(StandardCharsets.US_ASCII);
        }
    }

    private final byte[] key;
    private final Mode mode;
    private final long customer = LAST_CUSTOMER.incrementAndGet();
    /** Until when the seat is held for this customer, under `Mode.LOCK`. */
    private long untilNs;
    private Step step;
    /** How often the customer began anew, since another had bought the seat meanwhile. */
    private long retries;

    Booking(byte[] from, int start, int end, Mode mode) {
        key = Arrays.copyOf(PREFIX, PREFIX.length + end - start);
        System.arraycopy(from, start, key, PREFIX.length, end - start);
        this.mode = mode;
    }

    /** Goes all the way; never answers that there is more to do. */
    Step run(Store store, Session session) throws IOException {
        while (true) {
            if (!store.update(key, this::look)) {
                return Step.FULL;
            }
            if (step == Step.THINK) {
                session.sleep(THINKING_MS);
                if (!store.update(key, this::buy)) {
                    return Step.FULL;
                }
                if (step != Step.TAKEN || mode != Mode.OPTIMISTIC) {
                    return step;
                }
                // Another has bought it since it was looked at.
                retries++;
            } else if (step == Step.LOOK_AGAIN) {
                session.sleep(LOOK_AGAIN_MS);
            } else {
                return step;
            }
        }
    }

    /** How often the customer began anew. */
    long retries() {
        return retries;
    }

    private byte[] look(byte[] old) {
        Seat seat = Seat.read(old);
        long nowNs = System.nanoTime() - BEGUN_NS;
        if (seat.sold > 0) {
            step = Step.TAKEN;
        } else if (mode == Mode.LOCK && seat.untilNs > nowNs && seat.untilNs - nowNs <= HOLD_NS) {
            step = Step.LOOK_AGAIN;
        } else {
            step = Step.THINK;
            if (mode == Mode.LOCK) {
                untilNs = nowNs + HOLD_NS;
                return new Seat(0, untilNs, customer).text();
            }
        }
        return null;
    }

    private byte[] buy(byte[] old) {
        Seat seat = Seat.read(old);
        boolean mayBuy = switch (mode) {
            case NONE -> true;
            case LOCK -> seat.untilNs == untilNs && seat.customer == customer;
            case OPTIMISTIC -> seat.sold == 0;
        };
        step = mayBuy ? Step.BOOKED : Step.TAKEN;
        return mayBuy ? new Seat(seat.sold + 1, 0, 0).text() : null;
    }
}
