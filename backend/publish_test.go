package backend

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/backend/direct"
)

// A publisher answers as nats.go's JetStream does, whatever the server says.
func TestPublisherIsJetStreams(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	b := open(t, s, Config{})
	ctx := testContext(t)
	over, cancel := context.WithCancel(ctx)
	cancel()
	bucket := b.sessions.bucket
	first, err := bucket.create(ctx, "first", []byte("1"))
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		ctx     context.Context //nolint:containedctx // of the case
		subject string
		body    []byte
		last    uint64
	}{
		"stale":        {ctx, bucket.putSubject("first"), nil, first + 1},
		"there":        {ctx, bucket.putSubject("first"), nil, 0},
		"too large":    {ctx, bucket.putSubject("large"), make([]byte, maxRecordBytes+1), 0},
		"over payload": {ctx, bucket.putSubject("larger"), make([]byte, b.nc.MaxPayload()+1), 0},
		"no stream":    {ctx, b.nc.NewInbox(), nil, 0},
		"too late":     {over, bucket.putSubject("late"), nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			_, got := bucket.writer.replace(tc.ctx, direct.Request{Subject: tc.subject, Data: tc.body}, tc.last)
			_, want := b.js.PublishMsg(tc.ctx, &nats.Msg{Subject: tc.subject, Header: nats.Header{}, Data: tc.body}, jetstream.WithExpectLastSequencePerSubject(tc.last))
			if got == nil || want == nil || got.Error() != want.Error() || apiCode(got) != apiCode(want) {
				t.Errorf("replace = %v, JetStream's client says %v", got, want)
			}
			for _, known := range []error{jetstream.ErrNoStreamResponse, nats.ErrMaxPayload, context.Canceled} {
				if errors.Is(got, known) != errors.Is(want, known) {
					t.Errorf("%v is %v or not, other than that of JetStream's client", got, known)
				}
			}
		})
	}
	second, err := bucket.writer.replace(ctx, direct.Request{Subject: bucket.putSubject("first"), Data: []byte("2")}, first)
	if e, readErr := bucket.get(ctx, "first"); err != nil || readErr != nil || string(e.Value()) != "2" || e.Revision() != second {
		t.Errorf("replace = %d, %v; the key has %v, %v", second, err, e, readErr)
	}
}

func TestSequenceOfAnswers(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		answer string
		want   uint64
		code   jetstream.ErrorCode
		err    error
	}{
		{answer: `{"stream":"KV_a", "seq":12}`, want: 12},
		{answer: `{"stream":"KV_a","domain":"hub", "seq":13}`, want: 13},
		{answer: `{"stream":"KV_a", "seq":14,"duplicate": true}`, want: 14},
		{answer: `{"seq":15,"stream":"KV_a"}`, want: 15},
		{answer: `{"error":{"code":400,"err_code":10071},"stream":"KV_a","seq":0}`, code: jetstream.JSErrCodeStreamWrongLastSequence},
		{answer: `{"error":{"code":503,"err_code":10077,"description":"full"}}`, code: errStoreFull},
		{answer: `{"stream":"", "seq":1}`, err: jetstream.ErrInvalidJSAck},
		{answer: `{"stream":"KV_a"`, err: jetstream.ErrInvalidJSAck},
		{answer: `hello`, err: jetstream.ErrInvalidJSAck},
		{answer: ``, err: jetstream.ErrInvalidJSAck},
		{answer: `null`, err: jetstream.ErrInvalidJSAck},
	} {
		got, err := sequenceOf([]byte(tc.answer))
		if got != tc.want || apiCode(err) != tc.code || tc.code == 0 && !errors.Is(err, tc.err) {
			t.Errorf("sequenceOf(%s) = %d, %v", tc.answer, got, err)
		}
	}
}

// Keys are those of JetStream's clients.
func FuzzIsKey(f *testing.F) {
	for _, key := range []string{"a", "a.b", ".a", "a.", "a..b", "", "A-z_/=9", "a*", ">", "a b", "é", "a\n"} {
		f.Add(key)
	}
	allowed := regexp.MustCompile(`^[-/_=\.a-zA-Z0-9]+$`)
	f.Fuzz(func(t *testing.T, key string) {
		want := allowed.MatchString(key) && key[0] != '.' && key[len(key)-1] != '.' && !strings.Contains(key, "..")
		if got := isKey(key); got != want {
			t.Errorf("isKey(%q) = %v", key, got)
		}
	})
}
