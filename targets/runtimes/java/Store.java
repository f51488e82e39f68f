import java.util.Arrays;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.locks.ReentrantLock;

/**
 * The key-value state that all connections share: hash tables with a lock each, looked up by bytes where
 * they lie, so that only a new key or a value of another size makes objects. What it may hold is counted
 * as in the other servers: an entry counts as the next power of two of its size, at least 64 bytes, and
 * each shard has its part of the whole.
 */
final class Store {
    static final int MAX_KEY_BYTES = 1024;
    static final int MAX_VALUE_BYTES = 512 << 10;
    private static final long SHARD_BYTES = 4 << 20;
    private static final int MAX_SHARDS = 64;
    private static final int MIN_BLOCK_BYTES = 64;
    private static final int MAX_BLOCK_BYTES = 1 << 20;
    private static final int ENTRY_BYTES = 16;
    /** Why a value was not incremented; sums are above these. */
    enum Failure { FULL, NOT_AN_INTEGER, OVERFLOW }

    final long bytes;
    private final Shard[] shards;
    private final int seed = ThreadLocalRandom.current().nextInt() | 1;

    Store(long bytes) {
        this.bytes = bytes;
        long most = Math.clamp(bytes / SHARD_BYTES, 1, MAX_SHARDS);
        shards = new Shard[(int) Long.highestOneBit(most)];
        long each = bytes / shards.length;
        // What the tables of the other servers take.
        long table = 4 * Math.max(64, nextPowerOfTwo(each / 256)) + 256;
        Arrays.setAll(shards, index -> new Shard(each - table));
    }

    /** Appends the value of a key as a bulk string, or a null if it is not there. */
    void appendValue(byte[] from, int start, int end, Output output) {
        int hash = hash(from, start, end);
        Shard shard = lock(hash);
        try {
            Entry found = shard.find(hash, from, start, end);
            if (found == null) {
                output.nothing();
            } else {
                output.bulk(found.value, 0, found.length);
            }
        } finally {
            shard.lock.unlock();
        }
    }

    /** Sets a key to a value, both from the same bytes; false if there is no room. */
    boolean set(byte[] from, int keyStart, int keyEnd, int valueStart, int valueEnd) {
        int hash = hash(from, keyStart, keyEnd);
        Shard shard = lock(hash);
        try {
            Entry found = shard.find(hash, from, keyStart, keyEnd);
            found = shard.make(found, hash, from, keyStart, keyEnd, valueEnd - valueStart);
            if (found == null) {
                return false;
            }
            System.arraycopy(from, valueStart, found.value, 0, valueEnd - valueStart);
            return true;
        } finally {
            shard.lock.unlock();
        }
    }

    boolean delete(byte[] from, int start, int end) {
        int hash = hash(from, start, end);
        Shard shard = lock(hash);
        try {
            return shard.remove(hash, from, start, end);
        } finally {
            shard.lock.unlock();
        }
    }

    /** Adds 1 to the integer at a key, 0 if it is not there, and replies; else why not. */
    Failure increment(byte[] from, int start, int end, Output output) {
        int hash = hash(from, start, end);
        Shard shard = lock(hash);
        try {
            Entry found = shard.find(hash, from, start, end);
            long old = 0;
            if (found != null) {
                old = found.integer();
                if (old == Long.MIN_VALUE && !found.isLeastInteger()) {
                    return Failure.NOT_AN_INTEGER;
                }
            }
            if (old == Long.MAX_VALUE) {
                return Failure.OVERFLOW;
            }
            byte[] digits = shard.digits;
            int length = Decimal.write(old + 1, digits, 0);
            found = shard.make(found, hash, from, start, end, length);
            if (found == null) {
                return Failure.FULL;
            }
            System.arraycopy(digits, 0, found.value, 0, length);
            output.integer(old + 1);
            return null;
        } finally {
            shard.lock.unlock();
        }
    }

    /** What becomes of a value. */
    interface Change {
        /** Sees the old value, null if there is none; answers the new one, null for none. */
        byte[] of(byte[] old);
    }

    /** Changes the value of a key: nothing comes between. False if there is no room. */
    boolean update(byte[] key, Change change) {
        int hash = hash(key, 0, key.length);
        Shard shard = lock(hash);
        try {
            Entry found = shard.find(hash, key, 0, key.length);
            byte[] value = change.of(found == null ? null : Arrays.copyOf(found.value, found.length));
            if (value == null) {
                return true;
            }
            found = shard.make(found, hash, key, 0, key.length, value.length);
            if (found == null) {
                return false;
            }
            System.arraycopy(value, 0, found.value, 0, value.length);
            return true;
        } finally {
            shard.lock.unlock();
        }
    }

