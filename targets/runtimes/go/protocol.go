package main

import (
	"bytes"
	"errors"
)

// Bounds of RESP, the Redis serialization protocol, in bytes.
const (
	maxRequestBytes    = 1 << 20
	maxBulkBytes       = maxValueBytes
	maxInlineBytes     = 64 << 10
	maxLengthLineBytes = 32
)

// What is refused, in Redis's words where Redis has them.
var (
	errArrayLength        = errors.New("invalid multibulk length")
	errArrayLengthTooLong = errors.New("too big mbulk count string")
	errBulkLength         = errors.New("invalid bulk length")
	errBulkLengthTooLong  = errors.New("too big bulk count string")
	errInlineTooLong      = errors.New("too big inline request")
	errUnbalancedQuotes   = errors.New("unbalanced quotes in request")
	errRequestTooLong     = errors.New("request larger than 1048576 bytes")
)

// Arguments still to come, before the request's first line is complete.
const notBegun = -1

// Where an argument lies: first byte and byte after the last.
type span struct{ from, to uint32 }

// Decodes one request after another; keeps its place in a request that is not complete, so that one
// that arrives in pieces is never read twice.
type decoder struct {
	arguments []span
	missing   int
	// Bytes of the request decoded so far.
	decoded int
	// The arguments of an inline request, without their quotes.
	unquoted []byte
	inline   bool
}

// A complete request.
type request struct {
	bytes     []byte
	arguments []span
}

func (r request) len() int { return len(r.arguments) }

// Argument 0 is the command's name.
func (r request) argument(index int) []byte {
	at := r.arguments[index]
	return r.bytes[at.from:at.to]
}

// Decodes the request at the start of input and answers its length; 0 if more bytes must follow.
func (d *decoder) decode(input []byte) (int, error) {
	if len(input) == 0 {
		return 0, nil
	}
	if d.missing == notBegun {
		if input[0] != '*' {
			return d.decodeInline(input)
		}
		if err := d.decodeArrayLine(input); err != nil {
			return 0, err
		}
	}
	return d.decodeBulks(input)
}

// The request that decode found complete in the same input.
func (d *decoder) request(input []byte) request {
	if d.inline {
		return request{d.unquoted, d.arguments}
	}
	return request{input, d.arguments}
}

func (d *decoder) nextRequest() {
	d.arguments = d.arguments[:0]
	d.missing = notBegun
	d.decoded = 0
	d.inline = false
	// One huge request must not be paid for for ever.
	if cap(d.arguments) > 1024 {
		d.arguments = nil
	}
	if cap(d.unquoted) > 1024 {
		d.unquoted = nil
	}
}

func (d *decoder) decodeArrayLine(input []byte) error {
	line := input[:min(len(input), maxLengthLineBytes)]
	end := bytes.IndexByte(line, '\n')
	if end < 0 {
		if len(line) == maxLengthLineBytes {
			return errArrayLengthTooLong
		}
		return nil
	}
	if line[end-1] != '\r' {
		return errArrayLength
	}
	count, ok := parseLength(line[1 : end-1])
	// The shortest bulk string is `$0\r\n\r\n`.
	if !ok || count > maxRequestBytes/6 {
		return errArrayLength
	}
	d.missing = count
	d.decoded = end + 1
	return nil
}

func (d *decoder) decodeBulks(input []byte) (int, error) {
	if d.missing == notBegun {
		return 0, nil
	}
	for d.missing > 0 {
		rest := input[d.decoded:]
		if len(rest) == 0 {
			return 0, nil
		}
		from, length, err := bulkLine(rest, d.decoded)
		if err != nil || from == 0 {
			return 0, err
		}
		// As in Redis, whatever two bytes follow end it.
		to := from + length
		if len(rest) < to+2 {
			return 0, nil
		}
		d.arguments = append(d.arguments, span{uint32(d.decoded + from), uint32(d.decoded + to)})
		d.decoded += to + 2
		d.missing--
	}
	return d.decoded, nil
}

// Reads the length line of a bulk string: where its bytes begin, 0 if the line is not complete, and
// how many they are. Refuses what can be refused by that line; start bytes of the request lie before.
func bulkLine(rest []byte, start int) (from, length int, err error) {
	if rest[0] != '$' {
		return 0, 0, errors.New("expected '$', got '" + escaped(rest[:1]) + "'")
	}
	line := rest[:min(len(rest), maxLengthLineBytes)]
	end := bytes.IndexByte(line, '\r')
	if end < 0 {
		if len(line) == maxLengthLineBytes {
			return 0, 0, errBulkLengthTooLong
		}
		return 0, 0, nil
	}
	length, ok := parseLength(line[1:end])
	if !ok || len(rest) > end+1 && rest[end+1] != '\n' || length > maxBulkBytes {
		return 0, 0, errBulkLength
	}
	if start+end+2+length+2 > maxRequestBytes {
		return 0, 0, errRequestTooLong
	}
	if len(rest) < end+2 {
		return 0, 0, nil
	}
	return end + 2, length, nil
}

func (d *decoder) decodeInline(input []byte) (int, error) {
	input = input[:min(len(input), maxInlineBytes)]
	end := bytes.IndexByte(input[d.decoded:], '\n')
	if end < 0 {
		d.decoded = len(input)
		if d.decoded == maxInlineBytes {
			return 0, errInlineTooLong
		}
		return 0, nil
	}
	end += d.decoded
	d.unquoted = d.unquoted[:0]
	if !d.splitWords(input[:end]) {
		return 0, errUnbalancedQuotes
	}
	d.inline = true
	return end + 1, nil
}

// Digits only; numbers beyond all bounds are none.
func parseLength(digits []byte) (int, bool) {
	value := 0
	for _, digit := range digits {
		if digit < '0' || digit > '9' || value > maxRequestBytes {
			return 0, false
		}
		value = value*10 + int(digit-'0')
	}
	return value, len(digits) > 0
}

func min(a, b int) int {
	if a < b {
		return a
	}
	return b
}
