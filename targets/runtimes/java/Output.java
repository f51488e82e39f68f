import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/** Replies not yet written: each method appends one. */
final class Output {
    /** Beyond this, a buffer is not kept for the next replies. */
    private static final int MAX_KEPT_BYTES = 16 << 10;
    private static final int FIRST_BYTES = 256;

    private byte[] bytes = new byte[FIRST_BYTES];
    private ByteBuffer view = ByteBuffer.wrap(bytes);
    private int length;

    int length() {
        return length;
    }

    /** All that is there, to be written; followed by `clear`. */
    ByteBuffer view() {
        return view.limit(length).position(0);
    }

    void clear() {
        length = 0;
        if (bytes.length > MAX_KEPT_BYTES) {
            resize(FIRST_BYTES);
        }
    }

    void simple(byte[] text) {
        reserve(text.length + 3);
        bytes[length++] = '+';
        append(text, 0, text.length);
        endLine();
    }

    /** `text` begins with its kind, mostly ERR, and has no line break. */
    void error(String text) {
        byte[] ascii = text.getBytes(StandardCharsets.US_ASCII);
        reserve(ascii.length + 3);
        bytes[length++] = '-';
        append(ascii, 0, ascii.length);
        endLine();
    }

    void integer(long value) {
        head(':', value);
    }

    void arrayLength(int count) {
        head('*', count);
    }

    void nothing() {
        head('$', -1);
    }

    void bulk(byte[] from, int start, int end) {
        reserve(end - start + 32);
        head('$', end - start);
        append(from, start, end);
        endLine();
    }

    void bulk(String text) {
        byte[] ascii = text.getBytes(StandardCharsets.US_ASCII);
        bulk(ascii, 0, ascii.length);
    }

    private void head(char kind, long number) {
        reserve(32);
        bytes[length++] = (byte) kind;
        length += Decimal.write(number, bytes, length);
        endLine();
    }

    private void append(byte[] from, int start, int end) {
        System.arraycopy(from, start, bytes, length, end - start);
        length += end - start;
    }

    private void endLine() {
        bytes[length++] = '\r';
        bytes[length++] = '\n';
    }

    private void reserve(int more) {
        int needed = length + more;
        if (needed > bytes.length) {
            // Large values by no more than is needed.
            resize(needed > 128 << 10 ? needed : Math.max(needed, 2 * bytes.length));
        }
    }

    private void resize(int capacity) {
        bytes = Arrays.copyOf(bytes, capacity);
        view = ByteBuffer.wrap(bytes);
    }

    /** The bytes fit for an error line: printable ASCII but quotes and backslashes as it is. */
    static String escaped(byte[] from, int start, int end) {
        var text = new StringBuilder();
        for (int at = start; at < end; at++) {
            int letter = from[at] & 0xff;
            switch (letter) {
                case '\t' -> text.append("\\t");
                case '\r' -> text.append("\\r");
                case '\n' -> text.append("\\n");
                case '\'', '"', '\\' -> text.append('\\').append((char) letter);
                default -> {
                    if (letter >= 0x20 && letter < 0x7f) {
                        text.append((char) letter);
                    } else {
                        text.append(String.format("\\x%02x", letter));
                    }
                }
            }
        }
        return text.toString();
    }
}
