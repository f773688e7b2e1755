package config

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/sas"
)

// policiesKey is the section of shared access policies. It is a mapping of
// names that the user chooses, and so the one section that is not in the struct
// as fields; it can be set in the file only.
const policiesKey = "policies"

// Policy is a shared access policy that the configuration gives.
type Policy struct {
	Name        string
	Permissions []string
	Primary     Key
	Secondary   Key // of which nothing is set: the primary key is the only one

	origin string // file and line
}

// Key says where a key comes from: one of its fields is set.
type Key struct {
	File string
	Env  string // name of a variable
	Text string // the key itself, which nothing prints
}

func (k Key) isSet() bool { return k != Key{} }

// Permission returns the rights of a policy.
func (p Policy) permission() (sas.Permission, error) {
	var all sas.Permission
	for _, name := range p.Permissions {
		right, ok := rights()[strings.ToLower(name)]
		if !ok {
			return 0, fmt.Errorf("there is no permission %q: use registryRead, registryReadWrite, serviceConnect, deviceConnect", short(name))
		}
		all |= right
	}
	if all == 0 {
		return 0, errors.New("a policy needs permissions: registryRead, registryReadWrite, serviceConnect, deviceConnect")
	}
	return all, nil
}

// rights are the permissions by their names in lower case, Azure's included.
func rights() map[string]sas.Permission {
	return map[string]sas.Permission{
		"registryread": sas.RegistryRead, "registryreadwrite": sas.RegistryWrite, "registrywrite": sas.RegistryWrite,
		"serviceconnect": sas.ServiceConnect, "deviceconnect": sas.DeviceConnect,
	}
}

// Resolve reads the keys of all policies; getenv gives the variables. No error
// holds a key.
func (c *Config) Resolve(getenv func(string) string) ([]sas.Policy, error) {
	var all []sas.Policy
	var errs []error
	for _, p := range c.Policies {
		policy, err := p.resolve(getenv)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %s.%s: %w", p.origin, policiesKey, p.Name, err))
			continue
		}
		all = append(all, policy)
	}
	return all, errors.Join(errs...)
}

func (p Policy) resolve(getenv func(string) string) (sas.Policy, error) {
	policy := sas.Policy{Name: p.Name}
	var err error
	if policy.Permissions, err = p.permission(); err != nil {
		return policy, err
	}
	if policy.PrimaryKey, err = p.Primary.read("primary_key", getenv); err != nil {
		return policy, err
	}
	policy.SecondaryKey = policy.PrimaryKey
	if p.Secondary.isSet() {
		if policy.SecondaryKey, err = p.Secondary.read("secondary_key", getenv); err != nil {
			return policy, err
		}
	}
	return policy, policy.Validate()
}

// read returns the key; name is what it is called.
func (k Key) read(name string, getenv func(string) string) (string, error) {
	text, from := k.Text, name
	switch {
	case k.File != "":
		content, err := os.ReadFile(k.File)
		if err != nil {
			return "", fmt.Errorf("%s_file: %w", name, err)
		}
		text, from = strings.TrimSpace(string(content)), name+"_file: "+k.File
	case k.Env != "":
		if text = getenv(k.Env); text == "" {
			return "", fmt.Errorf("%s_env: the environment variable %s is not set", name, k.Env)
		}
		from = name + "_env: " + k.Env
	}
	if _, err := hub.DecodeKey(text); err != nil {
		return "", fmt.Errorf("%s: it is not a key, which is 16 to 64 bytes in base64, such as openssl rand -base64 32 prints", from)
	}
	return text, nil
}

// PolicyFiles are the key files of the policies.
func (c *Config) PolicyFiles() []string {
	var files []string
	for _, p := range c.Policies {
		for _, k := range []Key{p.Primary, p.Secondary} {
			if k.File != "" {
				files = append(files, k.File)
			}
		}
	}
	return files
}

// policies reads the section of policies.
func (r *reader) policies(n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		r.fail(n, "%s must hold names of policies, each with its permissions and keys", policiesKey)
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if slices.ContainsFunc(r.config.Policies, func(p Policy) bool { return p.Name == key.Value }) {
			r.fail(key, "%s.%s is set twice", policiesKey, short(key.Value))
			continue
		}
		r.policy(key, value)
	}
}

