/** Decimal numbers as text, without objects on the way. */
final class Decimal {
    private Decimal() {}

    /** Writes a number there and answers how many bytes it takes, at most 20. */
    static int write(long number, byte[] to, int at) {
        int digits = 1;
        for (long rest = number / 10; rest != 0; rest /= 10) {
            digits++;
        }
        int length = number < 0 ? digits + 1 : digits;
        long rest = number;
        for (int place = at + length - 1; digits > 0; digits--) {
            to[place--] = (byte) ('0' + Math.abs(rest % 10));
            rest /= 10;
        }
        if (number < 0) {
            to[at] = '-';
        }
        return length;
    }

    /** Reads a number up to `most`, -1 for anything else; a plus sign may stand before it. */
    static long bounded(byte[] text, int from, int to, long most) {
        int at = from < to && text[from] == '+' ? from + 1 : from;
        if (at == to) {
            return -1;
        }
        long value = 0;
        for (; at < to; at++) {
            int digit = text[at] - '0';
            if (digit < 0 || digit > 9 || value > (Long.MAX_VALUE - digit) / 10) {
                return -1;
            }
            value = value * 10 + digit;
        }
        return value <= most ? value : -1;
    }
}
