package direct_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/backend/direct"
)

// numbers are the numbers of messages.
func numbers(all []direct.Message) string {
	var s []string
	for _, m := range all {
		s = append(s, fmt.Sprint(m.Sequence))
	}
	return strings.Join(s, " ")
}

func TestNextBatch(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		direct, leader bool
	}{
		"batches": {direct: true}, "no direct gets": {}, "of the leader": {direct: true, leader: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, js, _ := stream(t, tt.direct)
			r := direct.New(js, "S")
			if tt.leader {
				r = direct.FromLeader(js, "S")
			}
			for _, to := range []string{"s.a", "s.b", "s.a", "s.a", "s.b", "s.a"} {
				if _, err := js.Publish(ctx, to, []byte("12345678")); err != nil {
					t.Fatal(err)
				}
			}
			s, err := js.Stream(ctx, "S")
			if err == nil {
				err = s.DeleteMsg(ctx, 3)
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range []struct {
				from     uint64
				subjects string
				room     direct.Room
				all, one string
				more     bool
			}{
				{0, "s.a", direct.Room{Messages: 10}, "1 4 6", "1", false},
				{0, "s.a", direct.Room{Messages: 2}, "1 4", "1", true},
				{2, "s.a", direct.Room{Messages: 2}, "4 6", "4", false},
				{0, "", direct.Room{Messages: 10}, "1 2 4 5 6", "1", false},
				{3, "", direct.Room{Messages: 2}, "4 5", "4", true},
				{0, "", direct.Room{Messages: 10, Bytes: 16}, "1 2", "1", true},
				{0, "", direct.Room{Messages: 1}, "1", "1", true},
				{7, "", direct.Room{Messages: 10}, "", "", false},
				{0, "s.c", direct.Room{Messages: 10}, "", "", false},
			} {
				got, more, err := r.NextBatch(ctx, want.from, want.subjects, want.room)
				if !tt.direct || tt.leader {
					want.all, want.more = want.one, want.one != ""
				}
				if numbers(got) != want.all || more != want.more || err != nil {
					t.Errorf("from %d of %q, %+v: got %q, %t, %v, want %q, %t", want.from, want.subjects, want.room, numbers(got), more, err, want.all, want.more)
				}
			}
			if _, _, err := direct.New(js, "NONE").NextBatch(ctx, 1, "", direct.Room{Messages: 5}); err == nil {
				t.Error("a batch of no stream")
			}
		})
	}
}

// A batch has what reads of one message have, whatever is in the headers.
func TestNextBatchBelievesTheServer(t *testing.T) {
	t.Parallel()
	ctx, js, w := stream(t, true)
	r := direct.New(js, "S")
	var want []string
	for name, tt := range hostile() {
		for _, body := range []string{"", "body"} {
			put(t, js, w, "s.a", tt.headers, body)
			want = append(want, name)
		}
	}
	for _, size := range []int{2, 7, 1000} {
		for _, subjects := range []string{"s.a", ""} {
			next, more := uint64(1), true
			for more {
				var got []direct.Message
				var err error
				if got, more, err = r.NextBatch(ctx, next, subjects, direct.Room{Messages: size}); err != nil {
					t.Fatal(err)
				}
				for _, m := range got {
					body := []string{"body", ""}[m.Sequence%2]
					if m.Sequence != next || m.Subject != "s.a" || string(m.Data) != body || time.Since(m.Time) > time.Hour {
						t.Errorf("%s: got %d on %s of %v, %q, want %d", want[next-1], m.Sequence, m.Subject, m.Time, m.Data, next)
					}
					next = m.Sequence + 1
				}
			}
			if int(next) != len(want)+1 {
				t.Errorf("%d of %d messages in batches of %d", next-1, len(want), size)
			}
		}
	}
}

// answerAs answers direct gets in the place of the server: with messages that
// have these headers. The count is that of requests.
func answerAs(t *testing.T, js jetstream.JetStream, all ...nats.Header) *int {
	t.Helper()
	asked := new(int)
	_, err := js.Conn().Subscribe("$JS.API.DIRECT.GET.S", func(m *nats.Msg) {
		*asked++
		for _, h := range all {
			_ = js.Conn().PublishMsg(&nats.Msg{Subject: m.Reply, Header: h})
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return asked
}

func message(n, before string) nats.Header {
	h := nats.Header{"Nats-Stream": {"S"}, "Nats-Subject": {"s.a"}, "Nats-Sequence": {n}, "Nats-Time-Stamp": {"2026-11-21T08:00:00Z"}}
	if before != "" {
		h["Nats-Num-Pending"], h["Nats-Last-Sequence"] = []string{"1"}, []string{before}
	}
	return h
}

// A server that does not know of batches answers with one message, and is asked
// for one from then on.
func TestNextBatchOfAnOldServer(t *testing.T) {
	t.Parallel()
	ctx, js, _ := stream(t, false)
	asked := answerAs(t, js, message("4", ""))
	r := direct.New(js, "S")
	for range 2 {
		got, more, err := r.NextBatch(ctx, 1, "s.a", direct.Room{Messages: 5})
		if numbers(got) != "4" || !more || err != nil {
			t.Errorf("got %q, %t, %v", numbers(got), more, err)
		}
	}
	if *asked != 2 {
		t.Errorf("asked %d times, want 2", *asked)
	}
}

// What is lost on the way ends the batch before it.
func TestNextBatchWithGap(t *testing.T) {
	t.Parallel()
	ctx, js, _ := stream(t, false)
	answerAs(t, js, message("4", "0"), message("9", "7"))
	got, more, err := direct.New(js, "S").NextBatch(ctx, 1, "s.a", direct.Room{Messages: 5})
	if numbers(got) != "4" || !more || err != nil {
		t.Errorf("got %q, %t, %v", numbers(got), more, err)
	}
}
