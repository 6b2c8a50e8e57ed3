package target

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Context is a gateway by a name.
type Context struct {
	API     string `yaml:"api"`
	KeyFile string `yaml:"keyFile,omitempty"`
	Login   *Login `yaml:"login,omitempty"`
}

// Contexts is the file of contexts.
type Contexts struct {
	Current  string             `yaml:"current,omitempty"`
	Contexts map[string]Context `yaml:"contexts,omitempty"`
}

// ErrUnknown says that there is no context of a name.
var ErrUnknown = errors.New("there is no such context")

var contextName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)

// Path is the file of contexts, in the user's folder for configuration.
func Path() (string, error) {
	folder, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("find the folder for contexts: %w", err)
	}
	return filepath.Join(folder, "gateway", "contexts.yaml"), nil
}

// Load reads the contexts; none if there is no file.
func Load() (Contexts, error) {
	path, err := Path()
	if err != nil {
		return Contexts{}, nil //nolint:nilerr // a user without a home has no contexts
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Contexts{}, nil
	}
	if err != nil {
		return Contexts{}, fmt.Errorf("read the contexts: %w", err)
	}
	var c Contexts
	if err := yaml.Unmarshal(text, &c); err != nil {
		return Contexts{}, fmt.Errorf("the contexts in %s cannot be read: correct or remove the file", path)
	}
	return c, nil
}

// Save replaces the file, readable by its owner alone.
func (c Contexts) Save() error {
	path, err := Path()
	if err != nil {
		return err
	}
	text, err := yaml.Marshal(c)
	if err != nil {
		return fmt.Errorf("write the contexts: %w", err)
	}
	return WritePrivate(path, text)
}

// WritePrivate replaces a file that only its owner can read, at once or not at all, and makes
// its folder.
func WritePrivate(path string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	file, err := os.CreateTemp(filepath.Dir(path), ".new-*") // with the mode 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = file.Write(text)
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		_ = os.Remove(file.Name())
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// Add adds or replaces a context, and makes the first one current.
func (c *Contexts) Add(name string, one Context) error {
	if !contextName.MatchString(name) {
		return fmt.Errorf("%q cannot be a name: use lower-case letters, digits, dots, - and _", name)
	}
	if one.KeyFile != "" {
		if _, err := readKey(one.KeyFile); err != nil {
			return err
		}
		whole, err := filepath.Abs(one.KeyFile)
		if err != nil {
			return fmt.Errorf("the key file: %w", err)
		}
		one.KeyFile = whole
	}
	if one.Login != nil {
		if err := one.checkLogin(); err != nil {
			return err
		}
	}
	if c.Contexts == nil {
		c.Contexts = map[string]Context{}
	}
	c.Contexts[name] = one
	if c.Current == "" {
		c.Current = name
	}
	return nil
}

// Use makes a context current.
func (c *Contexts) Use(name string) error {
	if err := c.check(name); err != nil {
		return err
	}
	c.Current = name
	return nil
}

// Remove removes a context.
func (c *Contexts) Remove(name string) error {
	if err := c.check(name); err != nil {
		return err
	}
	delete(c.Contexts, name)
	if c.Current == name {
		c.Current = ""
	}
	return nil
}

// Names lists the contexts.
func (c Contexts) Names() []string { return slices.Sorted(maps.Keys(c.Contexts)) }

func (c Contexts) check(name string) error {
	if _, known := c.Contexts[name]; known {
		return nil
	}
	have := "there are none; add one with `gateway context add`"
	if len(c.Contexts) > 0 {
		have = "there are " + strings.Join(c.Names(), ", ")
	}
	return fmt.Errorf("%w: %s (%s)", ErrUnknown, name, have)
}

// target is a context's gateway. A context with a key file or a login never uses the key of
// the environment, which may be another gateway's.
func (c Contexts) target(name string, env func(string) string) (Target, error) {
	if err := c.check(name); err != nil {
		return Target{}, err
	}
	one := c.Contexts[name]
	t := Target{URL: one.API, From: "the context " + name}
	var err error
	switch {
	case one.Login != nil:
		t.Login, t.Context, err = one.Login, name, one.checkLogin()
	case one.KeyFile != "":
		t.Key, err = readKey(one.KeyFile)
	default:
		t.Key = env(VariableKey)
	}
	return t, err
}

// WriteDev leaves a running gateway's address in its data folder, until forget.
func WriteDev(dataDir string, text []byte) (forget func(), err error) {
	path := filepath.Join(dataDir, DevFile)
	if err := WritePrivate(path, text); err != nil {
		return nil, err
	}
	return func() { _ = os.Remove(path) }, nil
}
