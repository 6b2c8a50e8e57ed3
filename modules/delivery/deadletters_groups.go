package delivery

import (
	"context"
	"net/http"

	"github.com/labstack/echo/v4"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/database"
	"integration-gateway/platform/httpapi"
)

// DeadLetterGroups are the newest dead letters by destination and error.
type DeadLetterGroups struct {
	Groups  []DeadLetterGroup `json:"groups"`  // the largest first, 100 at most
	Grouped int               `json:"grouped"` // dead letters in all groups: the newest that match, 10,000 at most
	More    bool              `json:"more"`    // 10,000 were grouped, so that there may be older ones
}

// DeadLetterGroup are those of one destination, kind and error.
type DeadLetterGroup struct {
	DestinationID *string      `json:"destinationId"` // null for messages that could not be read
	Kind          string       `json:"kind" api:"enum=exhausted|refused|unreadable"`
	Reason        string       `json:"reason"`
	Count         int          `json:"count"`
	First         clock.Time   `json:"first"` // the oldest's createdAt
	Last          clock.Time   `json:"last"`
	Newest        []DeadLetter `json:"newest"` // at least one, and 5 at most
}

// deadGroupCount is a group as it was counted.
type deadGroupCount struct {
	database.GroupCount
	DestinationID *string `db:"destination_id"`
	Kind          string  `db:"kind"`
	Reason        string  `db:"reason"`
}

// deadGroupKey tells groups apart.
type deadGroupKey struct{ destination, kind, reason string }

func deadGroupKeyOf(destinationID *string, kind, reason string) deadGroupKey {
	k := deadGroupKey{kind: kind, reason: reason}
	if destinationID != nil {
		k.destination = *destinationID
	}
	return k
}

var deadLetterGrouping = database.Grouping[deadGroupCount, DeadLetter, deadGroupKey]{
	Table: "dead_letters", Columns: deadLetterColumns, By: "destination_id, kind, reason",
	KeyOf: func(c deadGroupCount) deadGroupKey { return deadGroupKeyOf(c.DestinationID, c.Kind, c.Reason) },
	Row: func(d DeadLetter) (deadGroupKey, string) {
		return deadGroupKeyOf(d.DestinationID, d.Kind, d.Reason), d.ID
	},
}

// GroupDeadLetters groups the newest dead letters that match f.
func (m *Module) GroupDeadLetters(ctx context.Context, f DeadLetterFilter) (DeadLetterGroups, error) {
	read, err := deadLetterGrouping.Read(ctx, m.db, f.conditions(ctx))
	all := DeadLetterGroups{Groups: []DeadLetterGroup{}, Grouped: read.Grouped, More: read.More}
	for _, g := range read.List {
		all.Groups = append(all.Groups, DeadLetterGroup{DestinationID: g.Count.DestinationID, Kind: g.Count.Kind, Reason: g.Count.Reason,
			Count: g.Count.InGroup, First: g.First.CreatedAt, Last: g.Newest[0].CreatedAt, Newest: g.Newest})
	}
	return all, err
}

var groupsSpec = httpapi.Spec{
	Summary: "The newest dead letters by destination and error, with how many there are.",
	Query:   deadLetterQuery,
	Answers: []httpapi.Answer{httpapi.Returns(http.StatusOK, "", DeadLetterGroups{})},
}

func (m *Module) groupDeadLetters(c echo.Context) error {
	f, wrong := ParseDeadLetterFilter(httpapi.QueryOf(c).Given)
	if len(wrong) > 0 {
		return httpapi.Invalid(wrong)
	}
	groups, err := m.GroupDeadLetters(c.Request().Context(), f)
	if err != nil {
		return err
	}
	return httpapi.Data(c, http.StatusOK, groups)
}
