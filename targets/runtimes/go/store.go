package main

import (
	"errors"
	"hash/maphash"
	"math/bits"
	"strconv"
	"sync"
)

// Bounds of the shared state, in bytes: the same as those of the other servers.
const (
	maxKeyBytes   = 1024
	maxValueBytes = 512 << 10
	shardBytes    = 4 << 20
	maxShards     = 64
	minBlockBytes = 64
	maxBlockBytes = 1 << 20
	entryBytes    = 16
)

var (
	errFull         = errors.New("full")
	errNotAnInteger = errors.New("not an integer")
	errOverflow     = errors.New("overflow")
)

// The key-value state that all connections share: maps with a mutex each. What it may hold is counted
// as in the other servers: an entry counts as the next power of two of its size, at least 64 bytes, and
// each shard has its part of the whole.
type store struct {
	shards []shard
	seed   maphash.Seed
	bytes  int
}

type shard struct {
	mutex    sync.Mutex
	entries  map[string]*entry
	used     int
	capacity int
	// Two shards' mutexes do not share a cache line.
	_ [32]byte
}

// A value in a block of its own, as large as the entry counts: a new value of about the same size
// needs no allocation.
type entry struct {
	value []byte
	block int
}

func newStore(bytes int) *store {
	shards := max(1, min(maxShards, bytes/shardBytes))
	shards = 1 << (bits.Len(uint(shards)) - 1)
	s := &store{shards: make([]shard, shards), seed: maphash.MakeSeed(), bytes: bytes}
	each := bytes / shards
	// What the tables of the other servers take.
	table := 4*max(64, nextPowerOfTwo(each/256)) + 256
	for i := range s.shards {
		s.shards[i].entries = make(map[string]*entry)
		s.shards[i].capacity = each - table
	}
	return s
}

// Locks the shard of a key.
func (s *store) lock(key []byte) *shard {
	shard := &s.shards[maphash.Bytes(s.seed, key)&uint64(len(s.shards)-1)]
	shard.mutex.Lock()
	return shard
}

// Appends the value of a key as a bulk string, or a null if it is not there.
func (s *store) appendValue(output []byte, key []byte) []byte {
	shard := s.lock(key)
	defer shard.mutex.Unlock()
	if found := shard.entries[string(key)]; found != nil {
		return appendBulk(output, found.value)
	}
	return appendNull(output)
}

func (s *store) set(key, value []byte) error {
	shard := s.lock(key)
	defer shard.mutex.Unlock()
	return shard.set(shard.entries[string(key)], key, value)
}

func (s *store) delete(key []byte) bool {
	shard := s.lock(key)
	defer shard.mutex.Unlock()
	found := shard.entries[string(key)]
	if found == nil {
		return false
	}
	shard.used -= found.block
	delete(shard.entries, string(key))
	return true
}

// Adds 1 to the decimal integer at a key, 0 if it is not there.
func (s *store) increment(key []byte) (int64, error) {
	shard := s.lock(key)
	defer shard.mutex.Unlock()
	found := shard.entries[string(key)]
	old, ok := int64(0), true
	if found != nil {
		old, ok = parseInteger(found.value)
	}
	if !ok {
		return 0, errNotAnInteger
	}
	if old+1 < old {
		return 0, errOverflow
	}
	var digits [20]byte
	return old + 1, shard.set(found, key, strconv.AppendInt(digits[:0], old+1, 10))
}

// Lets change see the value of a key, nil if it is not there, and sets it to what that answers, unless
// it is nil: nothing comes between.
func (s *store) update(key []byte, change func(old []byte) []byte) error {
	shard := s.lock(key)
	defer shard.mutex.Unlock()
	found := shard.entries[string(key)]
	var old []byte
	if found != nil {
		old = found.value
	}
	if value := change(old); value != nil {
		return shard.set(found, key, value)
	}
	return nil
}

func (s *shard) set(found *entry, key, value []byte) error {
	block := nextPowerOfTwo(max(minBlockBytes, entryBytes+len(key)+len(value)))
	before := 0
	if found != nil {
		before = found.block
	}
	if block > maxBlockBytes || s.used-before+block > s.capacity {
		return errFull
	}
	if found == nil {
		found = &entry{}
		s.entries[string(key)] = found
	}
	if block != before {
		found.value = make([]byte, 0, block-entryBytes-len(key))
		found.block = block
		s.used += block - before
	}
	found.value = append(found.value[:0], value...)
	return nil
}

// Reads an integer as Redis does: no sign +, no blanks, no leading zeros, no -0.
func parseInteger(text []byte) (int64, bool) {
	digits := text
	negative := len(text) > 0 && text[0] == '-'
	if negative {
		digits = text[1:]
	}
	if len(digits) == 0 || len(digits) > 19 || digits[0] == '0' && len(text) > 1 {
		return 0, false
	}
	value := uint64(0)
	for _, digit := range digits {
		if digit < '0' || digit > '9' {
			return 0, false
		}
		value = value*10 + uint64(digit-'0')
	}
	switch {
	case negative && value <= 1<<63:
		return -int64(value), true
	case !negative && value < 1<<63:
		return int64(value), true
	}
	return 0, false
}

func nextPowerOfTwo(number int) int {
	return 1 << bits.Len(uint(number-1))
}
