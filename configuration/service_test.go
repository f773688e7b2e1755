package configuration

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

	"github.com/hubgate/hubgate/hub"
)

// shelf is a store in memory.
type shelf struct {
	mu       sync.Mutex
	all      map[string]Configuration
	revision uint64
	races    int // writes that somebody else is faster than
}

func (s *shelf) Get(_ context.Context, id string) (Configuration, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.all[id]
	if !ok {
		return c, NotFound(id)
	}
	return c, nil
}

func (s *shelf) List(context.Context) (all []Configuration, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.all {
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b Configuration) int { return strings.Compare(a.ID, b.ID) })
	return all, nil
}

func (s *shelf) Write(_ context.Context, c Configuration) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.races > 0 || s.all[c.ID].Revision != c.Revision {
		s.races--
		return 0, hub.Errorf(hub.PreconditionFailed, "somebody was faster")
	}
	s.revision++
	c.Revision = s.revision
	s.all[c.ID] = c
	return s.revision, nil
}

func (s *shelf) Delete(_ context.Context, c Configuration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, c.ID)
	return nil
}

// edges says which devices are edge devices.
type edges map[string]bool

func (e edges) IsEdge(_ context.Context, device string) (bool, error) {
	edge, ok := e[device]
	if !ok {
		return false, hub.Errorf(hub.DeviceNotFound, "the device %s does not exist", device)
	}
	return edge, nil
}

func newService() (*Service, *world) {
	w := newWorld()
	return &Service{
		Store: &shelf{all: map[string]Configuration{}}, Language: w, Counter: w, Twins: fakeTwins{w},
		Devices: edges{"e": true, "d": false}, Now: func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 120_000_000, time.UTC) },
	}, w
}

const device = `"content":{"deviceContent":{"properties.desired.x":{"b":1.50,"a":null}}}`

// What the client hears names its JSON, and nothing of Go.
func TestParseSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"priority":"high"}`: `"priority" can't be a string`,
		`{"metrics":5}`:       `"metrics" can't be a number`,
		`[]`:                  `it is an array`,
	} {
		if _, err := Parse("c", []byte(body)); err == nil || !strings.HasSuffix(err.Error(), "this is not the JSON of a configuration: "+want) {
			t.Errorf("%s: %v, want %s", body, err, want)
		}
	}
}

