package config

import (
	"bytes"
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Origin says where the value of a path comes from: a file with its line, an
// environment variable or a flag; "" for a default.
func (c *Config) Origin(path string) string { return c.origins[path] }

// Redact masks every value that may hold a password.
func (c *Config) Redact() {
	for _, f := range c.Fields() {
		if f.Secret {
			f.value.SetString(maskURLs(f.value.String()))
		}
	}
}

// maskURLs masks user, password and token of the URLs in a list with commas.
func maskURLs(list string) string {
	parts := strings.Split(list, ",")
	for i, part := range parts {
		u, err := url.Parse(strings.TrimSpace(part))
		switch {
		case err != nil, u.User == nil && strings.Contains(part, "@"):
			parts[i] = "***" // whatever it is, it may hold a password
		case u.User != nil:
			u.User = url.User("***")
			parts[i] = strings.Replace(u.String(), "%2A%2A%2A", "***", 1)
		}
	}
	return strings.Join(parts, ",")
}

// YAML writes c as a file that [Load] reads, with the origin of each value
// that is not a default in a comment.
func (c *Config) YAML() ([]byte, error) {
	root := &yaml.Node{Kind: yaml.MappingNode}
	for _, f := range c.Fields() {
		parent := root
		key := f.Path
		if section, rest, ok := strings.Cut(f.Path, "."); ok {
			parent, key = child(root, section), rest
		}
		value := f.node()
		value.LineComment = c.origins[f.Path]
		parent.Content = append(parent.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: key}, value)
	}
	if n := c.policyNode(); n != nil {
		root.Content = append(root.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: policiesKey}, n)
	}
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(root); err != nil {
		return nil, fmt.Errorf("write YAML: %w", err)
	}
	return b.Bytes(), nil
}

// child returns the mapping below a key, which it makes if need be.
func child(parent *yaml.Node, key string) *yaml.Node {
	i := slices.IndexFunc(parent.Content, func(n *yaml.Node) bool { return n.Value == key })
	if i >= 0 {
		return parent.Content[i+1]
	}
	n := &yaml.Node{Kind: yaml.MappingNode}
	parent.Content = append(parent.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: key}, n)
	return n
}

func (f Field) node() *yaml.Node {
	n := &yaml.Node{}
	if f.IsList() {
		n.Kind, n.Style = yaml.SequenceNode, yaml.FlowStyle
		for _, v := range f.Values() {
			n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: v})
		}
		return n
	}
	n.Kind, n.Value = yaml.ScalarNode, f.Values()[0]
	if f.IsText() {
		n.Tag = "!!str" // quoted where it would be read as something else
	}
	return n
}

// IsText reports whether the value is free text, not a number or a word of its
// own.
func (f Field) IsText() bool {
	_, isString := reflect.TypeAssert[string](f.value)
	return isString
}

// Tree returns c as nested maps, for JSON.
func (c *Config) Tree() map[string]any {
	root := map[string]any{}
	for _, f := range c.Fields() {
		in, key := root, f.Path
		if section, rest, ok := strings.Cut(f.Path, "."); ok {
			below, isMap := root[section].(map[string]any)
			if !isMap {
				below = map[string]any{}
				root[section] = below
			}
			in, key = below, rest
		}
		in[key] = f.json()
	}
	if len(c.Policies) > 0 {
		root[policiesKey] = c.policyTree()
	}
	return root
}

// json returns the value as JSON shows it: durations and sizes as text.
func (f Field) json() any {
	switch v := f.value.Interface().(type) {
	case bool, int:
		return v
	case []string:
		return append([]string{}, v...)
	default:
		return f.Values()[0]
	}
}