    private Shard lock(int hash) {
        Shard shard = shards[hash & shards.length - 1];
        shard.lock.lock();
        return shard;
    }

    private int hash(byte[] from, int start, int end) {
        int hash = seed;
        for (int at = start; at < end; at++) {
            hash = 31 * hash + from[at];
        }
        hash = (hash ^ hash >>> 16) * 0x85EB_CA6B;
        hash = (hash ^ hash >>> 13) * 0xC2B2_AE35;
        return hash ^ hash >>> 16;
    }

    private static long nextPowerOfTwo(long number) {
        return number <= 1 ? 1 : Long.highestOneBit(number - 1) << 1;
    }

    /** A value in a block as large as the entry counts: one of about the same size needs no new one. */
    private static final class Entry {
        final byte[] key;
        final int hash;
        Entry next;
        byte[] value;
        int length;
        int block;

        Entry(byte[] key, int hash) {
            this.key = key;
            this.hash = hash;
        }

        /** As Redis reads one: no sign +, no blanks, no leading zeros, no -0. Else the least one. */
        long integer() {
            boolean negative = length > 0 && value[0] == '-';
            int from = negative ? 1 : 0;
            long number = Decimal.bounded(value, from, length, Long.MAX_VALUE);
            boolean canonical = number >= 0 && value[from] != '+' && (value[from] != '0' || length == 1);
            return canonical ? negative ? -number : number : Long.MIN_VALUE;
        }

        boolean isLeastInteger() {
            byte[] least = Long.toString(Long.MIN_VALUE).getBytes(java.nio.charset.StandardCharsets.US_ASCII);
            return Arrays.equals(value, 0, length, least, 0, least.length);
        }
    }

    private static final class Shard {
        final ReentrantLock lock = new ReentrantLock();
        final byte[] digits = new byte[20];
        private Entry[] table = new Entry[64];
        private int entries;
        private long used;
        private final long capacity;

        Shard(long capacity) {
            this.capacity = capacity;
        }

        Entry find(int hash, byte[] from, int start, int end) {
            Entry entry = table[place(hash)];
            while (entry != null
                    && (entry.hash != hash || !Arrays.equals(entry.key, 0, entry.key.length, from, start, end))) {
                entry = entry.next;
            }
            return entry;
        }

        /** Makes room for a value of that length, in the entry found or a new one; null if there is none. */
        Entry make(Entry found, int hash, byte[] from, int start, int end, int length) {
            int keyBytes = end - start;
            int block = (int) nextPowerOfTwo(Math.max(MIN_BLOCK_BYTES, ENTRY_BYTES + keyBytes + length));
            int before = found == null ? 0 : found.block;
            if (block > MAX_BLOCK_BYTES || used - before + block > capacity) {
                return null;
            }
            if (found == null) {
                found = new Entry(Arrays.copyOfRange(from, start, end), hash);
                add(found);
            }
            if (block != before) {
                found.value = new byte[block - ENTRY_BYTES - keyBytes];
                found.block = block;
                used += block - before;
            }
            found.length = length;
            return found;
        }

        boolean remove(int hash, byte[] from, int start, int end) {
            Entry found = find(hash, from, start, end);
            if (found == null) {
                return false;
            }
            Entry before = table[place(hash)];
            if (before == found) {
                table[place(hash)] = found.next;
            } else {
                while (before.next != found) {
                    before = before.next;
                }
                before.next = found.next;
            }
            entries--;
            used -= found.block;
            return true;
        }

        private void add(Entry entry) {
            if (entries == table.length) {
                Entry[] old = table;
                table = new Entry[2 * old.length];
                for (Entry chain : old) {
                    while (chain != null) {
                        Entry next = chain.next;
                        link(chain);
                        chain = next;
                    }
                }
            }
            link(entry);
            entries++;
        }

        private void link(Entry entry) {
            entry.next = table[place(entry.hash)];
            table[place(entry.hash)] = entry;
        }

        /** The low bits chose the shard. */
        private int place(int hash) {
            return hash >>> 6 & table.length - 1;
        }
    }
}
