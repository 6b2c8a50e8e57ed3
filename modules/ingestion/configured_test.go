package ingestion

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/fault"
	"integration-gateway/platform/id"
	"integration-gateway/platform/provider"
	"integration-gateway/platform/provider/redaction"
	"integration-gateway/platform/secret"
)

// configured stands for the module integrations: the sources that a test sets up. It answers
// the few requests of the management API that tests make of it.
type configured struct {
	mu        sync.Mutex
	providers provider.Registry
	of        []*settings
	matched   map[string]int // by the secret's id: source-0 is a source's first
	failure   error          // of every source
	arrived   []provider.ArrivedSecret
	full      bool // no further secret may wait
}

type settings struct {
	ID           string           `json:"id"`
	Source       string           `json:"source"`
	Provider     string           `json:"provider"`
	Secrets      []string         `json:"secrets"`
	Options      provider.Options `json:"options"`
	Redact       []string         `json:"redact"`
	IsActive     bool             `json:"isActive"`
	RateLimit    *int             `json:"rateLimitPerMinute"`
	MaxBodyBytes *int64           `json:"maxBodyBytes"`
}

func newConfigured() *configured {
	return &configured{providers: provider.Builtin(), matched: map[string]int{}}
}

// add sets up a source and gives the id of its integration.
func (c *configured) add(source, providerName string, secrets ...string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.of = append(c.of, &settings{ID: id.New(), Source: source, Provider: providerName, Secrets: secrets, IsActive: true})
	return c.of[len(c.of)-1].ID
}

// change changes a source, which is named by its name or its integration's id.
func (c *configured) change(name string, do func(s *settings)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.of {
		if s.Source == name || s.ID == name {
			do(s)
		}
	}
}

// manage answers as the management API does.
func (c *configured) manage(t testing.TB, method, path, body string) (a answer) {
	t.Helper()
	integrationID, rest, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	switch {
	case method == http.MethodGet:
		a.Status = http.StatusOK
	case method == http.MethodPost && integrationID == "":
		integrationID, a.Status = c.add("", ""), http.StatusCreated
		c.change(integrationID, func(s *settings) { require.NoError(t, json.Unmarshal([]byte(body), s)) })
	case method == http.MethodPatch && rest == "":
		a.Status = http.StatusOK
		c.change(integrationID, func(s *settings) { require.NoError(t, json.Unmarshal([]byte(body), s)) })
	case method == http.MethodPost && rest == "secrets":
		a.Status = http.StatusCreated
		var given struct{ Value string }
		require.NoError(t, json.Unmarshal([]byte(body), &given))
		c.change(integrationID, func(s *settings) { s.Secrets = append(s.Secrets, given.Value) })
	default:
		require.Failf(t, "no such request", "%s %s", method, path)
	}
	c.change(integrationID, func(s *settings) { a.Data, _ = json.Marshal(s) })
	return a
}

func (c *configured) Source(_ context.Context, name string) (*provider.Source, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failure != nil {
		return nil, c.failure
	}
	at := slices.IndexFunc(c.of, func(s *settings) bool { return s.Source == name })
	if at < 0 {
		return nil, provider.NoSource()
	}
	s := c.of[at]
	spec, err := c.providers.Configure(s.Provider, s.Options)
	if err != nil {
		return nil, fault.Unavailable.Wrap(err, "source_broken", "This source cannot be used.")
	}
	src := &provider.Source{IntegrationID: s.ID, Name: s.Source, Disabled: !s.IsActive, Spec: spec, SafeHeaders: spec.SafeHeaders(), RateLimit: s.RateLimit, MaxBodyBytes: s.MaxBodyBytes}
	for _, path := range s.Redact {
		one, err := redaction.ParsePath(path)
		if err != nil {
			return nil, fault.Unavailable.Wrap(err, "source_broken", "This source cannot be used.")
		}
		src.Redaction = src.Redaction.And(one)
	}
	for i, value := range s.Secrets {
		one := provider.Secret{ID: fmt.Sprintf("%s-%d", s.Source, i)}
		if rest, ok := strings.CutPrefix(value, "challenge:"); ok { // its purpose
			one.Purpose, value = provider.Challenge, rest
		}
		one.Value = secret.New(value)
		src.Secrets = append(src.Secrets, one)
	}
	return src, nil
}

func (c *configured) SourceNow(ctx context.Context, name string) (*provider.Source, error) {
	src, err := c.Source(ctx, name)
	switch {
	case fault.Is(err, fault.NotFound), err == nil && src.Disabled:
		return nil, fault.Conflict.New("source_inactive", "The source %s is inactive and accepts no webhooks; enable it first.", name)
	case err != nil:
		return nil, fault.Conflict.Wrap(err, "source_broken", "The source %s cannot be used until its settings are fixed.", name)
	}
	return src, nil
}

func (c *configured) Matched(secretID string, _ time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.matched[secretID]++
}

func (c *configured) ActiveIntegrations(_ context.Context, ids []string) (map[string]bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	active := map[string]bool{}
	for _, s := range c.of {
		if s.IsActive && slices.Contains(ids, s.ID) {
			active[s.ID] = true
		}
	}
	return active, nil
}

func (c *configured) SourcesOfProvider(_ context.Context, name string) (sources []string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.of {
		if s.Provider == name {
			sources = append(sources, s.Source)
		}
	}
	return sources, nil
}

func (c *configured) StoreArrivedSecret(_ context.Context, _ string, arrived provider.ArrivedSecret, _ string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.full {
		return fault.Conflict.New("secrets_pending", "Secrets wait.")
	}
	c.arrived = append(c.arrived, arrived)
	return nil
}

func (c *configured) SourceWith(ctx context.Context, name string, o provider.Options) (*provider.Source, error) {
	src, err := c.Source(ctx, name)
	if err != nil {
		return nil, err
	}
	with := *src
	with.Spec, err = c.providers.Configure(src.Spec.Name, o)
	return &with, err
}
