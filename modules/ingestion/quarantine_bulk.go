package ingestion

import (
	"context"

	"integration-gateway/platform/fault"
)

// ReleasedAll is the sum of a release of several.
type ReleasedAll struct {
	Matched    int            `json:"matched"`
	Released   int            `json:"released"`   // new events
	Duplicates int            `json:"duplicates"` // known already; they left the quarantine too
	Refused    map[string]int `json:"refused"`    // refused still, by reason
}

// ReleaseAll releases the requests that f means, of which the source must be one, oldest
// first and at most limit of them. It ends at the first error that is no refusal, with
// what was done until then.
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
		case fault.Is(err, fault.NotFound): // gone in between
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
