package console

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"integration-gateway/platform/client"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/fault"
)

// groupedMost is how many rows of a list are read to group them; a page says so where there are
// more.
const groupedMost = 500

type deadLetter struct {
	ID          string     `json:"id"`
	Kind        string     `json:"kind"`
	EventID     *string    `json:"eventId"`
	Destination *string    `json:"destinationId"`
	Source      *string    `json:"source"`
	EventType   *string    `json:"eventType"`
	Reason      string     `json:"reason"`
	Attempts    int64      `json:"attempts"`
	Status      string     `json:"status"`
	CreatedAt   clock.Time `json:"createdAt"`
	RequeuedBy  *string    `json:"requeuedBy"`
	ResolvedBy  *string    `json:"resolvedBy"`
	Resolution  *string    `json:"resolution"`
}

// deadLettersPage shows what was given up, by destination and error.
type deadLettersPage struct {
	Status, Source string
	Statuses       []string
	Sources        []string
	Groups         []deadGroup
	Read           int
	More           bool   // there are more than were read
	Count          string // of all
	Confirm        *requeue
}

// deadGroup are the dead letters of one destination.
type deadGroup struct {
	Place   place
	Unknown bool // messages that could not be read, which have no destination
	Count   int
	Errors  []deadError
}

// deadError are those of one destination and one error.
type deadError struct {
	Kind, Reason string
	Count        int
	First, Last  clock.Time
	Letters      []deadLetter // the newest, a few
}

// requeue is a group that is to be tried again, before it is confirmed.
type requeue struct {
	Place  place
	Count  int
	Reason string
}

const shownLetters = 5

var deadStatuses = []string{"open", "requeued", "resolved"}

func (m *Module) deadLetters(v *visit) error { return v.listDeadLetters(nil, nil) }

func (v *visit) listDeadLetters(confirm *requeue, wrong error) error {
	p := deadLettersPage{Status: cmp.Or(v.param("status"), "open"), Source: v.param("source"), Statuses: deadStatuses, Confirm: confirm}
	d, err := v.directory()
	if err != nil {
		return err
	}
	p.Sources = d.Sources()
	query := url.Values{"status": {p.Status}}
	if p.Source != "" {
		query.Set("source", p.Source)
	}
	letters, meta, err := readList[deadLetter](v, "/dead-letters", query, groupedMost)
	if err != nil {
		return err
	}
	p.Read, p.More, p.Count = len(letters), len(letters) < meta.Total, countOf(meta, "dead letter", "dead letters")
	p.Groups = groupLetters(letters, d)
	return v.showWith(http.StatusOK, "dead-letters", "Dead letters", p, wrong)
}

// readList reads up to so many items of a list.
func readList[T any](v *visit, path string, query url.Values, most int) ([]T, client.Meta, error) {
	var all []T
	var first client.Meta
	query.Set("pageSize", "100")
	for len(all) < most {
		var items []T
		meta, err := v.get(path, query, &items)
		if err != nil {
			return nil, first, err
		}
		if len(all) == 0 {
			first = meta
		}
		all = append(all, items...)
		if meta.NextCursor == nil || len(items) == 0 {
			break
		}
		query.Set("cursor", *meta.NextCursor)
	}
	return all, first, nil
}

// groupLetters groups by destination and then by error, the largest first.
func groupLetters(letters []deadLetter, d directory) []deadGroup {
	var groups []deadGroup
	for _, l := range letters {
		destination := ""
		if l.Destination != nil {
			destination = *l.Destination
		}
		i := slices.IndexFunc(groups, func(g deadGroup) bool { return g.Place.ID == destination })
		if i < 0 {
			i = len(groups)
			g := deadGroup{Place: d.Place(destination), Unknown: destination == ""}
			if g.Unknown {
				g.Place = place{Name: "Unreadable messages"}
			}
			groups = append(groups, g)
		}
		groups[i].add(l)
	}
	for i := range groups {
		slices.SortStableFunc(groups[i].Errors, func(a, b deadError) int { return cmp.Compare(b.Count, a.Count) })
	}
	slices.SortStableFunc(groups, func(a, b deadGroup) int { return cmp.Compare(b.Count, a.Count) })
	return groups
}

func (g *deadGroup) add(l deadLetter) {
	g.Count++
	i := slices.IndexFunc(g.Errors, func(e deadError) bool { return e.Kind == l.Kind && e.Reason == l.Reason })
	if i < 0 {
		i = len(g.Errors)
		g.Errors = append(g.Errors, deadError{Kind: l.Kind, Reason: l.Reason, First: l.CreatedAt, Last: l.CreatedAt})
	}
	e := &g.Errors[i]
	e.Count++
	if l.CreatedAt.Before(e.First.Time) {
		e.First = l.CreatedAt
	}
	if l.CreatedAt.After(e.Last.Time) {
		e.Last = l.CreatedAt
	}
	if len(e.Letters) < shownLetters {
		e.Letters = append(e.Letters, l)
	}
}

// requeueGroup counts what a destination's group would try again, and tries it once that was
// confirmed with a reason.
func (m *Module) requeueGroup(v *visit) error {
	destination := v.form.Get("destination")
	if !valid(destination) {
		return fault.Invalid.New("bad_destination", "The destination's id is not valid; open the page again.")
	}
	d, err := v.directory()
	if err != nil {
		return err
	}
	var result struct {
		Matched  int `json:"matched"`
		Requeued int `json:"requeued"`
		Failed   int `json:"failed"`
	}
	order := map[string]any{"destinationId": destination, "dryRun": true}
	if err := v.api.Post(v.ctx, "/dead-letters/requeue", order, &result); err != nil {
		return v.listDeadLetters(nil, err)
	}
	c := &requeue{Place: d.Place(destination), Count: result.Matched, Reason: strings.TrimSpace(v.form.Get("reason"))}
	if !v.form.Has("reason") {
		return v.listDeadLetters(c, nil)
	}
	delete(order, "dryRun")
	order["reason"] = c.Reason
	if err := v.api.Post(v.ctx, "/dead-letters/requeue", order, &result); err != nil {
		return v.listDeadLetters(c, err)
	}
	notice := plural(result.Requeued, "delivery is", "deliveries are") + " tried again at " + c.Place.Name + "."
	if result.Failed > 0 {
		notice += " " + plural(result.Failed, "could not be and stays here.", "could not be and stay here.")
	}
	return v.done(Root+"/dead-letters", notice)
}

// actOnDeadLetter tries one again, or closes it by hand.
func (m *Module) actOnDeadLetter(v *visit) error {
	path, body, notice := "/dead-letters/"+url.PathEscape(v.c.Param("id")), map[string]any{}, "It is tried again; if it fails again, it comes back here."
	action := v.c.Param("action")
	switch action {
	case "requeue":
	case "resolve":
		body["reason"], notice = strings.TrimSpace(v.form.Get("reason")), "It is closed, with your reason."
	default:
		return fault.NotFound.New("no_action", "There is no such action.")
	}
	if err := v.api.Post(v.ctx, path+"/"+action, body, nil); err != nil {
		return v.listDeadLetters(nil, err)
	}
	return v.done(Root+"/dead-letters", notice)
}
