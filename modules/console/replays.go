package console

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/fault"
)

// bulkReplay is a replay of many events.
type bulkReplay struct {
	ID          string         `json:"id"`
	Status      string         `json:"status"`
	Filter      map[string]any `json:"filter"`
	Destination *string        `json:"destination"`
	Rate        int64          `json:"rate"`
	Reason      string         `json:"reason"`
	RequestedBy string         `json:"requestedBy"`
	CreatedBy   string         `json:"createdBy"`
	Counted     bool           `json:"counted"`
	Counts      replayCounts   `json:"counts"`
	CreatedAt   clock.Time     `json:"createdAt"`
	StartedAt   *clock.Time    `json:"startedAt"`
	UpdatedAt   clock.Time     `json:"updatedAt"`
	EndedAt     *clock.Time    `json:"endedAt"`
}

type replayCounts struct {
	Matched   int64 `json:"matched"`
	Queued    int64 `json:"queued"`
	Delivered int64 `json:"delivered"`
	Failed    int64 `json:"failed"`
}

// Done is how many have an outcome.
func (c replayCounts) Done() int64 { return c.Delivered + c.Failed }

// Live reports whether the replay goes on, or can.
func (r bulkReplay) Live() bool {
	return r.Status == "queued" || r.Status == "running" || r.Status == "paused"
}

// Words is the replay's filter in words.
func (r bulkReplay) Words() []string {
	var words []string
	for _, name := range []string{"source", "eventType", "status", "subject", "destination", "receivedFrom", "receivedTo", "deliveredFrom", "deliveredTo"} {
		if text, is := r.Filter[name].(string); is && text != "" {
			words = append(words, name+":"+text)
		}
	}
	for _, name := range []string{"onlyFailed", "onlyNeverDelivered"} {
		if r.Filter[name] == true {
			words = append(words, name)
		}
	}
	return words
}

// Remaining is how long the rest takes at least, at the replay's rate.
func (r bulkReplay) Remaining() string {
	if left := r.Counts.Matched - r.Counts.Done(); r.Counted && r.Rate > 0 && left > 0 {
		return duration(time.Duration(left) * time.Second / time.Duration(r.Rate))
	}
	return ""
}

// Took is how long it ran.
func (r bulkReplay) Took() string {
	if r.StartedAt == nil || r.EndedAt == nil {
		return ""
	}
	return duration(r.EndedAt.Sub(r.StartedAt.Time))
}

type replaysPage struct {
	Replays []bulkReplay
	Count   string
	Next    string
	First   string
}

func (m *Module) replays(v *visit) error {
	var p replaysPage
	query := url.Values{"pageSize": {pageSize}}
	if cursor := v.param("cursor"); cursor != "" {
		query.Set("cursor", cursor)
		p.First = Root + "/replays"
	}
	meta, err := v.get("/replays", query, &p.Replays)
	if err != nil {
		return err
	}
	p.Count = countOf(meta, "replay", "replays")
	if meta.NextCursor != nil {
		p.Next = withQuery(Root+"/replays", url.Values{"cursor": {*meta.NextCursor}})
	}
	return v.show("replays", "Replays", p)
}

// replayForm is a replay that is being described.
type replayForm struct {
	Filter    eventFilter
	Only      string // "", failed or never
	To        string // a destination's id; "" for those that the events went to
	Rate      string
	Reason    string
	Sources   []string
	Statuses  []string
	Places    []place
	DryRun    *dryRun
	Directory directory
}

// dryRun is what a replay would do.
type dryRun struct {
	Events   int64        `json:"events"`
	Complete bool         `json:"complete"`
	Counts   replayCounts `json:"counts"`
	Oldest   *clock.Time  `json:"oldest"`
	Newest   *clock.Time  `json:"newest"`
	BySource []struct {
		Source     string `json:"source"`
		Events     int64  `json:"events"`
		Deliveries int64  `json:"deliveries"`
	} `json:"bySource"`
	ByDestination []struct {
		Destination string `json:"destination"`
		Deliveries  int64  `json:"deliveries"`
	} `json:"byDestination"`
	First []struct {
		EventID    string     `json:"eventId"`
		Type       string     `json:"eventType"`
		Source     string     `json:"source"`
		Subject    *string    `json:"subject"`
		ReceivedAt clock.Time `json:"receivedAt"`
	} `json:"first"`
}

// newReplay asks which events to replay, and shows what that would do once it is asked for.
func (m *Module) newReplay(v *visit) error {
	return v.showReplayForm(v.c.QueryParams(), v.param("step") == "check", nil)
}

