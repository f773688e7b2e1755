package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Source is where a configuration comes from besides its defaults.
type Source struct {
	File     string    // path of the YAML file; empty: none
	Env      []string  // as os.Environ returns it
	Settings []Setting // of the command line
}

// Setting is a value that the command line gives.
type Setting struct {
	Path   string
	Origin string // how messages call it, such as --host
	Values []string
}

// Load returns the configuration that the file, the environment and the
// command line make, in rising order of precedence; what none of them sets has
// the value of the profile. The error joins all that
// is wrong, each with where it stands. What values mean together is for
// [Config.Check].
func Load(src Source) (*Config, error) {
	c := Default()
	if src.File != "" {
		if err := c.readFile(src.File); err != nil {
			return nil, err
		}
	}
	if err := c.readEnv(src.Env); err != nil {
		return nil, err
	}
	if err := c.apply(src.Settings); err != nil {
		return nil, err
	}
	return c, c.applyProfile()
}

// readEnv overrides c with the environment. A variable that is set and empty
// counts as not set.
func (c *Config) readEnv(env []string) error {
	values := map[string]string{}
	for _, line := range env {
		if name, value, ok := strings.Cut(line, "="); ok && value != "" {
			values[name] = value
		}
	}
	var errs []error
	for _, f := range c.Fields() {
		value, ok := values[f.Env()]
		if !ok {
			continue
		}
		if err := f.set(split(f, value)); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", f.Env(), err))
		}
		c.origins[f.Path] = f.Env()
	}
	return errors.Join(errs...)
}

// split cuts the value of a list at its commas.
func split(f Field, value string) []string {
	if !f.IsList() {
		return []string{value}
	}
	parts := strings.Split(value, ",")
	for i, part := range parts {
		parts[i] = strings.TrimSpace(part)
	}
	return slices.DeleteFunc(parts, func(s string) bool { return s == "" })
}

func (c *Config) apply(settings []Setting) error {
	var errs []error
	for _, s := range settings {
		f, ok := c.find(s.Path)
		if !ok {
			errs = append(errs, fmt.Errorf("%s: unknown key %s%s", s.Origin, s.Path, didYouMean(s.Path, c.paths())))
			continue
		}
		if err := f.set(s.Values); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", s.Origin, err))
		}
		c.origins[f.Path] = s.Origin
	}
	return errors.Join(errs...)
}

func (c *Config) paths() []string {
	var paths []string
	for _, f := range c.Fields() {
		paths = append(paths, f.Path)
	}
	return paths
}

// Misspelled returns, for each variable of env that begins with HUBGATE_, is
// none that is read, and is close to one that is, a sentence that says so.
// Others are somebody else's: Kubernetes sets some for a service with our name.
func Misspelled(env []string) []string {
	var known, found []string
	for _, f := range Default().Fields() {
		known = append(known, f.Env())
	}
	for _, line := range env {
		name, _, _ := strings.Cut(line, "=")
		if !strings.HasPrefix(name, EnvPrefix) || slices.Contains(known, name) || name == EnvPrefix+"PORT" {
			continue
		}
		if i := slices.IndexFunc(known, func(k string) bool { return distance(name, k) <= 2 }); i >= 0 {
			found = append(found, fmt.Sprintf("the environment variable %s is not read; did you mean %s?", name, known[i]))
		}
	}
	return found
}
