package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"
)

const (
	// The most that WORK burns, in microseconds of CPU.
	maxWorkMicroseconds = 10_000_000
	// The most that WAIT waits, in milliseconds.
	maxWaitMilliseconds = 60_000
	// The most that TOUCH holds, in bytes.
	maxTouchBytes = 1 << 30

	outOfMemory  = "OOM command not allowed when used memory > 'maxmemory'."
	notAnInteger = "ERR value is not an integer or out of range"
	keyTooLong   = "ERR key is longer than 1024 bytes"
)

// Executes a request; whether the connection goes on after it.
func (s *session) command(r request) bool {
	if r.len() == 0 {
		return true
	}
	var upper [8]byte
	operands := r.len() - 1
	// A switch over a converted slice allocates nothing.
	switch string(upperCase(r.argument(0), &upper)) {
	case "PING":
		switch operands {
		case 0:
			s.simple("PONG")
		case 1:
			s.desk.output = appendBulk(s.desk.output, r.argument(1))
		default:
			s.wrongNumber(r)
		}
	case "ECHO":
		if operands == 1 {
			s.desk.output = appendBulk(s.desk.output, r.argument(1))
		} else {
			s.wrongNumber(r)
		}
	case "GET":
		if operands == 1 {
			s.desk.output = s.server.store.appendValue(s.desk.output, r.argument(1))
		} else {
			s.wrongNumber(r)
		}
	case "SET":
		s.set(r)
	case "DEL":
		s.delete(r)
	case "INCR":
		s.increment(r)
	case "INFO":
		s.desk.output = appendBulk(s.desk.output, s.server.info())
	case "CONFIG":
		s.config(r)
	case "COMMAND":
		s.desk.output = appendArrayLength(s.desk.output, 0)
	case "QUIT":
		s.simple("OK")
		return false
	default:
		return s.ownCommand(r)
	}
	return true
}

// The commands that Redis does not have.
func (s *session) ownCommand(r request) bool {
	var upper [8]byte
	switch name := upperCase(r.argument(0), &upper); {
	case string(name) == "BOOK":
		if r.len() == 3 {
			return s.book(r)
		}
	case string(name) == "CRASH":
		if r.len() == 1 {
			s.crash()
			return true
		}
	case string(name) == "WORK" || string(name) == "WAIT" || string(name) == "TOUCH":
		if r.len() == 2 {
			return s.spend(string(name), r.argument(1))
		}
	default:
		s.failure(fmt.Sprintf("ERR unknown command '%s'", printable(r.argument(0))))
		return true
	}
	s.wrongNumber(r)
	return true
}

// WORK, WAIT and TOUCH.
func (s *session) spend(name string, amount []byte) bool {
	most := map[string]uint64{
		"WORK": maxWorkMicroseconds, "WAIT": maxWaitMilliseconds, "TOUCH": maxTouchBytes,
	}
	number, ok := bounded(amount, most[name])
	if !ok {
		s.failure(notAnInteger)
		return true
	}
	switch name {
	case "WORK":
		burn(time.Duration(number) * time.Microsecond)
	case "WAIT":
		if !s.wait(time.Duration(number) * time.Millisecond) {
			return false
		}
	case "TOUCH":
		// What it held before is freed first.
		unmap(s.touched)
		var err error
		if s.touched, err = touchedMapping(int(number)); err != nil {
			s.failure("ERR cannot map that much memory")
			return true
		}
	}
	s.simple("OK")
	return true
}

func (s *session) set(r request) {
	switch {
	case r.len() < 3:
		s.wrongNumber(r)
	case r.len() > 3:
		s.failure("ERR syntax error")
	case len(r.argument(1)) > maxKeyBytes:
		s.failure(keyTooLong)
	case s.server.store.set(r.argument(1), r.argument(2)) != nil:
		s.failure(outOfMemory)
	default:
		s.simple("OK")
	}
}