func TestPutRules(t *testing.T) {
	for name, tc := range map[string]struct {
		id, body, ifMatch string
		want              hub.Code
	}{
		"created":                     {"new", `{"id":"new",` + device + `}`, "", 0},
		"created with an empty etag":  {"new", `{` + device + `,"etag":"*"}`, `""`, 0},
		"the CLI's":                   {"new", `{"id":"new","schemaVersion":"2.0","etag":"*","labels":{"a":"b"},"metrics":{"queries":{"m":"select deviceId from devices"}},"priority":3,"targetCondition":"tags.t = 'x'",` + device + `}`, "", 0},
		"C#'s":                        {"new", `{"schemaVersion":null,"id":"new","contentType":"assignment","content":{"deviceContent":{"properties.desired":{}},"modulesContent":null,"moduleContent":null},"labels":null,"metrics":null,"systemMetrics":null,"createdTimeUtc":"0001-01-01T00:00:00"}`, "", 0},
		"no modules":                  {"new", `{"content":{"modulesContent":{}}}`, "", 0},
		"exists":                      {"old", `{` + device + `}`, "", hub.ConfigurationAlreadyExists},
		"updated":                     {"old", `{` + device + `}`, `"*"`, 0},
		"updated by etag":             {"old", `{` + device + `}`, "MQ==", 0},
		"updated by quoted etag":      {"old", `{` + device + `}`, `"MQ=="`, 0},
		"updated without content":     {"old", `{"priority":4}`, `*`, 0},
		"updated with bad content":    {"old", `{"content":{"nonsense":1}}`, `*`, 0},
		"stale":                       {"old", `{` + device + `}`, `"Mg=="`, hub.PreconditionFailed},
		"update of none":              {"new", `{` + device + `}`, "*", hub.ConfigurationNotFound},
		"no content":                  {"new", `{}`, "", hub.InvalidContent},
		"empty content":               {"new", `{"content":{}}`, "", hub.InvalidContent},
		"two contents":                {"new", `{"content":{"deviceContent":{},"modulesContent":{}}}`, "", hub.InvalidContent},
		"content of tags":             {"new", `{"content":{"deviceContent":{"tags.x":1}}}`, "", hub.InvalidContent},
		"content of reported":         {"new", `{"content":{"deviceContent":{"properties.reported.x":1}}}`, "", hub.InvalidContent},
		"a path that ends in a dot":   {"new", `{"content":{"deviceContent":{"properties.desired.":1}}}`, "", hub.InvalidContent},
		"a longer word":               {"new", `{"content":{"deviceContent":{"properties.desiredx":1}}}`, "", hub.InvalidContent},
		"no object":                   {"new", `{"content":{"deviceContent":{"properties.desired":1}}}`, "", hub.InvalidContent},
		"a bad module":                {"new", `{"content":{"modulesContent":{"a/b":{}}}}`, "", hub.InvalidContent},
		"what no twin takes":          {"new", `{"content":{"deviceContent":{"properties.desired.forbidden":1}}}`, "", hub.InvalidContent},
		"bad condition":               {"new", `{"targetCondition":"nonsense",` + device + `}`, "", hub.InvalidCondition},
		"bad condition in an update":  {"old", `{"targetCondition":"nonsense"}`, "*", hub.InvalidCondition},
		"modules, and device content": {"new", `{"targetCondition":"FROM devices.modules",` + device + `}`, "", hub.InvalidCondition},
		"devices, and module content": {"new", `{"targetCondition":"*","content":{"moduleContent":{}}}`, "", hub.InvalidCondition},
		"module content":              {"new", `{"targetCondition":"FROM devices.modules WHERE tags.t = 'x'","content":{"moduleContent":{}}}`, "", 0},
		"bad metric":                  {"new", `{"metrics":{"queries":{"m":"nonsense"}},` + device + `}`, "", hub.InvalidMetrics},
		"six metrics":                 {"new", `{"metrics":{"queries":{"1":"select 1","2":"select 1","3":"select 1","4":"select 1","5":"select 1","6":"select 1"}},` + device + `}`, "", hub.InvalidMetrics},
		"negative priority":           {"new", `{"priority":-1,` + device + `}`, "", hub.ArgumentInvalid},
		"priority too high":           {"new", `{"priority":2147483648,` + device + `}`, "", hub.ArgumentInvalid},
		"priority is text":            {"new", `{"priority":"high",` + device + `}`, "", hub.ArgumentInvalid},
		"label is a number":           {"new", `{"labels":{"a":1},` + device + `}`, "", hub.ArgumentInvalid},
		"long label":                  {"new", `{"labels":{"a":"` + strings.Repeat("x", 1025) + `"},` + device + `}`, "", hub.ArgumentInvalid},
		"id in upper case":            {"New", `{` + device + `}`, "", hub.ArgumentInvalid},
		"id with a dot":               {"a.b", `{` + device + `}`, "", hub.ArgumentInvalid},
		"id with all there is":        {"az09-+%_*!'", `{` + device + `}`, "", 0},
		"no id":                       {"", `{` + device + `}`, "", hub.ArgumentInvalid},
		"long id":                     {strings.Repeat("a", 129), `{` + device + `}`, "", hub.ArgumentInvalid},
		"long condition":              {"new", `{"targetCondition":"` + strings.Repeat("x", 8193) + `",` + device + `}`, "", hub.InvalidCondition},
		"not JSON":                    {"new", `{`, "", hub.ArgumentInvalid},
		"another id":                  {"new", `{"id":"other",` + device + `}`, "", hub.ArgumentInvalid},
		"too much":                    {"new", `{"x":"` + strings.Repeat("x", MaxBody) + `"}`, "", hub.MessageTooLarge},
		"a name twice in the content": {"new", `{"content":{"deviceContent":{"properties.desired":{"a":1,"a":2}}}}`, "", hub.InvalidContent},
		"deep":                        {"new", `{"content":{"deviceContent":{"properties.desired.x":` + strings.Repeat("[", 11000) + strings.Repeat("]", 11000) + `}}}`, "", hub.ArgumentInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := newService()
			if _, err := s.Put(t.Context(), config(t, "old", 1, "*", `{"deviceContent":{"properties.desired.x":1}}`), ""); err != nil {
				t.Fatal(err)
			}
			c, err := Parse(tc.id, []byte(tc.body))
			if err == nil {
				c, err = s.Put(t.Context(), c, tc.ifMatch)
			}
			if got := hub.CodeOf(err); got != tc.want {
				t.Fatalf("got %d %v, want %d", got, err, tc.want)
			}
			if err == nil {
				if stored, err := s.Get(t.Context(), tc.id); err != nil || stored.ETag() != c.ETag() {
					t.Errorf("stored: %+v, %v", stored, err)
				}
			}
		})
	}
}

