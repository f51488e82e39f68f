import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/** What WORK, TOUCH, CRASH and the listener ask of the system below the runtime, by the C library. */
final class NativeMemory {
    private static final int PAGE_BYTES = 4096;
    private static final int READ_WRITE = 3;
    private static final int PRIVATE_ANONYMOUS = 0x22;
    private static final int ADVICE_NO_HUGE_PAGES = 15;
    private static final int THREAD_CPU_CLOCK = 3;
    private static final int SIGSEGV = 11;

    private static final MethodHandle MMAP = function("mmap", JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_INT,
            JAVA_INT, JAVA_INT, JAVA_LONG);
    private static final MethodHandle MUNMAP = function("munmap", JAVA_INT, JAVA_LONG, JAVA_LONG);
    private static final MethodHandle MADVISE = function("madvise", JAVA_INT, JAVA_LONG, JAVA_LONG, JAVA_INT);
    private static final MethodHandle CLOCK = function("clock_gettime", JAVA_INT, JAVA_INT, ADDRESS);
    private static final MethodHandle DUP = function("dup", JAVA_INT, JAVA_INT);
    private static final MethodHandle CLOSE = function("close", JAVA_INT, JAVA_INT);
    private static final MethodHandle SIGNAL = function("signal", JAVA_LONG, JAVA_INT, JAVA_LONG);

    private NativeMemory() {}

    /**
     * Private memory apart from the heap, one byte of each page written, without huge pages, so that each
     * page is one fault on every host. Answers its address: 0 for no bytes, -1 if there is not so much.
     */
    static long touched(long bytes) {
        if (bytes == 0) {
            return 0;
        }
        try {
            long address = (long) MMAP.invokeExact(0L, bytes, READ_WRITE, PRIVATE_ANONYMOUS, -1, 0L);
            if (address == -1) {
                return -1;
            }
            // A kernel built without huge pages refuses the advice, and needs none.
            int advised = (int) MADVISE.invokeExact(address, bytes, ADVICE_NO_HUGE_PAGES);
            var memory = MemorySegment.ofAddress(address).reinterpret(bytes);
            for (long offset = 0; offset < bytes; offset += PAGE_BYTES) {
                memory.set(JAVA_BYTE, offset, (byte) 1);
            }
            return address;
        } catch (Throwable impossible) {
            throw new AssertionError(impossible);
        }
    }

    static void free(long address, long bytes) {
        try {
            int freed = bytes == 0 ? 0 : (int) MUNMAP.invokeExact(address, bytes);
        } catch (Throwable impossible) {
            throw new AssertionError(impossible);
        }
    }

    /**
     * Burns CPU time of the carrier's own: time spent preempted does not count. A virtual thread that does
     * not block keeps its carrier, whose clock this is; others wait or find another carrier.
     */
    static void burn(long nanoseconds) {
        try (var arena = Arena.ofConfined()) {
            var clock = arena.allocate(16, 8);
            long end = threadCpu(clock) + nanoseconds;
            // The clock of the thread's CPU time is a system call, the wall clock is not: so spin by the
            // wall clock, then see how much of that was ours.
            for (long missing; (missing = end - threadCpu(clock)) > 0;) {
                long begun = System.nanoTime();
                while (System.nanoTime() - begun < missing) {
                    Thread.onSpinWait();
                }
            }
        }
    }

    private static long threadCpu(MemorySegment clock) {
        try {
            int read = (int) CLOCK.invokeExact(THREAD_CPU_CLOCK, clock);
            return clock.get(JAVA_LONG, 0) * 1_000_000_000 + clock.get(JAVA_LONG, 8);
        } catch (Throwable impossible) {
            throw new AssertionError(impossible);
        }
    }

    /** A new descriptor for what this one is; less than 0 if there is none to be had. */
    static int duplicate(int descriptor) {
        try {
            return (int) DUP.invokeExact(descriptor);
        } catch (Throwable impossible) {
            throw new AssertionError(impossible);
        }
    }

    static void close(int descriptor) {
        try {
            int closed = (int) CLOSE.invokeExact(descriptor);
        } catch (Throwable impossible) {
            throw new AssertionError(impossible);
        }
    }

    /**
     * Ends the process by SIGSEGV, as a null pointer does in code that is not Java's, such as a C
     * library's; the runtime would make a report of it and abort. A null of Java's own is an exception,
     * which would end this connection only.
     */
    static void crash() {
        try {
            long before = (long) SIGNAL.invokeExact(SIGSEGV, 0L);
        } catch (Throwable impossible) {
            throw new AssertionError(impossible);
        }
        MemorySegment.NULL.reinterpret(1).set(JAVA_BYTE, 0, (byte) 1);
    }

    private static MethodHandle function(String name, MemoryLayout result, MemoryLayout... arguments) {
        Linker linker = Linker.nativeLinker();
        MemorySegment address = linker.defaultLookup().findOrThrow(name);
        return linker.downcallHandle(address, FunctionDescriptor.of(result, arguments));
    }
}
