package configuration

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/hubgate/hubgate/hub"
)

// world is a fleet in memory, with the twins' operation and a query language of
// three conditions.
type world struct {
	mu        sync.Mutex
	twins     map[hub.Identity]*fakeTwin
	listeners []func(hub.Identity)
	announces sync.Mutex // held while the watchers are told
	loads     []func([]Configuration)
	stored    map[string]Configuration
	revision  uint64
	writes    int
	created   []hub.Identity
	fail      error // of the next write
	troubles  []Trouble
	// behind has updates meet a twin that somebody else has just written.
	behind int
	// showing is called before something is shown; nil: nothing is.
	showing func()
}

type fakeTwin struct {
	tag     string
	edge    bool
	etag    int
	desired *value
	shown   []Status
}

func newWorld() *world {
	return &world{twins: map[hub.Identity]*fakeTwin{}, stored: map[string]Configuration{}}
}

// identity parses the name of a device or module of a test.
func identity(name string) hub.Identity {
	id, err := hub.ParseIdentity(name)
	if err != nil {
		panic(err)
	}
	return id
}

// device adds a device or a module.
func (w *world) device(name string, edge bool) {
	w.mu.Lock()
	w.twins[identity(name)] = &fakeTwin{edge: edge, desired: newObject(map[string]*value{})}
	w.mu.Unlock()
	w.tell(identity(name))
}

// tell notifies of a change; w.mu is not held.
func (w *world) tell(id hub.Identity) {
	w.mu.Lock()
	listeners := slices.Clone(w.listeners)
	w.mu.Unlock()
	for _, told := range listeners {
		told(id)
	}
}

// tag changes what conditions ask for.
func (w *world) tag(name, tag string) {
	w.mu.Lock()
	w.twins[identity(name)].tag = tag
	w.twins[identity(name)].etag++
	w.mu.Unlock()
	w.tell(identity(name))
}

// operate is an operator's write.
func (w *world) operate(name, patch string) {
	p, err := parse([]byte(patch))
	if err != nil {
		panic(err)
	}
	id := identity(name)
	w.mu.Lock()
	t := w.twins[id]
	t.desired, t.etag = merged(t.desired, p, ""), t.etag+1
	w.mu.Unlock()
	w.tell(id)
}

// merged is what package twin does: null deletes, and who writes the value that
// is there has not written it.
func merged(old, patch *value, by string) *value {
	if !patch.object {
		if by == "" && old != nil && !old.object && old.equal(patch) {
			by = old.by
		}
		return &value{text: patch.text, compare: patch.compare, by: by}
	}
	members := map[string]*value{}
	if old.isObject() {
		maps.Copy(members, old.members)
	}
	for key, p := range patch.members {
		if p.isNull() {
			delete(members, key)
			continue
		}
		members[key] = merged(members[key], p, by)
	}
	v := newObject(members)
	if len(patch.members) == 0 && !old.isObject() {
		v.by = by
	}
	return v
}

// put stores configurations and tells the controllers.
func (w *world) put(all ...Configuration) {
	w.mu.Lock()
	for _, c := range all {
		w.revision++
		c.Revision = w.revision
		w.stored[c.ID] = c
	}
	w.mu.Unlock()
	w.announce()
}

func (w *world) remove(id string) {
	w.mu.Lock()
	delete(w.stored, id)
	w.mu.Unlock()
	w.announce()
}

func (w *world) announce() {
	w.announces.Lock()
	defer w.announces.Unlock()
	w.mu.Lock()
	loads, all := slices.Clone(w.loads), w.all()
	w.mu.Unlock()
	for _, load := range loads {
		load(all)
	}
}

func (w *world) all() (all []Configuration) {
	for _, c := range w.stored {
		all = append(all, c)
	}
	return all
}

// Watch implements [Watcher].
func (w *world) Watch(ctx context.Context, changed func([]Configuration)) {
	w.mu.Lock()
	w.loads = append(w.loads, changed)
	w.mu.Unlock()
	w.announce()
	<-ctx.Done()
}

