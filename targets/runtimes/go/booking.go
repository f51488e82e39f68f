package main

import (
	"bytes"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"
)

// The last-ticket race: a customer looks whether a seat is free, thinks for a millisecond, and buys
// it. A seat is the key `seat:NAME`, so that GET tells how often it was sold: `1`, or more where it was
// oversold. While it is held for somebody, the end of that (in nanoseconds since the server began) and
// the holder follow.

const (
	// The longest name of a seat, in bytes.
	maxSeatBytes = 128
	// How long a customer thinks before buying.
	thinking = time.Millisecond
	// After how long a customer looks again at a seat that is held for another.
	lookAgain = time.Millisecond
	// For how long a seat is held at most.
	holdTime = time.Second
)

var (
	begun = time.Now()
	// Tells customers apart.
	lastCustomer atomic.Uint64
)

// For whom a seat is held and until when: for nobody if that is over.
type hold struct {
	until    uint64
	customer uint64
}

type seat struct {
	sold uint64
	hold hold
}

// BOOK: replies 1 to who has the seat, 0 to who came too late; 1 more, or 1 less, for each time that the
// customer had to begin anew, which only optimistic makes them.
func (s *session) book(r request) bool {
	name, mode := r.argument(1), lowerCase(r.argument(2))
	switch {
	case len(name) > maxSeatBytes:
		s.failure("ERR name of a seat is longer than 128 bytes")
		return true
	case mode != "none" && mode != "lock" && mode != "optimistic":
		s.failure(fmt.Sprintf("ERR unknown mode '%s'; there are none, lock and optimistic", printable(r.argument(2))))
		return true
	}
	key := append([]byte("seat:"), name...)
	customer, retries := lastCustomer.Add(1), int64(0)
	for {
		held, taken, err := s.server.store.look(key, mode == "lock", customer)
		switch {
		case err != nil:
			s.failure(outOfMemory)
			return true
		case taken && held.until == 0:
			s.integer(-retries)
			return true
		case taken:
			if !s.wait(lookAgain) {
				return false
			}
			continue
		}
		if !s.wait(thinking) {
			return false
		}
		booked, err := s.server.store.buy(key, mode, held)
		switch {
		case err != nil:
			s.failure(outOfMemory)
		case booked:
			s.integer(1 + retries)
		case mode == "optimistic":
			// Another has bought it since it was looked at.
			retries++
			continue
		default:
			s.integer(0)
		}
		return true
	}
}

// Looks at a seat, and holds it where that is asked for. Taken: it was sold, or with a hold, which is
// another's.
func (s *store) look(key []byte, locks bool, customer uint64) (held hold, taken bool, err error) {
	now := uint64(time.Since(begun))
	err = s.update(key, func(old []byte) []byte {
		seat := readSeat(old)
		switch {
		case seat.sold > 0:
			taken = true
		case locks && seat.hold.until > now && seat.hold.until-now <= uint64(holdTime):
			held, taken = seat.hold, true
		case locks:
			held = hold{now + uint64(holdTime), customer}
			seat.hold = held
			return seat.text()
		}
		return nil
	})
	return held, taken, err
}

func (s *store) buy(key []byte, mode string, held hold) (booked bool, err error) {
	err = s.update(key, func(old []byte) []byte {
		seat := readSeat(old)
		if mode == "lock" && seat.hold != held || mode == "optimistic" && seat.sold > 0 {
			return nil
		}
		booked = true
		seat.sold++
		seat.hold = hold{}
		return seat.text()
	})
	return booked, err
}

// Anything else than what text writes is a seat that is free: a client may set the key too.
func readSeat(text []byte) seat {
	var numbers [3]uint64
	for i, word := range bytes.SplitN(text, []byte(" "), 4) {
		if i < len(numbers) {
			numbers[i], _ = bounded(word, 1<<64-1)
		}
	}
	return seat{numbers[0], hold{numbers[1], numbers[2]}}
}

func (s seat) text() []byte {
	text := strconv.AppendUint(nil, s.sold, 10)
	if s.hold != (hold{}) {
		text = append(text, fmt.Sprintf(" %d %d", s.hold.until, s.hold.customer)...)
	}
	return text
}
