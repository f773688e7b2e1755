package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"github.com/hubgate/hubgate/test/hubtest"
)

// deviceTwin is a twin as an SDK shows it.
type deviceTwin struct {
	Desired  map[string]any `json:"desired"`
	Reported map[string]any `json:"reported"`
}

// refusal is an error that a service of the hub answers.
type refusal struct{ code, text string }

func (e refusal) Error() string { return e.code + ": " + e.text }

// ask sends a request to a service of the hub, as any back-end app can.
func (g *gateway) ask(subject string, header nats.Header, body string) (*nats.Msg, error) {
	ctx, cancel := context.WithTimeout(g.t.Context(), patience)
	defer cancel()
	m, err := g.NATS.RequestMsgWithContext(ctx, &nats.Msg{Subject: subject, Header: header, Data: []byte(body)})
	if err != nil {
		return nil, fmt.Errorf("request %s: %w", subject, err)
	}
	if code := m.Header.Get("Nats-Service-Error-Code"); code != "" {
		return nil, refusal{code, m.Header.Get("Nats-Service-Error")}
	}
	return m, nil
}

// twin reads or writes a twin from the back end: get, update or replace.
func (g *gateway) twin(verb, id, body string) (deviceTwin, error) {
	m, err := g.ask("hub.twin."+verb+"."+hubtest.Key(id), nil, body)
	if err != nil {
		return deviceTwin{}, err
	}
	var whole struct {
		Properties deviceTwin `json:"properties"`
	}
	if err := json.Unmarshal(m.Data, &whole); err != nil {
		return deviceTwin{}, fmt.Errorf("read twin %q: %w", m.Data, err)
	}
	delete(whole.Properties.Desired, "$metadata") // which the device does not see
	delete(whole.Properties.Reported, "$metadata")
	return whole.Properties, nil
}

// mustTwin is twin where no error is expected.
func (g *gateway) mustTwin(verb, id, body string) deviceTwin {
	g.t.Helper()
	w, err := g.twin(verb, id, body)
	if err != nil {
		g.t.Fatal(err)
	}
	return w
}

// twinOfDevice goes through all that a device does with its twin.
func twinOfDevice(t *testing.T, g *gateway, s *sdk) {
	twinServed(t, g, s, deviceName(t))
}

// twinOfModule does the same as a module, through one transport.
func twinOfModule(t *testing.T, g *gateway, s *sdk) {
	if s.transport != "mqtt" {
		return // the transport makes no difference to what a module is
	}
	id := deviceName(t)
	g.create(id)
	twinServed(t, g, s, id+"/mod.1")
}

