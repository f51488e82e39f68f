package main

import (
	"os"
	"runtime"
	"syscall"
	"time"
	"unsafe"
)

// What WORK, TOUCH and CRASH ask of the system below the runtime.

const (
	adviceNoHugePages  = 15
	clockThreadCPUTime = 3
)

// Private memory apart from the runtime's heap, one byte of each page written, without huge pages, so
// that each page is one fault on every host. nil for no bytes.
func touchedMapping(bytes int) ([]byte, error) {
	if bytes == 0 {
		return nil, nil
	}
	mapping, err := syscall.Mmap(-1, 0, bytes, syscall.PROT_READ|syscall.PROT_WRITE,
		syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		return nil, err
	}
	// A kernel built without huge pages refuses the advice, and needs none.
	syscall.Madvise(mapping, adviceNoHugePages)
	page := os.Getpagesize()
	for offset := 0; offset < bytes; offset += page {
		mapping[offset] = 1
	}
	return mapping, nil
}

func unmap(mapping []byte) {
	if mapping != nil {
		syscall.Munmap(mapping)
	}
}

// Burns CPU time of the thread's own: time spent preempted does not count. The goroutine stays on its
// thread meanwhile, whose clock it looks at; the runtime may still let others go first.
func burn(cpu time.Duration) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	end := threadCPUTime() + cpu
	// The clock of the thread's CPU time is a system call, the wall clock is not: so spin by the wall
	// clock, then see how much of that was ours.
	for {
		missing := end - threadCPUTime()
		if missing <= 0 {
			return
		}
		for begun := time.Now(); time.Since(begun) < missing; {
		}
	}
}

func threadCPUTime() time.Duration {
	var clock syscall.Timespec
	syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, clockThreadCPUTime, uintptr(unsafe.Pointer(&clock)), 0)
	return time.Duration(clock.Nano())
}

// Ends the process by SIGSEGV, as a null pointer does in code that is not Go's, such as a C library's.
// A nil pointer of Go's own is a panic, which serve recovers from: it would end this connection only.
func (s *session) crash() {
	if !s.server.allowCrash {
		s.failure("ERR CRASH is refused; serve with --allow-crash")
		return
	}
	// The kernel's struct sigaction, all zero: the default action, which is to end.
	var action [4]uint64
	syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(syscall.SIGSEGV),
		uintptr(unsafe.Pointer(&action)), 0, 8, 0, 0)
	var nowhere *byte
	*nowhere = 0
}
