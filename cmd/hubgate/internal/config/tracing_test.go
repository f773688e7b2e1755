package config_test

import (
	"strings"
	"testing"

	"github.com/hubgate/hubgate/cmd/hubgate/internal/config"
)

func tracingOf(settings ...config.Setting) (config.Tracing, error) {
	c, err := config.Load(config.Source{Settings: settings})
	if err != nil {
		return config.Tracing{}, err
	}
	return c.Tracing, c.Complete(config.Dev)
}

func TestTracing(t *testing.T) {
	t.Parallel()
	for endpoint, tt := range map[string]struct {
		headers string
		url     string
		bare    bool
	}{
		"":                              {"", "", false},
		"http://localhost:4318":         {"h", "http://localhost:4318/v1/traces", false},
		"http://127.0.0.2:4318/":        {"h", "http://127.0.0.2:4318/v1/traces", false},
		"http://[::1]:4318":             {"h", "http://[::1]:4318/v1/traces", false},
		"http://collector:4318":         {"h", "http://collector:4318/v1/traces", true},
		"http://10.0.0.1:4318":          {"", "http://10.0.0.1:4318/v1/traces", false},
		"https://otlp.example.com/otlp": {"h", "https://otlp.example.com/otlp/v1/traces", false},
	} {
		got, err := tracingOf(flag("tracing.otlp_endpoint", endpoint), flag("tracing.headers", tt.headers))
		if err != nil || got.TracesURL() != tt.url || got.TracesAreBare() != tt.bare {
			t.Errorf("%q: traces go to %q, readable %v: %v", endpoint, got.TracesURL(), got.TracesAreBare(), err)
		}
	}
}

func TestBadTracing(t *testing.T) {
	t.Parallel()
	const good = "https://localhost:4318"
	for name, tt := range map[string]struct {
		settings []config.Setting
		want     string
	}{
		"no scheme":    {[]config.Setting{flag("tracing.otlp_endpoint", "localhost:4318")}, "http://localhost:4318"},
		"gRPC":         {[]config.Setting{flag("tracing.otlp_endpoint", "grpc://localhost:4317")}, "http://localhost:4318"},
		"no host":      {[]config.Setting{flag("tracing.otlp_endpoint", "http://:4318")}, "http://localhost:4318"},
		"user":         {[]config.Setting{flag("tracing.otlp_endpoint", "https://u:s3cret@localhost")}, "tracing.headers"},
		"query":        {[]config.Setting{flag("tracing.otlp_endpoint", good+"?key=s3cret")}, "tracing.headers"},
		"full":         {[]config.Setting{flag("tracing.otlp_endpoint", good+"/v1/traces/")}, "base URL"},
		"CA for http":  {[]config.Setting{flag("tracing.otlp_endpoint", "http://localhost"), flag("tracing.ca_file", "ca")}, "tracing.ca_file"},
		"CA alone":     {[]config.Setting{flag("tracing.ca_file", "ca")}, "no collector"},
		"headers":      {[]config.Setting{flag("tracing.headers", "h")}, "no collector"},
		"share":        {[]config.Setting{flag("tracing.sample", "1.01")}, "from 0 to 1"},
		"less":         {[]config.Setting{flag("tracing.sample", "-0.1")}, "from 0 to 1"},
		"no number":    {[]config.Setting{flag("tracing.sample", "NaN")}, "from 0 to 1"},
		"in per cent":  {[]config.Setting{flag("tracing.sample", "1%")}, "from 0 to 1"},
		"no such keys": {[]config.Setting{flag("tracing.endpoint", good)}, "otlp_endpoint"},
	} {
		_, err := tracingOf(tt.settings...)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v, want a sentence with %q", name, err, tt.want)
		}
	}
}
