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

// replayForm is a replay that is being described.
type replayForm struct {
	Filter    eventFilter
	Only      string // "", failed or never
	Went      string // a destination's id: only events that went to it
	To        string // a destination's id; "" for those that the events went to
	Payload   string // stored or renormalized
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
	Changes *struct {
		Changed   int64 `json:"changed"`
		Unchanged int64 `json:"unchanged"`
		Failing   int64 `json:"failing"`
		First     []struct {
			EventID string  `json:"eventId"`
			Problem *string `json:"problem"`
			Changes []struct {
				Path   string  `json:"path"`
				Before *string `json:"before"`
				After  *string `json:"after"`
			} `json:"changes"`
			More bool `json:"more"`
		} `json:"first"`
	} `json:"changes"` // of events that are made anew
}

// newReplay asks which events to replay, and shows what that would do once it is asked for.
func (m *Module) newReplay(v *visit) error {
	return v.showReplayForm(v.c.QueryParams(), v.param("step") == "check", nil)
}

func (v *visit) showReplayForm(q url.Values, check bool, wrong error) error {
	p := replayForm{Filter: filterOf(q), Only: q.Get("only"), Went: q.Get("went-to"), To: q.Get("to-destination"), Payload: q.Get("payload"), Rate: q.Get("rate"), Reason: q.Get("reason"), Statuses: statuses}
	if p.Rate == "" {
		p.Rate = "100"
	}
	var err error
	if p.Directory, err = v.directory(); err != nil {
		return err
	}
	p.Sources = p.Directory.sources()
	for _, in := range p.Directory.Integrations {
		if in.ArchivedAt == nil {
			for _, dest := range in.Destinations {
				p.Places = append(p.Places, p.Directory.place(dest.ID))
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
	if p.Went != "" {
		filter["destination"] = p.Went
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
	if p.Payload != "" {
		order["payload"] = p.Payload
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
	p := replayForm{Filter: filterOf(v.form), Only: v.form.Get("only"), Went: v.form.Get("went-to"), To: v.form.Get("to-destination"), Payload: v.form.Get("payload"), Rate: v.form.Get("rate")}
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
