package console

import (
	"net/http"
	"net/url"
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
	Payload     string         `json:"payload"`
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

// asker is who asked for the replay: the name that was given, and the key that it came with.
func (r bulkReplay) asker() string {
	key := strings.TrimPrefix(r.CreatedBy, "api-key:")
	if r.RequestedBy == "" || r.RequestedBy == "api-user" || r.RequestedBy == key {
		return key
	}
	if key == "" {
		return r.RequestedBy
	}
	return r.RequestedBy + ", with " + key
}

// Words is the replay's filter in words.
func (r bulkReplay) Words() []string {
	var words []string
	for _, name := range []string{"source", "eventType", "status", "subject", "destination", "receivedFrom", "receivedTo", "deliveredFrom", "deliveredTo"} {
		if text, is := r.Filter[name].(string); is && text != "" {
			if at, err := time.Parse(time.RFC3339Nano, text); err == nil {
				text = at.UTC().Format("2006-01-02T15:04:05Z") // the milliseconds tell nothing
			}
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
	var failed []replayRequest
	err := v.together(v.into(path, nil, &p.bulkReplay), v.directoryInto(&p.Directory),
		v.into(path+"/events", url.Values{"status": {"failed"}, "pageSize": {"100"}}, &failed), v.into(path+"/events", url.Values{"pageSize": {"20"}}, &p.Requests))
	if err != nil {
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
