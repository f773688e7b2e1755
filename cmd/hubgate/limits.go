package main

import (
	"cmp"
	"time"

	"github.com/hubgate/hubgate/cmd/hubgate/internal/config"
	"github.com/hubgate/hubgate/gateway"
)

// ratesOf turns the configuration into what a limiter takes. [gateway.Limiter]'s
// Set takes new ones at any time.
func ratesOf(c config.Rates) gateway.Rates {
	r := gateway.Rates{
		Burst: time.Duration(c.Burst), AbuseFactor: float64(c.AbuseFactor), AbuseAfter: cmp.Or(time.Duration(c.AbuseAfter), -1),
	}
	for kind, rate := range map[gateway.Kind]config.Rate{
		gateway.Connects: c.NodeConnects, gateway.Messages: c.NodeMessages, gateway.Bytes: c.NodeBytes,
		gateway.TwinReads: c.NodeTwinReads, gateway.TwinWrites: c.NodeTwinWrites,
		gateway.Methods: c.NodeMethods, gateway.MethodBytes: c.NodeMethodBytes, gateway.C2D: c.NodeC2D,
	} {
		r.Node[kind] = rate.PerSecond()
	}
	for kind, rate := range map[gateway.Kind]config.Rate{
		gateway.Messages: c.DeviceMessages, gateway.Bytes: c.DeviceBytes,
		gateway.TwinReads: c.DeviceTwinReads, gateway.TwinWrites: c.DeviceTwinWrites,
		gateway.Methods: c.DeviceMethods, gateway.MethodBytes: c.DeviceMethodBytes, gateway.C2D: c.DeviceC2D,
	} {
		r.Device[kind] = rate.PerSecond()
	}
	return r
}

// penaltyOf is the same for peers with bad credentials.
func penaltyOf(c config.Limits) gateway.Penalty {
	p := gateway.Penalty{Longest: cmp.Or(time.Duration(c.Penalty), -1)}
	for _, text := range c.PenaltyExempt {
		if network, err := config.ParseNetwork(text); err == nil { // else Complete has refused it
			p.Exempt = append(p.Exempt, network)
		}
	}
	return p
}

// memoryOf is the budget of memory.
func memoryOf(c config.Limits) int64 { return cmp.Or(int64(c.Memory), -1) }

// drainTime is over which time n connections are closed.
func drainTime(c config.Limits, n int) time.Duration {
	return min(time.Duration(c.Drain), time.Duration(n)*time.Millisecond)
}

// adjustableKeys are the limits of peers that may change while the node runs.
//
//nolint:gochecknoglobals // a constant
var adjustableKeys = []string{"limits.connections", "limits.memory", "limits.penalty", "limits.penalty_exempt"}

// adjustable is what they are.
func adjustable(c config.Limits) gateway.Adjustable {
	_, connections := fitFiles(c.HalfOpen, c.Connections, openFiles())
	return gateway.Adjustable{Connections: connections, Memory: memoryOf(c), Penalty: penaltyOf(c)}
}
