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

A running node follows changes of its file, and of the files that it names: ` + "`tls` with its files, `policies`, `rates`,\nsome of `limits` and of `admin`, and `log.level`" + ` take effect at once, the rest with the next start. ` + "`hubgate reload`" + ` tells which: see
[certificates](certificates.md).

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
	b.WriteString(policies)
	return b.String()
}

// policies is the section that is not in the struct as fields.
const policies = `
## ` + "`policies`" + `

Shared access policies beside those that the hub keeps. They can only be given in the file, by name:

` + "```yaml" + `
policies:
  backend:                                  # 1 to 64 characters of A-Z a-z 0-9 _-@.
    permissions: [registryRead, serviceConnect]
    primary_key_file: /etc/hubgate/backend.key
    secondary_key_env: BACKEND_SECONDARY_KEY
` + "```" + `

| key | meaning |
| --- | --- |
| ` + "`permissions`" + ` | One or more of ` + "`registryRead`, `registryReadWrite`, `serviceConnect`, `deviceConnect`" + `. |
| ` + "`primary_key_file`, `primary_key_env`, `primary_key`" + ` | File that holds the key, or environment variable, or the key itself: 16 to 64 bytes in base64, as ` + "`openssl rand -base64 32`" + ` prints. One of the three. Prefer the first: a file can be replaced while the node runs. |
| ` + "`secondary_key_file`, `secondary_key_env`, `secondary_key`" + ` | The same of the second key, with which keys are changed without a gap. None: the primary key is the only one. |

A hub begins with IoT Hub's five policies, ` + "`iothubowner`, `service`, `device`, `registryRead` and `registryReadWrite`" + `, with keys of
its own making in the bucket ` + "`hub_policies`" + `. A policy in the configuration wins over one of the same name there, on the nodes
whose configuration has it: give it to all. When it is removed, or a key of it replaced, connections of devices that it let in are
cut at once; if the bucket has a policy of that name, that one counts again.

No command, log line or error shows a key: ` + "`hubgate config print`" + ` has ` + "`***`" + ` in its place, with ` + "`--no-redact`" + ` too.` + "\n`hubgate sas --policy NAME --config FILE`" + ` signs with a policy of the file.
`

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
