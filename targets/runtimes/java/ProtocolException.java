/** Input that is not RESP or beyond its bounds, in Redis's words where Redis has them. */
final class ProtocolException extends Exception {
    ProtocolException(String message) {
        super(message, null, false, false);
    }
}
