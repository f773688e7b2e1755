package main

import (
	"bytes"
	"context"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/cmd/hubgate/internal/config"
)

// refusing refuses some addresses with an error and binds any port for others.
func refusing(refused map[string]error) func(context.Context, string, string) (net.Listener, error) {
	return func(ctx context.Context, network, address string) (net.Listener, error) {
		if err := refused[address]; err != nil {
			return nil, &net.OpError{Op: "listen", Net: network, Err: os.NewSyscallError("bind", err)}
		}
		return new(net.ListenConfig).Listen(ctx, network, "127.0.0.1:0")
	}
}

func TestBind(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		door      door
		addresses []string
		refused   map[string]error
		bound     int
		want      []string // in the error
		log       []string
	}{
		"free": {door{port: 443}, []string{"127.0.0.1"}, nil, 1, nil, nil},
		"not allowed, with a fallback": {
			door{takes: "HTTPS", flag: "--https-port", port: 443, fallback: 8443},
			[]string{"127.0.0.1"},
			map[string]error{"127.0.0.1:443": syscall.EACCES},
			1, nil,
			[]string{`"level":"warn"`, `"wanted":443`, `"taken":8443`, "setcap cap_net_bind_service=+ep", "ip_unprivileged_port_start"},
		},
		"not allowed": {
			door{takes: "HTTPS", flag: "--https-port", port: 443},
			[]string{""},
			map[string]error{":443": syscall.EACCES},
			0,
			[]string{"may not open port 443, for HTTPS", "setcap"},
			nil,
		},
		"fallback is taken": {
			door{takes: "MQTT", flag: "--mqtt-port", port: 8883, fallback: 8884},
			[]string{"127.0.0.1"},
			map[string]error{"127.0.0.1:8883": syscall.EACCES, "127.0.0.1:8884": syscall.EADDRINUSE},
			0,
			[]string{"port 8884 of 127.0.0.1, for MQTT, is taken", "--mqtt-port"},
			[]string{`"taken":8884`},
		},
		"taken": {
			door{takes: "MQTT", flag: "--mqtt-port", port: 8883, fallback: 8884},
			[]string{"127.0.0.1"},
			map[string]error{"127.0.0.1:8883": syscall.EADDRINUSE},
			0,
			[]string{"port 8883 of 127.0.0.1", "is taken", "another hubgate", "--mqtt-port"},
			nil,
		},
		"foreign address": {
			door{takes: "MQTT", port: 8883},
			[]string{"10.9.9.9"},
			map[string]error{"10.9.9.9:8883": syscall.EADDRNOTAVAIL},
			0,
			[]string{"does not have the address", "--listen"},
			nil,
		},
		"taken, on Windows": {
			door{takes: "MQTT", flag: "--mqtt-port", port: 8883},
			[]string{"127.0.0.1"},
			map[string]error{"127.0.0.1:8883": syscall.Errno(10048)},
			0,
			[]string{"port 8883 of 127.0.0.1", "is taken", "another hubgate", "--mqtt-port"},
			nil,
		},
		"not allowed, on Windows": {
			door{takes: "HTTPS", flag: "--https-port", port: 443, fallback: 8443},
			[]string{"127.0.0.1"},
			map[string]error{"127.0.0.1:443": syscall.Errno(10013)},
			1, nil,
			[]string{`"level":"warn"`, `"wanted":443`, `"taken":8443`},
		},
		"no IPv6":       {door{port: 8883}, []string{"127.0.0.1", "::1"}, map[string]error{"[::1]:8883": nil}, 2, nil, nil},
		"other failure": {door{takes: "MQTT", port: 8883}, []string{""}, map[string]error{":8883": syscall.ENOBUFS}, 0, []string{"open port 8883 for MQTT"}, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			tt.door.listen = refusing(tt.refused)
			all, err := tt.door.bindOrFallBack(t.Context(), tt.addresses, zerolog.New(&log))
			defer closeAll(all)
			if len(all) != tt.bound || (err == nil) != (tt.want == nil) {
				t.Fatalf("got %d listeners, %v", len(all), err)
			}
			if err != nil {
				wantAll(t, err.Error(), tt.want...)
			}
			wantAll(t, log.String(), tt.log...)
			if tt.log == nil && log.Len() > 0 {
				t.Errorf("the log says %s", log.String())
			}
		})
	}
}

// TestBindWithoutIPv6 leaves out ::1, and keeps the port of the first address
// for the second.
func TestBindWithoutIPv6(t *testing.T) {
	t.Parallel()
	for name, missing := range map[string]error{
		"no address": syscall.EADDRNOTAVAIL, "no family": syscall.EAFNOSUPPORT,
		"no address, on Windows": syscall.Errno(10049), "no family, on Windows": syscall.Errno(10047),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var asked []string
			d := door{listen: func(ctx context.Context, network, address string) (net.Listener, error) {
				asked = append(asked, address)
				if strings.HasPrefix(address, "[") {
					return nil, os.NewSyscallError("bind", missing)
				}
				return new(net.ListenConfig).Listen(ctx, network, address)
			}}
			all, err := d.bind(t.Context(), []string{"127.0.0.1", "::1"})
			if err != nil || len(all) != 1 {
				t.Fatalf("got %d listeners, %v", len(all), err)
			}
			defer closeAll(all)
			_, port, _ := net.SplitHostPort(all[0].Addr().String())
			if want := "[::1]:" + port; len(asked) != 2 || asked[1] != want {
				t.Errorf("got %q, want the second to be %q", asked, want)
			}
		})
	}
}

// TestMayBind: what helps is for the system that the user has.
func TestMayBind(t *testing.T) {
	t.Parallel()
	for system, want := range map[string]string{"linux": "setcap", "windows": "excludedportrange", "darwin": "sudo"} {
		text := mayBindOn(system)
		wantAll(t, text, want)
		if system != "linux" && strings.Contains(text, "setcap") {
			t.Errorf("%s has no setcap: %s", system, text)
		}
	}
}

// TestBindAll binds what a configuration says, and nothing when it fails.
func TestBindAll(t *testing.T) {
	t.Parallel()
	cfg := config.Default()
	cfg.Hub.Host, cfg.Listen.MQTTPort, cfg.Listen.HTTPSPort, cfg.Listen.Plain = "localhost", 0, 0, "127.0.0.1:0"
	l, err := bindAll(t.Context(), cfg, config.Dev, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	if len(l.mqtt) == 0 || len(l.https) == 0 || len(l.plain) != 1 {
		t.Errorf("got %d, %d and %d listeners", len(l.mqtt), len(l.https), len(l.plain))
	}
	cfg.Listen.Plain = l.plain[0].Addr().String()
	if _, err := bindAll(t.Context(), cfg, config.Dev, zerolog.Nop()); err == nil {
		t.Error("a taken port is bound")
	} else {
		wantAll(t, err.Error(), "is taken", "--plain-listen")
	}
	l.close()
	again, err := bindAll(t.Context(), cfg, config.Dev, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	again.close()
}
