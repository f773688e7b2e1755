package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/test/hubtest"
)

// sendC2D puts a message into the queue of a device as docs/c2d.md has it.
func (g *gateway) sendC2D(id string, m message) {
	g.t.Helper()
	header := nats.Header{}
	for name, value := range m.headers() {
		header[name] = []string{value}
	}
	if m.Ack != "" {
		header["iothub-ack"] = []string{m.Ack}
	}
	ctx, cancel := context.WithTimeout(g.t.Context(), patience)
	defer cancel()
	if _, err := g.JS.PublishMsg(ctx, &nats.Msg{Subject: "hub.c2d." + hubtest.Key(id), Header: header, Data: m.Body}); err != nil {
		g.t.Fatalf("send message %s to %s: %v", m.MessageID, id, err)
	}
}

// numbered is the i-th message of a series. The SDK's parsers find nothing hard in
// it.
func numbered(i int) message {
	return message{Body: fmt.Appendf(nil, "%03d", i), MessageID: fmt.Sprintf("m-%03d", i), Ack: "full"}
}

func (g *gateway) sendNumbered(id string, from, to int) (sent []message) {
	g.t.Helper()
	for i := from; i < to; i++ {
		sent = append(sent, numbered(i))
		g.sendC2D(id, numbered(i))
	}
	return sent
}

// outcome is a feedback, or what a dead letter says.
type outcome struct {
	ID     string    `json:"originalMessageId"`
	Status string    `json:"statusCode"`
	Device string    `json:"deviceId"`
	Gen    string    `json:"deviceGenerationId"`
	Time   time.Time `json:"enqueuedTimeUtc"`
}

// outcomes reads all feedback of a device, at least n.
func (g *gateway) outcomes(id string, n int) (all []outcome) {
	g.t.Helper()
	if n == 0 {
		g.Each(g.t, "HUB_FEEDBACK", "hub.feedback."+hubtest.Key(id), func(m jetstream.Msg) { all = append(all, readOutcome(g.t, m)) })
		return all
	}
	enough := func(got []jetstream.Msg) bool { return len(got) >= n }
	for _, m := range g.Consume(g.t, "HUB_FEEDBACK", "hub.feedback."+hubtest.Key(id), enough) {
		all = append(all, readOutcome(g.t, m))
	}
	return all
}

func readOutcome(t *testing.T, m jetstream.Msg) (o outcome) {
	t.Helper()
	if err := json.Unmarshal(m.Data(), &o); err != nil || o.Time.IsZero() {
		t.Fatalf("read feedback %q: %v", m.Data(), err)
	}
	return o
}

// wantOutcomes compares the feedback of a device with what is expected, as "id
// status", in any order.
func (g *gateway) wantOutcomes(id string, who identity, want ...string) {
	g.t.Helper()
	got := []string{}
	for _, o := range g.outcomes(id, len(want)) {
		got = append(got, o.ID+" "+o.Status)
		if o.Device != id || o.Gen != who.GenerationID {
			g.t.Errorf("feedback of device %s, generation %s, want %s, %s", o.Device, o.Gen, id, who.GenerationID)
		}
	}
	if diff := cmp.Diff(want, got, cmpopts.SortSlices(strings.Compare), cmpopts.EquateEmpty()); diff != "" {
		g.t.Errorf("feedback (-want +got):\n%s", diff)
	}
}

// awaitEmpty waits until nothing is in the queue of a device.
func (g *gateway) awaitEmpty(id string) {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(g.t.Context(), patience)
	defer cancel()
	stream, err := g.JS.Stream(ctx, "HUB_C2D")
	if err != nil {
		g.t.Fatal(err)
	}
	for tick := time.NewTicker(20 * time.Millisecond); ; <-tick.C {
		m, err := stream.GetLastMsgForSubject(ctx, "hub.c2d."+hubtest.Key(id))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return
		}
		if err != nil {
			g.t.Fatalf("the queue of %s is not empty: %v, the last is %v", id, err, m)
		}
	}
}

