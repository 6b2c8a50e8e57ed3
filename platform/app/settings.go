package app

import (
	"errors"
	"net/http"
	"sync"

	"github.com/labstack/echo/v4"

	"integration-gateway/modules/processes"
	"integration-gateway/platform/config"
	"integration-gateway/platform/httpapi"
)

// CheckSettings reads the configuration and checks everything in it that can be checked
// without a connection. It returns what could be read, beside all that is wrong.
func CheckSettings(o config.Options) (config.Config, config.Mistakes) {
	cfg, mistakes := config.Inspect(o)
	named := map[string]bool{}
	for _, m := range mistakes {
		named[m.Name] = true
	}
	for _, check := range []func(config.Config) error{CheckServers, CheckProviders} {
		var more config.Mistakes
		if err := check(cfg); !errors.As(err, &more) && err != nil {
			more = config.Mistakes{{Name: "configuration", Problem: err.Error(), Fix: "correct it"}}
		}
		for _, m := range more {
			if !named[m.Name] {
				mistakes = append(mistakes, m)
			}
		}
	}
	return cfg, mistakes
}

// settings are those in effect in this process.
type settings struct {
	process *processes.Module

	mu      sync.Mutex
	current SettingsReport
}

// SettingsReport is what a process, or a command, is configured with.
type SettingsReport struct {
	Version     string           `json:"version"`
	Fingerprint string           `json:"fingerprint"` // as the metric gateway_config_info
	Providers   []string         `json:"providers"`   // of one's own
	Settings    []config.Setting `json:"settings"`
}

// Settings makes the report of a configuration.
func Settings(cfg config.Config) SettingsReport {
	r := SettingsReport{Version: cfg.Version, Fingerprint: cfg.Fingerprint, Settings: cfg.Settings}
	r.Providers = make([]string, len(cfg.Providers))
	for i, p := range cfg.Providers {
		r.Providers[i] = p.Name
	}
	return r
}

func newSettings(cfg config.Config, process *processes.Module) *settings {
	return &settings{process: process, current: Settings(cfg)}
}

// reloaded takes what can change without a restart from the settings that were loaded again,
// and returns the new fingerprint.
func (s *settings) reloaded(cfg config.Config) (fingerprint string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current.Providers = Settings(cfg).Providers
	s.current.Settings, s.current.Fingerprint = config.Reloaded(s.current.Settings, cfg.Settings)
	return s.current.Fingerprint
}

// Routes registers the settings' part of the API.
func (s *settings) Routes(r httpapi.Routes) { r.Admin.GET("/settings", s.show, settingsSpec) }

type settingsAnswer struct {
	Process string `json:"process" api:"format=uuid"` // its id in GET /processes
	SettingsReport
}

var settingsSpec = httpapi.Spec{
	Summary: "The settings in effect in the process that answers, each with where it came from. Secrets, and credentials within URLs, are hidden.",
	Answers: []httpapi.Answer{httpapi.Returns(http.StatusOK, "Settings", settingsAnswer{})},
}

func (s *settings) show(c echo.Context) error {
	s.mu.Lock()
	answer := settingsAnswer{s.process.Process(), s.current}
	s.mu.Unlock()
	return httpapi.Data(c, http.StatusOK, answer)
}
