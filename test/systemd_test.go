package test

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// unit reads a unit: the values of each setting, by section and name.
func unit(t *testing.T, name string) map[string][]string {
	t.Helper()
	file, err := os.Open(filepath.Join("../deploy/systemd", name))
	require.NoError(t, err)
	defer func() { _ = file.Close() }()
	settings, section := map[string][]string{}, ""
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "["):
			section = strings.Trim(line, "[]")
		default:
			key, value, found := strings.Cut(line, "=")
			require.True(t, found, "%s: %s", name, line)
			settings[section+" "+key] = append(settings[section+" "+key], value)
		}
	}
	require.NoError(t, lines.Err())
	return settings
}

var units = map[string]string{"gateway-serve.service": "serve", "gateway-work.service": "work", "gateway-migrate.service": "migrate up"}

func TestUnitsRunTheRolesConfined(t *testing.T) {
	for name, arguments := range units {
		t.Run(name, func(t *testing.T) {
			u := unit(t, name)
			require.Equal(t, []string{"/usr/bin/gateway " + arguments}, u["Service ExecStart"])
			require.Equal(t, []string{"gateway"}, u["Service User"])
			require.Equal(t, []string{"/etc/gateway/gateway.env"}, u["Service EnvironmentFile"])
			for setting, value := range map[string]string{
				"NoNewPrivileges": "yes", "ProtectSystem": "strict", "ProtectHome": "yes", "PrivateTmp": "yes", "CapabilityBoundingSet": "",
				"MemoryDenyWriteExecute": "yes", "RestrictNamespaces": "yes", "UMask": "0077",
			} {
				require.Equal(t, []string{value}, u["Service "+setting], setting)
			}
		})
	}
	require.Equal(t, []string{"oneshot"}, unit(t, "gateway-migrate.service")["Service Type"])
	for _, name := range []string{"gateway-serve.service", "gateway-work.service"} {
		require.Contains(t, unit(t, name)["Unit After"][0], "gateway-migrate.service", "the schema comes first")
		require.Equal(t, []string{"always"}, unit(t, name)["Service Restart"])
	}
}

// systemd itself: it knows every setting, and finds little exposed (0 is nothing, 10 is all).
func TestSystemdAcceptsTheUnits(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		require.Empty(t, os.Getenv("CI"), "on CI the units are always checked: install systemd")
		t.Skip("systemd-analyze is not installed (apt-get install systemd)")
	}
	for name := range units {
		path := filepath.Join("../deploy/systemd", name)
		out, err := exec.Command(analyze, "verify", "--man=no", path).CombinedOutput()
		// The program is not installed here, which alone may be wrong.
		for line := range strings.Lines(string(out)) {
			if strings.Contains(line, "gateway-") {
				require.Contains(t, line, "/usr/bin/gateway is not executable", "%v", err)
			}
		}
		out, err = exec.Command(analyze, "security", "--offline=true", "--threshold=20", path).CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
}

// Every file of the packages exists, and the services find there what their units name.
func TestPackagesHoldWhatTheUnitsName(t *testing.T) {
	text, err := os.ReadFile("../deploy/package/nfpm.yaml")
	require.NoError(t, err)
	var config struct {
		Contents []struct {
			Source      string `yaml:"src"`
			Destination string `yaml:"dst"`
			Type        string `yaml:"type"`
			Info        struct {
				Mode  int    `yaml:"mode"`
				Group string `yaml:"group"`
			} `yaml:"file_info"`
		} `yaml:"contents"`
		Scripts map[string]string `yaml:"scripts"`
	}
	require.NoError(t, yaml.Unmarshal(text, &config))
	at := map[string]bool{}
	for _, c := range config.Contents {
		at[c.Destination] = true
		if !strings.HasPrefix(c.Source, "${FROM}/") {
			require.FileExists(t, filepath.Join("..", c.Source))
		}
		if strings.HasPrefix(c.Destination, "/etc/") {
			require.Equal(t, "config|noreplace", c.Type, "%s: an upgrade must not overwrite settings", c.Destination)
		}
		if c.Destination == "/etc/gateway/gateway.env" {
			require.Equal(t, 0o640, c.Info.Mode, "it holds secrets")
			require.Equal(t, "gateway", c.Info.Group)
		}
	}
	for _, script := range config.Scripts {
		require.FileExists(t, filepath.Join("..", script))
	}
	for name := range units {
		require.True(t, at["/usr/lib/systemd/system/"+name], name)
		u := unit(t, name)
		require.True(t, at[u["Service EnvironmentFile"][0]])
		require.True(t, at[strings.TrimPrefix(u["Service Environment"][0], "GATEWAY_CONFIG=")])
		require.True(t, at[strings.TrimPrefix(u["Unit Documentation"][0], "file://")])
	}
	known := settings(t)
	env, err := os.ReadFile("../deploy/package/gateway.env")
	require.NoError(t, err)
	for _, variable := range regexp.MustCompile(`(?m)^#?([A-Z_]+)=`).FindAllStringSubmatch(string(env), -1) {
		require.Contains(t, known, variable[1])
	}
}
