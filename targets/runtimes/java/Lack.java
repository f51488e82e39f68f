import java.io.IOException;

/** What the system did not have when a connection was to be accepted: an error number, which Java tells in words only. */
enum Lack {
    DESCRIPTORS,
    MEMORY,
    NONE;

    /** By the C library's words in the locale C, which launcher.sh sees to. */
    static Lack of(IOException error) {
        String words = String.valueOf(error.getMessage());
        // EMFILE, and ENFILE with more words behind.
        if (words.contains("Too many open files")) {
            return DESCRIPTORS;
        }
        // ENOBUFS, ENOMEM.
        if (words.contains("No buffer space available") || words.contains("Cannot allocate memory")) {
            return MEMORY;
        }
        return NONE;
    }
}
