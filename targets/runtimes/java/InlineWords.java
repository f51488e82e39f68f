import java.util.Arrays;

/**
 * The words of an inline line, quoted as in redis-cli. "..." knows \n, \r, \t, \b, \a, \xHH and \ before
 * any other byte; '...' knows \'.
 */
final class InlineWords {
    byte[] bytes = new byte[64];
    private int length;
    private byte[] line;
    private int at;
    private int end;

    /** False when a quote stays open or something touches a closing quote. */
    boolean split(byte[] input, int from, int to, Decoder request) {
        line = input;
        at = from;
        end = to;
        length = 0;
        for (skipBlanks(); at < end; skipBlanks()) {
            int start = length;
            if (!takeWord()) {
                return false;
            }
            request.addSpan(start, length);
        }
        line = null;
        return true;
    }

    private boolean takeWord() {
        if (isQuote(line[at])) {
            return takeQuoted(line[at++]);
        }
        while (at < end && !isBlank(line[at])) {
            // As in Redis, a quote may open inside a word: ab"c d" is one word.
            if (isQuote(line[at])) {
                return takeQuoted(line[at++]);
            }
            add(line[at++]);
        }
        return true;
    }

    /** Takes what follows an opening quote, the closing one included. */
    private boolean takeQuoted(byte quote) {
        while (at < end) {
            byte next = line[at++];
            if (next == quote) {
                return at == end || isBlank(line[at]);
            }
            if (next != '\\') {
                add(next);
            } else if (quote == '"') {
                if (at == end) {
                    return false;
                }
                takeEscape();
            } else if (at < end && line[at] == '\'') {
                add(line[at++]);
            } else {
                add((byte) '\\');
            }
        }
        return false;
    }

    private void takeEscape() {
        if (line[at] == 'x' && end - at >= 3) {
            int high = Character.digit((char) (line[at + 1] & 0xff), 16);
            int low = Character.digit((char) (line[at + 2] & 0xff), 16);
            if (high >= 0 && low >= 0) {
                add((byte) (high << 4 | low));
                at += 3;
                return;
            }
        }
        byte escape = line[at++];
        add((byte) switch (escape) {
            case 'n' -> '\n';
            case 'r' -> '\r';
            case 't' -> '\t';
            case 'b' -> 0x08;
            case 'a' -> 0x07;
            default -> escape;
        });
    }

    private void skipBlanks() {
        while (at < end && isBlank(line[at])) {
            at++;
        }
    }

    private void add(byte next) {
        if (length == bytes.length) {
            bytes = Arrays.copyOf(bytes, 2 * length);
        }
        bytes[length++] = next;
    }

    private static boolean isQuote(byte letter) {
        return letter == '"' || letter == '\'';
    }

    private static boolean isBlank(byte letter) {
        return letter == ' ' || letter == '\t' || letter == '\n' || letter == '\r' || letter == '\f';
    }
}
