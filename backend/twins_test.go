package backend

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"

	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/session"
	"github.com/hubgate/hubgate/twin"
)

func twinsOf(b *Backbone) *twin.Twins { return &twin.Twins{Store: b.Twins()} }

func desired(format string, args ...any) twin.Write {
	return twin.Write{Body: []byte(`{"properties":{"desired":` + fmt.Sprintf(format, args...) + `}}`)}
}

func mustUpdate(t *testing.T, b *Backbone, id hub.Identity, w twin.Write) twin.Twin {
	t.Helper()
	got, err := twinsOf(b).Update(testContext(t), id, w)
	if err != nil {
		t.Fatalf("Update(%s): %v", w.Body, err)
	}
	return got
}

func TestTwinStore(t *testing.T) {
	t.Parallel()
	b := open(t, serve(t, "", 0), Config{})
	ctx, s := testContext(t), twinsOf(b)
	odd := hub.Identity{Device: "a.b*$'", Module: "$edgeHub"}
	for _, id := range []hub.Identity{device(1), odd} {
		if _, err := s.Get(ctx, id); hub.CodeOf(err).Status() != 404 {
			t.Errorf("Get of nobody's twin = %v", err)
		}
		create(t, b, id)
		fresh, err := s.Get(ctx, id)
		if err != nil || fresh.Version != 2 || fresh.ID != id || fresh.Generation != "1" {
			t.Fatalf("Get = %s, %v", fresh.AppendJSON(nil), err)
		}
		if _, err := b.Twins().bucket.kv.Get(ctx, subject.Key(id)); !errors.Is(err, jetstream.ErrKeyNotFound) {
			t.Errorf("reading wrote: %v", err)
		}
		wrote := mustUpdate(t, b, id, desired(`{"big":4503599627370495,"f":1.10,"s":"<ü&>"}`))
		e, err := b.Twins().bucket.kv.Get(ctx, subject.Key(id))
		if err != nil || string(e.Value()) != string(wrote.AppendJSON(nil)) || e.Revision() != wrote.Revision {
			t.Errorf("the bucket holds %s (%d), %v, want %s (%d)", e.Value(), e.Revision(), err, wrote.AppendJSON(nil), wrote.Revision)
		}
		if got, err := s.Get(ctx, id); err != nil || !got.Equal(wrote) || got.Revision != wrote.Revision {
			t.Errorf("Get = %s, %v", got.AppendJSON(nil), err)
		}
		if _, err := b.Twins().Put(ctx, fresh, twin.Change{Op: twin.OpUpdate}); hub.CodeOf(err) != hub.PreconditionFailed {
			t.Errorf("Put of an old revision = %v", err)
		}
	}
}

