package ingestion

import (
	"context"

	"integration-gateway/platform/fault"
)

// ReleasedAll is the result of a bulk release.
type ReleasedAll struct {
	Matched    int            `json:"matched"`
	Released   int            `json:"released"`   // new events
	Duplicates int            `json:"duplicates"` // already known; removed from quarantine too
	Refused    map[string]int `json:"refused"`    // still refused, by reason
}

// ReleaseAll releases at most limit requests that match f, oldest first; f must name a
// source. It stops at the first error other than a refusal and returns the counts so far.
func (m *Module) ReleaseAll(ctx context.Context, f QuarantineFilter, limit int) (ReleasedAll, error) {
	all := ReleasedAll{Refused: map[string]int{}}
	ids, err := m.oldestQuarantined(ctx, f, limit)
	if err != nil {
		return all, err
	}
	all.Matched = len(ids)
	for _, quarantineID := range ids {
		r, err := m.Release(ctx, quarantineID)
		switch {
		case fault.Is(err, fault.Conflict):
			all.Refused[fault.As(err).Reason]++
		case fault.Is(err, fault.NotFound): // removed meanwhile
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
