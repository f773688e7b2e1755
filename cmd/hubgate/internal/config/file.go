package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"go.yaml.in/yaml/v3"
)

// readFile overrides c with the values of a YAML file.
func (c *Config) readFile(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read the configuration file: %w", err)
	}
	root, err := parseYAML(text)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if root == nil {
		return nil // nothing but comments
	}
	r := reader{config: c, file: path, fields: c.Fields()}
	r.mapping("", root)
	return errors.Join(r.errs...)
}

// parseYAML returns the one document in text, nil when there is none.
func parseYAML(text []byte) (*yaml.Node, error) {
	dec := yaml.NewDecoder(bytes.NewReader(text))
	var doc, second yaml.Node
	err := dec.Decode(&doc)
	if errors.Is(err, io.EOF) {
		return nil, nil //nolint:nilnil // an empty file is a configuration too
	}
	if err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if err := dec.Decode(&second); !errors.Is(err, io.EOF) {
		return nil, errors.New("the file holds more than one YAML document")
	}
	if len(doc.Content) == 0 || isNull(doc.Content[0]) {
		return nil, nil //nolint:nilnil // as above
	}
	return doc.Content[0], nil
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// reader puts the nodes of one file into a Config and collects what is wrong
// with them, so that one run tells all.
type reader struct {
	config *Config
	file   string
	fields []Field
	errs   []error
}

func (r *reader) fail(n *yaml.Node, format string, args ...any) {
	r.errs = append(r.errs, fmt.Errorf("%s:%d: %w", r.file, n.Line, fmt.Errorf(format, args...)))
}

// mapping reads the keys below parent, which is "" or ends with a dot.
func (r *reader) mapping(parent string, n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		r.fail(n, "%s must hold keys, each with its value", nameOf(parent))
		return
	}
	lines := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if line, twice := lines[key.Value]; twice {
			r.fail(key, "%s is set twice, first in line %d", parent+key.Value, line)
			continue
		}
		lines[key.Value] = key.Line
		r.entry(parent+key.Value, key, value)
	}
}

func nameOf(parent string) string {
	if parent == "" {
		return "the file"
	}
	return strings.TrimSuffix(parent, ".")
}

// entry reads the value of one key.
func (r *reader) entry(path string, key, value *yaml.Node) {
	if path == policiesKey {
		r.policies(value)
		return
	}
	var known []string
	for _, f := range r.fields {
		if f.Path == path {
			r.leaf(f, value)
			return
		}
		if strings.HasPrefix(f.Path, path+".") {
			r.mapping(path+".", value)
			return
		}
		known = append(known, f.Path)
	}
	r.fail(key, "unknown key %s%s", path, didYouMean(path, append(known, r.sections()...)))
}

// sections returns the paths that hold other keys.
func (r *reader) sections() []string {
	names := []string{policiesKey}
	for _, f := range r.fields {
		if section, _, ok := strings.Cut(f.Path, "."); ok {
			names = append(names, section)
		}
	}
	return names
}

// leaf reads the value of a field. What looks like another type, such as a
// number where a text belongs, is taken as it is written.
func (r *reader) leaf(f Field, n *yaml.Node) {
	nodes := []*yaml.Node{n}
	switch {
	case isNull(n):
		r.fail(n, "%s has no value; give it one, or remove the key", f.Path)
		return
	case n.Kind == yaml.SequenceNode && f.IsList():
		nodes = n.Content
	}
	texts := []string{}
	for _, item := range nodes {
		if item.Kind != yaml.ScalarNode || isNull(item) {
			r.fail(item, "%s takes %s", f.Path, kindOf(f))
			return
		}
		texts = append(texts, item.Value)
	}
	if err := f.set(texts); err != nil {
		r.fail(n, "%w", err)
		return
	}
	r.config.origins[f.Path] = fmt.Sprintf("%s:%d", r.file, n.Line)
}

func kindOf(f Field) string {
	if f.IsList() {
		return "a list of values"
	}
	return "one value"
}
