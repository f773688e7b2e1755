package backup

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hubgate/hubgate/backend"
)

// FuzzManifest: whatever stands there, nothing outside the directory is named,
// and no stream twice.
func FuzzManifest(f *testing.F) {
	f.Add(`{"format":1,"prefix":"hub","assets":[{"stream":"KV_hub_devices","bucket":true,"file":"KV_hub_devices.jsonl.gz","config":{}}]}`)
	f.Add(`{"format":1,"prefix":"hub","assets":[{"stream":"HUB_A","file":"../a","config":{}}]}`)
	f.Add(`{"format":2}`)
	f.Add(`{"format":1,"prefix":"hub","assets":[{"stream":"HUB_A","file":"a","config":null}]}`)
	f.Add(`{"format":1,"prefix":"hub","assets":[{"stream":"KV_hub_a","bucket":true,"file":"..","config":{"metadata":null}}]}`)
	f.Add(`{"format":1,"prefix":"hub","assets":[{"stream":"KV_hub_a","bucket":true,"file":"a","config":{"metadata":null},"lastSequence":18446744073709551615}]}`)
	f.Add(`{"format":1,"prefix":"hub","assets":[{"stream":"HUB_A","file":"/","config":{}}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, ManifestFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		m, err := readManifest(dir)
		if err != nil {
			return
		}
		seen := map[string]bool{}
		for _, a := range m.Assets {
			if filepath.Dir(filepath.Join(dir, a.File)) != dir || seen[a.Stream] || strings.ContainsAny(a.Stream, "./ *>") {
				t.Errorf("%q is taken", text)
			}
			seen[a.Stream] = true
			_, _ = configFor(a, 3, backend.Placement{Cluster: "c"})
		}
	})
}

// FuzzRecords: what is no list of records is refused, and none comes without a
// key, nor more than the manifest names.
func FuzzRecords(f *testing.F) {
	zipped := func(text string) []byte {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		_, _ = w.Write([]byte(text))
		_ = w.Close()
		return b.Bytes()
	}
	f.Add([]byte(`{"key":"d","revision":7,"value":"e30="}`+"\n"), uint8(1))
	f.Add([]byte(`{"key":"d.m","header":{"Nats-Expected-Stream":["x"],"A":["b"]},"value":"eyJjb25uZWN0ZWQiOnRydWV9"}`), uint8(1))
	f.Add([]byte(`{"value":"e30="}`), uint8(1))
	f.Fuzz(func(t *testing.T, text []byte, n uint8) {
		got := 0
		err := eachRecord(bytes.NewReader(zipped(string(text))), Asset{File: "f", Messages: uint64(n)}, func(r record) error {
			if got++; r.Key == "" || got > int(n) {
				t.Errorf("%q: record %d of %d is %+v", text, got, n, r)
			}
			m := r.message("to")
			for name := range m.Header {
				if strings.HasPrefix(name, "Nats-Expected-") {
					t.Errorf("%s is kept", name)
				}
			}
			release(&r, r.Time)
			return nil
		})
		if err == nil && got != int(n) {
			t.Errorf("%d records count as %d", got, n)
		}
	})
}