func TestConfigurationJSON(t *testing.T) {
	s, _ := newService()
	c, err := Parse("c", []byte(`{"schemaVersion":"2.0","labels":{"l":"<"},"priority":3,"targetCondition":"tags.t = 'x'","metrics":{"queries":{"m":"select count() from devices"}},`+device+`}`))
	if err != nil {
		t.Fatal(err)
	}
	c, err = s.Put(t.Context(), c, "")
	if err != nil {
		t.Fatal(err)
	}
	const made = `{"id":"c","schemaVersion":"2.0","labels":{"l":"<"},"content":{"deviceContent":{"properties.desired.x":{"b":1.50,"a":null}}},"targetCondition":"tags.t = 'x'",` +
		`"createdTimeUtc":"2026-01-02T03:04:05.12Z","lastUpdatedTimeUtc":"2026-01-02T03:04:05.12Z","priority":3,` +
		`"systemMetrics":{"results":{},"queries":{"appliedCount":"select deviceId from devices where configurations.[[c]].status = 'Applied'","targetedCount":"select deviceId from devices where tags.t = 'x'"}},` +
		`"metrics":{"results":{},"queries":{"m":"select count() from devices"}},"etag":"MQ=="}`
	if got := plain(t, c); got != made {
		t.Errorf("made (-want +got):\n%s", cmp.Diff(made, got))
	}
	c, err = s.Get(t.Context(), "c")
	want := strings.Replace(strings.Replace(made, `"results":{}`, `"results":{"appliedCount":7,"targetedCount":7}`, 1), `"results":{}`, `"results":{"m":7}`, 1)
	if got := plain(t, c); err != nil || got != want {
		t.Errorf("got, %v (-want +got):\n%s", err, cmp.Diff(want, got))
	}
	var again Configuration
	if err := json.Unmarshal([]byte(want), &again); err != nil || plain(t, again) != want {
		t.Errorf("read again: %s, %v", plain(t, again), err)
	}
	c.Priority, c.Content, c.Labels = 4, Content{}, nil
	c, err = s.Put(t.Context(), c, `"MQ=="`)
	if got := plain(t, c); err != nil || c.ETag() != "Mg==" || !strings.Contains(got, `"labels":{},"content":{"deviceContent":{"properties.desired.x":{"b":1.50,"a":null}}}`) {
		t.Errorf("updated: %s, %v", got, err)
	}
}

