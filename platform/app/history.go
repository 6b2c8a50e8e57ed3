package app

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// eventHistory is the management API's record of an event.
type eventHistory struct {
	Event struct {
		Status string `json:"status"`
	} `json:"event"`
	Attempts []historyAttempt `json:"deliveryAttempts"`
}

type historyAttempt struct {
	AttemptNo  int    `json:"attemptNo"`
	Status     string `json:"status"`
	HTTPStatus *int   `json:"httpStatus"`
}

func (s eventHistory) statuses() []int {
	list := make([]int, len(s.Attempts))
	for i, a := range s.Attempts {
		if a.HTTPStatus != nil {
			list[i] = *a.HTTPStatus
		}
	}
	return list
}

// matches reports whether the event has the status, after attempts with these responses.
func (s eventHistory) matches(status string, answers ...int) bool {
	return s.Event.Status == status && slices.Equal(s.statuses(), answers)
}

func (s eventHistory) String() string {
	parts := []string{s.Event.Status}
	for _, a := range s.Attempts {
		answered := "no response"
		if a.HTTPStatus != nil {
			answered = fmt.Sprint(*a.HTTPStatus)
		}
		parts = append(parts, fmt.Sprintf("attempt %d %s (%s)", a.AttemptNo, a.Status, answered))
	}
	return strings.Join(parts, ", ")
}

// pollEvery is how often a demoClient checks for a result.
const pollEvery = 50 * time.Millisecond

// waitUntilFinished waits until an event is finished and returns its history, oldest
// attempt first.
func (c *demoClient) waitUntilFinished(ctx context.Context, eventID string) (eventHistory, error) {
	var s eventHistory
	err := until(ctx, func() (bool, error) {
		s = eventHistory{}
		if err := c.read(ctx, "/events/"+eventID, &s); err != nil {
			return false, err
		}
		return s.Event.Status == "processed" || s.Event.Status == "failed", nil
	})
	slices.SortFunc(s.Attempts, func(a, b historyAttempt) int { return a.AttemptNo - b.AttemptNo })
	return s, err
}

// waitForAudit waits for an audit entry with that action; refusals are written as counts,
// within a second or so.
func (c *demoClient) waitForAudit(ctx context.Context, action string) (bool, error) {
	err := until(ctx, func() (bool, error) {
		var entries []struct{}
		err := c.read(ctx, "/audit-entries?action="+action, &entries)
		return len(entries) > 0, err
	})
	return err == nil, err
}

// until polls until the result is yes, an error, or ctx ends.
func until(ctx context.Context, done func() (bool, error)) error {
	again := time.NewTicker(pollEvery)
	defer again.Stop()
	for {
		if yes, err := done(); yes || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for it: %w", context.Cause(ctx))
		case <-again.C:
		}
	}
}

func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
