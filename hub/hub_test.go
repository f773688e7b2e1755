package hub

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestParseIdentity(t *testing.T) {
	for in, want := range map[string]Identity{
		"d":                      {Device: "d"},
		"d/m":                    {Device: "d", Module: "m"},
		"-:.+%_#*?!(),=@;$'":     {Device: "-:.+%_#*?!(),=@;$'"},
		strings.Repeat("a", 128): {Device: strings.Repeat("a", 128)},
	} {
		got, err := ParseIdentity(in)
		if err != nil || got != want || got.String() != in {
			t.Errorf("ParseIdentity(%q) = %v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "/", "d/", "/m", "d/m/x", "a b", "a>", `a\`, `a"`, "a&", "a<", "é", "a\x00", strings.Repeat("a", 129)} {
		if id, err := ParseIdentity(in); CodeOf(err) != ArgumentInvalid {
			t.Errorf("ParseIdentity(%q) = %v, %v, want ArgumentInvalid", in, id, err)
		}
	}
}

func TestCodeOf(t *testing.T) {
	cause := errors.New("cause")
	err := fmt.Errorf("get twin: %w", Errorf(DeviceNotFound, "no device: %w", cause))
	if CodeOf(err) != DeviceNotFound || !errors.Is(err, cause) || !errors.Is(err, &Error{Code: DeviceNotFound}) || errors.Is(err, &Error{Code: ModuleNotFound}) {
		t.Errorf("a wrapped error lost its code or its cause: %v", err)
	}
	for err, want := range map[error]Code{nil: 0, cause: ServerError, context.DeadlineExceeded: GatewayTimeout} {
		if got := CodeOf(err); got != want {
			t.Errorf("CodeOf(%v) = %d, want %d", err, got, want)
		}
	}
	if got := Errorf(Unauthorized, "wrong key").Error(); got != "401003 IotHubUnauthorized: wrong key" {
		t.Errorf("Error() = %q", got)
	}
}

// MQTT 3.1.1 codes 1, 2 and 4 make some SDK stop for ever, and 0 accepts.
func TestEveryCodeRefusesInEveryProtocol(t *testing.T) {
	for c := range Codes() {
		if k := c.Connack(); k != 3 && k != 5 {
			t.Errorf("%d: CONNACK %d, want 3 or 5", c, k)
		}
		if c.Reason() < 0x80 {
			t.Errorf("%d: MQTT 5 reason %#x is no failure", c, c.Reason())
		}
		if s := c.Status(); s < 400 || s > 599 {
			t.Errorf("%d: status %d", c, s)
		}
		if c.Name() == "" || c.Hint() == "" || (c != ServerError && c.Name() == ServerError.Name()) {
			t.Errorf("%d has no name or hint of its own", c)
		}
	}
	if Code(123).Connack() != 3 || Code(123).Name() != "ServerError" {
		t.Error("a code without a row is not a server error")
	}
}