func (s *session) delete(r request) {
	if r.len() < 2 {
		s.wrongNumber(r)
		return
	}
	deleted := int64(0)
	for index := 1; index < r.len(); index++ {
		if s.server.store.delete(r.argument(index)) {
			deleted++
		}
	}
	s.integer(deleted)
}

func (s *session) increment(r request) {
	if r.len() != 2 {
		s.wrongNumber(r)
		return
	}
	if len(r.argument(1)) > maxKeyBytes {
		s.failure(keyTooLong)
		return
	}
	switch sum, err := s.server.store.increment(r.argument(1)); err {
	case nil:
		s.integer(sum)
	case errNotAnInteger:
		s.failure(notAnInteger)
	case errOverflow:
		s.failure("ERR increment or decrement would overflow")
	default:
		s.failure(outOfMemory)
	}
}

func (s *server) info() string {
	return fmt.Sprintf("# Server\r\nserver:connscope-target\r\nversion:%s\r\nmodel:goroutines\r\n"+
		"process_id:%d\r\n\r\n# Clients\r\nconnected_clients:%d\r\nmaxclients:%d\r\n\r\n"+
		"# Memory\r\nmaxmemory:%d\r\n",
		s.version, os.Getpid(), s.clients.Load(), s.maxConnections, s.store.bytes)
}

// What redis-benchmark and redis-cli ask for; any other parameter is not there.
func (s *session) config(r request) {
	if r.len() < 2 {
		s.wrongNumber(r)
		return
	}
	if lowerCase(r.argument(1)) != "get" {
		s.failure(fmt.Sprintf("ERR unknown subcommand '%s'.", printable(r.argument(1))))
		return
	}
	if r.len() < 3 {
		s.failure("ERR wrong number of arguments for 'config|get' command")
		return
	}
	var found []string
	for _, parameter := range [][2]string{
		{"save", ""},
		{"appendonly", "no"},
		{"maxclients", strconv.FormatUint(uint64(s.server.maxConnections), 10)},
		{"maxmemory", strconv.Itoa(s.server.store.bytes)},
	} {
		for index := 2; index < r.len(); index++ {
			if lowerCase(r.argument(index)) == parameter[0] {
				found = append(found, parameter[0], parameter[1])
				break
			}
		}
	}
	s.desk.output = appendArrayLength(s.desk.output, len(found))
	for _, text := range found {
		s.desk.output = appendBulk(s.desk.output, text)
	}
}

func (s *session) simple(text string)   { s.desk.output = appendSimple(s.desk.output, text) }
func (s *session) failure(text string)  { s.desk.output = appendError(s.desk.output, text) }
func (s *session) integer(number int64) { s.desk.output = appendInteger(s.desk.output, number) }

func (s *session) wrongNumber(r request) {
	name := lowerCase([]byte(printable(r.argument(0))))
	s.failure(fmt.Sprintf("ERR wrong number of arguments for '%s' command", name))
}

// A name in upper case, empty when longer than any command.
func upperCase(name []byte, upper *[8]byte) []byte {
	if len(name) > len(upper) {
		return nil
	}
	for at, letter := range name {
		if letter >= 'a' && letter <= 'z' {
			letter -= 'a' - 'A'
		}
		upper[at] = letter
	}
	return upper[:len(name)]
}

// Letters of ASCII only, unlike the library's.
func lowerCase(text []byte) string {
	lower := []byte(string(text))
	for at, letter := range lower {
		if letter >= 'A' && letter <= 'Z' {
			lower[at] += 'a' - 'A'
		}
	}
	return string(lower)
}

// A decimal number up to a bound; a plus sign may stand before it.
func bounded(text []byte, most uint64) (uint64, bool) {
	text = bytes.TrimPrefix(text, []byte("+"))
	if len(text) == 0 || text[0] == '+' || text[0] == '-' {
		return 0, false
	}
	number, err := strconv.ParseUint(string(text), 10, 64)
	return number, err == nil && number <= most
}
