// The model `goroutines`: a goroutine for each connection, on the scheduler of the Go runtime. It
// speaks the same protocol as the other reference servers, with the same commands and the same bounds;
// `connscope-target serve --model goroutines` becomes this program and hands it the listening socket
// as descriptor 0.
//
// Only what the kernel schedules is seen from outside: GOMAXPROCS threads (the CPUs of this
// process's affinity) and a few more that block in system calls or watch over the others. That one
// goroutine takes the place of another on a thread, that it waits in the runtime's queue meanwhile,
// and that its stack moves as it grows, are loads and stores of this process.
//
// What is not as in the other servers: --stack-size bounds what a goroutine's stack may grow to, from
// 2 KiB, and reserves nothing. What a connection has given back is the collector's, later the kernel's.
package main

import (
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
)

// What the server was told on its command line.
type options struct {
	version          string
	maxConnections   uint
	sharedStateBytes int
	stackBytes       int
	residentBytes    int
	allowCrash       bool
	measure          bool
}

func main() {
	if err := run(parse()); err != nil {
		fmt.Fprintf(os.Stderr, "connscope-target: %v\n", err)
		os.Exit(1)
	}
}

func parse() options {
	var o options
	flag.StringVar(&o.version, "server-version", "", "version that INFO tells")
	flag.UintVar(&o.maxConnections, "max-connections", 1<<32-1, "connections served at a time")
	flag.IntVar(&o.sharedStateBytes, "shared-state", 64<<20, "size of the shared state, in bytes")
	flag.IntVar(&o.stackBytes, "stack-size", 1<<20, "most that a goroutine's stack may grow to, in bytes")
	flag.IntVar(&o.residentBytes, "resident", 0, "memory to write before serving, in bytes")
	flag.BoolVar(&o.allowCrash, "allow-crash", false, "obey CRASH")
	flag.BoolVar(&o.measure, "measure", false, "say what goroutines cost, and serve nothing")
	flag.Parse()
	return o
}

func run(o options) error {
	if o.measure {
		return measure()
	}
	debug.SetMaxStack(o.stackBytes)
	// Apart from the heap, whose live size decides when garbage is collected.
	if _, err := touchedMapping(o.residentBytes); err != nil {
		return fmt.Errorf("cannot allocate %d bytes; choose less with --resident", o.residentBytes)
	}
	inherited := os.NewFile(0, "listener")
	listener, err := net.FileListener(inherited)
	if err != nil {
		return fmt.Errorf("descriptor 0 is no listening socket: start this by connscope-target serve: %w", err)
	}
	inherited.Close()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	server := newServer(listener.(*net.TCPListener), o)
	if _, err := fmt.Printf("listening on %v\n", listener.Addr()); err != nil {
		return fmt.Errorf("cannot write to standard output: %w", err)
	}
	go server.acceptAll()
	<-signals
	server.drain()
	return nil
}
