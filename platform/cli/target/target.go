// Package target decides where the command line's requests go: to a gateway that is named by
// flags, the environment or a context, to the one that runs in this folder, or directly to the
// database.
package target

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// The variables of the environment.
const (
	VariableURL = "GATEWAY_API_URL"
	VariableKey = "GATEWAY_API_KEY"
)

// DevFile is the file that a running gateway dev leaves in its data folder: its address and
// its management key, readable by its owner alone.
const DevFile = "api.json"

// FromDev ends what named a gateway that left its address.
const FromDev = " (gateway dev)"

// Flags are given on the command line.
type Flags struct{ API, Context, KeyFile string }

// Target is where requests go. URL is "" for the database.
type Target struct {
	URL     string
	Key     string
	From    string // what named it
	Login   *Login // of a context; nil where a key is used
	Context string // whose login it is
}

// Dev is the content of DevFile.
type Dev struct {
	API string `json:"api"`
	Key string `json:"key"`
}

// Resolve decides. The first of these wins: --context, --api, GATEWAY_API_URL, DATABASE_URL
// in the environment, the current context, the gateway that runs with its records in dataDir.
// Where there is none of them, requests go to the database of the configuration.
func Resolve(f Flags, env func(string) string, dataDir string) (Target, error) {
	if f.API != "" && f.Context != "" {
		return Target{}, errors.New("give --api or --context, not both")
	}
	t, err := chosen(f, env, dataDir)
	if err != nil || t.URL == "" || f.KeyFile == "" {
		return t, err
	}
	t.Login, t.Context = nil, ""
	t.Key, err = readKey(f.KeyFile)
	return t, err
}

func chosen(f Flags, env func(string) string, dataDir string) (Target, error) {
	named := f.API
	from := "--api"
	if named == "" && f.Context == "" {
		named, from = env(VariableURL), VariableURL
	}
	if named != "" {
		return Target{URL: named, Key: env(VariableKey), From: from}, nil
	}
	if f.Context == "" && env("DATABASE_URL") != "" {
		return Target{}, nil
	}
	all, err := Load()
	if err != nil {
		return Target{}, err
	}
	name := f.Context
	if name == "" {
		name = all.Current
	}
	if name != "" {
		return all.target(name, env)
	}
	return running(dataDir)
}

// running returns the gateway that left its file in a folder; none if there is no such file.
func running(dataDir string) (Target, error) {
	path := filepath.Join(dataDir, DevFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return Target{}, nil
	}
	if err != nil {
		return Target{}, fmt.Errorf("read the running gateway's address: %w", err)
	}
	var d Dev
	if err := json.Unmarshal(text, &d); err != nil || d.API == "" {
		return Target{}, fmt.Errorf("%s holds no address: remove it, or start `gateway dev` again", path)
	}
	return Target{URL: d.API, Key: d.Key, From: path + FromDev}, nil
}

// maxKey limits the size of a key file.
const maxKey = 16 << 10

func readKey(path string) (string, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return "", fmt.Errorf("the key file: %w", err)
	case info.Size() > maxKey:
		return "", fmt.Errorf("the key file %s is larger than a key can be", path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("the key file: %w", err)
	}
	key := strings.TrimSpace(string(text))
	if key == "" || strings.ContainsAny(key, " \n\r\t") {
		return "", fmt.Errorf("the key file %s must hold one key and nothing else", path)
	}
	return key, nil
}
