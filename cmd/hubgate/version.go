package main

import (
	"runtime"
	"runtime/debug"
	"strings"
)

type versionCmd struct{}

// versionInfo is what is known of this binary.
type versionInfo struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`
	Time     string `json:"commitTime,omitempty"`
	Modified bool   `json:"modified,omitempty"` // built from a changed tree
	Go       string `json:"go"`
	NATS     string `json:"natsServer,omitempty"`
	Platform string `json:"platform"`
}

// Run prints the version.
func (c *versionCmd) Run(a *app) error {
	v := version()
	if a.format == formatJSON {
		return writeJSON(a.out, v)
	}
	return writePairs(a.out, []row{
		{"Hubgate", v.Version},
		{"Commit", strings.TrimSpace(v.Commit + " " + v.Time)},
		{"NATS server", v.NATS},
		{"Go", v.Go},
		{"Platform", v.Platform},
	})
}

// version reads what the go command has left in the binary.
func version() versionInfo {
	v := versionInfo{Version: "unknown", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	v.Version = info.Main.Version
	for _, dep := range info.Deps {
		if dep.Path == "github.com/nats-io/nats-server/v2" {
			v.NATS = dep.Version
		}
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Commit = s.Value
		case "vcs.time":
			v.Time = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	return v
}

// semver is the version as NATS services want it.
func semver() string {
	v, ok := strings.CutPrefix(version().Version, "v")
	if !ok {
		return "0.0.0"
	}
	return v
}
