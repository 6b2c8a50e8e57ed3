package console

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"integration-gateway/platform/client"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/id"
)

const pageSize = "50"

// event is one of a list.
type event struct {
	ID          string          `json:"id"`
	Source      string          `json:"source"`
	Provider    string          `json:"provider"`
	ExternalID  *string         `json:"externalEventId"`
	Type        string          `json:"eventType"`
	Subject     *string         `json:"subject"`
	Status      string          `json:"status"`
	Attempts    int64           `json:"processingAttempts"`
	LastError   *string         `json:"lastError"`
	Correlation string          `json:"correlationId"`
	OccurredAt  clock.Time      `json:"occurredAt"`
	ReceivedAt  clock.Time      `json:"receivedAt"`
	ErasedAt    *clock.Time     `json:"erasedAt"`
	Integration string          `json:"integrationId"`
	Payload     json.RawMessage `json:"normalizedPayload"`
}

type eventsPage struct {
	Filter   eventFilter
	Statuses []string
	Sinces   []string
	Sources  []string
	Events   []event
	Count    string
	Next     string
	First    string
	Match    string // what the live list compares, as JSON
	Replay   string // where all that match are replayed
	Found    string // the text that no event has for an id
}

var (
	statuses = []string{"pending", "processing", "retrying", "processed", "failed"}
	sinces   = []string{"15m", "1h", "6h", "24h", "7d"}
)

// events lists events, newest first.
func (m *Module) events(v *visit) error {
	f := filterOf(v.c.QueryParams())
	return v.listEvents(f, "", nil)
}

func (v *visit) listEvents(f eventFilter, found string, wrong error) error {
	p := eventsPage{Filter: f, Statuses: statuses, Sinces: sinces, Found: found}
	query := f.asked(v.m.d.Now())
	query.Set("pageSize", pageSize)
	if cursor := v.param("cursor"); cursor != "" {
		query.Set("cursor", cursor)
		p.First = withQuery(Root+"/events", f.query())
	}
	if _, ok := parseSince(f.Since); f.Since != "" && !ok && wrong == nil {
		wrong = fault.Invalid.New("bad_since", "since=%s is no length; write 30m, 2h or 7d.", f.Since)
	}
	var d directory
	var meta client.Meta
	var err error
	list := func(ctx context.Context) error { // whose error is shown on the page
		meta, err = v.api.Get(ctx, "/events", query, &p.Events)
		return nil
	}
	if err := v.together(v.directoryInto(&d), list); err != nil {
		return err
	}
	p.Sources = d.sources()
	if err != nil {
		if wrong == nil {
			wrong = err
		}
		return v.showWith(http.StatusOK, "events", "Events", p, wrong)
	}
	p.Count = countOf(meta, "event", "events")
	if meta.NextCursor != nil {
		next := f.query()
		next.Set("cursor", *meta.NextCursor)
		p.Next = withQuery(Root+"/events", next)
	}
	p.Match = matchOf(f)
	p.Replay = withQuery(Root+"/replays/new", f.query())
	return v.showWith(http.StatusOK, "events", "Events", p, wrong)
}

func countOf(meta client.Meta, one, many string) string {
	if meta.TotalIsEstimate {
		return amount(meta.Total, true) + " " + many
	}
	return plural(meta.Total, one, many)
}

// matchOf is what a script compares the messages of the stream with.
func matchOf(f eventFilter) string {
	text, _ := json.Marshal(map[string]string{"source": f.Source, "provider": f.Provider, "eventType": f.Type, "status": f.Status}) // strings always marshal
	return string(text)
}

// search goes to what was typed into the search box.
func (m *Module) search(v *visit) error {
	f, bare, mistakes := parseWords(v.param("q"))
	if len(mistakes) > 0 {
		return v.listEvents(f, "", fault.Invalid.New("bad_words", "%s", strings.Join(mistakes, " ")))
	}
	if bare == "" {
		return v.c.Redirect(http.StatusSeeOther, withQuery(Root+"/events", f.query()))
	}
	if f.Any() {
		f.ID = bare
		return v.c.Redirect(http.StatusSeeOther, withQuery(Root+"/events", f.query()))
	}
	return v.findEvent(bare)
}

// find goes to an event by its id, its provider's id or its correlation id.
func (m *Module) find(v *visit) error { return v.findEvent(v.c.Param("id")) }

func (v *visit) findEvent(text string) error {
	if lower := strings.ToLower(text); id.Valid(lower) {
		var status struct{}
		_, err := v.get("/events/"+lower+"/status", nil, &status)
		if err == nil {
			return v.c.Redirect(http.StatusSeeOther, Root+"/events/"+lower)
		}
		if !client.IsNotFound(err) {
			return err
		}
	}
	for _, by := range []struct{ api, word string }{{"externalEventId", "id"}, {"correlationId", "correlation"}} {
		var list []event
		if _, err := v.get("/events", url.Values{by.api: {text}, "pageSize": {"2"}}, &list); err != nil {
			return err
		}
		switch len(list) {
		case 0:
		case 1:
			return v.c.Redirect(http.StatusSeeOther, Root+"/events/"+list[0].ID)
		default:
			return v.c.Redirect(http.StatusSeeOther, withQuery(Root+"/events", url.Values{by.word: {text}}))
		}
	}
	return v.listEvents(eventFilter{}, text, fault.NotFound.New("nothing_found",
		"No event has “%s” as its id, its provider's id or its correlation id. Refused webhooks are in quarantine; to search by words, write source:acme or subject:%s.", text, text))
}

// selection is a replay of selected events before it is confirmed.
type selection struct {
	Events  []event
	Sources []sourceCount
	Reason  string
}

type sourceCount struct {
	Source string
	Events int
}

// replaySelected asks for the reason of replaying selected events, and then replays them one by
// one, as the API does.
func (m *Module) replaySelected(v *visit) error {
	ids := v.form["event"]
	if len(ids) == 0 || len(ids) > 100 {
		return fault.Invalid.New("bad_selection", "Select from 1 to 100 events; for more, replay all that match a filter.")
	}
	p := selection{Reason: strings.TrimSpace(v.form.Get("reason"))}
	counts := map[string]int{}
	for _, each := range ids {
		if !id.Valid(each) {
			return fault.Invalid.New("bad_selection", "One of the selected events has no valid id.")
		}
		var e struct {
			Event event `json:"event"`
		}
		if _, err := v.get("/events/"+each, nil, &e); err != nil {
			return err
		}
		p.Events = append(p.Events, e.Event)
		counts[e.Event.Source]++
	}
	p.Sources = countsOf(counts)
	if !v.form.Has("reason") {
		return v.show("events-replay", "Replay selected events", p)
	}
	for i, e := range p.Events {
		if err := v.api.Post(v.ctx, "/events/"+e.ID+"/replay", map[string]any{"reason": p.Reason, "onlyFailed": v.form.Get("scope") == "failed"}, nil); err != nil {
			if i > 0 {
				return fault.Conflict.Wrap(err, "stopped", "%s replayed; then one was refused: %s", plural(i, "event was", "events were"), err.Error())
			}
			return v.showWith(http.StatusOK, "events-replay", "Replay selected events", p, err)
		}
	}
	return v.done(Root+"/events", plural(len(p.Events), "event is", "events are")+" being replayed; their list shows what becomes of them.")
}
