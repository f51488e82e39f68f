package main

import (
	"fmt"
	"net"
	"os"
	"runtime/debug"
	"sync"
	"syscall"
	"time"
)

const (
	// The room for one read, in bytes.
	readBytes = 16 << 10
	// Waiting replies beyond which no command is executed, in bytes.
	maxWaitingBytes = 64 << 10
	// Buffers that have grown beyond this are not kept for others, in bytes.
	maxKeptBytes = 4 * maxWaitingBytes
)

// What requests are read, decoded and answered in. A goroutine has one only while it is in the middle
// of a request or has just read: waiting for the next one, it has none.
type desk struct {
	input []byte
	// Where in the input what was read but not yet executed begins and ends.
	start, end int
	decoder    decoder
	output     []byte
}

var desks = sync.Pool{New: func() any {
	return &desk{input: make([]byte, readBytes), decoder: decoder{missing: notBegun}}
}}

// The state of one connection.
type session struct {
	server     *server
	connection *net.TCPConn
	// nil while it waits with nothing begun.
	desk *desk
	// The memory that TOUCH asked for.
	touched []byte
	// What the last read brought: 0 at the end of the stream, less than 0 for an error.
	read int
}

// Serves a connection until the client goes, breaks the protocol or quits, or until the server is
// stopping, in which case requests already read are answered first.
func (s *server) serve(connection *net.TCPConn) {
	session := session{server: s, connection: connection}
	defer func() {
		// A panic ends this connection only.
		if cause := recover(); cause != nil {
			fmt.Fprintf(os.Stderr, "connscope-target: panic: %v\n%s", cause, debug.Stack())
		}
		unmap(session.touched)
		s.end(connection)
	}()
	session.exchange()
	shutDown(connection)
}

func (s *session) exchange() {
	raw, err := s.connection.SyscallConn()
	if err != nil {
		return
	}
	tryRead := s.tryRead
	for {
		if raw.Read(tryRead) != nil || s.read <= 0 {
			break
		}
		s.desk.end += s.read
		goesOn := s.execute()
		if s.flush() != nil || !goesOn || s.server.stopping.Load() {
			break
		}
		s.tidy()
	}
	if s.desk != nil {
		s.desk.reset()
		s.tidy()
	}
}

// Reads without blocking, as the runtime's own Read does; false where there is nothing, for the
// runtime to park the goroutine, meanwhile without buffers.
func (s *session) tryRead(descriptor uintptr) bool {
	if s.desk == nil {
		s.desk = desks.Get().(*desk)
	}
	for {
		read, err := syscall.Read(int(descriptor), s.desk.room())
		switch err {
		case nil:
			s.read = read
			return true
		case syscall.EAGAIN:
			s.tidy()
			return false
		case syscall.EINTR:
		default:
			s.read = -1
			return true
		}
	}
}

// Gives the desk back if nothing lies on it.
func (s *session) tidy() {
	d := s.desk
	if d.start != d.end || d.decoder.missing != notBegun {
		return
	}
	d.start, d.end = 0, 0
	s.desk = nil
	if cap(d.input) <= maxKeptBytes && cap(d.output) <= maxKeptBytes {
		desks.Put(d)
	}
}

// Executes the complete requests of the input; whether the connection goes on.
func (s *session) execute() bool {
	for {
		d := s.desk
		if len(d.output) >= maxWaitingBytes {
			if s.flush() != nil {
				return false
			}
		}
		input := d.input[d.start:d.end]
		length, err := d.decoder.decode(input)
		if err != nil {
			d.output = appendError(d.output, "ERR Protocol error: "+err.Error())
			return false
		}
		if length == 0 {
			return true
		}
		goesOn := s.command(d.decoder.request(input))
		d.decoder.nextRequest()
		d.start += length
		if !goesOn {
			return false
		}
	}
}

// Writes all replies, waiting for the client to take them.
func (s *session) flush() error {
	if len(s.desk.output) == 0 {
		return nil
	}
	_, err := s.connection.Write(s.desk.output)
	s.desk.output = s.desk.output[:0]
	if cap(s.desk.output) > maxKeptBytes {
		s.desk.output = nil
	}
	return err
}

// Lets time pass without CPU, once the replies so far are written. False if the client has gone.
func (s *session) wait(period time.Duration) bool {
	if s.flush() != nil {
		return false
	}
	time.Sleep(period)
	return true
}

// Where to read to: behind what is there, with room for a read.
func (d *desk) room() []byte {
	if d.start > 0 {
		copy(d.input, d.input[d.start:d.end])
		d.start, d.end = 0, d.end-d.start
	}
	if len(d.input)-d.end < readBytes/4 {
		larger := make([]byte, d.end+max(readBytes, d.end))
		copy(larger, d.input[:d.end])
		d.input = larger
	}
	return d.input[d.end:]
}

func (d *desk) reset() {
	d.start, d.end = 0, 0
	d.decoder.nextRequest()
	d.output = d.output[:0]
}

func max(a, b int) int {
	if a > b {
		return a
	}
	return b
}
