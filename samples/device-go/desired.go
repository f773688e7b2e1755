package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

const desiredChanges = "$iothub/twin/PATCH/properties/desired/#" // …/?$version={version}

// settings are those properties of a section of the twin that this device
// knows. A back end may write anything, so their types are checked one by one.
type settings struct {
	Interval json.RawMessage `json:"telemetryInterval"` // seconds
	Firmware json.RawMessage `json:"firmware"`
}

// takeChange hears of a change of desired properties. It holds what has changed;
// followDesired reads all of them instead, so that neither a change that came
// while the device was away nor the order of two changes matters.
func (d *device) takeChange(patch []byte) {
	fmt.Printf("desired: %s\n", patch)
	d.wake()
}

// wake has followDesired look, now or again.
func (d *device) wake() {
	select {
	case d.desired <- struct{}{}:
	default: // it will look anyway
	}
}

// followDesired brings the device into the desired state and reports what it has
// become: after each connection, and after each change.
func (d *device) followDesired(ctx context.Context) {
	for {
		select {
		case <-d.desired:
		case <-ctx.Done():
			return
		}
		if err := d.apply(ctx); err != nil && ctx.Err() == nil {
			fmt.Println("the twin is tried again in ten seconds:", err)
			time.AfterFunc(10*time.Second, d.wake)
		}
	}
}

// apply reads the twin, does what it says, and reports what has become different.
func (d *device) apply(ctx context.Context) error {
	body, err := d.getTwin(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("twin: %s\n", body)
	var twin struct{ Desired, Reported settings }
	if err := json.Unmarshal(body, &twin); err != nil {
		return fmt.Errorf("read the twin: %w", err)
	}
	if len(twin.Desired.Interval) > 0 {
		d.setInterval(ctx, twin.Desired.Interval)
	}
	is := map[string]any{"telemetryInterval": d.interval.Seconds(), "firmware": "1.0.0"}
	if same(is["telemetryInterval"], twin.Reported.Interval) && same(is["firmware"], twin.Reported.Firmware) {
		return nil // a report that changes nothing costs a write all the same
	}
	return d.report(ctx, is)
}

// setInterval takes over a desired interval. One that makes no sense changes
// nothing, and what is reported shows it.
func (d *device) setInterval(ctx context.Context, value json.RawMessage) {
	every, err := parseInterval(value)
	if err != nil {
		fmt.Printf("telemetryInterval %s: %v\n", value, err)
		return
	}
	if every == d.interval {
		return
	}
	select {
	case d.intervals <- every:
		d.interval = every
	case <-ctx.Done():
	}
}

func parseInterval(value json.RawMessage) (time.Duration, error) {
	var seconds float64
	if json.Unmarshal(value, &seconds) != nil || seconds < 1 || seconds > 86400 {
		return 0, errors.New("give a number of seconds from 1 to 86400")
	}
	return time.Duration(seconds * float64(time.Second)), nil
}

// same reports whether the twin holds the value already.
func same(value any, reported json.RawMessage) bool {
	var old any
	return json.Unmarshal(reported, &old) == nil && old == value
}
