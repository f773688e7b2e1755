package twin

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// fresh is a twin as it is after the creation of its device.
func fresh() Twin { return New(dev, "1", created) }

func mustUpdate(t *testing.T, body string) Patch {
	t.Helper()
	p, err := ParseUpdate([]byte(body))
	if err != nil {
		t.Fatalf("ParseUpdate(%s): %v", body, err)
	}
	return p
}

func mustReport(t *testing.T, body string) Patch {
	t.Helper()
	p, err := ParseReported([]byte(body))
	if err != nil {
		t.Fatalf("ParseReported(%s): %v", body, err)
	}
	return p
}

func desired(body string) string { return `{"properties":{"desired":` + body + `}}` }

func TestNewTwin(t *testing.T) {
	t.Parallel()
	const want = `{"deviceId":"dev1","etag":"AAAAAAAAAAE=","version":2,"properties":{` +
		`"desired":{"$metadata":{"$lastUpdated":"2026-11-21T08:00:00.1234567Z"},"$version":1},` +
		`"reported":{"$metadata":{"$lastUpdated":"2026-11-21T08:00:00.1234567Z"},"$version":1}}}`
	if got := string(fresh().AppendJSON(nil)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got, want := string(fresh().Device()), `{"desired":{"$version":1},"reported":{"$version":1}}`; got != want {
		t.Errorf("the device gets %s, want %s", got, want)
	}
	never := New(mod, "1", time.Time{})
	for _, part := range []string{`"moduleId":"cam"`, `"$lastUpdated":"0001-01-01T00:00:00Z"`} {
		if got := string(never.AppendJSON(nil)); !strings.Contains(got, part) {
			t.Errorf("%s has no %s", got, part)
		}
	}
}

func TestUpdate(t *testing.T) {
	t.Parallel()
	a, c, err := fresh().Patch(mustUpdate(t, `{"tags":{"plant":"Köln"},"properties":{"desired":{"b":{"x":1.50,"y":[1,{"z":2}]},"a":true}}}`), "", later)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"deviceId":"dev1","etag":"AAAAAAAAAAI=","version":3,"tags":{"plant":"Köln"},"properties":{` +
		`"desired":{"b":{"x":1.50,"y":[1,{"z":2}]},"a":true,"$metadata":{"$lastUpdated":"2026-11-21T08:01:00.1234567Z","$lastUpdatedVersion":2,` +
		`"b":{"$lastUpdated":"2026-11-21T08:01:00.1234567Z","$lastUpdatedVersion":2,"x":{"$lastUpdated":"2026-11-21T08:01:00.1234567Z","$lastUpdatedVersion":2},"y":{"$lastUpdated":"2026-11-21T08:01:00.1234567Z","$lastUpdatedVersion":2}},` +
		`"a":{"$lastUpdated":"2026-11-21T08:01:00.1234567Z","$lastUpdatedVersion":2}},"$version":2},` +
		`"reported":{"$metadata":{"$lastUpdated":"2026-11-21T08:00:00.1234567Z"},"$version":1}}}`
	if got := string(a.AppendJSON(nil)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got, want := string(c.Desired.Body), `{"b":{"x":1.50,"y":[1,{"z":2}]},"a":true,"$version":2}`; got != want || c.Desired.Version != 2 {
		t.Errorf("the device is told %s, want %s", got, want)
	}

	b, c, err := a.Patch(mustUpdate(t, desired(`{"b":{"x":null,"n":{"deep":null}},"nope":null,"$version":99,"$metadata":{}}`)), `"AAAAAAAAAAI="`, later.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(b.Device()), `{"desired":{"b":{"y":[1,{"z":2}],"n":{}},"a":true,"$version":3},"reported":{"$version":1}}`; got != want {
		t.Errorf("the device gets %s, want %s", got, want)
	}
	if got, want := string(c.Desired.Body), `{"b":{"x":null,"n":{"deep":null}},"nope":null,"$version":3}`; got != want {
		t.Errorf("the device is told %s, want %s", got, want)
	}
	const event = `{"version":4,"properties":{"desired":{"b":{"x":null,"n":{"deep":null}},"nope":null,"$metadata":{"$lastUpdated":"2026-11-21T09:01:00.1234567Z","$lastUpdatedVersion":3,` +
		`"b":{"$lastUpdated":"2026-11-21T09:01:00.1234567Z","$lastUpdatedVersion":3,"n":{"$lastUpdated":"2026-11-21T09:01:00.1234567Z","$lastUpdatedVersion":3}}},"$version":3}}}`
	if got := string(c.Event); got != event || c.Op != OpUpdate {
		t.Errorf("got event %s\nwant      %s", got, event)
	}
	for _, part := range []string{ // what was not named keeps its mark
		`"a":{"$lastUpdated":"2026-11-21T08:01:00.1234567Z","$lastUpdatedVersion":2}`,
		`"y":{"$lastUpdated":"2026-11-21T08:01:00.1234567Z","$lastUpdatedVersion":2}`,
	} {
		if got := string(b.AppendJSON(nil)); !strings.Contains(got, part) {
			t.Errorf("%s has no %s", got, part)
		}
	}
}

func TestTagsAloneTellTheDeviceNothing(t *testing.T) {
	t.Parallel()
	a, c, err := fresh().Patch(mustUpdate(t, `{"tags":{"a":1},"deviceId":"other","status":"disabled"}`), "*", later)
	if err != nil {
		t.Fatal(err)
	}
	if c.Desired.Version != 0 || a.DesiredVersion() != 1 || a.ID != dev {
		t.Errorf("got %+v and %s", c.Desired, a.AppendJSON(nil))
	}
	if got, want := string(c.Event), `{"version":3,"tags":{"a":1}}`; got != want {
		t.Errorf("got event %s, want %s", got, want)
	}
	if _, _, err = a.Patch(mustUpdate(t, `{"tags":{"a":null}}`), a.ETag, later); err != nil {
		t.Error(err)
	}
}

func TestReplace(t *testing.T) {
	t.Parallel()
	a, _, err := fresh().Patch(mustUpdate(t, `{"tags":{"t":1},"properties":{"desired":{"a":1,"b":{"x":1,"y":2},"c":{"z":1},"d":3}}}`), "", later)
	if err != nil {
		t.Fatal(err)
	}
	b, c, err := a.Replace(mustUpdate(t, desired(`{"e":5,"b":{"y":2,"n":null},"c":4,"d":{"w":1}}`)), "", later)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(b.Device()), `{"desired":{"e":5,"b":{"y":2},"c":4,"d":{"w":1},"$version":3},"reported":{"$version":1}}`; got != want {
		t.Errorf("the device gets %s, want %s", got, want)
	}
	if got, want := string(c.Desired.Body), `{"e":5,"b":{"y":2,"x":null},"c":4,"d":{"w":1},"a":null,"$version":3}`; got != want {
		t.Errorf("the device is told %s, want %s", got, want)
	}
	if got := string(c.Event); got != string(b.AppendJSON(nil)) || c.Op != OpReplace || strings.Contains(got, "tags") {
		t.Errorf("got event %s", got)
	}
}

func TestPatchReported(t *testing.T) {
	t.Parallel()
	a, c, err := fresh().PatchReported(mustReport(t, `{"n":4503599627370495,"s":"a\u0007\u00e9\/","$version":7}`), 1, later)
	if err != nil {
		t.Fatal(err)
	}
	if a.ReportedVersion() != 2 || a.Version != 3 || a.ETag != fresh().ETag || c.By != "dev1" || !c.Reported || c.Desired.Version != 0 {
		t.Errorf("got %s and %+v", a.AppendJSON(nil), c)
	}
	const event = `{"version":3,"properties":{"reported":{"n":4503599627370495,"s":"a\u0007é/","$metadata":{"$lastUpdated":"2026-11-21T08:01:00.1234567Z",` +
		`"n":{"$lastUpdated":"2026-11-21T08:01:00.1234567Z"},"s":{"$lastUpdated":"2026-11-21T08:01:00.1234567Z"}},"$version":2}}}`
	if got := string(c.Event); got != event {
		t.Errorf("got event %s\nwant      %s", got, event)
	}
	if got := a.Sizes(); got != (Sizes{Reported: 2 + 8 + 4}) {
		t.Errorf("got sizes %+v", got)
	}
	if _, _, err = a.PatchReported(mustReport(t, `{}`), 1, later); hub.CodeOf(err) != hub.PreconditionFailed {
		t.Errorf("got %v for an old version", err)
	}
	// The version moves also when nothing changes.
	if b, _, err := a.PatchReported(mustReport(t, `{}`), 0, later); err != nil || b.ReportedVersion() != 3 {
		t.Errorf("got version %d, %v", b.ReportedVersion(), err)
	}
}

func TestTimeDoesNotGoBack(t *testing.T) {
	t.Parallel()
	a, _, _ := fresh().Patch(mustUpdate(t, desired(`{"a":1}`)), "", later)
	_, c, err := a.PatchReported(mustReport(t, `{"b":1}`), 0, created.Add(-time.Hour))
	if err != nil || !c.Time.Equal(later) {
		t.Errorf("got a change at %v, %v, want %v", c.Time, err, later)
	}
}

func TestIfMatch(t *testing.T) {
	t.Parallel()
	for ifMatch, want := range map[string]hub.Code{
		"": 0, "*": 0, `"*"`: 0, `""`: 0, "AAAAAAAAAAE=": 0, `"AAAAAAAAAAE="`: 0, ` "AAAAAAAAAAE=" `: 0,
		"AAAAAAAAAAI=": hub.PreconditionFailed, `"`: hub.PreconditionFailed, "nonsense": hub.PreconditionFailed,
	} {
		_, _, err := fresh().Patch(mustUpdate(t, `{"tags":{}}`), ifMatch, later)
		if got := hub.CodeOf(err); got != want {
			t.Errorf("Patch with %q: %v, want %d", ifMatch, err, want)
		}
		_, _, err = fresh().Replace(mustUpdate(t, `{"tags":{}}`), ifMatch, later)
		if got := hub.CodeOf(err); got != want {
			t.Errorf("Replace with %q: %v, want %d", ifMatch, err, want)
		}
	}
}

