package config

import "github.com/hubgate/hubgate/backend/subject"

// checkFeatures refuses numbers of messages, methods and jobs that are out of range.
func (c *Config) checkFeatures() []error {
	m, f := &c.C2D, &c.Methods
	errs := c.checkC2D()
	for _, v := range []struct {
		path            string
		value, from, to int
	}{
		{"telemetry.shards", c.Telemetry.Shards, 1, subject.MaxShards},
		{"telemetry.max_in_flight", c.Telemetry.MaxInFlight, 1, 1 << 20},
		{"c2d.max_delivery_count", m.MaxDeliveryCount, 1, 100},
		{"methods.max_in_flight", f.MaxInFlight, 1, 10_000},
		{"methods.max_pending", f.MaxPending, 1, 10_000},
		{"methods.max_pending_all", f.MaxPendingAll, 1, 1_000_000},
		{"jobs.max_active", c.Jobs.MaxActive, 1, 100},
		{"jobs.max_in_flight", c.Jobs.MaxInFlight, 1, 10_000},
		{"configurations.max", c.Configurations.Max, 1, 10_000},
	} {
		if v.value < v.from || v.value > v.to {
			errs = append(errs, c.wrong(v.path, "%d is not from %d to %d", v.value, v.from, v.to))
		}
	}
	return errs
}

func (c *Config) checkC2D() []error {
	m := &c.C2D
	var errs []error
	if m.QueueDepth > 10_000 {
		errs = append(errs, c.wrong("c2d.queue_depth", "%d is not from 1 to 10000, nor 0 to leave the stream as it is", m.QueueDepth))
	}
	const minute, day, kept = 60 * Second, 24 * 3600 * Second, 30
	if m.LockDuration < 5*Second || m.LockDuration > 5*minute {
		errs = append(errs, c.wrong("c2d.lock_duration", "%v is not from 5s to 5m", m.LockDuration))
	}
	if m.MaxTTL < minute || m.MaxTTL > kept*day {
		errs = append(errs, c.wrong("c2d.max_ttl", "%v is not from 1m to %v", m.MaxTTL, kept*day))
	}
	if m.DefaultTTL < minute || m.DefaultTTL > m.MaxTTL {
		errs = append(errs, c.wrong("c2d.default_ttl", "%v is not from 1m to c2d.max_ttl, which is %v", m.DefaultTTL, m.MaxTTL))
	}
	if m.MaxSize < KiB || m.MaxSize > 256*KiB {
		errs = append(errs, c.wrong("c2d.max_size", "%v is not from 1KiB to 256KiB", m.MaxSize))
	}
	return errs
}
