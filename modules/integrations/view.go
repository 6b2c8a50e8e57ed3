package integrations

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/httpapi"
)

const integrationColumns = `id, source, provider, name, is_active, rate_limit_per_minute, max_body_bytes, options, redact, archived_at, created_at, updated_at`

type integrationRow struct {
	ID           string      `db:"id"`
	Source       string      `db:"source"`
	Provider     string      `db:"provider"`
	Name         string      `db:"name"`
	IsActive     bool        `db:"is_active"`
	RateLimit    *int        `db:"rate_limit_per_minute"`
	MaxBodyBytes *int64      `db:"max_body_bytes"`
	Options      string      `db:"options"` // provider.Options as JSON
	Redact       string      `db:"redact"`  // JSON paths as a JSON array
	ArchivedAt   *clock.Time `db:"archived_at"`
	CreatedAt    clock.Time  `db:"created_at"`
	UpdatedAt    clock.Time  `db:"updated_at"`
}

// Destination is a destination as it is shown.
type Destination struct {
	ID        string                       `json:"id"`
	URL       string                       `json:"url"`
	IsActive  bool                         `json:"isActive"`
	Pause     *contract.DestinationPause   `json:"pause"` // null for an active one
	Mode      contract.DestinationMode     `json:"mode" api:"enum=canonical|raw"`
	Filter    string                       `json:"filter"`
	Transform string                       `json:"transform"`
	Headers   []string                     `json:"headers"` // only the names
	Auth      string                       `json:"auth"`    // only the type
	TLS       *contract.DestinationTLSInfo `json:"tls"`
	Policy    contract.DestinationPolicy   `json:"policy"`                                   // null for the configured defaults
	Traces    bool                         `json:"tracePropagation"`                         // its requests carry the event's traceparent
	Breaker   string                       `json:"breaker" api:"enum=closed|open|half_open"` // closed, open or half_open
	CreatedAt clock.Time                   `json:"createdAt"`
	UpdatedAt clock.Time                   `json:"updatedAt"`
}

// Integration is an integration as it is shown.
type Integration struct {
	ID                 string          `json:"id"`
	Source             string          `json:"source"`
	Provider           string          `json:"provider"`
	Name               string          `json:"name"`
	CallbackURL        *string         `json:"callbackUrl"` // the first destination's
	Destinations       []Destination   `json:"destinations"`
	Secrets            []SecretInfo    `json:"secrets"`
	Options            json.RawMessage `json:"options" api:"object,nullable"`
	Redact             []string        `json:"redact" api:"nullable"` // JSON paths of values that are not stored
	RateLimitPerMinute *int            `json:"rateLimitPerMinute"`    // null for the configured default
	MaxBodyBytes       *int64          `json:"maxBodyBytes"`          // null for the configured default
	IsActive           bool            `json:"isActive"`
	Warnings           []string        `json:"warnings"` // what its present state does that may surprise
	ArchivedAt         *clock.Time     `json:"archivedAt"`
	CreatedAt          clock.Time      `json:"createdAt"`
	UpdatedAt          clock.Time      `json:"updatedAt"`
}

func (r integrationRow) view(to []contract.Destination, secrets []SecretInfo) Integration {
	v := Integration{
		ID: r.ID, Source: r.Source, Provider: r.Provider, Name: r.Name, IsActive: r.IsActive,
		Secrets: httpapi.OrEmpty(secrets), Options: r.shownOptions(), Redact: r.shownRedact(), RateLimitPerMinute: r.RateLimit, MaxBodyBytes: r.MaxBodyBytes,
		ArchivedAt: r.ArchivedAt, CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt, Destinations: []Destination{},
	}
	for _, d := range to {
		v.Destinations = append(v.Destinations, Destination{
			ID: d.ID, URL: withoutPassword(d.URL), IsActive: d.IsActive, Pause: d.Pause, Mode: d.Mode, Filter: d.Filter, Transform: d.Transform,
			Headers: httpapi.OrEmpty(d.Headers), Auth: d.Auth, TLS: d.TLS, Policy: d.Policy, Traces: d.TracePropagation, Breaker: d.Breaker,
			CreatedAt: clock.At(d.CreatedAt), UpdatedAt: clock.At(d.UpdatedAt),
		})
	}
	if len(v.Destinations) > 0 {
		v.CallbackURL = &v.Destinations[0].URL
	}
	return v
}

