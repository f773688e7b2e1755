package config_test

import (
	"strings"
	"testing"

	"github.com/hubgate/hubgate/cmd/hubgate/internal/config"
)

func adminOf(t *testing.T, role config.Role, settings ...config.Setting) (*config.Config, error) {
	t.Helper()
	c, err := config.Load(config.Source{Settings: append(settings, flag("hub.host", "127.0.0.1"))})
	if err != nil {
		t.Fatal(err)
	}
	if role == config.Serve {
		c.TLS.CertFiles, c.TLS.KeyFiles, c.NATS.Embedded = []string{"a"}, []string{"b"}, true
	}
	return c, c.Complete(role)
}

func TestAdminAddress(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		role     config.Role
		settings []config.Setting
		host     string
		port     int
		ok, firm bool
	}{
		"serve":          {config.Serve, nil, "127.0.0.1", 9610, true, false},
		"dev":            {config.Dev, nil, "", 0, false, false},
		"dev, asked for": {config.Dev, []config.Setting{flag("admin.listen", "127.0.0.1:0")}, "127.0.0.1", 0, true, true},
		"none":           {config.Serve, []config.Setting{flag("admin.listen", "none")}, "", 0, false, false},
		"localhost":      {config.Serve, []config.Setting{flag("admin.listen", "localhost:1")}, "127.0.0.1", 1, true, true},
		"IPv6":           {config.Serve, []config.Setting{flag("admin.listen", "[::1]:1")}, "::1", 1, true, true},
		"token":          {config.Serve, []config.Setting{flag("admin.listen", ":9610"), flag("admin.token_file", "t")}, "", 9610, true, true},
		"authority": {config.Serve, []config.Setting{
			flag("admin.listen", "10.0.0.1:9610"), flag("admin.client_ca_files", "ca"), flag("admin.cert_file", "c"), flag("admin.key_file", "k"),
		}, "10.0.0.1", 9610, true, true},
	} {
		c, err := adminOf(t, tt.role, tt.settings...)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		host, port, ok, firm := c.AdminAddress()
		if ok != tt.ok || firm != tt.firm || ok && (host != tt.host || port != tt.port) {
			t.Errorf("%s: %q %d %v %v", name, host, port, ok, firm)
		}
	}
}

func TestBadAdmin(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		settings []config.Setting
		want     string
	}{
		"open to all":       {[]config.Setting{flag("admin.listen", ":9610")}, "admin.token_file or admin.client_ca_files"},
		"open to a network": {[]config.Setting{flag("admin.listen", "10.1.2.3:9610")}, "reachable from other machines"},
		"no port":           {[]config.Setting{flag("admin.listen", "127.0.0.1")}, "127.0.0.1:9610, nor none"},
		"no address":        {[]config.Setting{flag("admin.listen", "hub.example.com:9610")}, "is not an IP address"},
		"large port":        {[]config.Setting{flag("admin.listen", "127.0.0.1:96100")}, "is not a port"},
		"word":              {[]config.Setting{flag("admin.listen", "off")}, "nor none"},
		"password":          {[]config.Setting{flag("admin.listen", "nats://u:secret@h:1")}, "not shown"},
		"taken":             {[]config.Setting{flag("admin.listen", "127.0.0.1:8883")}, "is taken by listen.mqtt_port"},
		"key alone":         {[]config.Setting{flag("admin.key_file", "k")}, "both admin.cert_file and admin.key_file"},
		"authority alone":   {[]config.Setting{flag("admin.client_ca_files", "ca")}, "give admin.cert_file"},
	} {
		_, err := adminOf(t, config.Serve, tt.settings...)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}

func TestAdminIsBare(t *testing.T) {
	t.Parallel()
	tokens := flag("admin.token_file", "t")
	for name, tt := range map[string]struct {
		settings []config.Setting
		bare     bool
	}{
		"loopback": {nil, false},
		"open":     {[]config.Setting{flag("admin.listen", ":9610"), tokens}, true},
		"TLS":      {[]config.Setting{flag("admin.listen", ":9610"), tokens, flag("admin.cert_file", "c"), flag("admin.key_file", "k")}, false},
		"none":     {[]config.Setting{flag("admin.listen", "none"), tokens}, false},
	} {
		if c, err := adminOf(t, config.Serve, tt.settings...); err != nil || c.AdminIsBare() != tt.bare {
			t.Errorf("%s: %v, %v", name, c.AdminIsBare(), err)
		}
	}
}