type fakeCondition struct {
	modules bool
	clause  string
	selects func(id hub.Identity, t *fakeTwin) bool
}

func (c fakeCondition) OfModules() bool { return c.modules }

// Clause implements [Condition].
func (c fakeCondition) Clause() string { return c.clause }

// Condition implements [Language].
func (w *world) Condition(text string) (Condition, error) {
	c := fakeCondition{selects: func(hub.Identity, *fakeTwin) bool { return true }}
	if rest, ok := strings.CutPrefix(text, "FROM devices.modules"); ok {
		c.modules = true
		text = strings.TrimPrefix(rest, " WHERE ")
	}
	if text == "" || text == "*" {
		return c, nil
	}
	c.clause = text
	if m := regexp.MustCompile(`^tags\.t = '(.*)'$`).FindStringSubmatch(text); m != nil {
		c.selects = func(_ hub.Identity, t *fakeTwin) bool { return t.tag == m[1] }
		return c, nil
	}
	if m := regexp.MustCompile(`^properties\.desired\.(\w+) = (\w+)$`).FindStringSubmatch(text); m != nil {
		c.selects = func(_ hub.Identity, t *fakeTwin) bool {
			v := t.desired.members[m[1]]
			return v != nil && v.text == m[2]
		}
		return c, nil
	}
	if m := regexp.MustCompile(`^is_defined\(configurations\.\[\[(.*)\]\]\)$`).FindStringSubmatch(text); m != nil {
		c.selects = func(_ hub.Identity, t *fakeTwin) bool {
			return slices.ContainsFunc(t.shown, func(s Status) bool { return s.ID == m[1] })
		}
		return c, nil
	}
	return nil, hub.Errorf(hub.ArgumentInvalid, "line 1, column 1: %q", text)
}

// Check implements [Language].
func (w *world) Check(query string) error {
	if !strings.HasPrefix(strings.ToLower(query), "select ") {
		return hub.Errorf(hub.ArgumentInvalid, "line 1, column 1: a query begins with SELECT")
	}
	return nil
}

// Get implements [Fleet].
func (w *world) Get(id hub.Identity) ([]byte, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.twins[id]
	if t == nil {
		return nil, false
	}
	shown := map[string]map[string]string{}
	for _, s := range t.shown {
		shown[s.ID] = map[string]string{"status": s.String()}
	}
	desired := map[string]*value{"$version": {text: "1"}, "$metadata": metadataOf(t.desired)}
	maps.Copy(desired, t.desired.members)
	doc, err := json.Marshal(map[string]any{
		"deviceId": id.Device, "etag": strconv.Itoa(t.etag), "capabilities": map[string]bool{"iotEdge": t.edge},
		"tags": map[string]string{"t": t.tag}, "configurations": shown,
		"properties": map[string]any{"desired": json.RawMessage(newObject(desired).append(nil)), "reported": map[string]any{}},
	})
	if err != nil {
		panic(err)
	}
	return doc, true
}

func metadataOf(v *value) *value {
	members := map[string]*value{"$lastUpdated": {text: `"2026-01-01T00:00:00Z"`}}
	if v.by != "" {
		members["$lastUpdatedBy"] = &value{text: strconv.Quote(v.by)}
	}
	for key, member := range v.members {
		members[key] = metadataOf(member)
	}
	return newObject(members)
}

// Matches implements [Fleet].
func (w *world) Matches(c Condition, id hub.Identity) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	f := c.(fakeCondition)
	return w.twins[id] != nil && f.modules == id.IsModule() && f.selects(id, w.twins[id])
}

// Each implements [Fleet].
func (w *world) Each(_ context.Context, c Condition, visit func(hub.Identity) bool) error {
	w.mu.Lock()
	var ids []hub.Identity
	for id := range w.twins {
		ids = append(ids, id)
	}
	w.mu.Unlock()
	for _, id := range ids {
		if w.Matches(c, id) && !visit(id) {
			break
		}
	}
	return nil
}