// TestTwinGoesWithItsIdentity, also when the deletion of the twin failed.
func TestTwinGoesWithItsIdentity(t *testing.T) {
	t.Parallel()
	b := open(t, serve(t, "", 0), Config{})
	ctx, s, id := testContext(t), twinsOf(b), device(1)
	r := create(t, b, id)
	old := mustUpdate(t, b, id, desired(`{"a":1}`))
	c := s.Open(id, twin.Owner{}, func(twin.Notification) bool { return true })
	if err := c.Device(ctx, func([]byte) {}); err != nil {
		t.Fatal(err)
	}
	if err := b.Devices().Delete(ctx, r); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(ctx, id); hub.CodeOf(err) != hub.DeviceNotFound {
		t.Errorf("Get of a deleted twin = %v", err)
	}
	if _, err := b.Twins().Put(ctx, old, twin.Change{Op: twin.OpUpdate}); hub.CodeOf(err) != hub.PreconditionFailed {
		t.Errorf("Put of a deleted twin = %v", err)
	}

	r.GenerationID = "2"
	if _, err := b.Devices().Create(ctx, r); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Get(ctx, id); err != nil || got.Version != 2 || got.DesiredVersion() != 1 || got.Generation != "2" {
		t.Errorf("the new twin is %s, %v", got.AppendJSON(nil), err)
	}
	// The connection of the device of before writes into nobody's twin.
	if _, err := c.PatchReported(ctx, []byte(`{"x":1}`), 0); hub.CodeOf(err) != hub.DeviceNotFound {
		t.Errorf("a patch by the device of before = %v", err)
	}
	if got := mustUpdate(t, b, id, desired(`{"b":1}`)); got.DesiredVersion() != 2 || strings.Contains(string(got.AppendJSON(nil)), `"a"`) {
		t.Errorf("the new twin is %s", got.AppendJSON(nil))
	}

	// What a crash between the two deletions leaves behind.
	r, err := b.Devices().Get(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.devices.bucket.remove(ctx, subject.Key(id), r.Revision); err != nil {
		t.Fatal(err)
	}
	r.GenerationID = "3"
	if _, err := b.Devices().Create(ctx, r); err != nil {
		t.Fatal(err)
	}
	got, err := s.Get(ctx, id)
	if err != nil || got.Version != 2 || got.Revision == 0 {
		t.Errorf("the twin of generation 3 is %s, %v", got.AppendJSON(nil), err)
	}
	if got := mustUpdate(t, b, id, desired(`{"c":1}`)); got.DesiredVersion() != 2 {
		t.Errorf("the twin of generation 3 is %s", got.AppendJSON(nil))
	}
}

// TestHundredWriters loses no update, and keeps versions and etag in step with
// the number of writes.
func TestHundredWriters(t *testing.T) {
	t.Parallel()
	server := serve(t, "", 0)
	nodes := []*Backbone{open(t, server, Config{}), open(t, server, Config{})}
	ctx, id := testContext(t), device(1)
	create(t, nodes[0], id)
	twins := []*twin.Twins{twinsOf(nodes[0]), twinsOf(nodes[1])} // one of each node, in which its writers take turns
	owner := twins[1].Open(id, twin.Owner{}, func(twin.Notification) bool { return true })
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			if i%10 == 0 {
				if _, err := owner.PatchReported(ctx, fmt.Appendf(nil, `{"r%d":%d}`, i, i), 0); err != nil {
					t.Errorf("writer %d: %v", i, err)
				}
				return
			}
			if _, err := twins[i%2].Update(ctx, id, desired(`{"k%d":%d}`, i, i)); err != nil {
				t.Errorf("writer %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	got, err := twins[0].Get(ctx, id)
	if err != nil || got.Version != 102 || got.DesiredVersion() != 91 || got.ReportedVersion() != 11 {
		t.Errorf("got versions %d, %d, %d, %v", got.Version, got.DesiredVersion(), got.ReportedVersion(), err)
	}
	for i := range 100 {
		want := fmt.Sprintf(`"k%d":%d`, i, i)
		if i%10 == 0 {
			want = fmt.Sprintf(`"r%d":%d`, i, i)
		}
		if !strings.Contains(string(got.Device()), want) {
			t.Errorf("the update %s is lost", want)
		}
	}
}

// TestStaleOwnerOfTwin: of two connections of a device, on two nodes, the older
// one writes nothing any more when the newer one has used the twin. Back ends and
// the newer one go on.
func TestStaleOwnerOfTwin(t *testing.T) {
	t.Parallel()
	server := serve(t, "", 0)
	a, b := open(t, server, Config{}), open(t, server, Config{})
	nobody := func(twin.Notification) bool { return true }
	for range 10 { // so that there are the epochs below
		if _, _, err := a.Sessions().Claim(testContext(t), session.Session{ID: device(1), Generation: "1"}); err != nil {
			t.Fatal(err)
		}
	}
	for name, use := range map[string]func(*twin.Copy) error{
		"by a patch": func(c *twin.Copy) error {
			_, err := c.PatchReported(testContext(t), []byte(`{"n":2}`), 0)
			return err
		},
		"by reading it": func(c *twin.Copy) error { return c.Device(testContext(t), func([]byte) {}) },
	} {
		id := hub.Identity{Device: strings.ReplaceAll(name, " ", "-")}
		create(t, a, id)
		older := twinsOf(a).Open(id, twin.Owner{Epoch: 5}, nobody)
		if _, err := older.PatchReported(testContext(t), []byte(`{"n":1}`), 0); err != nil {
			t.Fatal(err)
		}
		newer := twinsOf(b).Open(id, twin.Owner{Epoch: 9, Contested: true}, nobody)
		if err := use(newer); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		before, err := twinsOf(b).Get(testContext(t), id)
		if err != nil {
			t.Fatal(err)
		}
		mustUpdate(t, a, id, desired(`{"a":1}`)) // keeps the fence
		for range 2 {
			if _, err := older.PatchReported(testContext(t), []byte(`{"n":3}`), 0); hub.CodeOf(err) != hub.ConnectionReplaced {
				t.Errorf("%s: a patch by the older connection: %v", name, err)
			}
		}
		if err := older.Device(testContext(t), func([]byte) {}); hub.CodeOf(err) != hub.ConnectionReplaced {
			t.Errorf("%s: a GET by the older connection: %v", name, err)
		}
		after, err := twinsOf(a).Get(testContext(t), id)
		if err != nil || after.ReportedVersion() != before.ReportedVersion() || after.Epoch != 9 {
			t.Errorf("%s: reported version %d after %d, epoch %d, %v", name, after.ReportedVersion(), before.ReportedVersion(), after.Epoch, err)
		}
		if version, err := newer.PatchReported(testContext(t), []byte(`{"n":4}`), 0); err != nil || version != before.ReportedVersion()+1 {
			t.Errorf("%s: a patch by the newer connection: version %d, %v", name, version, err)
		}
	}
}

// TestReportedPatchIsOneRequest, and a GET none, while nobody else writes.
func TestReportedPatchIsOneRequest(t *testing.T) {
	t.Parallel()
	b := open(t, serve(t, "", 0), Config{})
	ctx, id := testContext(t), device(1)
	create(t, b, id)
	c := twinsOf(b).Open(id, twin.Owner{}, func(twin.Notification) bool { return true })
	if err := c.Device(ctx, func([]byte) {}); err != nil {
		t.Fatal(err)
	}
	before := b.Conn().Stats().OutMsgs
	for i := range 5 {
		if _, err := c.PatchReported(ctx, fmt.Appendf(nil, `{"n":%d}`, i), 0); err != nil {
			t.Fatal(err)
		}
		if err := c.Device(ctx, func([]byte) {}); err != nil {
			t.Fatal(err)
		}
	}
	if got := b.Conn().Stats().OutMsgs - before; got != 5 {
		t.Errorf("5 patches and 5 GETs were %d messages, want 5", got)
	}
}

func TestTwinEvents(t *testing.T) {
	t.Parallel()
	b := open(t, serve(t, "", 0), Config{HostName: "plant.example.net"})
	ctx, id := testContext(t), hub.Identity{Device: "dev1", Module: "cam"}
	create(t, b, id)
	c, err := b.JetStream().OrderedConsumer(ctx, "HUB_EVENTS", jetstream.OrderedConsumerConfig{FilterSubjects: []string{"hub.events.twin.dev1.cam"}})
	if err != nil {
		t.Fatal(err)
	}
	w := desired(`{"a":1}`)
	w.By = "alice\r\nInjected: 1\x1b[31m" + strings.Repeat("ü", 100)
	mustUpdate(t, b, id, w)
	if _, err := twinsOf(b).PatchReported(ctx, id, []byte(`{"b":"<"}`), 0); err != nil {
		t.Fatal(err)
	}
	replaced, err := twinsOf(b).Replace(ctx, id, twin.Write{Body: []byte(`{"tags":{"t":1}}`)})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct{ op, by, body string }{
		{"updateTwin", "aliceInjected: 1[31m", `{"version":3,"properties":{"desired":{"a":1,"$metadata":{`},
		{"updateTwin", "dev1/cam", `{"version":4,"properties":{"reported":{"b":"<","$metadata":{`},
		{"replaceTwin", "", string(replaced.AppendJSON(nil))},
	}
	it, err := c.Messages()
	if err != nil {
		t.Fatal(err)
	}
	defer it.Stop()
	for _, tt := range tests {
		m, err := it.Next(jetstream.NextContext(ctx))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(string(m.Data()), tt.body) {
			t.Errorf("got event %s, want %s", m.Data(), tt.body)
		}
		for name, want := range map[string]string{
			"opType": tt.op, "iothub-message-schema": "twinChangeNotification", "iothub-message-source": "twinChangeEvents",
			"iothub-connection-device-id": "dev1", "iothub-connection-module-id": "cam", "deviceId": "dev1", "moduleId": "cam",
			"hubName": "plant", "content-type": "application/json", "content-encoding": "utf-8", "Injected": "",
		} {
			if got := m.Headers().Get(name); got != want {
				t.Errorf("%s: header %s is %q, want %q", tt.op, name, got, want)
			}
		}
		if got := m.Headers().Get("Hub-By"); !strings.HasPrefix(got, tt.by) || len(got) > maxAuthor {
			t.Errorf("the event is by %q, want %q", got, tt.by)
		}
	}
}

// TestAnnouncements reach the other node; a patch by the device is not told.
func TestAnnouncements(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	server := serve(t, dir, 0)
	port := server.Port()
	writer, owner := open(t, server, Config{}), open(t, server, Config{})
	ctx, stop := context.WithCancel(testContext(t))
	defer stop()
	id := device(1)
	create(t, writer, id)
	told, lost, ended := make(chan twin.Announcement, 100), make(chan struct{}, 100), make(chan error, 1)
	go func() {
		ended <- owner.Twins().Watch(ctx, func(a twin.Announcement) { told <- a }, func() { lost <- struct{}{} })
	}()
	until(t, "the watch stands", func() bool {
		mustUpdate(t, writer, id, twin.Write{Body: []byte(`{"tags":{}}`)})
		return len(told) > 0
	})
	if _, err := twinsOf(writer).PatchReported(ctx, id, []byte(`{"r":1}`), 0); err != nil {
		t.Fatal(err)
	}
	wrote := mustUpdate(t, writer, id, desired(`{"a":"<1>","b":null}`))
	for {
		var a twin.Announcement
		select {
		case a = <-told:
		case <-ctx.Done():
			t.Fatal("the write was not announced")
		}
		if a.Desired.Version == 0 {
			continue
		}
		if a.ID != id || a.Revision != wrote.Revision || a.Desired.Version != 2 || string(a.Desired.Body) != `{"a":"<1>","b":null,"$version":2}` {
			t.Errorf("got %+v with %s", a, a.Desired.Body)
		}
		break
	}
	for _, rubbish := range []string{"hub.session.twin.a.b.c", "hub.session.twin.dev-1"} {
		if err := writer.Conn().Publish(rubbish, []byte("{")); err != nil {
			t.Fatal(err)
		}
	}
	halt(t, server)
	serve(t, dir, port)
	select {
	case <-lost:
	case <-ctx.Done():
		t.Fatal("the interruption was not told")
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("the watch ended with %v", err)
	}
	if len(told) > 0 {
		t.Errorf("%d announcements too many, the first %+v", len(told), <-told)
	}
}

func TestTwinFaults(t *testing.T) {
	t.Parallel()
	server := serve(t, "", 0)
	b := open(t, server, Config{})
	ctx, s := testContext(t), twinsOf(b)
	for key, value := range map[string]string{"garbage": "{", "other": string(twin.New(device(9), "1", time.Now()).AppendJSON(nil))} {
		id := hub.Identity{Device: key}
		create(t, b, id)
		if _, err := b.Twins().bucket.kv.Put(ctx, key, []byte(value)); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Get(ctx, id); hub.CodeOf(err) != hub.ServerError {
			t.Errorf("Get %s = %v, want ServerError", key, err)
		}
	}
	// What is put by hand is the twin of whoever is there.
	hand := hub.Identity{Device: "hand"}
	create(t, b, hand)
	if _, err := b.Twins().bucket.kv.PutString(ctx, "hand", `{"deviceId":"hand","etag":"AAAAAAAAAAE=","version":7,"properties":{"desired":{"a":1,"$version":3},"reported":{"$version":2}}}`); err != nil {
		t.Fatal(err)
	}
	if got := mustUpdate(t, b, hand, desired(`{"b":2}`)); got.Version != 8 || got.DesiredVersion() != 4 {
		t.Errorf("got %s", got.AppendJSON(nil))
	}
	// Many small properties have much metadata.
	many := strings.Builder{}
	for i := range 4600 {
		fmt.Fprintf(&many, `,"%03x":{}`, i)
	}
	create(t, b, device(1))
	var err error
	for range 3 {
		body := `{` + many.String()[1:] + `}`
		if _, err = s.PatchReported(ctx, device(1), []byte(body), 0); err != nil {
			break
		}
		if _, err = s.Update(ctx, device(1), desired("%s", body)); err != nil {
			break
		}
	}
	if err != nil && hub.CodeOf(err) != hub.TooManyProperties {
		t.Errorf("many properties: %v", err)
	}
	halt(t, server)
	until(t, "the connection is lost", func() bool { return !b.Conn().IsConnected() })
	if _, err := s.Get(ctx, hand); hub.CodeOf(err) != hub.ServiceUnavailable {
		t.Errorf("Get = %v, want ServiceUnavailable", err)
	}
}

func TestTwinService(t *testing.T) {
	t.Parallel()
	b := open(t, serve(t, "", 0), Config{Version: "1.2.3"})
	service, err := b.ServeTwins(twinsOf(b))
	if err != nil {
		t.Fatal(err)
	}
	create(t, b, device(1))
	ask := func(on, body, ifMatch string) *nats.Msg {
		t.Helper()
		m := nats.NewMsg(on)
		m.Data = []byte(body)
		if ifMatch != "" {
			m.Header.Set("If-Match", ifMatch)
		}
		answer, err := b.Conn().RequestMsg(m, testTimeout)
		if err != nil {
			t.Fatalf("%s: %v", on, err)
		}
		return answer
	}
	for _, tt := range []struct{ subject, body, ifMatch, code, want string }{
		{"hub.twin.get.dev-1", "", "", "", `{"deviceId":"dev-1","etag":"AAAAAAAAAAE=","version":2,`},
		{"hub.twin.get.dev-1", `{"x":1}`, "", "400004", "unknown field"},
		{"hub.twin.get.nobody", "", "", "404001", "does not exist"},
		{"hub.twin.get.dev-1.cam", "", "", "404010", "does not exist"},
		{"hub.twin.get.a.b.c", "", "", "400004", ""},
		{"hub.twin.update.dev-1", `{"tags":{"a":"<1>"}}`, "AAAAAAAAAAE=", "", `"etag":"AAAAAAAAAAI=","version":3,"tags":{"a":"<1>"}`},
		{"hub.twin.update.dev-1", `{"tags":{"a":2}}`, `"AAAAAAAAAAE="`, "412001", "AAAAAAAAAAI="},
		{"hub.twin.update.dev-1", `{"properties":{"desired":{"a.b":2}}}`, "*", "400004", "properties.desired.a.b: a key holds none of"},
		{"hub.twin.update.dev-1", ``, "", "400004", "empty"},
		{"hub.twin.replace.dev-1", `{"properties":{"desired":{"b":{"c":1}}}}`, "*", "", `"properties":{"desired":{"b":{"c":1},`},
		{"hub.twin.replace.dev-1", `{"desired":{}}`, "*", "400004", "neither tags nor"},
	} {
		m := ask(tt.subject, tt.body, tt.ifMatch)
		if got := m.Header.Get(micro.ErrorCodeHeader); got != tt.code {
			t.Errorf("%s %s: code %q, want %q (%s)", tt.subject, tt.body, got, tt.code, m.Header.Get(micro.ErrorHeader))
		}
		if got := string(m.Data) + m.Header.Get(micro.ErrorHeader); !strings.Contains(got, tt.want) {
			t.Errorf("%s %s: got %s, want %s", tt.subject, tt.body, got, tt.want)
		}
	}
	var info micro.Info
	m := ask("$SRV.INFO.hub-twin", "", "")
	if err := json.Unmarshal(m.Data, &info); err != nil || info.Version != "1.2.3" || len(info.Endpoints) != 3 {
		t.Errorf("got info %s, %v", m.Data, err)
	}
	for _, e := range info.Endpoints {
		for _, schema := range []string{"request_schema", "response_schema"} {
			if !json.Valid([]byte(e.Metadata[schema])) {
				t.Errorf("endpoint %s: %s is %q", e.Name, schema, e.Metadata[schema])
			}
		}
	}
	if err := service.Stop(); err != nil {
		t.Error(err)
	}
	if _, err := b.Conn().Request("hub.twin.get.dev-1", nil, testTimeout); !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("a stopped service answers: %v", err)
	}
}
