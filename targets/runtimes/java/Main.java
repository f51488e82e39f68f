import java.nio.channels.ServerSocketChannel;

/**
 * The model `virtual-threads`: a virtual thread for each connection, on the scheduler of the Java
 * runtime. It speaks the same protocol as the other reference servers, with the same commands and the
 * same bounds; `connscope-target serve --model virtual-threads` becomes this program and hands it the
 * listening socket as descriptor 0.
 *
 * Only what the kernel schedules is seen from outside: as many carrier threads as this process's
 * affinity has CPUs, one or two that poll sockets, a thread that accepts, and those of the runtime (the
 * compilers, the collector). That one virtual thread takes the place of another on a carrier, that it
 * waits in the scheduler's queue meanwhile, and that its frames are copied to the heap and back, are
 * loads and stores of this process.
 *
 * What is not as in the other servers: --stack-size is that of the carriers and reserves nothing for a
 * connection, whose frames are in the heap while it waits. What a connection holds is in the Java heap, which gives memory
 * back late: one connection less frees nothing that the kernel could see.
 */
final class Main {
    public static void main(String[] arguments) throws Exception {
        Options options = Options.parse(arguments);
        // Apart from the heap, whose live size decides when garbage is collected.
        if (NativeMemory.touched(options.residentBytes) < 0) {
            fail("cannot allocate " + options.residentBytes + " bytes; choose less with --resident");
        }
        ServerSocketChannel listener = inheritedListener();
        Server server = new Server(listener, options);
        server.drainOnSignals();
        Rehearsal.run(options);
        System.out.print("listening on " + address(listener) + "\n");
        System.out.flush();
        if (System.out.checkError()) {
            fail("cannot write to standard output");
        }
        server.acceptAll();
        // Ended by the signal's own thread, when all connections have.
        Thread.sleep(Long.MAX_VALUE);
    }

    private static ServerSocketChannel inheritedListener() throws Exception {
        if (System.inheritedChannel() instanceof ServerSocketChannel listener) {
            return listener;
        }
        fail("descriptor 0 is no listening socket: start this by connscope-target serve");
        throw new AssertionError();
    }

    private static String address(ServerSocketChannel listener) throws Exception {
        var address = (java.net.InetSocketAddress) listener.getLocalAddress();
        String host = address.getAddress().getHostAddress();
        return (host.contains(":") ? "[" + shortest(host) + "]" : host) + ":" + address.getPort();
    }

    /** The longest run of zero groups left out, as others write addresses of version 6. */
    private static String shortest(String host) {
        String longest = "";
        for (var zeros = java.util.regex.Pattern.compile("(^|:)(0(:|$)){2,}").matcher(host); zeros.find();) {
            longest = zeros.group().length() > longest.length() ? zeros.group() : longest;
        }
        return longest.isEmpty() ? host : host.replaceFirst(java.util.regex.Pattern.quote(longest), "::");
    }

    private static void fail(String why) {
        System.err.println("connscope-target: " + why);
        Runtime.getRuntime().halt(1);
    }
}
