package config

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write docs/configuration.md and configs/gateway.yaml from the settings")

const rewrite = "go test ./platform/config -run TestTheDocumentAndTheFile -update"

// TestTheDocumentAndTheFileSayWhatTheSettingsSay holds what operators read about the
// settings to the settings themselves.
func TestTheDocumentAndTheFileSayWhatTheSettingsSay(t *testing.T) {
	all := sections(new(Config))
	for path, want := range map[string]func(string) string{
		filepath.Join("..", "..", "docs", "configuration.md"): func(string) string { return page(all) },
		filepath.Join("..", "..", "configs", "gateway.yaml"): func(present string) string {
			_, after, found := strings.Cut(present, ownProviders)
			require.True(t, found, "configs/gateway.yaml has an example of a provider")
			return listing(all) + ownProviders + after
		},
	} {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		if *update {
			require.NoError(t, os.WriteFile(path, []byte(want(string(text))), 0o600))
			continue
		}
		require.Equal(t, want(string(text)), string(text), "write it anew: %s", rewrite)
	}
}

// TestEverySettingIsExplained: a sentence for each, and a word on what happens without a
// value where there is no default.
func TestEverySettingIsExplained(t *testing.T) {
	for _, s := range sections(new(Config)) {
		require.NotEmpty(t, s.title)
		for _, one := range s.settings {
			require.Regexp(t, `^(?s:[A-Z].*\.)$`, one.help, "%s needs sentences", one.name)
			require.NotEmpty(t, one.read.takes, one.name)
			require.NotEmpty(t, one.by, one.name)
			require.NotEqual(t, one.fallback == "", one.unset == "", "%s has either a default or says what happens without a value", one.name)
			require.False(t, ownOfDev[one.name] && strings.Contains(string(one.by), "`dev`") && one.by != apart, "%s has no effect on dev", one.name)
		}
	}
}

const preface = `# Configuration

<!-- written by ` + rewrite + ` -->

The gateway reads its settings from, in this order:

1. environment variables;
2. the file that ` + "`--config` or `GATEWAY_CONFIG` names, else `configs/gateway.yaml`" + `, where a setting has its name in lower case
   (` + "`APP_PORT`: `app_port`" + `); a list may be a YAML list or text with commas;
3. the defaults below.

The [file](../configs/gateway.yaml) lists every setting with its default, and can define [providers of your own](providers.md#a-provider-of-your-own).
All mistakes in the configuration are reported together at start, by name, and the command exits with 2.

Settings marked **SIGHUP** are reloaded from the file when a running process receives SIGHUP, as are the providers; if the new
settings are wrong, the previous ones stay. All other settings need a restart. ` + "`gateway dev`" + ` has a database, queue and cache of its own,
whatever the environment names.
`

// page is docs/configuration.md.
func page(all []section) string {
	var b strings.Builder
	b.WriteString(preface)
	for _, chapter := range all {
		fmt.Fprintf(&b, "\n## %s\n\n%s", chapter.title, chapter.help)
		if chapter.by() != "" {
			fmt.Fprintf(&b, " Used by %s.", chapter.by())
		}
		b.WriteString("\n")
		for _, s := range chapter.settings {
			fmt.Fprintf(&b, "\n### `%s`\n\n", s.name)
			fact := upperFirst(s.read.takes)
			if s.fallback != "" {
				fact += fmt.Sprintf("; default `%s`", s.fallback)
			} else {
				fact += "; unset: " + s.unset
			}
			fmt.Fprintf(&b, "*%s.*", strings.TrimSuffix(fact, "."))
			if chapter.by() == "" {
				fmt.Fprintf(&b, " Used by %s.", s.by)
			}
			if s.reloads {
				b.WriteString(" **SIGHUP**")
			}
			b.WriteString("\n\n" + s.help + "\n")
		}
	}
	return b.String()
}

// by is who uses all settings of a section; "" where they differ.
func (s section) by() users {
	for _, one := range s.settings {
		if one.by != s.settings[0].by {
			return ""
		}
	}
	return s.settings[0].by
}

func upperFirst(text string) string { return strings.ToUpper(text[:1]) + text[1:] }

// ownProviders begins what is written by hand in configs/gateway.yaml.
const ownProviders = "\n# Providers of your own"

const listingPreface = `# Every setting of the gateway, with its default. The environment variable of the same name
# in capitals (app_port: APP_PORT) overrides this file. Lists are YAML lists, or text with
# commas. Secrets are better given in the environment. docs/configuration.md says what each
# setting takes. Written by ` + rewrite + `
`

// listing is the part of configs/gateway.yaml that lists the settings.
func listing(all []section) string {
	var b strings.Builder
	b.WriteString(listingPreface)
	for _, chapter := range all {
		fmt.Fprintf(&b, "\n## %s\n", chapter.title)
		for _, s := range chapter.settings {
			text := s.help
			if s.unset != "" {
				text += " Unset: " + s.unset + "."
			}
			b.WriteString(comment(inFile(text)))
			b.WriteString(strings.TrimRight(strings.ToLower(s.name)+": "+s.fallback, " ") + "\n")
		}
	}
	return b.String()
}

var (
	quoted = regexp.MustCompile("`([^`]*)`")
	names  = regexp.MustCompile(`^[A-Z]+(_[A-Z]+)+$`)
)

// inFile is a text of the document as the file has it: settings by their keys there.
func inFile(text string) string {
	return quoted.ReplaceAllStringFunc(text, func(word string) string {
		word = strings.Trim(word, "`")
		if names.MatchString(word) && known()[strings.ToLower(word)] {
			return strings.ToLower(word)
		}
		return word
	})
}

// comment wraps a text into lines of a comment.
func comment(text string) string {
	var b strings.Builder
	line := "#"
	for _, word := range strings.Fields(text) {
		if len(line)+1+len(word) > 100 {
			b.WriteString(line + "\n")
			line = "#"
		}
		line += " " + word
	}
	return b.String() + line + "\n"
}
