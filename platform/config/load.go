package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/viper"
)

// PathVariable names the YAML file where --config does not.
const PathVariable = "GATEWAY_CONFIG"

// DefaultPath is read when it is there and no other file is named.
var DefaultPath = filepath.Join("configs", "gateway.yaml")

// Options say who asks.
type Options struct {
	Role Role
	// Both says that this process serves and works: `gateway serve --work`.
	Both bool
	// Path is the file that --config names; "" when it was not given.
	Path string
	// Flags are values given on the command line, by variable; they win.
	Flags map[string]string
}

// Load reads and checks everything. Its error is Mistakes.
func Load(o Options) (Config, error) {
	c, mistakes := Inspect(o)
	if len(mistakes) > 0 {
		return Config{}, mistakes
	}
	return c, nil
}

// Inspect is Load for a look at the configuration: it returns what could be read, beside
// all that is wrong.
func Inspect(o Options) (Config, Mistakes) {
	var c Config
	var mistakes Mistakes
	v := viper.New()
	readFile(v, o, &mistakes)
	given := map[string]bool{}
	for _, s := range settings(&c) {
		if o.Role == Dev && ownOfDev[s.name] {
			continue
		}
		text, set, err := lookUp(v, s, o)
		given[s.name] = set
		if err == nil && (set || s.fallback != "") {
			err = s.read.set(text)
		}
		c.Settings = append(c.Settings, effective(v, s, o, text, set, err))
		var p problem
		if errors.As(err, &p) {
			mistakes.add(s.name, p.what, "%s", p.fix)
			mistakes[len(mistakes)-1].Where = whereFrom(v, s, o)
		}
	}
	c.Providers = readProviders(v, &mistakes)
	c.Fingerprint = fingerprintOf(c.Settings)
	complete(&c, o, given)
	completed(c.Settings, c)
	check(c, o, &mistakes)
	return c, mistakes
}

// ownOfDev are the settings that `gateway dev` does not read: it brings its own
// drivers, so that it never touches a database that the shell happens to name.
// It has one listener too.
var ownOfDev = map[string]bool{"DATABASE_URL": true, "REDIS_URL": true, "RABBITMQ_URL": true, "MANAGEMENT_ADDR": true, "METRICS_ADDR": true,
	"MANAGEMENT_TLS_CERT_FILE": true, "MANAGEMENT_TLS_KEY_FILE": true, "MANAGEMENT_CLIENT_CA_FILE": true}

// lookUp finds a setting's text, and whether anybody gave one: a flag, the
// environment, or the file, in this order; else it is the default.
func lookUp(v *viper.Viper, s setting, o Options) (text string, given bool, err error) {
	if text, ok := o.Flags[s.name]; ok {
		return text, true, nil
	}
	if text, ok := os.LookupEnv(s.name); ok && text == "" && s.blank {
		return "", true, nil
	}
	names := []string{s.name}
	if nodeEnv(s, o) {
		names = append(names, nodeVariable)
	}
	key := strings.ToLower(s.name)
	if err := v.BindEnv(append([]string{key}, names...)...); err != nil {
		return "", false, fmt.Errorf("bind %s: %w", s.name, err)
	}
	if !v.IsSet(key) {
		return s.fallback, false, nil
	}
	switch value := v.Get(key).(type) {
	case []any:
		parts := make([]string, len(value))
		for i, part := range value {
			parts[i] = fmt.Sprint(part)
		}
		return strings.Join(parts, ","), true, nil
	case map[string]any:
		return "", true, wrong("it holds a section", "write one value")
	default:
		text = strings.TrimSpace(fmt.Sprint(value))
	}
	if text == "" && !s.blank {
		return s.fallback, false, nil
	}
	return text, true, nil
}

// nodeVariable stands for APP_ENV where that is not set.
const nodeVariable = "NODE_ENV"

// nodeEnv reports whether nodeVariable counts for a setting. A deployment that is carried
// over from the described service with NODE_ENV=production must not become a development
// one. For `gateway dev` it is some other program's variable.
func nodeEnv(s setting, o Options) bool { return s.name == "APP_ENV" && o.Role != Dev }

// whereFrom is the key and the file that a setting's value came from; "" where it came from
// a flag or the environment, which its name says.
func whereFrom(v *viper.Viper, s setting, o Options) string {
	key := strings.ToLower(s.name)
	if _, flag := o.Flags[s.name]; flag || os.Getenv(s.name) != "" || !v.InConfig(key) {
		return ""
	}
	return key + " in " + v.ConfigFileUsed()
}

// readFile reads the YAML file, if there is one, and finds keys that mean nothing.
func readFile(v *viper.Viper, o Options, mistakes *Mistakes) {
	path, name := o.Path, "--config"
	if path == "" {
		path, name = os.Getenv(PathVariable), PathVariable
	}
	if path == "" {
		path, name = DefaultPath, DefaultPath
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
			return
		}
	}
	v.SetConfigFile(path)
	v.SetConfigType("yaml")
	if err := v.ReadInConfig(); err != nil {
		mistakes.add(name, fmt.Sprintf("%s cannot be read: %s", path, reason(err)), "fix the file or name another")
		return
	}
	for _, key := range v.AllKeys() {
		if !known()[key] && !ofProviders(key) {
			mistakes.add(key, "there is no such key, though "+path+" has it", "%s", suggestion(key))
		}
	}
}

// reason is what went wrong with the file, without any of its content: YAML's
// errors quote some, and it may be a secret.
func reason(err error) string {
	var path *os.PathError
	if errors.As(err, &path) {
		return path.Err.Error()
	}
	text := err.Error()
	if at := strings.LastIndex(text, "yaml: "); at >= 0 && !strings.Contains(text, "`") {
		return text[at+len("yaml: "):]
	}
	return "it is not a YAML mapping of keys to values"
}

func known() map[string]bool {
	keys := map[string]bool{}
	for _, s := range settings(new(Config)) {
		keys[strings.ToLower(s.name)] = true
	}
	return keys
}