// taken waits until a client has got n messages from the cloud, and returns all of
// them, in order where the SDK keeps it.
func (d *driver) taken(s *sdk, n int) (all []message) {
	d.t.Helper()
	d.await(fmt.Sprintf("%d messages from the cloud", n), func(l line) bool {
		if l.Event == "message" {
			all = append(all, l.Message)
		}
		return len(all) == n
	})
	if s.shuffles {
		slices.SortStableFunc(all, func(a, b message) int { return strings.Compare(string(a.Body), string(b.Body)) })
	}
	return all
}

// count is how many events of a kind there were so far.
func (d *driver) count(kind string) (n int) {
	for _, l := range d.events() {
		if l.Event == kind {
			n++
		}
	}
	return n
}

// wantTaken compares what a client has got with what was sent to its device.
func (d *driver) wantTaken(s *sdk, id string, sent []message) {
	d.t.Helper()
	got := d.taken(s, len(sent))
	for i, m := range sent {
		want := s.shown(id, m)
		if s.inventsIDs && want.CorrelationID == "" {
			got[i].CorrelationID = uuidPart.ReplaceAllString(got[i].CorrelationID, "")
		}
		for _, props := range []*message{&want, &got[i]} {
			slices.SortFunc(props.Properties, func(a, b [2]string) int { return strings.Compare(a[0], b[0]) })
		}
		if diff := cmp.Diff(want, got[i], cmpopts.EquateEmpty()); diff != "" {
			d.t.Errorf("message %d, %s (-want +got):\n%.3000s", i, m.MessageID, diff)
		}
	}
}

// listen connects a client that gets messages from the cloud.
func (d *driver) listen(client string, how args) {
	d.t.Helper()
	how["listen"] = "c2d"
	d.do("open", client, how)
	d.do("subscribe", client, args{"filter": "c2d"})
}

// c2dArrives sends messages of every kind while the device is away, and again
// while it is here.
func c2dArrives(t *testing.T, g *gateway, s *sdk) {
	id := deviceName(t)
	who := g.create(id)
	sent := commands()
	for _, m := range sent[:30] {
		g.sendC2D(id, m)
	}
	d := s.start(t)
	d.listen("a", s.open(g, id, who.ConnectionString, nil))
	d.taken(s, 30)
	for _, m := range sent[30:] {
		g.sendC2D(id, m)
	}
	d.wantTaken(s, id, sent)
	g.awaitEmpty(id)
	var want []string
	for _, m := range sent {
		if m.Ack == "positive" || m.Ack == "full" {
			want = append(want, m.MessageID+" Success")
		}
	}
	g.wantOutcomes(id, who, want...)
	d.do("close", "a", nil)
	if got := d.count("message"); got != len(sent) {
		t.Errorf("the SDK has handed on %d messages, want %d", got, len(sent))
	}
}

// commands are messages that together have every property, every hostile
// application property, and bodies of all kinds.
func commands() []message {
	const ticks = ".1234567Z"
	long := strings.ToValidUTF8(strings.Repeat("8 KB of &=%+/ and 漢字; ", 400)[:8192], "")
	all := []message{
		{},
		{MessageID: "-:.+%_#*?!(),=@;$'&/ é", CorrelationID: "c/1 &=+%", UserID: "user@example.com/é"},
		{ContentType: "application/json; charset=utf-8", ContentEncoding: "utf-8"},
		{Expiry: time.Now().UTC().Add(time.Hour).Format("2006-01-02T15:04:05") + ticks, CreationTime: "2026-01-02T03:04:05" + ticks},
		{Ack: "none"},
		{Ack: "positive"},
		{Ack: "negative"},
		{Ack: "full"},
		{Properties: [][2]string{{"long", long}, {"after", "it"}}},
		{Body: []byte(strings.Repeat("\xA5", 65000))},
		{Body: []byte(`{"set":21.5,"unit":"°C"}`), Ack: "full"},
	}
	var every [][2]string
	for _, p := range hostile {
		if !strings.HasPrefix(p[0], "iothub-") { // which belongs to IoT Hub
			every = append(every, p)
			all = append(all, message{Properties: [][2]string{p}})
		}
	}
	all = append(all, message{
		Properties: every, CorrelationID: "all", UserID: "of", ContentType: "them/all", ContentEncoding: "gzip", Ack: "full",
	})
	bytes := make([]byte, 256)
	for i := range bytes {
		bytes[i] = byte(i)
	}
	for i := range all { // the first has no body, the others begin with their number
		if i > 0 {
			all[i].Body = append(fmt.Appendf(nil, "%03d ", i), all[i].Body...)
		}
		if all[i].MessageID == "" {
			all[i].MessageID = fmt.Sprintf("m-%03d", i)
		}
	}
	all[4].Body = append(all[4].Body, bytes...)
	return all
}

