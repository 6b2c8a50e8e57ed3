package console

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/fault"
)

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
	Grouped        int
	More           bool // there may be more than were grouped
	Confirm        *bulk
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
	Destination *string      `json:"destinationId"`
	Kind        string       `json:"kind"`
	Reason      string       `json:"reason"`
	Count       int          `json:"count"`
	First       clock.Time   `json:"first"`
	Last        clock.Time   `json:"last"`
	Letters     []deadLetter `json:"newest"` // a few
}

// bulk is a group that is to be tried again or closed, before that is confirmed.
type bulk struct {
	Action string // requeue or resolve
	Place  place
	Kind   string // with the error; "" for all of the destination
	Error  string
	Count  int
	Reason string
}

// unreadable stands for the destination of messages that could not be read.
var unreadable = place{Name: "Unreadable messages"}

var deadStatuses = []string{"open", "requeued", "resolved"}

func (m *Module) deadLetters(v *visit) error { return v.listDeadLetters(nil, nil) }

func (v *visit) listDeadLetters(confirm *bulk, wrong error) error {
	p := deadLettersPage{Status: cmp.Or(v.param("status"), "open"), Source: v.param("source"), Statuses: deadStatuses, Confirm: confirm}
	query := url.Values{"status": {p.Status}}
	if p.Source != "" {
		query.Set("source", p.Source)
	}
	var d directory
	var found struct {
		Groups  []deadError `json:"groups"`
		Grouped int         `json:"grouped"`
		More    bool        `json:"more"`
	}
	err := v.together(v.directoryInto(&d), v.into("/dead-letters/groups", query, &found))
	if err != nil {
		return err
	}
	p.Sources, p.Groups, p.Grouped, p.More = d.sources(), groupErrors(found.Groups, d), found.Grouped, found.More
	return v.showWith(http.StatusOK, "dead-letters", "Dead letters", p, wrong)
}

// groupErrors puts the errors of one destination together, the largest first.
func groupErrors(found []deadError, d directory) []deadGroup {
	var groups []deadGroup
	for _, e := range found {
		destination := ""
		if e.Destination != nil {
			destination = *e.Destination
		}
		i := slices.IndexFunc(groups, func(g deadGroup) bool { return g.Place.ID == destination })
		if i < 0 {
			i = len(groups)
			g := deadGroup{Place: d.place(destination), Unknown: destination == ""}
			if g.Unknown {
				g.Place = unreadable
			}
			groups = append(groups, g)
		}
		groups[i].Count += e.Count
		groups[i].Errors = append(groups[i].Errors, e)
	}
	slices.SortStableFunc(groups, func(a, b deadGroup) int { return cmp.Compare(b.Count, a.Count) })
	return groups
}

func (m *Module) requeueGroup(v *visit) error { return v.actOnGroup("requeue") }

func (m *Module) resolveGroup(v *visit) error { return v.actOnGroup("resolve") }

// actOnGroup counts what a group would try again or close, and does so once that was confirmed
// with a reason.
func (v *visit) actOnGroup(action string) error {
	c := &bulk{Action: action, Kind: v.form.Get("kind"), Error: v.form.Get("error"), Reason: strings.TrimSpace(v.form.Get("reason"))}
	order := map[string]any{"dryRun": true}
	destination := v.form.Get("destination")
	switch {
	case valid(destination):
		order["destinationId"] = destination
	case destination != "" || c.Error == "":
		return fault.Invalid.New("bad_destination", "The destination's id is not valid; open the page again.")
	}
	if c.Error != "" {
		order["error"], order["kind"] = c.Error, c.Kind
	}
	d, err := v.directory()
	if err != nil {
		return err
	}
	if c.Place = d.place(destination); destination == "" {
		c.Place = unreadable
	}
	var result struct {
		Matched  int `json:"matched"`
		Requeued int `json:"requeued"`
		Resolved int `json:"resolved"`
		Failed   int `json:"failed"`
		Skipped  int `json:"skipped"`
	}
	if err := v.api.Post(v.ctx, "/dead-letters/"+action, order, &result); err != nil {
		return v.listDeadLetters(nil, err)
	}
	c.Count = result.Matched
	if !v.form.Has("reason") {
		return v.listDeadLetters(c, nil)
	}
	delete(order, "dryRun")
	order["reason"] = c.Reason
	if err := v.api.Post(v.ctx, "/dead-letters/"+action, order, &result); err != nil {
		return v.listDeadLetters(c, err)
	}
	notice := plural(result.Requeued, "delivery is", "deliveries are") + " tried again at " + c.Place.Name + "."
	if action == "resolve" {
		notice = plural(result.Resolved, "dead letter is", "dead letters are") + " closed, with your reason."
	}
	if result.Failed > 0 {
		notice += " " + plural(result.Failed, "could not be and stays here.", "could not be and stay here.")
	}
	if result.Skipped > 0 {
		notice += " " + plural(result.Skipped, "was", "were") + " tried again, closed or removed by somebody else meanwhile."
	}
	if left := result.Matched - result.Requeued - result.Resolved - result.Failed - result.Skipped; left > 0 {
		notice += " " + plural(left, "more is", "more are") + " left: at most 1,000 go at once."
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