// What has one quote only is no etag, and least of all *.
func TestQuotesOfIfMatch(t *testing.T) {
	t.Parallel()
	etag := fresh().ETag
	for ifMatch, want := range map[string]hub.Code{
		"": 0, "*": 0, `"*"`: 0, etag: 0, `"` + etag + `"`: 0, ` "` + etag + `" `: 0, `""`: 0,
		`"*`: hub.PreconditionFailed, `*"`: hub.PreconditionFailed, `"`: hub.PreconditionFailed,
		`"` + etag: hub.PreconditionFailed, etag + `"`: hub.PreconditionFailed,
	} {
		if _, _, err := fresh().Patch(mustUpdate(t, `{"tags":{"a":1}}`), ifMatch, later); hub.CodeOf(err) != want {
			t.Errorf("If-Match %s: %v, want %d", ifMatch, err, want)
		}
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	a, _, _ := fresh().Patch(mustUpdate(t, `{"tags":{"t":{"u":1}},"properties":{"desired":{"a":{"b":[1,2]}}}}`), "", later)
	a, _, _ = a.PatchReported(mustReport(t, `{"r":null,"q":"1"}`), 0, later.Add(time.Second))
	for name, in := range map[string]Twin{"written": a, "fresh": fresh(), "module": New(mod, "", created)} {
		got, err := Parse(in.AppendJSON(nil))
		if err != nil || !got.Equal(in) {
			t.Errorf("%s: got %s, %v\nwant %s", name, got.AppendJSON(nil), err, in.AppendJSON(nil))
		}
	}
	// IoT Hub's own, with what is not kept, and metadata that has gaps.
	const foreign = `{"deviceId":"d","etag":"AAAAAAAAAAE=","deviceEtag":"x","status":"enabled","version":5,"capabilities":{"iotEdge":false},
		"properties":{"other":1,"desired":{"a":{"b":1},"$metadata":{"$lastUpdated":"2021-05-20T21:05:36.195Z","$lastUpdatedVersion":4,"$lastUpdatedBy":"c","a":{"$lastUpdated":"nonsense"}},"$version":4},
		"reported":{"x":1,"$version":2}}}`
	var got Twin
	if err := json.Unmarshal([]byte(foreign), &got); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(got)
	if err != nil || !strings.Contains(string(b), `"$lastUpdated":"2021-05-20T21:05:36.195Z","$lastUpdatedVersion":4,"$lastUpdatedBy":"c","$lastUpdatedByDigest":"","a":{"$lastUpdated":"0001-01-01T00:00:00Z","b":{"$lastUpdated":"0001-01-01T00:00:00Z"}}`) {
		t.Errorf("got %s, %v", b, err)
	}
	// What some other version has stored, by other rules.
	for name, tags := range map[string]string{
		"deep": nested(50, `{"a":`, "}"), "an array with null": `{"a":[null]}`, "null": `{"a":null}`,
		"a long text": `{"a":"` + strings.Repeat("x", 1<<16) + `"}`, "a large number": `{"a":1e300}`, "a key with a dot": `{"a.b":1}`,
	} {
		stored := strings.Replace(string(fresh().AppendJSON(nil)), `"properties":{`, `"tags":`+tags+`,"properties":{`, 1)
		if got, err := Parse([]byte(stored)); err != nil || !strings.Contains(string(got.AppendJSON(nil)), tags) {
			t.Errorf("tags with %s are not read back: %v", name, err)
		}
	}
	const versions = `{"deviceId":"d","etag":"AAAAAAAAAAE=","version":1,"properties":{"desired":{"$version":1},"reported":{"$version":1}}}`
	if _, err := Parse([]byte(versions)); err != nil {
		t.Errorf("the first of all versions: %v", err)
	}
	for _, text := range []string{
		strings.Replace(versions, `"version":1`, `"version":0`, 1),
		strings.Replace(versions, `"desired":{"$version":1}`, `"desired":{"$version":0}`, 1),
		strings.Replace(versions, `"reported":{"$version":1}`, `"reported":{"$version":0}`, 1),
	} {
		if _, err := Parse([]byte(text)); hub.CodeOf(err) != hub.ServerError {
			t.Errorf("%s: got %v, want ServerError", text, err)
		}
	}
	for name, text := range map[string]string{
		"nothing": "", "no object": "[]", "no id": `{"etag":"AAAAAAAAAAE=","version":5}`, "cut": `{"deviceId":"d"`,
		"id is a number": `{"deviceId":1}`, "version is a string": `{"version":"1"}`, "version is a fraction": `{"version":1.5}`,
		"no versions": `{"deviceId":"d","etag":"AAAAAAAAAAE=","version":5}`, "two": string(fresh().AppendJSON(nil)) + "{}",
		"etag": strings.Replace(string(fresh().AppendJSON(nil)), "AAAAAAAAAAE=", "AAE=", 1), "cut token": `{"deviceId":tru`,
		"cut version": `{"version":tru`, "cut metadata": `{"properties":{"desired":{"$metadata":{"x":[`,
	} {
		if err := got.UnmarshalJSON([]byte(text)); hub.CodeOf(err) != hub.ServerError {
			t.Errorf("%s: got %v, want ServerError", name, err)
		}
	}
	if got := nextETag("damaged"); got != etagOf(1) {
		t.Errorf("got etag %s after a damaged one", got)
	}
}

func TestErrorBody(t *testing.T) {
	t.Parallel()
	now := time.Date(2022, 10, 20, 18, 18, 8, 123456789, time.UTC)
	var got struct {
		ErrorCode                         int
		TrackingID, Message, TimestampUTC string
	}
	body := ErrorBody(hub.Errorf(hub.ArgumentInvalid, `reported.a: "quoted"`), now)
	if err := json.Unmarshal(body, &got); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	if got.ErrorCode != 400004 || got.Message != `ErrorCode:ArgumentInvalid;reported.a: "quoted"` || got.TimestampUTC != "2022-10-20T18:18:08.1234567Z" {
		t.Errorf("got %+v", got)
	}
	if len(got.TrackingID) != len("0345b491e59045b89ccdffb111968e83-G:0-TimeStamp:10/20/2022 18:18:08") || !strings.HasSuffix(got.TrackingID, "-G:0-TimeStamp:10/20/2022 18:18:08") {
		t.Errorf("got tracking id %q", got.TrackingID)
	}
	if again := ErrorBody(hub.Errorf(hub.ArgumentInvalid, `reported.a: "quoted"`), now.In(time.FixedZone("x", 3600))); strings.Contains(string(again), got.TrackingID) || !strings.Contains(string(again), got.TimestampUTC) {
		t.Errorf("the same failure once more, told elsewhere: %s", again)
	}
	if body := string(ErrorBody(errTest, now)); strings.Contains(body, "secret") || !strings.Contains(body, `"errorCode":500001`) {
		t.Errorf("an error without a code gives %s", body)
	}
}
