package target

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// home gives the test its own folder for configuration, and a data folder.
func home(t *testing.T) (dataDir string) {
	t.Helper()
	t.Setenv("HOME", t.TempDir())
	t.Setenv("XDG_CONFIG_HOME", "")
	return t.TempDir()
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func TestTheFirstThatNamesAGatewayWins(t *testing.T) {
	dataDir := home(t)
	keyFile, other := write(t, filepath.Join(dataDir, "prod.key"), "k-prod\n"), write(t, filepath.Join(dataDir, "other.key"), "k-other")
	var all Contexts
	require.NoError(t, all.Add("prod", Context{API: "https://prod.example", KeyFile: keyFile}))
	require.NoError(t, all.Add("open", Context{API: "https://open.example"}))
	require.NoError(t, all.Save())
	write(t, filepath.Join(dataDir, DevFile), `{"api":"http://127.0.0.1:3000","key":"k-dev"}`)

	env := map[string]string{VariableURL: "https://env.example", VariableKey: "k-env", "DATABASE_URL": "sqlite://x.db"}
	resolve := func(f Flags, unset ...string) Target {
		t.Helper()
		got, err := Resolve(f, func(name string) string {
			for _, gone := range unset {
				if gone == name {
					return ""
				}
			}
			return env[name]
		}, dataDir)
		require.NoError(t, err)
		return got
	}
	require.Equal(t, Target{URL: "https://flag.example", Key: "k-env", From: "--api"}, resolve(Flags{API: "https://flag.example"}))
	require.Equal(t, Target{URL: "https://flag.example", Key: "k-other", From: "--api"}, resolve(Flags{API: "https://flag.example", KeyFile: other}))
	require.Equal(t, Target{URL: "https://prod.example", Key: "k-prod", From: "the context prod"}, resolve(Flags{Context: "prod"}), "the environment's key may be another gateway's")
	require.Equal(t, Target{URL: "https://open.example", Key: "k-env", From: "the context open"}, resolve(Flags{Context: "open"}))
	require.Equal(t, Target{URL: "https://env.example", Key: "k-env", From: VariableURL}, resolve(Flags{}))
	require.Equal(t, Target{}, resolve(Flags{}, VariableURL), "DATABASE_URL means the database")
	require.Equal(t, "the context prod", resolve(Flags{}, VariableURL, "DATABASE_URL").From, "the first context is the current one")

	at := Login{Issuer: "https://login.example", ClientID: "cli"}
	require.NoError(t, all.Add("people", Context{API: "https://people.example", Login: &at}))
	require.NoError(t, all.Save())
	at.Scopes = []string{"openid", "offline_access"}
	require.Equal(t, Target{URL: "https://people.example", From: "the context people", Login: &at, Context: "people"}, resolve(Flags{Context: "people"}),
		"a login never uses the key of the environment")
	require.Equal(t, Target{URL: "https://people.example", Key: "k-other", From: "the context people"}, resolve(Flags{Context: "people", KeyFile: other}))

	require.NoError(t, all.Remove("prod"))
	require.NoError(t, all.Save())
	dev := resolve(Flags{}, VariableURL, "DATABASE_URL")
	require.Equal(t, "k-dev", dev.Key)
	require.Equal(t, "http://127.0.0.1:3000", dev.URL)
	require.NoError(t, os.Remove(filepath.Join(dataDir, DevFile)))
	require.Equal(t, Target{}, resolve(Flags{}, VariableURL, "DATABASE_URL"))
}

func TestWhatCannotBeATarget(t *testing.T) {
	dataDir := home(t)
	none := func(string) string { return "" }
	for says, f := range map[string]Flags{
		"not both":                 {API: "https://a.example", Context: "a"},
		"there is no such context": {Context: "a"},
		"no such file":             {API: "https://a.example", KeyFile: filepath.Join(dataDir, "none")},
		"one key and nothing else": {API: "https://a.example", KeyFile: write(t, filepath.Join(dataDir, "two"), "a b")},
	} {
		_, err := Resolve(f, none, dataDir)
		require.ErrorContains(t, err, says)
	}
	write(t, filepath.Join(dataDir, DevFile), `{`)
	_, err := Resolve(Flags{}, none, dataDir)
	require.ErrorContains(t, err, "holds no address")
}

func TestTheFilesAreTheOwnersAlone(t *testing.T) {
	dataDir := home(t)
	var all Contexts
	require.NoError(t, all.Add("a", Context{API: "https://a.example"}))
	require.NoError(t, all.Save())
	require.NoError(t, all.Save(), "it replaces the file")
	forget, err := WriteDev(dataDir, []byte(`{}`))
	require.NoError(t, err)
	path, err := Path()
	require.NoError(t, err)
	for _, file := range []string{path, filepath.Join(dataDir, DevFile)} {
		info, err := os.Stat(file)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), file)
	}
	forget()
	require.NoFileExists(t, filepath.Join(dataDir, DevFile))
	require.ErrorIs(t, all.Use("b"), ErrUnknown)
	require.ErrorIs(t, all.Remove("b"), ErrUnknown)
	require.Error(t, all.Add("A b", Context{API: "https://a.example"}))
}