// policy reads one policy.
func (r *reader) policy(name, n *yaml.Node) {
	p := Policy{Name: name.Value, origin: fmt.Sprintf("%s:%d", r.file, name.Line)}
	path := policiesKey + "." + short(name.Value)
	if !sas.IsPolicyName(name.Value) {
		r.fail(name, "%s: the name of a policy is 1 to 64 characters of A-Z a-z 0-9 _-@.", path)
	}
	if n.Kind != yaml.MappingNode {
		r.fail(n, "%s must hold permissions and primary_key_file, or primary_key_env", path)
		return
	}
	texts := map[string]*string{
		"primary_key": &p.Primary.Text, "primary_key_file": &p.Primary.File, "primary_key_env": &p.Primary.Env,
		"secondary_key": &p.Secondary.Text, "secondary_key_file": &p.Secondary.File, "secondary_key_env": &p.Secondary.Env,
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		to, known := texts[key.Value]
		switch {
		case key.Value == "permissions":
			p.Permissions = r.permissions(path, value)
		case !known:
			r.fail(key, "unknown key %s.%s: a policy has permissions, and primary_key and secondary_key, or these with _file or _env behind", path, short(key.Value))
		case value.Kind != yaml.ScalarNode || value.Value == "":
			r.fail(value, "%s.%s takes one value", path, key.Value)
		case *to != "":
			r.fail(key, "%s.%s is set twice", path, key.Value)
		default:
			*to = value.Value
		}
	}
	for _, err := range p.check() {
		r.fail(name, "%s: %w", path, err)
	}
	r.config.Policies = append(r.config.Policies, p)
}

func (r *reader) permissions(path string, n *yaml.Node) []string {
	nodes := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		nodes = n.Content
	}
	var names []string
	for _, item := range nodes {
		if item.Kind != yaml.ScalarNode {
			r.fail(item, "%s.permissions takes a list of names", path)
			return nil
		}
		names = append(names, item.Value)
	}
	return names
}

// check says what is wrong with a policy before its keys are read.
func (p Policy) check() []error {
	_, err := p.permission()
	all := []error{err}
	if !p.Primary.isSet() {
		all = append(all, errors.New("a policy needs a key: give primary_key_file or primary_key_env"))
	}
	all = append(all, p.Primary.check("primary_key"), p.Secondary.check("secondary_key"))
	return slices.DeleteFunc(all, func(err error) bool { return err == nil })
}

func (k Key) check(name string) error {
	set := slices.DeleteFunc([]string{k.Text, k.File, k.Env}, func(s string) bool { return s == "" })
	if len(set) > 1 {
		return fmt.Errorf("%s is given more than once: by itself, by _file or by _env", name)
	}
	return nil
}

// short is a name that a user has written where a name belongs, unless it looks
// like something that was meant to be a key.
func short(s string) string {
	if len(s) > 32 || strings.ContainsAny(s, "+/= ") {
		return "(what stands there is not shown)"
	}
	return s
}

// maskedKey is what is printed for a key that stands in the file, whoever asks.
const maskedKey = "***"

// String implements fmt.Stringer, and holds no key.
func (k Key) String() string { return strings.TrimSpace(k.File + " " + k.Env + " " + k.masked()) }

// GoString implements fmt.GoStringer for the same reason.
func (k Key) GoString() string { return k.String() }

func (k Key) masked() string {
	if k.Text == "" {
		return ""
	}
	return maskedKey
}

// entries are the keys of a policy that are set, with their values.
func (p Policy) entries() [][2]string {
	all := [][2]string{
		{"primary_key", p.Primary.masked()},
		{"primary_key_file", p.Primary.File},
		{"primary_key_env", p.Primary.Env},
		{"secondary_key", p.Secondary.masked()},
		{"secondary_key_file", p.Secondary.File},
		{"secondary_key_env", p.Secondary.Env},
	}
	return slices.DeleteFunc(all, func(e [2]string) bool { return e[1] == "" })
}

// policyNode is the section of policies in YAML, nil when there are none.
func (c *Config) policyNode() *yaml.Node {
	if len(c.Policies) == 0 {
		return nil
	}
	text := func(s string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s} }
	section := &yaml.Node{Kind: yaml.MappingNode}
	for _, p := range c.Policies {
		names := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle, LineComment: p.origin}
		for _, name := range p.Permissions {
			names.Content = append(names.Content, text(name))
		}
		n := &yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{text("permissions"), names}}
		for _, e := range p.entries() {
			n.Content = append(n.Content, text(e[0]), text(e[1]))
		}
		section.Content = append(section.Content, text(p.Name), n)
	}
	return section
}

// policyTree is the same for JSON.
func (c *Config) policyTree() map[string]any {
	all := map[string]any{}
	for _, p := range c.Policies {
		one := map[string]any{"permissions": append([]string{}, p.Permissions...)}
		for _, e := range p.entries() {
			one[e[0]] = e[1]
		}
		all[p.Name] = one
	}
	return all
}

// Differences returns the paths of the values in which c and other differ.
func (c *Config) Differences(other *Config) []string {
	var paths []string
	theirs := other.Fields()
	for i, f := range c.Fields() {
		if !slices.Equal(f.Values(), theirs[i].Values()) {
			paths = append(paths, f.Path)
		}
	}
	same := func(a, b Policy) bool {
		a.origin, b.origin = "", ""
		return reflect.DeepEqual(a, b)
	}
	if !slices.EqualFunc(c.Policies, other.Policies, same) {
		paths = append(paths, policiesKey)
	}
	return paths
}
