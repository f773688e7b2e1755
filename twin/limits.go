package twin

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/hubgate/hubgate/hub"
)

// The limits of a twin (Microsoft's page "understand and use device twins").
// The size of a section counts the characters of its keys and of its string
// values, 8 for a number, 4 for true and false, nothing for null, and what is
// in it for an object or an array; $version and $metadata don't count.
const (
	MaxTags     = 8 << 10  // size of tags
	MaxDesired  = 32 << 10 // size of properties.desired
	MaxReported = 32 << 10 // size of properties.reported
	MaxKey      = 1 << 10  // bytes of a key in UTF-8
	MaxString   = 4 << 10  // bytes of a string value in UTF-8
	MaxDepth    = 10       // objects and arrays inside each other below a section
	MinInteger  = -1 << 52 // -4503599627370496
	MaxInteger  = 1<<52 - 1
	// MaxNumber is how many characters the text of a number has at most. It is
	// Hubgate's own: the text is kept, and counts 8 however long it is.
	MaxNumber = 64
	// MaxBody is how many bytes a request has at most.
	MaxBody = 256 << 10
)

const (
	numberSize  = 8
	booleanSize = 4
)

// checkKey says what is wrong with a key.
func checkKey(key string) string {
	if len(key) > MaxKey {
		return "a key has at most 1024 bytes, and this one has " + strconv.Itoa(len(key))
	}
	for _, r := range key {
		switch {
		case unicode.IsControl(r):
			return "a key holds no control characters"
		case strings.ContainsRune(".$# ", r):
			return "a key holds none of . $ # and space"
		}
	}
	return ""
}

// checkNumber says what is wrong with the text of a number.
func checkNumber(text string) string {
	if len(text) > MaxNumber {
		return "a number has at most 64 characters, and this one has " + strconv.Itoa(len(text))
	}
	if strings.ContainsAny(text, ".eE") {
		if _, err := strconv.ParseFloat(text, 64); err != nil {
			return "the number is greater than a double can be"
		}
		return ""
	}
	if n, err := strconv.ParseInt(text, 10, 64); err != nil || n < MinInteger || n > MaxInteger {
		return "an integer is from -4503599627370496 to 4503599627370495"
	}
	return ""
}

// checkString says what is wrong with a string value.
func checkString(s string) string {
	if len(s) > MaxString {
		return "a string has at most 4096 bytes, and this one has " + strconv.Itoa(len(s))
	}
	return ""
}

// sizeOf counts the characters of a key or a string.
func sizeOf(s string) int { return utf8.RuneCountInString(s) }

// part is one of the three sections of a twin.
type part struct {
	name string
	max  int
	// IoT Hub has a code of its own for a device that reports too much, and
	// calls what the back end sends too much an invalid argument.
	tooBig hub.Code
}

func tagsPart() part     { return part{"tags", MaxTags, hub.ArgumentInvalid} }
func desiredPart() part  { return part{"properties.desired", MaxDesired, hub.ArgumentInvalid} }
func reportedPart() part { return part{"properties.reported", MaxReported, hub.TooManyProperties} }

// check refuses a section that has become too big.
func (p part) check(v *value) error {
	if v.size <= p.max {
		return nil
	}
	return hub.Errorf(p.tooBig, "%s would have a size of %d, and its limit is %d: it counts the characters of keys and strings, 8 for a number and 4 for a boolean", p.name, v.size, p.max)
}
