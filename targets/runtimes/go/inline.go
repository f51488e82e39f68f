package main

// Splits an inline line into words, quoted as in redis-cli. "..." knows \n, \r, \t, \b, \a, \xHH and
// \ before any other byte; '...' knows \'. False when a quote stays open or something touches a closing
// quote.
func (d *decoder) splitWords(line []byte) bool {
	rest := skipBlanks(line)
	for len(rest) > 0 {
		from := uint32(len(d.unquoted))
		ok := true
		switch rest[0] {
		case '"', '\'':
			rest, ok = d.takeQuoted(rest[1:], rest[0])
		default:
			rest, ok = d.takePlain(rest)
		}
		if !ok {
			return false
		}
		d.arguments = append(d.arguments, span{from, uint32(len(d.unquoted))})
		rest = skipBlanks(rest)
	}
	return true
}

func (d *decoder) takePlain(rest []byte) ([]byte, bool) {
	for at, byte := range rest {
		switch {
		case isBlank(byte):
			return rest[at:], true
		// As in Redis, a quote may open inside a word: ab"c d" is one word.
		case byte == '"' || byte == '\'':
			return d.takeQuoted(rest[at+1:], byte)
		}
		d.unquoted = append(d.unquoted, byte)
	}
	return nil, true
}

// Takes what follows an opening quote, the closing one included.
func (d *decoder) takeQuoted(rest []byte, quote byte) ([]byte, bool) {
	for len(rest) > 0 {
		byte := rest[0]
		rest = rest[1:]
		switch {
		case byte == quote:
			return rest, len(rest) == 0 || isBlank(rest[0])
		case byte != '\\':
			d.unquoted = append(d.unquoted, byte)
		case quote == '"':
			if len(rest) == 0 {
				return nil, false
			}
			rest = d.takeEscape(rest)
		case len(rest) > 0 && rest[0] == '\'':
			d.unquoted = append(d.unquoted, '\'')
			rest = rest[1:]
		default:
			d.unquoted = append(d.unquoted, '\\')
		}
	}
	return nil, false
}

func (d *decoder) takeEscape(rest []byte) []byte {
	if len(rest) >= 3 && rest[0] == 'x' {
		if high, low := hex(rest[1]), hex(rest[2]); high >= 0 && low >= 0 {
			d.unquoted = append(d.unquoted, byte(high<<4|low))
			return rest[3:]
		}
	}
	escape := rest[0]
	switch escape {
	case 'n':
		escape = '\n'
	case 'r':
		escape = '\r'
	case 't':
		escape = '\t'
	case 'b':
		escape = 0x08
	case 'a':
		escape = 0x07
	}
	d.unquoted = append(d.unquoted, escape)
	return rest[1:]
}

func hex(digit byte) int {
	switch {
	case digit >= '0' && digit <= '9':
		return int(digit - '0')
	case digit|0x20 >= 'a' && digit|0x20 <= 'f':
		return int(digit|0x20-'a') + 10
	}
	return -1
}

func skipBlanks(text []byte) []byte {
	for len(text) > 0 && isBlank(text[0]) {
		text = text[1:]
	}
	return text
}

func isBlank(byte byte) bool {
	return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r' || byte == '\f'
}
