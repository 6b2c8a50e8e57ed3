package config

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/viper"

	"integration-gateway/platform/egress"
	"integration-gateway/platform/secret"
)

// Origin is where a setting's value came from.
type Origin string

// The origins. The first that gives a value wins, from the last of these to the first.
const (
	FromDefault     Origin = "default"
	FromFile        Origin = "file"
	FromEnvironment Origin = "environment"
	FromFlag        Origin = "flag"
)

// Setting is a setting as it is in effect. Its value may be shown: secrets, and credentials
// within URLs, are replaced.
type Setting struct {
	Name    string `json:"name"`
	Value   string `json:"value"` // "" if it has none
	Origin  Origin `json:"origin" api:"enum=default|file|environment|flag"`
	From    string `json:"from"`    // the variable, or the key and its file; "" for others
	Secret  bool   `json:"secret"`  // the value is a secret, or holds one
	Reloads bool   `json:"reloads"` // on SIGHUP

	given string // the text that the fingerprint is of; "" for secrets
}

// fingerprintOf returns 12 hexadecimal digits that are equal for equal settings, secrets aside.
func fingerprintOf(all []Setting) string {
	sum := sha256.New()
	for _, s := range all {
		if !s.Secret {
			fmt.Fprintf(sum, "%s=%q\n", s.Name, s.given)
		}
	}
	return hex.EncodeToString(sum.Sum(nil)[:6])
}

// Reloaded returns the settings of a running process, and their fingerprint, after it has
// reloaded those of next that can change without a restart.
func Reloaded(running, next []Setting) (settings []Setting, fingerprint string) {
	changed := map[string]Setting{}
	for _, s := range next {
		if s.Reloads {
			changed[s.Name] = s
		}
	}
	for _, s := range running {
		if c, is := changed[s.Name]; is {
			s = c
		}
		settings = append(settings, s)
	}
	return settings, fingerprintOf(settings)
}

// effective makes the entry of a setting that was read. err says that its text is wrong.
func effective(v *viper.Viper, s setting, o Options, text string, given bool, err error) Setting {
	e := Setting{Name: s.name, Value: text, Reloads: s.reloads}
	e.Origin, e.From = origin(v, s, o, given)
	show, secret := withSecrets[s.name]
	switch e.Secret = secret; {
	case !secret:
		e.given = text
		if strings.Contains(text, "-----BEGIN") { // a key in place of its path
			e.Value = redacted
		}
	case text == "":
	case err != nil:
		e.Value = redacted // what is not understood may be anything
	default:
		e.Value = show(text)
	}
	return e
}

func origin(v *viper.Viper, s setting, o Options, given bool) (Origin, string) {
	text, inEnvironment := os.LookupEnv(s.name)
	_, flag := o.Flags[s.name]
	switch {
	case !given:
		return FromDefault, ""
	case flag:
		return FromFlag, ""
	case inEnvironment && (text != "" || s.blank):
		return FromEnvironment, s.name
	case nodeEnv(s, o) && os.Getenv(nodeVariable) != "":
		return FromEnvironment, nodeVariable
	}
	return FromFile, whereFrom(v, s, o)
}

// WithSecretsKey returns c with a key that was found in a file without being configured.
func (c Config) WithSecretsKey(key secret.Value, path string) Config {
	c.SecretsKey = key
	c.Settings = slices.Clone(c.Settings)
	for i, s := range c.Settings {
		if s.Name == "SECRETS_KEY" {
			c.Settings[i].Value, c.Settings[i].Origin, c.Settings[i].From = redacted, FromFile, path
		}
	}
	return c
}

// completed puts in the values that depend on other settings and on the role.
func completed(all []Setting, c Config) {
	values := map[string]string{
		"APP_HOST": c.HTTP.Host, "METRICS_ADDR": c.MetricsAddr, "EGRESS_ALLOW": allowed(c.EgressAllow),
		"DELIVERY_TIMEOUT_MS": milliseconds(c.Delivery.Timeout), "RETRY_MAX_DELAY_MS": milliseconds(c.Delivery.RetryCap),
		"RABBITMQ_SPOOL_QUEUE":     c.RabbitMQ.Spool.Queue,
		"RETENTION_EVENTS":         ageText(c.Retention.Events),
		"MANAGEMENT_TLS_CERT_FILE": c.Listeners.Management.Cert, "MANAGEMENT_TLS_KEY_FILE": c.Listeners.Management.Key,
	}
	for i, s := range all {
		value, depends := values[s.Name]
		switch {
		case s.Name == "MANAGEMENT_API_KEY" && s.Value == "" && !c.ManagementKey.Empty():
			all[i].Value = redacted // that of `gateway dev`
		case depends && value != "" && (s.Origin == FromDefault || s.Origin == FromFile): // fit moves both
			all[i].Value = value
		}
	}
}

// ageText writes an age as age reads it.
func ageText(d time.Duration) string {
	switch {
	case d == 0:
		return "0"
	case d%day == 0:
		return strconv.FormatInt(int64(d/day), 10) + "d"
	case d%time.Hour == 0:
		return strconv.FormatInt(int64(d/time.Hour), 10) + "h"
	}
	return d.String()
}

func allowed(a egress.Allow) string {
	var all []string
	for _, network := range a.Networks {
		all = append(all, network.String())
	}
	return strings.Join(append(all, a.Hosts...), ",")
}
