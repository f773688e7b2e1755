package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	twinAnswers  = "$iothub/twin/res/#" // $iothub/twin/res/{status}/?$rid={request id}
	twinGet      = "$iothub/twin/GET/"
	twinReported = "$iothub/twin/PATCH/properties/reported/"
)

// twinAnswer is the hub's answer to a request about the twin.
type twinAnswer struct {
	status int
	body   []byte
}

// getTwin returns {"desired":{…},"reported":{…}}.
func (d *device) getTwin(ctx context.Context) ([]byte, error) {
	body, err := d.request(ctx, twinGet, nil)
	if err != nil {
		return nil, fmt.Errorf("get the twin: %w", err)
	}
	return body, nil
}

// report merges properties into the reported ones.
func (d *device) report(ctx context.Context, properties map[string]any) error {
	body, err := json.Marshal(properties)
	if err != nil {
		return fmt.Errorf("write reported properties: %w", err)
	}
	if _, err := d.request(ctx, twinReported, body); err != nil {
		return fmt.Errorf("report %s: %w", body, err)
	}
	fmt.Printf("reported: %s\n", body)
	return nil
}

// request sends a request and waits for the answer with its id. MQTT 3.1.1 knows
// no requests: the id in the topic makes one of two messages.
func (d *device) request(ctx context.Context, topic string, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, errors.New("the hub has not answered within a minute"))
	defer cancel()
	id := strconv.FormatUint(d.requests.Add(1), 10)
	answers := make(chan twinAnswer, 1)
	d.answers.Store(id, answers)
	defer d.answers.Delete(id)
	if err := d.publish(ctx, topic+"?$rid="+id, body); err != nil {
		return nil, err
	}
	select {
	case a := <-answers:
		if a.status/100 != 2 {
			return nil, fmt.Errorf("the hub answers %d: %s", a.status, a.body)
		}
		return a.body, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// takeAnswer gives an answer to who waits for it. One that nobody waits for any
// more is dropped.
func (d *device) takeAnswer(topic string, body []byte) {
	status, query, _ := strings.Cut(strings.TrimPrefix(topic, "$iothub/twin/res/"), "/?")
	code, err := strconv.Atoi(status)
	values, bad := url.ParseQuery(query)
	if err != nil || bad != nil {
		fmt.Println("this is no answer about the twin:", topic)
		return
	}
	if answers, waits := d.answers.LoadAndDelete(values.Get("$rid")); waits {
		answers.(chan twinAnswer) <- twinAnswer{code, body} // has room for this one
	}
}
