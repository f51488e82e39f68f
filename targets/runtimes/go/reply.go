package main

import "strconv"

func appendSimple(output []byte, text string) []byte {
	output = append(append(output, '+'), text...)
	return append(output, "\r\n"...)
}

// The text begins with its kind, mostly ERR, and has no line break.
func appendError(output []byte, text string) []byte {
	output = append(append(output, '-'), text...)
	return append(output, "\r\n"...)
}

func appendInteger(output []byte, value int64) []byte {
	output = strconv.AppendInt(append(output, ':'), value, 10)
	return append(output, "\r\n"...)
}

func appendArrayLength(output []byte, length int) []byte {
	output = strconv.AppendInt(append(output, '*'), int64(length), 10)
	return append(output, "\r\n"...)
}

func appendNull(output []byte) []byte {
	return append(output, "$-1\r\n"...)
}

// A bulk string of any bytes. The buffer grows once at most, and by no more than is needed for it.
func appendBulk[T string | []byte](output []byte, value T) []byte {
	if needed := len(output) + len(value) + 16; needed > cap(output) && len(value) > maxWaitingBytes {
		larger := make([]byte, len(output), needed)
		copy(larger, output)
		output = larger
	}
	output = strconv.AppendInt(append(output, '$'), int64(len(value)), 10)
	output = append(append(output, "\r\n"...), value...)
	return append(output, "\r\n"...)
}

// The bytes fit for an error line: printable ASCII but quotes and backslashes as it is.
func escaped(bytes []byte) string {
	const digits = "0123456789abcdef"
	var text []byte
	for _, byte := range bytes {
		switch {
		case byte == '\t':
			text = append(text, `\t`...)
		case byte == '\r':
			text = append(text, `\r`...)
		case byte == '\n':
			text = append(text, `\n`...)
		case byte == '\'' || byte == '"' || byte == '\\':
			text = append(text, '\\', byte)
		case byte >= 0x20 && byte < 0x7f:
			text = append(text, byte)
		default:
			text = append(text, '\\', 'x', digits[byte>>4], digits[byte&15])
		}
	}
	return string(text)
}

// The first 128 bytes of a name, fit for an error line.
func printable(name []byte) string {
	return escaped(name[:min(len(name), 128)])
}
