package config

import (
	"fmt"
	"strconv"
	"strings"
)

// Rate is so much in a time: 100/s, 50/min, 160KiB/s. The empty one, which is
// written 0, is no limit.
type Rate string

// UnmarshalText implements encoding.TextUnmarshaler.
func (r *Rate) UnmarshalText(text []byte) error {
	perSecond, err := parseRate(string(text))
	if err != nil {
		return err
	}
	if *r = Rate(text); perSecond == 0 {
		*r = ""
	}
	return nil
}

// String implements fmt.Stringer.
func (r Rate) String() string {
	if r == "" {
		return "0"
	}
	return string(r)
}

// PerSecond is the rate as a number; 0: no limit.
func (r Rate) PerSecond() float64 {
	perSecond, _ := parseRate(r.String()) // what is not a rate was refused
	return perSecond
}

func parseRate(text string) (perSecond float64, err error) {
	amount, per, _ := strings.Cut(text, "/")
	var seconds float64
	switch per {
	case "s", "":
		seconds = 1
	case "min", "m":
		seconds = 60
	case "h":
		seconds = 3600
	}
	var n Bytes
	if n.UnmarshalText([]byte(amount)) != nil || seconds == 0 {
		return 0, fmt.Errorf("%q is not a rate such as 100/s, 50/min or 160KiB/s; 0 is no limit", text)
	}
	return float64(n) / seconds, nil
}

// perSecond writes n of a unit a second.
func perSecond(n int, unit string) string { return strconv.Itoa(n) + unit + "/s" }