// Changes implements [Fleet].
func (w *world) Changes(ctx context.Context, begun func(), told func(hub.Identity)) error {
	w.mu.Lock()
	w.listeners = append(w.listeners, told)
	w.mu.Unlock()
	begun()
	<-ctx.Done()
	return nil
}

// Count implements [Counter].
func (w *world) Count(context.Context, string) (int, error) { return 7, nil }

// Show implements [Board].
func (w *world) Show(id hub.Identity, all []Status) {
	if w.showing != nil {
		w.showing()
	}
	w.mu.Lock()
	if w.twins[id] != nil {
		w.twins[id].shown = all
	}
	w.mu.Unlock()
	w.tell(id)
}

// Check of a body is [Twins]'s; see fakeTwins.
type fakeTwins struct{ *world }

// Check implements [Twins].
func (w fakeTwins) Check(body []byte) error {
	if strings.Contains(string(body), "forbidden") {
		return hub.Errorf(hub.ArgumentInvalid, "a key holds none of that")
	}
	return nil
}

// Update implements [Twins].
func (w fakeTwins) Update(_ context.Context, id hub.Identity, x Write) error {
	body, err := parse(x.Body)
	if err != nil {
		return err
	}
	w.mu.Lock()
	t := w.twins[id]
	switch {
	case w.fail != nil:
		err, w.fail = w.fail, nil
	case t == nil:
		err = hub.Errorf(hub.DeviceNotFound, "%s is gone", id)
	case w.behind > 0:
		w.behind--
		err = hub.Errorf(hub.PreconditionFailed, "behind")
	case x.IfMatch != "" && x.IfMatch != strconv.Itoa(t.etag):
		err = hub.Errorf(hub.PreconditionFailed, "stale")
	}
	if err != nil {
		w.mu.Unlock()
		return err
	}
	by := ""
	for _, o := range x.Origins {
		by = o.ID
	}
	t.desired, t.etag = merged(t.desired, body.members["properties"].members["desired"], by), t.etag+1
	w.writes++
	w.mu.Unlock()
	w.tell(id)
	return nil
}

// Replace implements [Twins].
func (w fakeTwins) Replace(ctx context.Context, id hub.Identity, x Write) error {
	w.mu.Lock()
	w.twins[id].desired = newObject(nil)
	w.mu.Unlock()
	return w.Update(ctx, id, x)
}

// Create implements [Twins].
func (w fakeTwins) Create(_ context.Context, id hub.Identity) error {
	w.mu.Lock()
	known := w.twins[id] != nil
	w.created = append(w.created, id)
	w.mu.Unlock()
	if known {
		return hub.Errorf(hub.ModuleAlreadyExists, "%s", id)
	}
	w.device(id.String(), false)
	return nil
}

// desired is the desired properties of a twin as JSON.
func (w *world) desired(name string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.twins[identity(name)] == nil {
		return "no such twin"
	}
	return string(w.twins[identity(name)].desired.append(nil))
}

// shown is what a twin shows: "a:Applied b:Targeted".
func (w *world) shown(name string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []string
	if t := w.twins[identity(name)]; t != nil {
		for _, s := range t.shown {
			all = append(all, s.ID+":"+s.String())
		}
	}
	return strings.Join(all, " ")
}

func (w *world) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.writes
}

// config is a configuration of a test.
func config(tb interface{ Fatal(...any) }, id string, priority int, condition, content string) Configuration {
	c, err := ParseContent([]byte(content))
	if err != nil {
		tb.Fatal(err)
	}
	return Configuration{ID: id, Priority: priority, TargetCondition: condition, Content: c}
}

// state is what a test compares: name desired shown, in lines.
func (w *world) state(names ...string) string {
	var b strings.Builder
	for _, name := range names {
		fmt.Fprintf(&b, "%s %s %s\n", name, w.desired(name), w.shown(name))
	}
	return b.String()
}

var (
	_ Fleet    = (*world)(nil)
	_ Language = (*world)(nil)
	_ Board    = (*world)(nil)
	_ Watcher  = (*world)(nil)
	_ Twins    = fakeTwins{}
	_ testing.TB
)
