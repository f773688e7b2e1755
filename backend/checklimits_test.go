package backend

import (
	"testing"

	"github.com/nats-io/nats-server/v2/server"
)

// unlimited is the limits of an account that has none.
func unlimited() server.JetStreamAccountLimits {
	return server.JetStreamAccountLimits{MaxMemory: -1, MaxStore: -1, MaxStreams: -1, MaxConsumers: -1, MaxAckPending: -1, MemoryMaxStreamBytes: -1, StoreMaxStreamBytes: -1}
}

// What an account does not allow, check tells before a start, and a start says it in
// a sentence.
func TestAccountLimits(t *testing.T) {
	t.Parallel()
	few, small, narrow := unlimited(), unlimited(), unlimited()
	few.MaxStreams, small.MaxStore, narrow.StoreMaxStreamBytes = 5, 8<<20, 4<<20
	tests := map[string]struct {
		limits map[string]server.JetStreamAccountLimits
		cfg    Config
		check  []string // what, and words of the text; none: nothing is wrong
		start  []string
	}{
		"streams":        {map[string]server.JetStreamAccountLimits{"": few}, Config{}, []string{"jetstream: streams of the account", "5 may be there"}, []string{"may have no more streams", "hubgate check"}},
		"space":          {map[string]server.JetStreamAccountLimits{"": small}, Config{}, []string{"jetstream: space", "8388608 bytes left"}, []string{"no room", "raise"}},
		"size":           {map[string]server.JetStreamAccountLimits{"": narrow}, Config{Telemetry: Limits{MaxBytes: 64 << 20}}, []string{"jetstream: space", "stream HUB_TELEMETRY", "allows a stream 4194304"}, []string{"allows no stream of 67108864 bytes"}},
		"smaller":        {map[string]server.JetStreamAccountLimits{"": narrow}, Config{}, nil, nil},
		"tier":           {map[string]server.JetStreamAccountLimits{"R3": unlimited()}, Config{}, []string{"jetstream: replicas of the account", "R3, and not with 1"}, []string{"no limit for streams with 1 replicas"}},
		"no cluster":     {map[string]server.JetStreamAccountLimits{"": unlimited()}, Config{Replicas: 3}, []string{"jetstream: replicas", "one server"}, []string{"not enough NATS servers for 3 replicas"}},
		"tier, and fits": {map[string]server.JetStreamAccountLimits{"R1": unlimited()}, Config{}, nil, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			account := server.NewAccount("HUB")
			s := alone(t, &server.Options{
				JetStream: true, StoreDir: t.TempDir(), JetStreamMaxStore: 1 << 40, Accounts: []*server.Account{account},
				Users: []*server.User{{Username: "hub", Password: "pw", Account: account}},
			})
			have, err := s.LookupAccount("HUB")
			if err == nil {
				err = have.EnableJetStream(tt.limits, nil)
			}
			if err != nil {
				t.Fatal(err)
			}
			tt.cfg.URL = "nats://hub:pw@" + s.Addr().String()
			checkTells(t, tt.cfg, tt.check)
			b, err := Connect(testContext(t), tt.cfg)
			if err == nil {
				shut(b)
			}
			if (err == nil) != (tt.start == nil) || err != nil && !hasAll(err.Error(), tt.start...) {
				t.Errorf("Connect = %v, want %q", err, tt.start)
			}
		})
	}
}

// checkTells asserts that a check finds something wrong with want[0], and says the
// rest; nil: nothing is wrong.
func checkTells(t *testing.T, cfg Config, want []string) {
	t.Helper()
	var bad []Finding
	for _, f := range Check(testContext(t), cfg) {
		if f.Level == Bad {
			bad = append(bad, f)
		}
	}
	if want == nil && len(bad) == 0 {
		return
	}
	for _, f := range bad {
		if want != nil && f.What == want[0] && hasAll(f.Text, want[1:]...) && f.Remedy != "" {
			return
		}
	}
	t.Errorf("check finds %+v, want %q", bad, want)
}
