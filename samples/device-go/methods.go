package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

const methodCalls = "$iothub/methods/POST/#" // $iothub/methods/POST/{name}/?$rid={request id}

// serveCall answers one call of a direct method. It has a goroutine of its own,
// for the back end waits, and so may other calls.
func (d *device) serveCall(ctx context.Context, topic string, payload []byte) {
	name, query, _ := strings.Cut(strings.TrimPrefix(topic, "$iothub/methods/POST/"), "/?")
	values, err := url.ParseQuery(query)
	if err != nil || !values.Has("$rid") {
		fmt.Println("this is no call:", topic)
		return
	}
	answer := func(status int, body any) {
		if err := d.answer(ctx, values.Get("$rid"), status, body); err != nil {
			fmt.Printf("%s is not answered: %v\n", name, err)
			return
		}
		fmt.Printf("method: %s %s: %d\n", name, payload, status)
	}
	switch name {
	case "reboot":
		d.reboot(ctx, payload, answer)
	default:
		answer(404, map[string]string{"error": "there is no method " + name})
	}
}

// answer publishes what the caller gets. The status is the device's own; by
// custom it is one of HTTP's.
func (d *device) answer(ctx context.Context, id string, status int, body any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	return d.publish(ctx, fmt.Sprintf("$iothub/methods/res/%d/?$rid=%s", status, url.QueryEscape(id)), text)
}

// reboot answers before it acts: a device that restarts answers nobody. What
// came of it is in the twin.
func (d *device) reboot(ctx context.Context, payload []byte, answer func(status int, body any)) {
	delay, err := parseDelay(payload)
	if err != nil {
		answer(400, map[string]string{"error": err.Error()})
		return
	}
	answer(200, map[string]any{"rebootingIn": delay.Seconds()})
	select {
	case <-time.After(delay):
	case <-ctx.Done():
		return
	}
	fmt.Println("rebooting") // your device does it here
	if err := d.report(ctx, map[string]any{"lastReboot": time.Now().UTC().Format(time.RFC3339)}); err != nil {
		fmt.Println(err)
	}
}

// parseDelay reads {"delay":5}, in seconds; without it the delay is 0.
func parseDelay(payload []byte) (time.Duration, error) {
	var request struct {
		Delay float64 `json:"delay"`
	}
	if len(payload) > 0 && json.Unmarshal(payload, &request) != nil || request.Delay < 0 || request.Delay > 3600 {
		return 0, errors.New(`the payload is {"delay":n}, with n from 0 to 3600 seconds`)
	}
	return time.Duration(request.Delay * float64(time.Second)), nil
}
