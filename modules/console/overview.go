package console

import (
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
)

// overviewPage says whether all is well, and if not, what needs a hand first.
type overviewPage struct {
	Well     bool
	Sentence string
	Needs    []need
	Span     span
	Spans    []span
	Series   series
	Accepted, Refused,
	Delivered, Failures spark
	OldestDue float64
	Waiting   int64
	Running   int64
	Parked    int64
	EndToEnd  quantiles
	Sources   []sourceFigures
	Changes   []change
	Empty     bool // nothing has ever arrived
	WebhookAt string
}

// need is something that needs a hand.
type need struct {
	Kind, Text, Detail, Href string
	Since                    *clock.Time
}

type alert struct {
	ID             string      `json:"id"`
	Condition      string      `json:"condition"`
	Subject        string      `json:"subject"`
	Severity       string      `json:"severity"`
	Summary        string      `json:"summary"`
	State          string      `json:"state"`
	StartedAt      clock.Time  `json:"startedAt"`
	OpenedAt       *clock.Time `json:"openedAt"`
	ResolvedAt     *clock.Time `json:"resolvedAt"`
	AcknowledgedBy *string     `json:"acknowledgedBy"`
	Note           *string     `json:"note"`
}

type auditEntry struct {
	ID         string          `json:"id"`
	EntityType string          `json:"entityType"`
	EntityID   *string         `json:"entityId"`
	Action     string          `json:"action"`
	Actor      string          `json:"actor"`
	Details    json.RawMessage `json:"details"`
	CreatedAt  clock.Time      `json:"createdAt"`
}

// overview shows the state of the gateway, or of what the visitor may see of it.
func (m *Module) overview(v *visit) error {
	p := overviewPage{Span: spanOf(v.param("span")), Spans: spans, WebhookAt: m.publicURL(v) + "/api/v1/webhooks/"}
	var stats figures
	var alerts []alert
	made := make([][]auditEntry, len(changed))
	var sources []integration
	parts := []reading{v.into("/stats", nil, &stats), v.into("/integrations", nil, &sources), v.seriesInto(&p.Series, p.Span, nil)}
	if v.everywhere() {
		parts = append(parts, v.into("/alerts", url.Values{"state": {"open"}, "pageSize": {"50"}}, &alerts))
		for i, kind := range changed { // what webhooks leave would fill any page
			parts = append(parts, v.into("/audit-entries", url.Values{"entityType": {kind}, "pageSize": {"10"}}, &made[i]))
		}
	}
	if err := v.together(parts...); err != nil {
		return err
	}
	p.Sources, p.Changes = stats.Sources, changesOf(slices.Concat(made...), 8)
	p.Accepted = sparkOf("accent", p.Series.Points, func(x point) int64 { return x.Accepted })
	p.Delivered = sparkOf("good", p.Series.Points, func(x point) int64 { return x.Delivered })
	p.Refused = sparkOf("warn", p.Series.Points, func(x point) int64 { return x.Refused })
	p.Failures = sparkOf("bad", p.Series.Points, func(x point) int64 { return x.Failures })
	total := stats.total()
	p.OldestDue, p.Waiting, p.Running, p.Parked = total.OldestDue, total.Waiting, total.Running, total.Parked
	if stats.Gateway != nil {
		p.EndToEnd = stats.Gateway.Over.Hour.EndToEnd
	}
	p.Needs = append(stats.needs(alerts), pendingSecrets(sources)...)
	p.Sentence, p.Well = sentence(p.Needs)
	p.Empty = p.Accepted.Total+p.Refused.Total == 0 && !slices.ContainsFunc(stats.Sources, func(s sourceFigures) bool { return s.Over.Week.Accepted+s.Over.Week.Refused > 0 })
	slices.SortFunc(p.Sources, func(a, b sourceFigures) int {
		if a.Over.Day.Accepted != b.Over.Day.Accepted {
			return int(b.Over.Day.Accepted - a.Over.Day.Accepted)
		}
		return strings.Compare(a.Source, b.Source)
	})
	return v.show("overview", "Overview", p)
}

// total is what waits in all sources that the visitor sees.
func (f figures) total() (all waiting) {
	if f.Gateway != nil {
		return f.Gateway.Now
	}
	for _, s := range f.Sources {
		all.Waiting += s.Now.Waiting
		all.Running += s.Now.Running
		all.DeadLetters += s.Now.DeadLetters
		all.Quarantine += s.Now.Quarantine
		all.Parked += s.Now.Parked
		all.OldestDue = max(all.OldestDue, s.Now.OldestDue)
	}
	return all
}