// c2dSettled settles messages by all verbs that the SDK has. By MQTT there is only
// PUBACK, which it sends whatever the application says.
func c2dSettled(t *testing.T, g *gateway, s *sdk) {
	if s.verbs == nil {
		return // the application has no say
	}
	id := deviceName(t)
	who := g.create(id)
	d := s.start(t)
	d.listen("a", s.open(g, id, who.ConnectionString, nil))
	var want []string
	for _, verb := range []string{"complete", "reject", "abandon"} {
		g.sendC2D(id, message{Body: []byte(verb), MessageID: verb, Ack: "full", Properties: [][2]string{{"settle", verb}}})
		l := d.await("answer of the SDK to "+verb, func(l line) bool { return l.Event == "settled" && l.Status == verb })
		got := ""
		if l.Error != nil {
			got = l.Error.Class
		}
		if got != s.verbs[verb] {
			t.Errorf("%s: the SDK raised %v, want %q", verb, l.Error, s.verbs[verb])
		}
		want = append(want, verb+" Success")
	}
	g.awaitEmpty(id)
	g.wantOutcomes(id, who, want...)
	d.do("close", "a", nil)
}

// c2dExpires sends messages that expire before the device comes.
func c2dExpires(t *testing.T, g *gateway, s *sdk) {
	id := deviceName(t)
	who := g.create(id)
	soon := time.Now().Add(time.Second).UTC()
	for _, ack := range []string{"none", "positive", "negative", "full"} {
		m := message{Body: []byte("too late"), MessageID: ack, Ack: ack, Expiry: soon.Format(time.RFC3339Nano)}
		g.sendC2D(id, m)
	}
	last := numbered(1)
	g.sendC2D(id, last)
	<-time.After(time.Until(soon))
	d := s.start(t)
	d.listen("a", s.open(g, id, who.ConnectionString, nil))
	d.wantTaken(s, id, []message{last})
	g.awaitEmpty(id)
	g.wantOutcomes(id, who, "negative Expired", "full Expired", "m-001 Success")
	if letters := g.list("dead-letters", id); len(letters) != 4 || letters[0].Status != "Expired" {
		t.Errorf("dead letters %+v, want the four that expired", letters)
	}
	next := numbered(2)
	g.sendC2D(id, next)
	d.wantTaken(s, id, []message{last, next}) // and nothing between
	d.do("close", "a", nil)
}

// c2dWhileAway keeps a device out for a while, without its SDK's doing. What was
// sent meanwhile is delivered when the SDK has come back by itself, to a
// subscription that Python does not make again.
func c2dWhileAway(t *testing.T, g *gateway, s *sdk) {
	id := deviceName(t)
	who := g.create(id)
	d := s.start(t)
	d.listen("a", s.open(g, id, who.ConnectionString, nil))
	filter := "devices/" + id + "/messages/devicebound/#"
	g.presence(id, "subscription", func(p session) bool { return p.Has(filter) })
	sent := g.sendNumbered(id, 0, 1)
	d.taken(s, 1) // and the SUBACK is there
	g.awaitEmpty(id)
	g.cli("device", "disable", id)
	g.presence(id, "end of the connection", func(p session) bool { return !p.Connected })
	sent = append(sent, g.sendNumbered(id, 1, 21)...) // more than are under way at once
	g.cli("device", "enable", id)
	d.wantTaken(s, id, sent)
	g.awaitEmpty(id)
	d.do("close", "a", nil)
}
