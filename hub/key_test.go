package hub

import (
	"encoding/base64"
	"strings"
	"testing"
)

func TestNewKey(t *testing.T) {
	a, b := NewKey(), NewKey()
	if a == b {
		t.Error("two new keys are the same")
	}
	if key, err := DecodeKey(a); err != nil || len(key) != 32 {
		t.Errorf("DecodeKey(NewKey()) has %d bytes, %v, want 32", len(key), err)
	}
}

func TestDecodeKey(t *testing.T) {
	keyOf := func(n int) string { return base64.StdEncoding.EncodeToString(make([]byte, n)) }
	for name, n := range map[string]int{"shortest": 16, "usual": 32, "longest": 64} {
		if key, err := DecodeKey(keyOf(n)); err != nil || len(key) != n {
			t.Errorf("%s: %d bytes, %v, want %d", name, len(key), err, n)
		}
	}
	for name, text := range map[string]string{
		"empty": "", "15 bytes": keyOf(15), "65 bytes": keyOf(65),
		"no base64": "s3cret, not base64!!!!!!", "no padding": strings.TrimRight(keyOf(32), "="),
		"url-safe": strings.Repeat("_", 44), "line break": keyOf(32)[:20] + "\n" + keyOf(32)[20:],
		"bits over": strings.Repeat("A", 42) + "B=", "space behind": keyOf(32) + " ",
	} {
		_, err := DecodeKey(text)
		if CodeOf(err) != ArgumentInvalid {
			t.Errorf("%s: %v, want ArgumentInvalid", name, err)
		}
		if text != "" && strings.Contains(err.Error(), text) {
			t.Errorf("%s: the error %q holds the key", name, err)
		}
	}
}
