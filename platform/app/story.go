package app

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// story is what the management API says became of an event.
type story struct {
	Event struct {
		Status string `json:"status"`
	} `json:"event"`
	Attempts []storyAttempt `json:"deliveryAttempts"`
}

type storyAttempt struct {
	AttemptNo  int    `json:"attemptNo"`
	Status     string `json:"status"`
	HTTPStatus *int   `json:"httpStatus"`
}

func (s story) statuses() []int {
	list := make([]int, len(s.Attempts))
	for i, a := range s.Attempts {
		if a.HTTPStatus != nil {
			list[i] = *a.HTTPStatus
		}
	}
	return list
}

// is reports whether the event stands so, after attempts that were answered so.
func (s story) is(status string, answers ...int) bool {
	return s.Event.Status == status && slices.Equal(s.statuses(), answers)
}

func (s story) String() string {
	parts := []string{s.Event.Status}
	for _, a := range s.Attempts {
		answered := "no answer"
		if a.HTTPStatus != nil {
			answered = fmt.Sprint(*a.HTTPStatus)
		}
		parts = append(parts, fmt.Sprintf("attempt %d %s (%s)", a.AttemptNo, a.Status, answered))
	}
	return strings.Join(parts, ", ")
}

// lookEvery is how often a visitor looks whether something has happened.
const lookEvery = 50 * time.Millisecond

// ended waits until an event is at its end and reads its story, oldest attempt first.
func (v *visitor) ended(ctx context.Context, eventID string) (story, error) {
	var s story
	err := until(ctx, func() (bool, error) {
		s = story{}
		if err := v.read(ctx, "/events/"+eventID, &s); err != nil {
			return false, err
		}
		return s.Event.Status == "processed" || s.Event.Status == "failed", nil
	})
	slices.SortFunc(s.Attempts, func(a, b storyAttempt) int { return a.AttemptNo - b.AttemptNo })
	return s, err
}

// audited waits until there is an audit entry of that action; refusals are written
// in sum, within a second or so.
func (v *visitor) audited(ctx context.Context, action string) (bool, error) {
	err := until(ctx, func() (bool, error) {
		var entries []struct{}
		err := v.read(ctx, "/audit-entries?action="+action, &entries)
		return len(entries) > 0, err
	})
	return err == nil, err
}

// until asks again and again, until the answer is yes, an error, or ctx's end.
func until(ctx context.Context, done func() (bool, error)) error {
	again := time.NewTicker(lookEvery)
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