// shownOptions returns the options, or null if the column is unreadable.
func (r integrationRow) shownOptions() json.RawMessage {
	if !json.Valid([]byte(r.Options)) {
		return nil
	}
	return json.RawMessage(r.Options)
}

// withoutPassword masks the password in a URL.
func withoutPassword(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.User == nil {
		return text
	}
	return u.Redacted()
}

// IntegrationFilter selects integrations; the zero value selects all that are not archived.
type IntegrationFilter struct {
	Provider   string
	ActiveOnly bool
	Archived   bool // include removed ones
}

const selectIntegrationsSQL = `
SELECT ` + integrationColumns + `
FROM   integrations
WHERE  ($1 = '' OR provider = $1) AND (is_active OR NOT $2) AND (archived_at IS NULL OR $3)
ORDER  BY source`

// Integrations lists integrations by source.
func (m *Module) Integrations(ctx context.Context, f IntegrationFilter) ([]Integration, error) {
	rows := []integrationRow{}
	if err := m.d.DB.Select(ctx, &rows, selectIntegrationsSQL, f.Provider, f.ActiveOnly, f.Archived); err != nil {
		return nil, fmt.Errorf("list integrations: %w", err)
	}
	rows = slices.DeleteFunc(rows, func(r integrationRow) bool { return !httpapi.SeesSource(ctx, r.Source) })
	return m.shown(ctx, rows)
}

const selectIntegrationSQL = `
SELECT ` + integrationColumns + `
FROM   integrations
WHERE  id = $1`

// IntegrationByID returns one integration, including archived ones.
func (m *Module) IntegrationByID(ctx context.Context, integrationID string) (Integration, error) {
	var row integrationRow
	switch err := m.d.DB.Get(ctx, &row, selectIntegrationSQL, integrationID); {
	case errors.Is(err, sql.ErrNoRows):
		return Integration{}, noIntegration(integrationID)
	case err != nil:
		return Integration{}, fmt.Errorf("read integration: %w", err)
	case !httpapi.SeesSource(ctx, row.Source):
		return Integration{}, noIntegration(integrationID)
	}
	views, err := m.shown(ctx, []integrationRow{row})
	if err != nil {
		return Integration{}, err
	}
	return views[0], nil
}

// shown adds the secrets and destinations of integrations.
func (m *Module) shown(ctx context.Context, rows []integrationRow) ([]Integration, error) {
	if len(rows) == 0 {
		return []Integration{}, nil
	}
	ids := make([]string, len(rows))
	for i, r := range rows {
		ids[i] = r.ID
	}
	secrets, err := m.secretsOf(ctx, ids)
	if err != nil {
		return nil, err
	}
	destinations, err := m.d.Destinations.Destinations(ctx, ids)
	if err != nil {
		return nil, err
	}
	of := map[string][]contract.Destination{}
	for _, d := range destinations {
		of[d.IntegrationID] = append(of[d.IntegrationID], d)
	}
	views := make([]Integration, len(rows))
	for i, r := range rows {
		if err := m.warnOfShort(ctx, r, secrets[r.ID]); err != nil {
			return nil, err
		}
		views[i] = r.view(of[r.ID], secrets[r.ID])
		if views[i].Warnings = []string{}; !r.IsActive && r.ArchivedAt == nil {
			views[i].Warnings = append(views[i].Warnings, "The source is disabled: "+m.whileDisabled()+".")
		}
	}
	return views, nil
}

// whileDisabled says what becomes of the webhooks and events of a disabled source.
func (m *Module) whileDisabled() string {
	kept := "Those that verify are kept in quarantine for " + strings.TrimSuffix(m.cfg.QuarantineTime.String(), "0m0s") + ", and can be released once it is enabled"
	if m.cfg.QuarantineTime <= 0 {
		kept = "They are not kept, because QUARANTINE_RETENTION_HOURS is 0"
	}
	return "its webhooks are answered 404, which its provider may give up on. " + kept + ". Its events are not delivered until then"
}
