import java.util.Arrays;

/**
 * RESP, the Redis serialization protocol: one request after another. Keeps its place in a request that
 * is not complete, so that one that arrives in pieces is never read twice.
 */
final class Decoder {
    private static final int MAX_REQUEST_BYTES = 1 << 20;
    private static final int MAX_BULK_BYTES = Store.MAX_VALUE_BYTES;
    private static final int MAX_INLINE_BYTES = 64 << 10;
    private static final int MAX_LENGTH_LINE_BYTES = 32;
    /** Arguments still to come, before the request's first line is complete. */
    private static final int NOT_BEGUN = -1;

    /** What the arguments of the complete request lie in. */
    byte[] bytes;
    /** The number of arguments, the command's name among them; 0 for an empty line. */
    int count;
    private int[] spans = new int[8];
    private int missing = NOT_BEGUN;
    /** Where the request begins in the input, and how much of it is decoded. */
    private int base;
    private int decoded;
    private InlineWords words;

    /** The first byte of an argument, 0 being the command's name. */
    int from(int argument) {
        return offset() + spans[2 * argument];
    }

    /** The byte after the last of an argument. */
    int to(int argument) {
        return offset() + spans[2 * argument + 1];
    }

    int length(int argument) {
        return spans[2 * argument + 1] - spans[2 * argument];
    }

    /** Spans count from the request's first byte, or are those of inline words. */
    private int offset() {
        return words != null && bytes == words.bytes ? 0 : base;
    }

    /** Decodes the request that begins at `start`; answers its length, 0 if more bytes must follow. */
    int decode(byte[] input, int start, int end) throws ProtocolException {
        if (start == end) {
            return 0;
        }
        base = start;
        bytes = input;
        if (missing == NOT_BEGUN) {
            if (input[start] != '*') {
                return decodeInline(input, end);
            }
            decodeArrayLine(input, end);
        }
        return decodeBulks(input, end);
    }

    void nextRequest() {
        count = 0;
        missing = NOT_BEGUN;
        decoded = 0;
        // One huge request must not be paid for by the connection for ever.
        if (spans.length > 2048) {
            spans = new int[8];
        }
        if (words != null && words.bytes.length > 1024) {
            words = null;
        }
    }

    void addSpan(int from, int to) {
        if (2 * count == spans.length) {
            spans = Arrays.copyOf(spans, 4 * count);
        }
        spans[2 * count] = from;
        spans[2 * count + 1] = to;
        count++;
    }

    private void decodeArrayLine(byte[] input, int end) throws ProtocolException {
        int limit = Math.min(end, base + MAX_LENGTH_LINE_BYTES);
        int line = find(input, base, limit, '\n');
        if (line < 0) {
            if (limit == base + MAX_LENGTH_LINE_BYTES) {
                throw new ProtocolException("too big mbulk count string");
            }
            return;
        }
        int number = input[line - 1] == '\r' ? parseLength(input, base + 1, line - 1) : -1;
        // The shortest bulk string is `$0\r\n\r\n`.
        if (number < 0 || number > MAX_REQUEST_BYTES / 6) {
            throw new ProtocolException("invalid multibulk length");
        }
        missing = number;
        decoded = line + 1 - base;
    }

    private int decodeBulks(byte[] input, int end) throws ProtocolException {
        if (missing == NOT_BEGUN) {
            return 0;
        }
        while (missing > 0) {
            int at = base + decoded;
            if (at == end) {
                return 0;
            }
            if (input[at] != '$') {
                throw new ProtocolException("expected '$', got '" + Output.escaped(input, at, at + 1) + "'");
            }
            int limit = Math.min(end, at + MAX_LENGTH_LINE_BYTES);
            int line = find(input, at, limit, '\r');
            if (line < 0) {
                if (limit == at + MAX_LENGTH_LINE_BYTES) {
                    throw new ProtocolException("too big bulk count string");
                }
                return 0;
            }
            int length = parseLength(input, at + 1, line);
            if (length < 0 || line + 1 < end && input[line + 1] != '\n' || length > MAX_BULK_BYTES) {
                throw new ProtocolException("invalid bulk length");
            }
            int from = line + 2 - base;
            if (from + length + 2 > MAX_REQUEST_BYTES) {
                throw new ProtocolException("request larger than 1048576 bytes");
            }
            // As in Redis, whatever two bytes follow end it.
            if (end - base < from + length + 2) {
                return 0;
            }
            addSpan(from, from + length);
            decoded = from + length + 2;
            missing--;
        }
        return decoded;
    }

    private int decodeInline(byte[] input, int end) throws ProtocolException {
        int limit = Math.min(end, base + MAX_INLINE_BYTES);
        int line = find(input, base + decoded, limit, '\n');
        if (line < 0) {
            decoded = limit - base;
            if (decoded == MAX_INLINE_BYTES) {
                throw new ProtocolException("too big inline request");
            }
            return 0;
        }
        if (words == null) {
            words = new InlineWords();
        }
        if (!words.split(input, base, line, this)) {
            throw new ProtocolException("unbalanced quotes in request");
        }
        bytes = words.bytes;
        return line + 1 - base;
    }

    private static int find(byte[] input, int from, int to, char wanted) {
        for (int at = from; at < to; at++) {
            if (input[at] == wanted) {
                return at;
            }
        }
        return -1;
    }

    /** Digits only, else -1; numbers beyond all bounds are none. */
    private static int parseLength(byte[] input, int from, int to) {
        int value = 0;
        for (int at = from; at < to; at++) {
            int digit = input[at] - '0';
            if (digit < 0 || digit > 9 || value > MAX_REQUEST_BYTES) {
                return -1;
            }
            value = value * 10 + digit;
        }
        return from == to ? -1 : value;
    }
}
