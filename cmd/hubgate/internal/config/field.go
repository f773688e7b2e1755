package config

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// EnvPrefix begins the name of every environment variable that is read.
const EnvPrefix = "HUBGATE_"

// Field is one value of the configuration.
type Field struct {
	Path   string   // such as hub.host
	Flag   string   // without dashes; empty: none
	Enum   []string // the values allowed; nil: any
	Secret bool     // masked when printed
	Doc    string

	value reflect.Value
}

// Env is the environment variable of the field: HUBGATE_ and the name of its
// flag, or of its path if it has none.
func (f Field) Env() string {
	name := f.Flag
	if name == "" {
		name = f.Path
	}
	return EnvPrefix + strings.ToUpper(strings.NewReplacer("-", "_", ".", "_").Replace(name))
}

// IsList reports whether the field holds several values.
func (f Field) IsList() bool { return f.value.Kind() == reflect.Slice }

// Values returns the value as text: one, or those of a list.
func (f Field) Values() []string {
	if f.IsList() {
		return slices.Clone(f.value.Interface().([]string)) //nolint:forcetypeassert // a test holds it for all fields
	}
	return []string{fmt.Sprint(f.value.Interface())}
}

// set parses texts into the field; several are for lists only.
func (f Field) set(texts []string) error {
	if f.IsList() {
		f.value.Set(reflect.ValueOf(slices.Clone(texts)))
		return nil
	}
	if len(texts) != 1 {
		return fmt.Errorf("%s takes one value, not %d", f.Path, len(texts))
	}
	if err := f.setText(texts[0]); err != nil {
		return fmt.Errorf("%s: %w", f.Path, err)
	}
	return nil
}

func (f Field) setText(text string) error {
	if f.Enum != nil && !slices.Contains(f.Enum, text) {
		return fmt.Errorf("%s is none of %s", shown(text), strings.Join(f.Enum, ", "))
	}
	if u, ok := reflect.TypeAssert[encoding.TextUnmarshaler](f.value.Addr()); ok {
		return u.UnmarshalText([]byte(text))
	}
	switch f.value.Kind() {
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("%s is neither true nor false", shown(text))
		}
		f.value.SetBool(b)
	case reflect.Int:
		n, err := strconv.ParseInt(text, 10, 32)
		if err != nil || n < 0 {
			return fmt.Errorf("%s is not a whole number from 0 to 2147483647", shown(text))
		}
		f.value.SetInt(n)
	default: // a string; a test holds that there is no other kind
		f.value.SetString(text)
	}
	return nil
}

// shown is a value as a message may have it. A URL that stands in the wrong
// place may hold a password.
func shown(text string) string {
	if strings.Contains(text, "@") || strings.Contains(text, "SharedAccess") {
		return "what is given (not shown: it may hold a password)"
	}
	return strconv.Quote(text)
}

// Fields returns every value of c, in the order of the struct. They point into
// c.
func (c *Config) Fields() []Field {
	return appendFields(nil, "", reflect.ValueOf(c).Elem())
}

func appendFields(fields []Field, parent string, v reflect.Value) []Field {
	for i := range v.NumField() {
		tag := v.Type().Field(i).Tag
		key := tag.Get("key")
		if key == "" {
			continue // not configuration
		}
		if v.Field(i).Kind() == reflect.Struct {
			fields = appendFields(fields, parent+key+".", v.Field(i))
			continue
		}
		f := Field{
			Path: parent + key, Flag: tag.Get("flag"), Secret: tag.Get("secret") == "true", Doc: tag.Get("doc"),
			value: v.Field(i),
		}
		if enum := tag.Get("enum"); enum != "" {
			f.Enum = strings.Split(enum, ",")
		}
		fields = append(fields, f)
	}
	return fields
}

// find returns the field with a path.
func (c *Config) find(path string) (Field, bool) {
	fields := c.Fields()
	i := slices.IndexFunc(fields, func(f Field) bool { return f.Path == path })
	if i < 0 {
		return Field{}, false
	}
	return fields[i], true
}
