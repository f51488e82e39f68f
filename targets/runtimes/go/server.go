package main

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// How long a server that was asked to end waits for requests in progress.
	drainTime = 1500 * time.Millisecond
	// How long to leave the listener alone after an error that only time can cure.
	pause = 10 * time.Millisecond
)

// What goroutines share.
type server struct {
	options
	listener *net.TCPListener
	// A descriptor to give up when there are no more, so that a client can still be refused; -1 if
	// there is none.
	spare    int
	store    *store
	stopping atomic.Bool
	clients  atomic.Int64
	// Taken hold of when a connection begins or ends, never for a request.
	mutex       sync.Mutex
	connections map[*net.TCPConn]struct{}
	// A token when a connection has ended.
	ended chan struct{}
}

func newServer(listener *net.TCPListener, o options) *server {
	s := &server{
		options:     o,
		listener:    listener,
		store:       newStore(o.sharedStateBytes),
		connections: make(map[*net.TCPConn]struct{}),
		ended:       make(chan struct{}, 1),
	}
	s.openSpare()
	return s
}

func (s *server) openSpare() {
	spare, err := syscall.Open("/dev/null", syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		spare = -1
	}
	s.spare = spare
}

// Serves each client that comes in a goroutine of its own, until the listener is closed.
func (s *server) acceptAll() {
	for {
		connection, err := s.listener.AcceptTCP()
		switch {
		case err == nil && s.begin(connection):
			go s.serve(connection)
		case err == nil:
			refuse(connection)
		case errors.Is(err, net.ErrClosed):
			return
		case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
			s.refuseWithSpare()
		case errors.Is(err, syscall.ENOBUFS), errors.Is(err, syscall.ENOMEM):
			time.Sleep(pause)
		}
	}
}

// Notes a client, unless it is one too many.
func (s *server) begin(connection *net.TCPConn) bool {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if uint(len(s.connections)) >= s.maxConnections {
		return false
	}
	s.connections[connection] = struct{}{}
	s.clients.Add(1)
	if s.stopping.Load() {
		connection.CloseRead()
	}
	return true
}

func (s *server) end(connection *net.TCPConn) {
	s.mutex.Lock()
	delete(s.connections, connection)
	s.mutex.Unlock()
	s.clients.Add(-1)
	connection.Close()
	select {
	case s.ended <- struct{}{}:
	default:
	}
}

// Tells a client that comes while there are no descriptors left that it is one too many.
func (s *server) refuseWithSpare() {
	hadSpare := s.spare >= 0
	if hadSpare {
		syscall.Close(s.spare)
	}
	// It may have gone meanwhile.
	s.listener.SetDeadline(time.Now().Add(pause))
	connection, err := s.listener.AcceptTCP()
	s.listener.SetDeadline(time.Time{})
	if err == nil {
		refuse(connection)
	}
	s.openSpare()
	if !hadSpare || err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		time.Sleep(pause)
	}
}

// Closes the listener, wakes all goroutines that wait for a request, and waits for all to end, at
// most for drainTime.
func (s *server) drain() {
	deadline := time.After(drainTime)
	s.stopping.Store(true)
	s.listener.Close()
	s.mutex.Lock()
	for connection := range s.connections {
		connection.CloseRead()
	}
	s.mutex.Unlock()
	for s.clients.Load() > 0 {
		select {
		case <-s.ended:
		case <-deadline:
			return
		}
	}
}

func refuse(connection *net.TCPConn) {
	// The empty send buffer of a new connection takes this at once.
	connection.Write([]byte("-ERR max number of clients reached\r\n"))
	shutDown(connection)
	connection.Close()
}

// Ends a connection so that the client sees the last reply: closing with input unread would send a
// reset, which may overtake it. Does not block and reads a bounded amount.
func shutDown(connection *net.TCPConn) {
	connection.CloseWrite()
	raw, err := connection.SyscallConn()
	if err != nil {
		return
	}
	var rest [4096]byte
	raw.Read(func(descriptor uintptr) bool {
		for i := 0; i < 64; i++ {
			if read, err := syscall.Read(int(descriptor), rest[:]); read <= 0 || err != nil {
				break
			}
		}
		return true
	})
}