// twinServed writes desired properties before the device has ever connected, and
// goes on from there as the device.
func twinServed(t *testing.T, g *gateway, s *sdk, id string) {
	who := g.create(id)
	const offline = `{"tags":{"secret":1},"properties":{"desired":{"was":{"written":["while",{"off":1.5}]}}}}`
	g.mustTwin("update", id, offline)
	d := s.start(t)
	d.do("open", "a", s.open(g, id, who.ConnectionString, nil))
	d.do("subscribe", "a", args{"filter": "twin"})
	first := d.do("twin", "a", nil).Twin
	want := object(t, `{"was":{"written":["while",{"off":1.5}]},"$version":2}`)
	if diff := cmp.Diff(want, first.Desired); diff != "" {
		t.Errorf("desired properties at the first GET (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(object(t, `{"$version":1}`), first.Reported); diff != "" {
		t.Errorf("reported properties at the first GET (-want +got):\n%s", diff)
	}
	awaitSubscribed(g, id)
	patchesMerge(t, g, d, id)
	badPatch(t, d, s)
	notified(t, g, d, s, id)
	storm(t, g, d, s, id)
	for _, l := range d.events() {
		if l.Event == "disconnected" {
			t.Errorf("the connection was lost: %v %s", l.Error, l.Status)
		}
	}
	d.do("close", "a", nil)
}

// awaitSubscribed waits until the hub keeps both subscriptions of a twin. The GET
// after it is answered when all before it has been done.
func awaitSubscribed(g *gateway, id string) {
	g.t.Helper()
	g.presence(id, "subscriptions of a twin", func(p session) bool { return p.Has(filterTwin, filterDesired) })
}

// patchesMerge sends one reported patch after another, and compares what the device
// and the back end then see.
func patchesMerge(t *testing.T, g *gateway, d *driver, id string) {
	t.Helper()
	text, numbers := map[string]any{}, `"big":4503599627370495,"low":-4503599627370496,"pi":3.141592653589793,"tiny":1e-300`
	for i := range 8 {
		text[fmt.Sprintf("k%d", i)] = strings.Repeat("x", 3800) + "é"
	}
	long, err := json.Marshal(text)
	if err != nil {
		t.Fatal(err)
	}
	rest := `"b":{"e":true,"f":-1.5e-7},"list":[5]`
	for i, step := range []struct{ name, patch, want string }{
		{
			"nested",
			`{"a":1,"b":{"c":{"d":"deep"},"e":true},"list":[1,"two",[3],{"four":4.25}],"":0}`,
			`{"a":1,"b":{"c":{"d":"deep"},"e":true},"list":[1,"two",[3],{"four":4.25}],"":0}`,
		},
		{"null deletes", `{"a":null,"":null,"b":{"c":null,"f":-1.5e-7},"list":[5]}`, `{` + rest + `}`},
		{"numbers", `{` + numbers + `}`, `{` + rest + `,` + numbers + `}`},
		{"numbers deleted", `{"big":null,"low":null,"pi":null,"tiny":null}`, `{` + rest + `}`},
		{"30 KB", `{"text":` + string(long) + `}`, `{` + rest + `,"text":` + string(long) + `}`},
		{"30 KB deleted, with what is not there", `{"text":null,"none":null}`, `{` + rest + `}`},
	} {
		d.do("patch", "a", args{"patch": json.RawMessage(step.patch)})
		want := object(t, step.want)
		want["$version"] = float64(2 + i)
		if diff := cmp.Diff(want, d.do("twin", "a", nil).Twin.Reported); diff != "" {
			t.Errorf("%s: the device sees (-want +got):\n%s", step.name, diff)
		}
		if diff := cmp.Diff(want, g.mustTwin("get", id, "").Reported); diff != "" {
			t.Errorf("%s: the back end sees (-want +got):\n%s", step.name, diff)
		}
	}
}

// badPatch sends a patch that the hub refuses: the SDK says so, and the next one is
// taken.
func badPatch(t *testing.T, d *driver, s *sdk) {
	t.Helper()
	err := d.try("patch", "a", args{"patch": json.RawMessage(`{"bad.key":1}`)})
	if err == nil || !slices.Contains(err.Chain, s.badKey) {
		t.Errorf("patch with a dot in a key: the SDK raised %v, want %s", err, s.badKey)
	}
	d.do("patch", "a", args{"patch": json.RawMessage(`{"good":1}`)})
}

// notified writes desired properties several times in a row: each is told, in order
// and as it was written.
func notified(t *testing.T, g *gateway, d *driver, s *sdk, id string) {
	t.Helper()
	start := version(g.mustTwin("get", id, "").Desired)
	var want []map[string]any
	for i, patch := range []string{
		`{"n":1}`, `{"n":2,"deep":{"er":{"est":[1,2,3]}}}`, `{"n":3,"big":4503599627370495}`, `{"deep":{"er":null}}`,
		`{"n":5}`, `{"n":6}`, `{"n":7}`, `{"n":null}`, `{"n":9.5}`,
	} {
		g.mustTwin("update", id, `{"properties":{"desired":`+patch+`}}`)
		told := object(t, patch)
		told["$version"] = float64(start + 1 + i)
		want = append(want, told)
	}
	if diff := cmp.Diff(want, d.desired(s, start, start+len(want))); diff != "" {
		t.Errorf("notifications (-want +got):\n%s", diff)
	}
}

// desired waits for the notification of version last, and returns all with a
// version above after, in the order of their coming if the SDK keeps it.
func (d *driver) desired(s *sdk, after, last int) []map[string]any {
	d.t.Helper()
	var all []map[string]any
	d.await(fmt.Sprintf("notifications of versions %d to %d", after+1, last), func(l line) bool {
		if l.Event == "desired" && version(l.Data) > after {
			all = append(all, l.Data)
		}
		return len(all) > 0 && (len(all) >= last-after || !s.shuffles && version(all[len(all)-1]) >= last)
	})
	if s.shuffles {
		slices.SortFunc(all, func(a, b map[string]any) int { return version(a) - version(b) })
	}
	return all
}

// storm has the back end write twenty times at once while the device reports
// twenty times: nothing is lost on either side.
func storm(t *testing.T, g *gateway, d *driver, s *sdk, id string) {
	t.Helper()
	const writers = 20
	before := g.mustTwin("get", id, "")
	var answers []<-chan line
	failed := make([]error, writers)
	var back sync.WaitGroup
	for i := range writers {
		back.Go(func() {
			_, failed[i] = g.twin("update", id, fmt.Sprintf(`{"properties":{"desired":{"storm":{"k%d":%d}}}}`, i, i))
		})
		patch := fmt.Sprintf(`{"storm":{"k%d":%d}}`, i, i)
		answers = append(answers, d.begin("patch", "a", args{"patch": json.RawMessage(patch)}))
	}
	back.Wait()
	if err := errors.Join(failed...); err != nil {
		t.Errorf("updates of the back end: %v", err)
	}
	for i, answer := range answers {
		if l := d.finish(fmt.Sprintf("patch %d", i), answer); l.Error != nil {
			t.Errorf("patch %d: %v", i, l.Error)
		}
	}
	all := map[string]any{}
	for i := range writers {
		all[fmt.Sprintf("k%d", i)] = float64(i)
	}
	told, last := map[string]any{}, version(before.Desired)
	for _, patch := range d.desired(s, last, last+writers) {
		if v := version(patch); v <= last {
			t.Errorf("notification of version %d after that of %d", v, last)
		} else {
			last = v
		}
		if some, ok := patch["storm"].(map[string]any); ok {
			maps.Copy(told, some)
		}
	}
	after := g.mustTwin("get", id, "")
	for name, got := range map[string]any{
		"told": told, "desired": after.Desired["storm"], "reported": after.Reported["storm"],
	} {
		if diff := cmp.Diff(any(all), got); diff != "" {
			t.Errorf("%s after the storm (-want +got):\n%s", name, diff)
		}
	}
	if got, want := version(after.Desired), version(before.Desired)+writers; got != want {
		t.Errorf("$version of desired properties = %d, want %d", got, want)
	}
	if got, want := version(after.Reported), version(before.Reported)+writers; got != want {
		t.Errorf("$version of reported properties = %d, want %d", got, want)
	}
	if diff := cmp.Diff(after, d.do("twin", "a", nil).Twin); diff != "" {
		t.Errorf("the device sees another twin than the back end (-back end +device):\n%s", diff)
	}
}

// twinOutlives uses the twin of a device that has come back without subscribing
// again.
func twinOutlives(t *testing.T, g *gateway, d *driver, s *sdk, id string) {
	t.Helper()
	mark := time.Now().Format(time.RFC3339Nano)
	g.mustTwin("update", id, fmt.Sprintf(`{"properties":{"desired":{"back":%q}}}`, mark))
	d.await("notification after the restart", func(l line) bool { return l.Event == "desired" && l.Data["back"] == mark })
	d.do("patch", "a", args{"patch": args{"back": mark}})
	got := d.do("twin", "a", nil).Twin
	if got.Desired["back"] != mark || got.Reported["back"] != mark {
		t.Errorf("after the restart the device sees %v, want back = %q in both", got, mark)
	}
	if n, v := got.Reported["n"], version(got.Reported); n != float64(patchesBefore-1) || v != 1+patchesBefore+1 {
		t.Errorf("after the restart reported n = %v in version %d: the SDK has sent old patches again, want %d in %d",
			n, v, patchesBefore-1, 1+patchesBefore+1)
	}
}

// object reads a JSON object.
func object(t *testing.T, text string) map[string]any {
	t.Helper()
	var o map[string]any
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		t.Fatalf("read %s: %v", text, err)
	}
	return o
}

// version is $version of a section.
func version(section map[string]any) int {
	v, _ := section["$version"].(float64)
	return int(v)
}
