package ingestion

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/provider"
)

// maxReleases bounds a bulk release through the API, so that the request ends in time.
const maxReleases = 1000

// releaseAllBody selects the requests of a bulk release. The filter's fields are named as in
// the list's query.
type releaseAllBody struct {
	Source          string      `json:"source"`
	Reason          string      `json:"reason"`
	SourceIP        string      `json:"sourceIp"`
	ExternalEventID string      `json:"externalEventId"`
	ReceivedFrom    *clock.Time `json:"receivedFrom"`
	ReceivedTo      *clock.Time `json:"receivedTo"`
	All             bool        `json:"all"` // in place of a filter
	DryRun          bool        `json:"dryRun"`
	Limit           *int        `json:"limit" api:"minimum=1,maximum=1000"`
}

func (b releaseAllBody) filter() QuarantineFilter {
	return QuarantineFilter{Source: b.Source, Reason: b.Reason, SourceIP: b.SourceIP, ExternalEventID: provider.Clean(b.ExternalEventID),
		ReceivedFrom: moment(b.ReceivedFrom), ReceivedTo: moment(b.ReceivedTo)}
}

func moment(t *clock.Time) *time.Time {
	if t == nil {
		return nil
	}
	return &t.Time
}

func (b releaseAllBody) limit() int {
	if b.Limit == nil {
		return maxReleases
	}
	return *b.Limit
}

// Mistakes returns every invalid field. A forgotten filter must not release everything.
func (b releaseAllBody) Mistakes() (wrong []fault.Field) {
	add := func(field, format string, args ...any) {
		wrong = append(wrong, fault.Field{Field: field, Message: fmt.Sprintf(format, args...)})
	}
	if b.Source != "" && !provider.ValidSourceName(b.Source) {
		add("source", "must name the source whose requests are released")
	}
	if !httpapi.Printable(b.Reason) {
		add("reason", "must be one of the reasons that the quarantine shows, such as no_match")
	}
	for field, t := range map[string]*clock.Time{"receivedFrom": b.ReceivedFrom, "receivedTo": b.ReceivedTo} {
		if t != nil && (t.UTC().Year() < 1 || t.UTC().Year() > 9999) {
			add(field, "must be an RFC 3339 time such as 2026-01-31T00:00:00Z")
		}
	}
	if limit := b.limit(); limit < 1 || limit > maxReleases {
		add("limit", "must be a whole number from 1 to %d", maxReleases)
	}
	switch filtered := b.filter() != (QuarantineFilter{}); {
	case !filtered && !b.All:
		add("all", "must be true to release all; otherwise give a filter: source, reason, sourceIp, externalEventId, receivedFrom, receivedTo")
	case filtered && b.All:
		add("all", "cannot be combined with a filter")
	}
	return wrong
}

func (m *Module) postReleaseAll(c echo.Context) error {
	body := httpapi.BodyOf[releaseAllBody](c)
	all, err := m.ReleaseAll(c.Request().Context(), body.filter(), body.limit(), body.DryRun)
	if err != nil {
		return err
	}
	return httpapi.Data(c, http.StatusOK, all)
}

// ReleasedAll is the result of a bulk release.
type ReleasedAll struct {
	Matched    int            `json:"matched"`
	Released   int            `json:"released"`   // new events
	Duplicates int            `json:"duplicates"` // already known; removed from quarantine too
	Refused    map[string]int `json:"refused"`    // still refused, by reason
	Skipped    int            `json:"skipped"`    // released or removed meanwhile, by another request or by retention
}

// ReleaseAll releases at most limit requests that match f and that the caller may see, oldest
// first. With dryRun it only counts all that match. It stops at the first error other than a
// refusal and returns the counts so far.
func (m *Module) ReleaseAll(ctx context.Context, f QuarantineFilter, limit int, dryRun bool) (ReleasedAll, error) {
	all := ReleasedAll{Refused: map[string]int{}}
	list, err := database.ReadList(ctx, m.d.DB, oldestQuarantined, f.within(ctx), database.Page{Number: 1, Size: limit})
	if err != nil {
		return all, fmt.Errorf("list the quarantine: %w", err)
	}
	if dryRun {
		all.Matched = list.Total
		return all, nil
	}
	all.Matched = len(list.Items)
	for _, q := range list.Items {
		r, err := m.Release(ctx, q.ID)
		switch {
		case fault.Is(err, fault.Conflict):
			all.Refused[fault.As(err).Reason]++
		case fault.Is(err, fault.NotFound):
			all.Skipped++
		case err != nil:
			return all, err
		case r.Duplicate:
			all.Duplicates++
		default:
			all.Released++
		}
	}
	return all, nil
}
