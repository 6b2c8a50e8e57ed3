package console

import (
	"encoding/json"
	"net/http"
	"net/url"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/fault"
)

type quarantinedItem struct {
	ID          string      `json:"id"`
	Source      string      `json:"source"`
	Provider    string      `json:"provider"`
	Reason      string      `json:"reason"`
	Detail      string      `json:"detail"`
	ExternalID  *string     `json:"externalEventId"`
	SourceIP    string      `json:"sourceIp"`
	Correlation string      `json:"correlationId"`
	Integration string      `json:"integrationId"`
	Size        int64       `json:"size"`
	Redacted    bool        `json:"redacted"`
	ReceivedAt  clock.Time  `json:"receivedAt"`
	Repeats     int64       `json:"repeats"`
	LastAt      *clock.Time `json:"lastReceivedAt"`
}

type quarantinedRequest struct {
	quarantinedItem
	Method  string            `json:"method"`
	URL     string            `json:"url"`
	Headers map[string]string `json:"requestHeaders"`
	RawBody string            `json:"rawBody"`
	Payload json.RawMessage   `json:"rawPayload"`
}

type quarantinePage struct {
	Source  string
	Sources []string
	Groups  []refusedGroup
	Dropped []dropped
	Grouped int
	More    bool // there may be more than were grouped
	Results *released
}

// refusedGroup are the refused webhooks of one source and reason.
type refusedGroup struct {
	Source     string            `json:"source"`
	Reason     string            `json:"reason"`
	Count      int               `json:"count"`
	Repeats    int64             `json:"repeats"`
	Releasable int               `json:"releasable"`
	First      clock.Time        `json:"first"`
	Last       clock.Time        `json:"last"`
	Items      []quarantinedItem `json:"newest"` // a few, and at least one
}

// dropped is what was refused and not kept.
type dropped struct {
	Source   string           `json:"source"`
	Requests int64            `json:"requests"`
	Causes   map[string]int64 `json:"causes"`
}

// released is the result of releasing a group.
type released struct {
	Matched    int            `json:"matched"`
	Released   int            `json:"released"`
	Duplicates int            `json:"duplicates"`
	Refused    map[string]int `json:"refused"`
	Skipped    int            `json:"skipped"`
	Source     string         `json:"-"`
}

func (m *Module) quarantine(v *visit) error { return v.listQuarantine(nil, nil) }

func (v *visit) listQuarantine(results *released, wrong error) error {
	p := quarantinePage{Source: v.param("source"), Results: results}
	query := url.Values{}
	if p.Source != "" {
		query.Set("source", p.Source)
	}
	var d directory
	var found struct {
		Groups  []refusedGroup `json:"groups"`
		Grouped int            `json:"grouped"`
		More    bool           `json:"more"`
		Dropped []dropped      `json:"dropped"`
	}
	if err := v.together(v.directoryInto(&d), v.into("/quarantine/groups", query, &found)); err != nil {
		return err
	}
	p.Sources, p.Groups, p.Grouped, p.More, p.Dropped = d.sources(), found.Groups, found.Grouped, found.More, found.Dropped
	return v.showWith(http.StatusOK, "quarantine", "Quarantine", p, wrong)
}

// releaseAll verifies a source's refused webhooks of one reason again, as they would be now.
func (m *Module) releaseAll(v *visit) error {
	source, reason := v.form.Get("source"), v.form.Get("reason")
	r := released{Source: source}
	if err := v.api.Post(v.ctx, "/quarantine/release", map[string]any{"source": source, "reason": reason, "limit": 1000}, &r); err != nil {
		return v.listQuarantine(nil, err)
	}
	return v.listQuarantine(&r, nil)
}

// quarantinedPage is one refused webhook, with what was checked and what would mend it.
type quarantinedPage struct {
	quarantinedRequest
	Checks  []check
	Remedy  remedy
	Sorted  []header
	Body    document
	Secrets []secretInfo
	Curl    string
}

type secretInfo struct {
	ID        string      `json:"id"`
	Purpose   string      `json:"purpose"`
	Note      string      `json:"note"`
	Active    bool        `json:"isActive"`
	Pending   *clock.Time `json:"pendingSince"`
	ExpiresAt *clock.Time `json:"expiresAt"`
	Matches   int64       `json:"matchCount"`
	LastMatch *clock.Time `json:"lastMatchedAt"`
	CreatedAt clock.Time  `json:"createdAt"`
	Warning   string      `json:"warning"`
}

func (m *Module) quarantined(v *visit) error { return v.showQuarantined(nil) }

func (v *visit) showQuarantined(wrong error) error {
	var p quarantinedPage
	if _, err := v.get("/quarantine/"+url.PathEscape(v.c.Param("id")), nil, &p.quarantinedRequest); err != nil {
		return err
	}
	if _, err := v.get("/integrations/"+p.Integration+"/secrets", nil, &p.Secrets); err != nil {
		return err
	}
	p.Remedy, p.Checks, p.Sorted = remedyOf(p.Reason), checksOf(p.Reason, p.Detail), headersOf(p.Headers)
	p.Body = document{Missing: "The body was not kept: this source redacts parts of it, and what is not verified cannot be redacted."}
	if !p.Redacted {
		p.Body = documentOf("", decoded(p.RawBody))
		p.Curl = curlOf(v.m.publicURL(v)+"/api/v1/webhooks/"+p.Source, p.Sorted, decoded(p.RawBody))
	}
	return v.showWith(http.StatusOK, "quarantined", "Refused webhook", p, wrong)
}

// actOnQuarantined releases or drops one refused webhook.
func (m *Module) actOnQuarantined(v *visit) error {
	item := "/quarantine/" + url.PathEscape(v.c.Param("id"))
	switch v.c.Param("action") {
	case "release":
		var r struct {
			EventID   string `json:"eventId"`
			Duplicate bool   `json:"duplicate"`
		}
		if err := v.api.Post(v.ctx, item+"/release", map[string]any{}, &r); err != nil {
			return v.showQuarantined(err)
		}
		return v.done(Root+"/events/"+r.EventID, map[bool]string{false: "Released: this is its event.", true: "Released: its event was known already."}[r.Duplicate])
	case "drop":
		if err := v.api.Delete(v.ctx, item, nil, nil); err != nil {
			return v.showQuarantined(err)
		}
		return v.done(Root+"/quarantine", "The refused webhook was dropped for good.")
	}
	return fault.NotFound.New("no_action", "There is no such action.")
}
