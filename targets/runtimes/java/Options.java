/** What the server was told on its command line. */
final class Options {
    String version = "";
    long maxConnections = 0xFFFF_FFFFL;
    long sharedStateBytes = 64 << 20;
    long residentBytes;
    boolean allowCrash;

    static Options parse(String[] arguments) {
        var options = new Options();
        for (int at = 0; at < arguments.length; at++) {
            switch (arguments[at]) {
                case "--server-version" -> options.version = arguments[++at];
                case "--max-connections" -> options.maxConnections = Long.parseLong(arguments[++at]);
                case "--shared-state" -> options.sharedStateBytes = Long.parseLong(arguments[++at]);
                case "--resident" -> options.residentBytes = Long.parseLong(arguments[++at]);
                // The launcher has told the runtime.
                case "--stack-size" -> at++;
                case "--allow-crash" -> options.allowCrash = true;
                default -> throw new IllegalArgumentException(arguments[at]);
            }
        }
        return options;
    }
}