func (v *visit) showReplayForm(q url.Values, check bool, wrong error) error {
	p := replayForm{Filter: filterOf(q), Only: q.Get("only"), To: q.Get("to-destination"), Rate: q.Get("rate"), Reason: q.Get("reason"), Statuses: statuses}
	if p.Rate == "" {
		p.Rate = "100"
	}
	var err error
	if p.Directory, err = v.directory(); err != nil {
		return err
	}
	p.Sources = p.Directory.Sources()
	for _, in := range p.Directory.Integrations {
		if in.ArchivedAt == nil {
			for _, dest := range in.Destinations {
				p.Places = append(p.Places, p.Directory.Place(dest.ID))
			}
		}
	}
	if check {
		order, err := p.order(v.m.d.Now())
		if err == nil {
			order["dryRun"] = true
			p.DryRun = &dryRun{}
			err = v.api.Post(v.ctx, "/replays", order, p.DryRun)
		}
		if err != nil {
			p.DryRun = nil
			if wrong == nil {
				wrong = err
			}
		}
	}
	return v.showWith(http.StatusOK, "replay-new", "New replay", p, wrong)
}

// order is the API's order of a replay.
func (p replayForm) order(now time.Time) (map[string]any, error) {
	filter := map[string]any{}
	for name, value := range p.Filter.asked(now) {
		switch name {
		case "source", "eventType", "status", "subject", "receivedFrom", "receivedTo":
			filter[name] = value[0]
		default:
			return nil, fault.Invalid.New("bad_filter", "A replay selects by source, type, status, subject and time; leave out the rest of the filter.")
		}
	}
	switch p.Only {
	case "failed":
		filter["onlyFailed"] = true
	case "never":
		filter["onlyNeverDelivered"] = true
	}
	order := map[string]any{}
	if len(filter) > 0 {
		order["filter"] = filter
	} else {
		order["all"] = true
	}
	if p.To != "" {
		order["destination"] = p.To
	}
	rate, err := strconv.Atoi(p.Rate)
	if err != nil {
		return nil, fault.Invalid.New("bad_rate", "The rate must be a whole number: events a second.")
	}
	order["rate"] = rate
	return order, nil
}

// startReplay starts what was checked.
func (m *Module) startReplay(v *visit) error {
	p := replayForm{Filter: filterOf(v.form), Only: v.form.Get("only"), To: v.form.Get("to-destination"), Rate: v.form.Get("rate")}
	order, err := p.order(m.d.Now())
	if err != nil {
		return v.showReplayForm(v.form, true, err)
	}
	order["reason"] = strings.TrimSpace(v.form.Get("reason"))
	var started bulkReplay
	if err := v.api.Post(v.ctx, "/replays", order, &started); err != nil {
		return v.showReplayForm(v.form, true, err)
	}
	return v.done(Root+"/replays/"+started.ID, "The replay has begun.")
}

type replayPage struct {
	bulkReplay
	Requests  []replayRequest
	Failed    []failedKind
	Directory directory
	Percent   int64
}

type failedKind struct {
	Text  string
	Count int
}

func (m *Module) replay(v *visit) error { return v.showReplay(nil) }

func (v *visit) showReplay(wrong error) error {
	var p replayPage
	path := "/replays/" + url.PathEscape(v.c.Param("id"))
	if _, err := v.get(path, nil, &p.bulkReplay); err != nil {
		return err
	}
	var err error
	if p.Directory, err = v.directory(); err != nil {
		return err
	}
	var failed []replayRequest
	if _, err := v.get(path+"/events", url.Values{"status": {"failed"}, "pageSize": {"100"}}, &failed); err != nil {
		return err
	}
	kinds := map[string]int{}
	for _, r := range failed {
		if r.Error != nil {
			kinds[*r.Error]++
		}
	}
	for _, c := range countsOf(kinds) {
		p.Failed = append(p.Failed, failedKind{c.Source, c.Events})
	}
	if _, err := v.get(path+"/events", url.Values{"pageSize": {"20"}}, &p.Requests); err != nil {
		return err
	}
	if p.Counts.Matched > 0 {
		p.Percent = min(100, 100*p.Counts.Done()/p.Counts.Matched)
	}
	return v.showWith(http.StatusOK, "replay", "Replay", p, wrong)
}

// actOnReplay pauses, resumes or cancels a replay.
func (m *Module) actOnReplay(v *visit) error {
	notices := map[string]string{"pause": "The replay is paused; what was asked for already is still delivered.", "resume": "The replay goes on where it stopped.",
		"cancel": "The replay is cancelled; deliveries under way are finished."}
	action := v.c.Param("action")
	if notices[action] == "" {
		return fault.NotFound.New("no_action", "There is no such action.")
	}
	replayID := url.PathEscape(v.c.Param("id"))
	if err := v.api.Post(v.ctx, "/replays/"+replayID+"/"+action, nil, nil); err != nil {
		return v.showReplay(err)
	}
	return v.done(Root+"/replays/"+replayID, notices[action])
}
