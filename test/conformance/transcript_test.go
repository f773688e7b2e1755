package conformance

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// spoken are the messages of the transcripts: plain, with every system property,
// with hostile application properties.
var spoken = []message{
	{Body: []byte("plain"), MessageID: "1"},
	{
		Body: []byte(`{"all":"system properties"}`), MessageID: "a b/c+d&e=é", CorrelationID: "c 1", UserID: "u/1",
		To: "/devices/x", ContentType: "application/json", ContentEncoding: "utf-8",
		Expiry: "2030-01-02T03:04:05.000Z", CreationTime: "2029-12-31T23:59:59.0000000Z",
		Component: "thermostat1", Security: true,
	},
	{
		Body: []byte("\x00\xff binary"), MessageID: "3",
		Properties: [][2]string{{"&=%+/$ ;,", "&=%+/$ ;,"}, {"ключ", "値"}, {"empty", ""}, {"a'(b)!*~", "c'(d)!*~"}},
	},
}

// transcript records how an SDK connects and sends, and compares it with the
// golden file: as a device, as a device that comes back, with a wrong key, and as
// a module.
func transcript(t *testing.T, g *gateway, s *sdk, address string) {
	r := record(t, g, address)
	d := s.start(t)
	device := g.create(s.String())
	module := s.String() + "-host/mod1"
	g.create(s.String() + "-host")
	inside := g.create(module)

	var out bytes.Buffer
	fmt.Fprintf(&out, "# %s. The packets as they were on the wire, but for what differs from run to run.\n", s)
	r.converse(&out, d, s, "first connection of a device", s.String(), device.ConnectionString, spoken...)
	r.converse(&out, d, s, "it comes back", s.String(), device.ConnectionString, spoken[0])
	r.refuse(&out, d, s, "wrong key", s.String(), withKey(device.ConnectionString, otherKey))
	output := message{Body: []byte("to an output"), MessageID: "2", Output: "out 1", Properties: [][2]string{{"k", "v"}}}
	r.converse(&out, d, s, "first connection of a module", module, inside.ConnectionString, spoken[0], output)

	path := filepath.Join("testdata", "transcripts", s.String()+"-telemetry.txt")
	if *update {
		if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(out.String(), "\n")); diff != "" {
		t.Errorf("the dialogue differs from %s (-want +got; -update rewrites it):\n%s", path, diff)
	}
}

// converse records one connection on which messages are sent one by one.
func (r *recorder) converse(out *bytes.Buffer, d *driver, s *sdk, title, id, connectionString string, messages ...message) {
	r.t.Helper()
	client := title
	d.do("open", client, r.open(s, id, connectionString))
	for _, m := range messages {
		d.do("send", client, args{"message": s.adapt(id, m)})
	}
	d.do("close", client, nil)
	r.write(out, title, "{sig}")
}

// refuse records one connection attempt that must fail.
func (r *recorder) refuse(out *bytes.Buffer, d *driver, s *sdk, title, id, connectionString string) {
	r.t.Helper()
	if err := d.try("open", title, r.open(s, id, connectionString)); err == nil {
		r.t.Errorf("%s: the SDK connected", title)
		d.do("close", title, nil)
	}
	r.write(out, title, "{wrong}")
}

func (r *recorder) open(s *sdk, id, connectionString string) args {
	return args{
		"connectionString": withHost(connectionString, r.gateway, r.host),
		"transport":        s.transport,
		"module":           strings.Contains(id, "/"),
		"caFile":           r.caFile,
		"noRetry":          true,
	}
}

// write ends one section of a transcript.
func (r *recorder) write(out *bytes.Buffer, title, sig string) {
	ids := map[string]int{}
	fmt.Fprintf(out, "\n# %s\n", title)
	for _, line := range r.take() {
		fmt.Fprintln(out, r.normal(line, sig, ids))
	}
}

var (
	signaturePart = regexp.MustCompile(`\bsig=[^&"]+`)
	expiryPart    = regexp.MustCompile(`\bse=\d+`)
	agentPart     = regexp.MustCompile(`(DeviceClientType=[^&"%]*%2[Ff][0-9.]+)[^&"]*`)
	uuidPart      = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	packetID      = regexp.MustCompile(` id=(\d+)`)
)

// normal takes out of a line what differs from run to run. Packet ids are numbered
// in the order in which they appear: Node begins with a random one.
func (r *recorder) normal(line, sig string, ids map[string]int) string {
	line = strings.ReplaceAll(line, r.host, "{host}")
	line = signaturePart.ReplaceAllString(line, "sig="+sig)
	line = expiryPart.ReplaceAllString(line, "se={se}")
	line = agentPart.ReplaceAllString(line, "$1{os}")
	line = uuidPart.ReplaceAllString(line, "{uuid}")
	return packetID.ReplaceAllStringFunc(line, func(match string) string {
		if _, ok := ids[match]; !ok {
			ids[match] = len(ids) + 1
		}
		return fmt.Sprintf(" id=%d", ids[match])
	})
}
