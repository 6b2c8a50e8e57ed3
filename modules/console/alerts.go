package console

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"integration-gateway/platform/client"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/fault"
)

type alertsPage struct {
	State   string
	Alerts  []alert
	Mutes   []mute
	Count   string
	Next    string
	Lengths []string

	Conditions []conditionRow // of the tab with the thresholds
}

type mute struct {
	ID        string     `json:"id"`
	Condition string     `json:"condition"`
	Subject   *string    `json:"subject"`
	Reason    string     `json:"reason"`
	Actor     string     `json:"actor"`
	Until     clock.Time `json:"until"`
	CreatedAt clock.Time `json:"createdAt"`
}

// href is the page on which the alert's cause is; "" if there is none.
func (a alert) href() string { return alertHref(a) }

// Acknowledger is who knows of it, without the kind of the credential.
func (a alert) Acknowledger() string {
	if a.AcknowledgedBy == nil {
		return ""
	}
	return strings.TrimPrefix(*a.AcknowledgedBy, "api-key:")
}

var muteLengths = []string{"1h", "8h", "24h", "7d"}

func (m *Module) alerts(v *visit) error { return v.listAlerts(nil) }

func (v *visit) listAlerts(wrong error) error {
	p := alertsPage{State: v.param("state"), Lengths: muteLengths}
	if v.c.Param("condition") != "" { // a change of one was refused
		p.State = "conditions"
	}
	if p.State == "conditions" {
		if _, err := v.get("/alerts/conditions", nil, &p.Conditions); err != nil {
			return err
		}
		return v.showWith(http.StatusOK, "alerts", "Alerts", p, wrong)
	}
	if !slices.Contains([]string{"open", "resolved"}, p.State) {
		p.State = "open"
	}
	query := url.Values{"state": {p.State}, "pageSize": {pageSize}}
	if cursor := v.param("cursor"); cursor != "" {
		query.Set("cursor", cursor)
	}
	var meta client.Meta
	err := v.together(v.into("/alerts/mutes", nil, &p.Mutes), func(ctx context.Context) (err error) {
		meta, err = v.api.Get(ctx, "/alerts", query, &p.Alerts)
		return err
	})
	if err != nil {
		return err
	}
	p.Count = countOf(meta, "alert", "alerts")
	if meta.NextCursor != nil {
		p.Next = withQuery(Root+"/alerts", url.Values{"state": {p.State}, "cursor": {*meta.NextCursor}})
	}
	return v.showWith(http.StatusOK, "alerts", "Alerts", p, wrong)
}

// testAlerts sends a test notice.
func (m *Module) testAlerts(v *visit) error {
	var sent struct {
		Targets []string `json:"targets"`
	}
	if err := v.api.Post(v.ctx, "/alerts/test", nil, &sent); err != nil {
		return v.listAlerts(err)
	}
	return v.done(Root+"/alerts", "A test notice is on its way to "+strings.Join(sent.Targets, " and ")+".")
}

// actOnAlert acknowledges an alert, mutes its condition, or ends a mute.
func (m *Module) actOnAlert(v *visit) error {
	path, reason := url.PathEscape(v.c.Param("id")), strings.TrimSpace(v.form.Get("reason"))
	var err error
	var notice string
	switch v.c.Param("action") {
	case "acknowledge":
		err, notice = v.api.Post(v.ctx, "/alerts/"+path+"/acknowledge", map[string]any{"note": reason}, nil), "Others now see that you know of it."
	case "mute":
		length, ok := parseSince(v.form.Get("length"))
		if !ok {
			return fault.Invalid.New("bad_length", "Choose for how long to mute.")
		}
		body := map[string]any{"condition": v.form.Get("condition"), "reason": reason, "until": m.d.Now().Add(length).UTC().Format(time.RFC3339)}
		if subject := v.form.Get("subject"); subject != "" {
			body["subject"] = subject
		}
		err, notice = v.api.Post(v.ctx, "/alerts/mutes", body, nil), "Muted: it opens without a notice until then."
	case "unmute":
		err, notice = v.api.Delete(v.ctx, "/alerts/mutes/"+path, nil, nil), "The mute has ended."
	default:
		return fault.NotFound.New("no_action", "There is no such action.")
	}
	if err != nil {
		return v.listAlerts(err)
	}
	return v.done(Root+"/alerts", notice)
}
