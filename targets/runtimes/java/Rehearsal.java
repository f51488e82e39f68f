import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;

/**
 * Serves one client of its own, before others come: classes are loaded and linked when first used, and
 * pollers started, which would otherwise be counted among what the first client costs.
 */
final class Rehearsal {
    private static final String SCRIPT = "SET k v\r\nGET k\r\nGET none\r\nINCR n\r\nDEL k n\r\nECHO a\r\nWORK 10\r\n"
            + "TOUCH 65536\r\nTOUCH 0\r\nBOOK a lock\r\nBOOK a none\r\nINFO\r\nCONFIG GET save\r\nnone\r\nWAIT 1\r\nQUIT\r\n";

    private Rehearsal() {}

    static void run(Options options) throws IOException {
        var small = new Options();
        small.version = options.version;
        small.sharedStateBytes = 2 << 20;
        try (var listener = ServerSocketChannel.open()) {
            listener.bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 1);
            var server = new Server(listener, small);
            try (var client = SocketChannel.open(listener.getLocalAddress())) {
                var connection = listener.accept();
                Thread.ofVirtual().start(new Session(server, connection));
                client.write(ByteBuffer.wrap("*1\r\n$4\r\nPING\r\n".getBytes(StandardCharsets.US_ASCII)));
                client.write(ByteBuffer.wrap(SCRIPT.getBytes(StandardCharsets.US_ASCII)));
                var replies = ByteBuffer.allocate(4096);
                while (client.read(replies) >= 0) {
                    replies.clear();
                }
            }
        }
    }
}
