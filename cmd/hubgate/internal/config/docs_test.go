package config_test

import (
	stdflag "flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hubgate/hubgate/cmd/hubgate/internal/config"
)

var update = stdflag.Bool("update", false, "rewrite docs/configuration.md")

func docs(name string) string { return filepath.Join("..", "..", "..", "..", "docs", name) }

// TestDocs holds docs/configuration.md to the struct. With -update it writes
// the file.
func TestDocs(t *testing.T) {
	t.Parallel()
	example, err := os.ReadFile(docs("hubgate.example.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	want := markdown(string(example))
	if *update {
		if err := os.WriteFile(docs("configuration.md"), []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(docs("configuration.md"))
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("docs/configuration.md is stale: run go test ./cmd/hubgate/internal/config -update")
	}
}

// TestExample loads the example file as a node would.
func TestExample(t *testing.T) {
	t.Parallel()
	c, err := config.Load(config.Source{File: docs("hubgate.example.yaml")})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Complete(config.Serve); err != nil {
		t.Error(err)
	}
}

const head = `# Configuration

<!-- Generated from cmd/hubgate/internal/config. Do not edit: run go test ./cmd/hubgate/internal/config -update -->

` + "`hubgate dev`" + ` and ` + "`hubgate serve`" + ` read the same configuration, from four places. Each overrides the one before:

1. the defaults below;
2. one YAML file, named by ` + "`--config FILE`" + ` or ` + "`HUBGATE_CONFIG`" + `;
3. environment variables;
4. flags. A key without a flag of its own is set by ` + "`--set KEY=VALUE`" + `, which may be repeated.

Mistakes are fatal, with exit code 2: a file that is not there, a key that does not exist or stands twice, a value that does not
fit, two listeners on one port. Every message names the file and line, the variable or the flag.
` + "`hubgate config check`" + ` tells them all without starting anything, and ` + "`hubgate config print`" + ` shows the
configuration in effect and where each value comes from.

Durations are written ` + "`30s`, `12h`, `7d`, `1d12h`" + `; sizes ` + "`4096`, `256KiB`, `10GiB`" + `; rates ` + "`100/s`, `50/min`, `160KiB/s`" + `, and 0 for
no limit. In the environment the values of a list
are separated by commas; a flag of a list is repeated.

## Example

` + "```yaml\n"

// markdown writes the documentation of every field.
func markdown(example string) string {
	var b strings.Builder
	b.WriteString(head + example + "```\n")
	section := "-"
	for _, f := range config.Default().Fields() {
		name, key, nested := strings.Cut(f.Path, ".")
		if !nested {
			name, key = "", f.Path
		}
		if name != section {
			section = name
			b.WriteString(title(section) + "\n| key | default | environment, flag | meaning |\n| --- | --- | --- | --- |\n")
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", key, valueOf(f), namesOf(f), strings.ReplaceAll(meaning(f), "|", `\|`))
	}
	return b.String()
}

func title(section string) string {
	if section == "" {
		return "\n## Keys at the top\n"
	}
	return "\n## `" + section + "`\n"
}

func valueOf(f config.Field) string {
	if v := strings.Join(f.Values(), ", "); v != "" {
		return "`" + v + "`"
	}
	return ""
}

func namesOf(f config.Field) string {
	if f.Flag == "" {
		return "`" + f.Env() + "`"
	}
	return "`" + f.Env() + "`, `--" + f.Flag + "`"
}

func meaning(f config.Field) string {
	if f.Enum == nil {
		return f.Doc
	}
	return f.Doc + " One of `" + strings.Join(f.Enum, "`, `") + "`."
}
