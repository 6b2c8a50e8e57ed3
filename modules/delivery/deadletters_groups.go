package delivery

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/labstack/echo/v4"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/database"
	"integration-gateway/platform/httpapi"
)

// The bounds of an answer with groups: an answer must take no longer the more there are.
const (
	groupedAtMost = 10_000 // the newest that are grouped
	groupsAtMost  = 100
	newestOfGroup = 5
	shownAmong    = 1_000 // the newest, among which the newest of a group are looked for, save the first
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

// groupDeadLettersSQL counts the groups; %s is the filter.
var groupDeadLettersSQL = fmt.Sprintf(`
SELECT destination_id, kind, reason, count(*) AS in_group, CAST(sum(count(*)) OVER () AS bigint) AS grouped,
       min(CAST(id AS text)) AS oldest, max(CAST(id AS text)) AS newest
FROM   (SELECT id, destination_id, kind, reason FROM dead_letters%%s ORDER BY id DESC LIMIT %d) AS considered
GROUP  BY destination_id, kind, reason
ORDER  BY in_group DESC, newest DESC
LIMIT  %d`, groupedAtMost, groupsAtMost)

// selectNewestDeadSQL finds what is shown of the groups, besides the newest of each; %s is the
// filter.
var selectNewestDeadSQL = fmt.Sprintf(`
SELECT id AS newest, destination_id, kind, reason FROM dead_letters%%s ORDER BY id DESC LIMIT %d`, shownAmong)

const selectDeadLettersSQL = `
SELECT ` + deadLetterColumns + `
FROM   dead_letters
WHERE  id IN (SELECT id FROM v)
ORDER  BY id DESC`

// deadGroupRow is a group as it was counted.
type deadGroupRow struct {
	DestinationID *string `db:"destination_id"`
	Kind          string  `db:"kind"`
	Reason        string  `db:"reason"`
	InGroup       int     `db:"in_group"`
	Grouped       int     `db:"grouped"`
	Oldest        string  `db:"oldest"`
	Newest        string  `db:"newest"`
}

// key tells groups apart.
func (r deadGroupRow) key() string {
	destination := ""
	if r.DestinationID != nil {
		destination = *r.DestinationID
	}
	return destination + " " + r.Kind + " " + r.Reason
}

// GroupDeadLetters groups the newest dead letters that match f.
func (m *Module) GroupDeadLetters(ctx context.Context, f DeadLetterFilter) (DeadLetterGroups, error) {
	all := DeadLetterGroups{Groups: []DeadLetterGroup{}}
	clause, args := f.conditions(ctx).Where()
	var rows, newest []deadGroupRow
	if err := m.db.Select(ctx, &rows, fmt.Sprintf(groupDeadLettersSQL, clause), args...); err != nil {
		return all, fmt.Errorf("group dead letters: %w", err)
	}
	if err := m.db.Select(ctx, &newest, fmt.Sprintf(selectNewestDeadSQL, clause), args...); err != nil {
		return all, fmt.Errorf("find the newest dead letters: %w", err)
	}
	places, ids := map[string]int{}, map[string]bool{}
	shown := make([]map[string]bool, len(rows))
	for i, r := range rows {
		all.Grouped, all.More = r.Grouped, r.Grouped == groupedAtMost
		all.Groups = append(all.Groups, DeadLetterGroup{DestinationID: r.DestinationID, Kind: r.Kind, Reason: r.Reason, Count: r.InGroup, Newest: []DeadLetter{}})
		places[r.key()], shown[i] = i, map[string]bool{r.Newest: true}
		ids[r.Oldest], ids[r.Newest] = true, true
	}
	for _, r := range newest {
		if i, is := places[r.key()]; is && len(shown[i]) < newestOfGroup {
			shown[i][r.Newest], ids[r.Newest] = true, true
		}
	}
	var found []DeadLetter
	if err := m.db.SelectRows(ctx, &found, database.IDs(slices.Collect(maps.Keys(ids))), selectDeadLettersSQL); err != nil {
		return all, fmt.Errorf("read dead letters: %w", err)
	}
	for _, d := range found {
		i, is := places[deadGroupRow{DestinationID: d.DestinationID, Kind: d.Kind, Reason: d.Reason}.key()]
		if !is {
			continue
		}
		g := &all.Groups[i]
		if g.First = d.CreatedAt; g.Last.IsZero() {
			g.Last = d.CreatedAt
		}
		if shown[i][d.ID] {
			g.Newest = append(g.Newest, d)
		}
	}
	all.Groups = slices.DeleteFunc(all.Groups, func(g DeadLetterGroup) bool { return len(g.Newest) == 0 }) // removed since
	return all, nil
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
