package config

import "fmt"

// Profile names the values of keys that nobody sets.
type Profile string

// The profiles.
const (
	ProfileRelaxed     Profile = "relaxed" // the defaults
	ProfileStrictAzure Profile = "strict-azure"
	ProfileStrictS1    Profile = "strict-azure-s1" // with the rates of a tier
	ProfileStrictS2    Profile = "strict-azure-s2"
	ProfileStrictS3    Profile = "strict-azure-s3"
)

// preset is what a profile gives a key.
type preset struct{ path, value string }

// presets lists what differs from the defaults, or would if these moved: a
// profile means the same in every version. An existing stream gets its value
// too.
func (c *Config) presets() []preset {
	strict := []preset{
		{"c2d.queue_depth", "50"},
		{"c2d.max_delivery_count", "10"},
		{"c2d.lock_duration", "60s"},
		{"c2d.default_ttl", "1h"},
		{"c2d.max_ttl", "48h"},
		{"c2d.max_size", "64KiB"},
		{"c2d.unsubscribed", "discard"},
		{"twins.replay_desired", "false"},
	}
	switch c.Profile {
	case ProfileStrictAzure:
		return strict
	case ProfileStrictS1:
		return append(strict, ratesOf(1, c.Rates.Units)...)
	case ProfileStrictS2:
		return append(strict, ratesOf(2, c.Rates.Units)...)
	case ProfileStrictS3:
		return append(strict, ratesOf(3, c.Rates.Units)...)
	case ProfileRelaxed:
		return nil
	default: // the tag of the field has the words
		return nil
	}
}

// applyProfile gives the keys that nothing has set the values of the profile.
func (c *Config) applyProfile() error {
	for _, p := range c.presets() {
		if c.origins[p.path] != "" {
			continue
		}
		f, ok := c.find(p.path)
		if !ok {
			return fmt.Errorf("the profile %s sets the unknown key %s", c.Profile, p.path)
		}
		if err := f.set([]string{p.value}); err != nil {
			return fmt.Errorf("the profile %s: %w", c.Profile, err)
		}
		c.origins[p.path] = fmt.Sprintf("profile %s", c.Profile)
	}
	return nil
}
