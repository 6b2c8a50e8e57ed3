package config

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// setting is one variable: NAME in the environment, name in the YAML file.
// docs/configuration.md and configs/gateway.yaml are generated from it.
type setting struct {
	name     string
	fallback string
	read     reader
	// blank says that an empty value means something ("off"), rather than "as
	// if it were not set".
	blank bool

	help    string // sentences, in Markdown
	unset   string // what happens without a value; "" where it has a default
	by      users
	reloads bool // on SIGHUP
}

// reader says what a setting takes, checks a text and puts it in place.
type reader struct {
	takes string
	set   func(text string) error // its error is a problem
}

// section is a chapter of docs/configuration.md.
type section struct {
	title    string
	help     string
	settings []setting
}

// users are the commands that a setting has an effect on.
type users string

const (
	listeners users = "`serve`, `dev`"
	servers   users = "`serve`"
	workers   users = "`work`, `serve --work`, `dev`"
	running   users = "`serve`, `work`, `dev`"
	stores    users = "every command on the database"
	apart     users = "every command on the database but `dev`"
	everyone  users = "every command"
)

// The defaults below that fit moves.
const (
	defaultTimeout  = 15 * time.Second
	defaultRetryCap = 30 * time.Minute
	// A quarter of a year, so that "what happened to event X" is answered months later
	// while the disk that events take has an end.
	defaultEvents = 90 * day

	// Longer than two probes a second apart, and than a cluster takes to withdraw an address.
	defaultDrainDelay = 5 * time.Second

	secretsKeyLength = 32 // characters at least
)

// sections is every variable there is, its default, and where it goes in c.
func sections(c *Config) []section {
	return []section{
		serverSettings(c), logSettings(c), managementSettings(c), secretSettings(c), tlsSettings(c), tokenSettings(c),
		databaseSettings(c), queueSettings(c), spoolSettings(c), retentionSettings(c), checkSettings(c),
		webhookSettings(c), repeatSettings(c), quarantineSettings(c), retrySettings(c), workerSettings(c), egressSettings(c), alertSettings(c), traceSettings(c),
	}
}

func settings(c *Config) []setting {
	var all []setting
	for _, s := range sections(c) {
		all = slices.Concat(all, s.settings)
	}
	return all
}

// DefaultNumber is the default of a setting that is a number, for the flags that stand for
// it; 0 where there is none.
func DefaultNumber(name string) int {
	for _, s := range settings(new(Config)) {
		if s.name == name {
			n, _ := strconv.Atoi(s.fallback)
			return n
		}
	}
	return 0
}

// DefaultText is the default of a setting; "" where there is none.
func DefaultText(name string) string {
	for _, s := range settings(new(Config)) {
		if s.name == name {
			return s.fallback
		}
	}
	return ""
}

// units are named in docs/configuration.md.
var units = map[time.Duration]string{time.Millisecond: "in milliseconds", time.Second: "in seconds", time.Hour: "in hours"}

func choice(allowed ...string) string { return "`" + strings.Join(allowed, "`, `") + "`" }

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