func plain(t *testing.T, c Configuration) string {
	t.Helper()
	text, err := c.AppendJSON(nil)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestSystemQueries(t *testing.T) {
	const content = `{"modulesContent":{}}`
	for name, tc := range map[string]struct{ clause, content, targeted, applied string }{
		"all devices":       {"", `{"deviceContent":{}}`, "select deviceId from devices", "select deviceId from devices where configurations.[[c]].status = 'Applied'"},
		"no devices":        {nobody, `{"deviceContent":{}}`, "select deviceId from devices where deviceId = ''", "select deviceId from devices where configurations.[[c]].status = 'Applied'"},
		"some modules":      {"moduleId='m'", `{"moduleContent":{}}`, "select deviceId, moduleId from devices.modules where moduleId='m'", "select deviceId, moduleId from devices.modules where configurations.[[c]].status = 'Applied'"},
		"all modules":       {"", `{"moduleContent":{}}`, "select deviceId, moduleId from devices.modules", "select deviceId, moduleId from devices.modules where configurations.[[c]].status = 'Applied'"},
		"some devices":      {"tags.a=1", `{"deviceContent":{}}`, "select deviceId from devices where tags.a=1", "select deviceId from devices where configurations.[[c]].status = 'Applied'"},
		"no modules":        {nobody, `{"moduleContent":{}}`, "select deviceId, moduleId from devices.modules where deviceId = ''", "select deviceId, moduleId from devices.modules where configurations.[[c]].status = 'Applied'"},
		"all edge devices":  {"", content, "select deviceId from devices where capabilities.iotEdge = true", "select deviceId from devices.modules where moduleId = '$edgeAgent' and configurations.[[c]].status = 'Applied'"},
		"some edge devices": {"tags.service ='premium'", content, "select deviceId from devices where capabilities.iotEdge = true and tags.service ='premium'", "select deviceId from devices.modules where moduleId = '$edgeAgent' and configurations.[[c]].status = 'Applied'"},
		"an or":             {"tags.a = 1 OR tags.b = 2", content, "select deviceId from devices where capabilities.iotEdge = true and (tags.a = 1 OR tags.b = 2)", "select deviceId from devices.modules where moduleId = '$edgeAgent' and configurations.[[c]].status = 'Applied'"},
	} {
		t.Run(name, func(t *testing.T) {
			got := systemQueries(config(t, "c", 1, "", tc.content), tc.clause)
			if got[targetedCount] != tc.targeted || got[appliedCount] != tc.applied {
				t.Errorf("got %q, want %q and %q", got, tc.targeted, tc.applied)
			}
		})
	}
}

func TestDelete(t *testing.T) {
	s, _ := newService()
	for _, ifMatch := range []string{"", "*", `"*"`, "MQ==", `"MQ=="`} {
		if _, err := s.Put(t.Context(), config(t, "c", 1, "*", `{"deviceContent":{}}`), ""); err != nil {
			t.Fatal(err)
		}
		if err := s.Delete(t.Context(), "c", `"Mg=="`); hub.CodeOf(err) != hub.PreconditionFailed {
			t.Errorf("a stale etag: %v", err)
		}
		if err := s.Delete(t.Context(), "c", ifMatch); err != nil {
			t.Errorf("If-Match %s: %v", ifMatch, err)
		}
		if err := s.Delete(t.Context(), "c", ifMatch); hub.CodeOf(err) != hub.ConfigurationNotFound {
			t.Errorf("once more: %v", err)
		}
	}
}

func TestLimitAndList(t *testing.T) {
	s, _ := newService()
	s.Limit = 3
	for i := range 3 {
		if _, err := s.Put(t.Context(), config(t, fmt.Sprint("c", i), 1, "*", `{"deviceContent":{}}`), ""); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Put(t.Context(), config(t, "c3", 1, "*", `{"deviceContent":{}}`), ""); hub.CodeOf(err) != hub.TooManyConfigurations {
		t.Errorf("one too many: %v", err)
	}
	for top, want := range map[int]int{-1: 3, 0: 3, 1: 1, 2: 2, 3: 3, 20: 3} {
		all, err := s.List(t.Context(), top)
		if err != nil || len(all) != want || all[0].ID != "c0" || all[0].System.Results[targetedCount] != 7 {
			t.Errorf("top %d: %+v, %v", top, all, err)
		}
	}
}

func TestRace(t *testing.T) {
	s, _ := newService()
	if _, err := s.Put(t.Context(), config(t, "c", 1, "*", `{"deviceContent":{}}`), ""); err != nil {
		t.Fatal(err)
	}
	s.Store.(*shelf).races = 3
	c, err := s.Put(t.Context(), config(t, "c", 2, "*", `{"deviceContent":{}}`), "*")
	if err != nil || c.Priority != 2 {
		t.Errorf("got %+v, %v", c, err)
	}
}

// Who makes a configuration while another node does hears that there is one.
func TestRaceOfCreations(t *testing.T) {
	s, _ := newService()
	s.Store.(*shelf).races = 1
	if _, err := s.Put(t.Context(), config(t, "c", 1, "*", `{"deviceContent":{}}`), ""); hub.CodeOf(err) != hub.ConfigurationAlreadyExists {
		t.Errorf("got %v", err)
	}
}

// A change is tried ten times, and then it is for whoever asks to try again.
func TestEndlessRace(t *testing.T) {
	s, _ := newService()
	if _, err := s.Put(t.Context(), config(t, "c", 1, "*", `{"deviceContent":{}}`), ""); err != nil {
		t.Fatal(err)
	}
	for races, want := range map[int]hub.Code{tries - 1: 0, tries: hub.PreconditionFailed} {
		s.Store.(*shelf).races = races
		if _, err := s.Put(t.Context(), config(t, "c", 2, "*", `{"deviceContent":{}}`), "*"); hub.CodeOf(err) != want {
			t.Errorf("%d others are faster: %v, want %d", races, err, want)
		}
	}
}

func TestUnquote(t *testing.T) {
	for etag, want := range map[string]string{
		``: ``, `""`: ``, `"`: `"`, `*`: `*`, `"*"`: `*`, ` "MQ==" `: `MQ==`, `MQ==`: `MQ==`, `"MQ==`: `"MQ==`, `MQ=="`: `MQ=="`,
	} {
		if got := unquote(etag); got != want {
			t.Errorf("%q is %q, want %q", etag, got, want)
		}
	}
}

// What is just allowed is taken.
func TestLargestOfAll(t *testing.T) {
	labels := map[string]string{}
	for i := range MaxLabels {
		labels[fmt.Sprint(i)] = "x"
	}
	text := strings.Repeat("x", MaxText)
	query := func(n int) string { return "select 1" + strings.Repeat(" ", n-len("select 1")) }
	condition := func(n int) string { return "tags.t = '" + strings.Repeat("x", n-len("tags.t = ''")) + "'" }
	for name, tc := range map[string]struct {
		change func(*Configuration)
		want   hub.Code
	}{
		"id":                {func(c *Configuration) { c.ID = strings.Repeat("a", MaxID) }, 0},
		"highest priority":  {func(c *Configuration) { c.Priority = maxLevel }, 0},
		"lowest priority":   {func(c *Configuration) { c.Priority = 0 }, 0},
		"labels":            {func(c *Configuration) { c.Labels = labels }, 0},
		"one label more":    {func(c *Configuration) { c.Labels = map[string]string{"more": "x"}; maps.Copy(c.Labels, labels) }, hub.ArgumentInvalid},
		"label":             {func(c *Configuration) { c.Labels = map[string]string{text: text} }, 0},
		"name of a label":   {func(c *Configuration) { c.Labels = map[string]string{text + "x": "x"} }, hub.ArgumentInvalid},
		"schema":            {func(c *Configuration) { c.SchemaVersion = text + "x" }, hub.ArgumentInvalid},
		"type":              {func(c *Configuration) { c.ContentType = text + "x" }, hub.ArgumentInvalid},
		"name of a metric":  {func(c *Configuration) { c.Custom.Queries = map[string]string{text + "x": "select 1"} }, hub.ArgumentInvalid},
		"query":             {func(c *Configuration) { c.Custom.Queries = map[string]string{"m": query(maxQuery)} }, 0},
		"longer query":      {func(c *Configuration) { c.Custom.Queries = map[string]string{"m": query(maxQuery + 1)} }, hub.InvalidMetrics},
		"condition":         {func(c *Configuration) { c.TargetCondition = condition(maxCondition) }, 0},
		"longer condition":  {func(c *Configuration) { c.TargetCondition = condition(maxCondition + 1) }, hub.InvalidCondition},
		"blanks as a query": {func(c *Configuration) { c.TargetCondition = " \n" }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := newService()
			c := config(t, "c", 1, "*", `{"deviceContent":{}}`)
			tc.change(&c)
			got, err := s.Put(t.Context(), c, "")
			if hub.CodeOf(err) != tc.want {
				t.Errorf("got %v, want %d", err, tc.want)
			}
			if name == "blanks as a query" && got.TargetCondition != "" {
				t.Errorf("the condition is %q, which would be everybody", got.TargetCondition)
			}
		})
	}
}

// Of two configurations the one with the higher priority comes first, then the newer
// one, and of two that were made at once the one whose id comes first.
func TestOrderOfConfigurations(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	order := []Configuration{
		{ID: "z", Priority: 2, Created: at},
		{ID: "y", Priority: 1, Created: at.Add(time.Nanosecond)},
		{ID: "a", Priority: 1, Created: at},
		{ID: "b", Priority: 1, Created: at.In(time.FixedZone("", 3600))},
		{ID: "c", Priority: 0, Created: at.Add(time.Hour)},
	}
	for i, c := range order {
		for j, d := range order {
			if got := c.before(d); got != (i < j) {
				t.Errorf("%s before %s: %v", c.ID, d.ID, got)
			}
		}
	}
}

// The digest of a configuration is the time of its creation in .NET ticks.
func TestDigest(t *testing.T) {
	for at, want := range map[time.Time]string{
		time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC):                     "0",
		time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC):                  "621355968000000000",
		time.Date(2000, 1, 1, 0, 0, 0, 123_456_789, time.UTC):        "630822816001234567",
		time.Date(2000, 1, 1, 1, 0, 1, 0, time.FixedZone("x", 3600)): "630822816010000000",
	} {
		if got := (Configuration{Created: at}).digest(); got != want {
			t.Errorf("%v is %s, want %s", at, got, want)
		}
	}
}