// needs lists what needs a hand, the greatest harm first.
func (f figures) needs(alerts []alert) []need {
	var list []need
	for _, severity := range []string{"page", "ticket"} {
		for _, a := range alerts {
			if a.Severity == severity && !slices.Contains([]string{"destination_down", "dead_letters", "quarantine"}, a.Condition) {
				list = append(list, need{Kind: kinds[severity], Text: a.Summary, Href: alertHref(a), Since: &a.StartedAt})
			}
		}
	}
	for _, d := range f.Destinations {
		if d.Now.Breaker == "open" || d.Now.Breaker == "half_open" {
			list = append(list, need{Kind: "bad", Text: "Destination " + d.Name + " is failing; deliveries to it wait.",
				Detail: plural(d.Now.Waiting+d.Now.Parked, "delivery waits", "deliveries wait"), Href: Root + "/destinations/" + d.ID, Since: nil})
		}
	}
	total := f.total()
	if total.DeadLetters > 0 {
		list = append(list, need{Kind: "bad", Text: plural(total.DeadLetters, "delivery was given up and waits for a decision.", "deliveries were given up and wait for a decision."), Href: Root + "/dead-letters"})
	}
	if total.Quarantine > 0 {
		list = append(list, need{Kind: "warn", Text: plural(total.Quarantine, "refused webhook is in quarantine.", "refused webhooks are in quarantine."), Href: Root + "/quarantine"})
	}
	if total.Parked > 0 {
		list = append(list, need{Kind: "warn", Text: plural(total.Parked, "delivery is parked until its destination is back.", "deliveries are parked until their destinations are back."), Href: Root + "/destinations"})
	}
	return list
}

// pendingSecrets lists the sources with secrets that wait to be confirmed.
func pendingSecrets(sources []integration) (list []need) {
	for _, in := range sources {
		var since *clock.Time
		n := int64(0)
		for _, s := range in.Secrets {
			if s.Pending != nil {
				n++
				if since == nil || s.Pending.Before(since.Time) {
					since = s.Pending
				}
			}
		}
		if n > 0 {
			list = append(list, need{Kind: "warn", Text: plural(n, "secret that a handshake brought to ", "secrets that handshakes brought to ") + in.Source + " must be confirmed.",
				Href: Root + "/integrations/" + in.ID, Since: since})
		}
	}
	return list
}

// alertHref is the page on which an alert's cause is.
func alertHref(a alert) string {
	source, _, _ := strings.Cut(a.Subject, " ")
	switch a.Condition {
	case "webhooks_refused":
		return Root + "/quarantine?source=" + url.QueryEscape(source)
	case "source_silent":
		return Root + "/events?source=" + url.QueryEscape(source)
	case "dead_letters":
		return Root + "/dead-letters"
	case "quarantine":
		return Root + "/quarantine?source=" + url.QueryEscape(a.Subject)
	case "destination_down", "destination_failing":
		return withQuery(Root+"/destinations", url.Values{"name": {a.Subject}})
	case "jobs_overdue":
		return Root + "/destinations"
	}
	return ""
}

// sentence says in one line how it stands.
func sentence(needs []need) (string, bool) {
	bad := 0
	for _, n := range needs {
		if n.Kind == "bad" {
			bad++
		}
	}
	switch {
	case len(needs) == 0:
		return "All well.", true
	case bad == 0:
		return "Running well; " + strconv.Itoa(len(needs)) + " " + map[bool]string{true: "thing", false: "things"}[len(needs) == 1] + " to look at.", true
	}
	text := plural(bad, "thing needs", "things need") + " a hand"
	if rest := len(needs) - bad; rest > 0 {
		text += "; " + strconv.Itoa(rest) + " more to look at"
	}
	return text + ".", false
}

// change is what somebody did, once or several times in a row.
type change struct {
	auditEntry
	Times int
}

// changed are the kinds of things that people change.
var changed = []string{"integration", contract.EntityDestination, "api_key", contract.EntityAlert, contract.EntityReplay, contract.EntityRecords}

// changesOf are the last of these entries of the audit trail that somebody made.
func changesOf(all []auditEntry, most int) []change {
	var made []change
	slices.SortStableFunc(all, func(a, b auditEntry) int { return b.CreatedAt.Compare(a.CreatedAt.Time) })
	for _, e := range all {
		last := len(made) - 1
		switch {
		case e.Actor == "gateway":
		case last >= 0 && made[last].Actor == e.Actor && made[last].Action == e.Action:
			made[last].Times++
		case len(made) < most:
			made = append(made, change{e, 1})
		}
	}
	return made
}

// publicURL is the gateway's address as senders see it, or as the visitor does.
func (m *Module) publicURL(v *visit) string {
	if m.cfg.PublicBaseURL != "" {
		return m.cfg.PublicBaseURL
	}
	scheme := "http://"
	if v.c.Request().TLS != nil {
		scheme = "https://"
	}
	return scheme + v.c.Request().Host
}
