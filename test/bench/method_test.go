//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

func TestMethodAnswer(t *testing.T) {
	const rid = "/?$rid=1f"
	body := strings.Repeat("b", 200)
	quiet := appendHeader(nil, typePublishQ0, 2+len(methodAsks+"reboot"+rid)+len(body))
	quiet = append(appendString(quiet, methodAsks+"reboot"+rid), body...)
	tests := map[string]struct {
		packet []byte
		puback string
		ok     bool
	}{
		"QoS 0":       {quiet, "", true},
		"QoS 1":       {newPublish(methodAsks+"reboot"+rid, []byte(body)).append(nil, 9), "\x40\x02\x00\x09", true},
		"other topic": {newPublish("a/b", nil).append(nil, 9), "", false},
		"PINGRESP":    {[]byte{typePingresp, 0}, "", false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			out := appendMethodAnswer(nil, tc.packet)
			if !tc.ok {
				if len(out) > 0 {
					t.Errorf("answered with %q", out)
				}
				return
			}
			answer, found := bytes.CutPrefix(out, []byte(tc.puback))
			topic, payload, err := splitPublish(answer)
			if !found || err != nil || string(topic) != methodAnswers+"1f" || string(payload) != body {
				t.Errorf("got %q: %q, %q, %v", out, topic, payload, err)
			}
		})
	}
}

func TestDocuments(t *testing.T) {
	if !json.Valid([]byte(document())) || !json.Valid(methodBody(256)) || !json.Valid([]byte(patchBody)) {
		t.Errorf("not JSON: %s, %s or %s", document(), methodBody(256), patchBody)
	}
	if n := len(document()); n < kilobyte-200 || n > kilobyte {
		t.Errorf("the document has %d bytes", n)
	}
	if n := storedTwin(); n <= len(document()) {
		t.Errorf("a stored twin has %d bytes, and its properties have %d", n, len(document()))
	}
	if n := len(methodBody(256)); n != 256 {
		t.Errorf("the body of a method has %d bytes", n)
	}
}