func TestETags(t *testing.T) {
	for version, want := range map[uint64]string{0: "MA==", 1: "MQ==", 10: "MTA=", 18446744073709551615: "MTg0NDY3NDQwNzM3MDk1NTE2MTU="} {
		if got := (Configuration{Version: version}).ETag(); got != want || versionOf(got) != version {
			t.Errorf("%d is %s, and that is %d, want %s", version, got, versionOf(got), want)
		}
	}
	for _, etag := range []string{"", "%", "eA=="} {
		if got := versionOf(etag); got != 0 {
			t.Errorf("%q is version %d", etag, got)
		}
	}
}

// What the last deployment of a device wrote stays when it goes; what others wrote
// does not.
func TestWhoIsNoDeployment(t *testing.T) {
	_, w := newService()
	s := newSet([]Configuration{
		config(t, "edge", 1, "*", base), config(t, "devices", 1, "*", `{"deviceContent":{}}`), config(t, "modules", 1, "FROM devices.modules", `{"moduleContent":{}}`),
	}, w, func(string, error) {})
	for id, want := range map[string]bool{"edge": false, "devices": true, "modules": true, "gone": false} {
		if got := s.isNoDeployment(id); got != want {
			t.Errorf("%s: %v, want %v", id, got, want)
		}
	}
}

