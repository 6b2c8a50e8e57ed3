package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/httpapi"
)

// Sources knows the names of sources.
type Sources interface {
	// SourcesOf returns the sources of integrations by their ids, as tx sees them.
	SourcesOf(ctx context.Context, tx *database.Tx, integrationIDs []string) (map[string]string, error)
}

// Events knows where events are from.
type Events interface {
	// SourceOfEvent returns an event's source; "" if there is no such event.
	SourceOfEvent(ctx context.Context, eventID string) (string, error)
}

// scoped restricts a filter to what ctx's credential may see: the entries that name one of its
// sources or are about their integrations, and all entries of an event of its sources.
func (m *Module) scoped(ctx context.Context, want filter) (filter, error) {
	scope := httpapi.ScopeOf(ctx)
	if scope == nil {
		return want, nil
	}
	if want.entityID != "" && m.events != nil {
		source, err := m.events.SourceOfEvent(ctx, want.entityID)
		if err != nil {
			return want, fmt.Errorf("look up the event: %w", err)
		}
		if source != "" && slices.Contains(scope.Sources, source) {
			return want, nil
		}
	}
	want.sources = append([]string{}, scope.Sources...)
	return want, nil
}

// about is what details say of the source that an entry is about.
type about struct {
	Source        string `json:"source"`
	IntegrationID string `json:"integrationId"`
}

func aboutOf(details json.RawMessage) (a about) {
	if bytes.Contains(details, []byte(`"source"`)) || bytes.Contains(details, []byte(`"integrationId"`)) {
		if json.Unmarshal(details, &a) != nil {
			return about{} // they mean something else there
		}
	}
	return a
}

// source returns the name for the column; nil for none. A name that a sender chose may be any
// text.
func (a about) source(names map[string]string) *string {
	name := a.Source
	if name == "" {
		name = names[a.IntegrationID]
	}
	if name == "" || len(name) > maxSource || !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) {
		return nil
	}
	return &name
}

// sourcesOf returns the sources of the integrations that entries are about without naming
// their sources.
func (m *Module) sourcesOf(ctx context.Context, tx *database.Tx, entries []contract.AuditEntry) (map[string]string, error) {
	var ids []string
	for _, e := range entries {
		if slices.Contains(commonActions, e.Action) {
			continue
		}
		if a := aboutOf(e.Details); a.Source == "" && a.IntegrationID != "" && !slices.Contains(ids, a.IntegrationID) {
			ids = append(ids, a.IntegrationID)
		}
	}
	if len(ids) == 0 || m.sources == nil {
		return nil, nil
	}
	names, err := m.sources.SourcesOf(ctx, tx, ids)
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	return names, nil
}