// Of a configuration whose condition can't be read any more is told, and it selects
// nobody.
func TestSetWithABadCondition(t *testing.T) {
	_, w := newService()
	var told []string
	s := newSet([]Configuration{
		{ID: "bad", TargetCondition: "nonsense", Content: config(t, "x", 1, "", `{"deviceContent":{}}`).Content}, config(t, "none", 1, "", `{"deviceContent":{}}`),
	}, w, func(id string, err error) { told = append(told, fmt.Sprint(id, " ", err != nil)) })
	if !slices.Equal(told, []string{"bad true"}) || s.byID["bad"].condition != nil || s.byID["none"].condition != nil {
		t.Errorf("told of %q", told)
	}
}

// A module that is made by the content has it.
func TestApplyMakesModules(t *testing.T) {
	s, w := newService()
	w.device("e", true)
	if err := s.Apply(t.Context(), "e", []byte(base), "me"); err != nil {
		t.Fatal(err)
	}
	if got := w.desired("e/m"); got != `{"x":1}` {
		t.Errorf("the new module has %s", got)
	}
}

func TestTest(t *testing.T) {
	s, _ := newService()
	for name, tc := range map[string]struct {
		test Test
		want string
	}{
		"nothing":  {Test{}, `{"targetConditionError":"","customMetricQueryErrors":{}}`},
		"all good": {Test{"*", map[string]string{"m": "select 1"}}, `{"targetConditionError":"","customMetricQueryErrors":{}}`},
		"all bad": {
			Test{"bad", map[string]string{"m": "bad", "n": "select 1"}},
			`{"targetConditionError":"line 1, column 1: \"bad\"","customMetricQueryErrors":{"m":"line 1, column 1: a query begins with SELECT"}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := json.Marshal(s.Test(tc.test))
			if err != nil || string(got) != tc.want {
				t.Errorf("got %s, %v, want %s", got, err, tc.want)
			}
		})
	}
}

func TestApply(t *testing.T) {
	for name, tc := range map[string]struct {
		device, content string
		want            hub.Code
	}{
		"an edge device":        {"e", base, 0},
		"a layer":               {"e", layer, 0},
		"not edge":              {"d", base, hub.ArgumentInvalid},
		"unknown":               {"u", base, hub.DeviceNotFound},
		"device content":        {"e", `{"deviceContent":{"properties.desired.x":1}}`, hub.InvalidContent},
		"nothing":               {"e", `{}`, hub.InvalidContent},
		"not JSON":              {"e", `{`, hub.InvalidContent},
		"what no module takes":  {"e", `{"modulesContent":{"m":{"properties.desired":{"forbidden":1}}}}`, hub.InvalidContent},
		"with a null beside it": {"e", `{"deviceContent":null,` + base[1:], 0},
	} {
		t.Run(name, func(t *testing.T) {
			s, w := newService()
			w.device("e", true)
			w.device("e/m", false)
			w.operate("e/m", `{"old":1}`)
			err := s.Apply(t.Context(), tc.device, []byte(tc.content), "me")
			if got := hub.CodeOf(err); got != tc.want {
				t.Fatalf("got %d %v, want %d", got, err, tc.want)
			}
			want := `{"old":1}`
			switch {
			case tc.content == layer:
				want = `{"old":1,"y":{"z":3}}`
			case err == nil:
				want = `{"x":1}`
			}
			if got := w.desired("e/m"); got != want {
				t.Errorf("the module has %s, want %s", got, want)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`{"id":"c",` + device + `}`)
	f.Add(`{"content":` + base + `}`)
	f.Add(`{"content":{"deviceContent":{"properties.desired.a":{"b":[{}]},"properties.desired.a.b.c":1}}}`)
	f.Add(`{"content":{"deviceContent":{"properties.desired.a":"` + strings.Repeat("x", MaxBody-60) + `"}}}`)
	f.Add(`{"content":{"deviceContent":{"properties.desired` + strings.Repeat(".a", 10000) + `":1}}}`)
	f.Add(`{"content":{"deviceContent":{"properties.desired.a":{"<\u2028":1e400,"b":[1e400,-0]}}}}`)
	f.Add(`{"content":{"deviceContent":{"properties.desired":{"\u2028":"<>&","a":null,"b":{"c":null,"d":{}}},"properties.desired.a.b":null}}}`)
	f.Add(`{"labels":{"\ud800":"x"},"content":{"deviceContent":null,"moduleContent":{"properties.desired":{"a":[{"b":null}]}}},"createdTimeUtc":"9999-12-31T23:59:59-23:59"}`)
	f.Fuzz(func(t *testing.T, body string) {
		c, err := Parse("c", []byte(body))
		if err != nil {
			if e, ok := errors.AsType[*hub.Error](err); !ok || e.Message == "" {
				t.Fatalf("an error without a sentence: %v", err)
			}
			return
		}
		if c.Content.Kind == "" {
			return
		}
		text, err := c.AppendJSON(nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(text) > MaxBody { // it has members more
			return
		}
		again, err := Parse("c", text)
		if err != nil || again.Content.text != c.Content.text {
			t.Fatalf("%s is read as %+v, %v", text, again, err)
		}
		for _, patch := range c.Content.patches() {
			v, err := parse(patch)
			if err != nil {
				t.Fatalf("patch %s: %v", patch, err)
			}
			// What a patch writes to an empty twin needs no second one.
			want := v.members["properties"].members["desired"]
			if p := (rule{takes: everything}).patch(merged(nil, want, "c"), want); p != nil {
				t.Fatalf("%s is followed by %s", patch, p.append(nil))
			}
		}
	})
}
