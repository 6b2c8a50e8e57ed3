package console

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/fault"
)

// details are GET /events/:id.
type details struct {
	Event    event     `json:"event"`
	Webhook  *webhook  `json:"webhook"`
	Attempts []attempt `json:"deliveryAttempts"`
	Jobs     []job     `json:"processingJobs"`
}

type webhook struct {
	ID             string            `json:"id"`
	IdempotencyKey string            `json:"idempotencyKey"`
	SignatureValid bool              `json:"signatureValid"`
	Headers        map[string]string `json:"requestHeaders"`
	RawBody        string            `json:"rawBody"`
	BodyState      string            `json:"bodyState"`
	PossibleReplay bool              `json:"possibleReplay"`
	Marks          []webhookMark     `json:"marks"`
	SourceIP       *string           `json:"sourceIp"`
	ReceivedAt     clock.Time        `json:"receivedAt"`
}

// webhookMark is something odd about a webhook that was stored all the same.
type webhookMark struct {
	Mark   string `json:"mark"`
	Detail string `json:"detail"`
}

type attempt struct {
	ID          string     `json:"id"`
	Event       string     `json:"normalizedEventId"`
	Destination string     `json:"destinationId"`
	No          int64      `json:"attemptNo"`
	Status      string     `json:"status"`
	HTTPStatus  *int64     `json:"httpStatus"`
	Answer      *string    `json:"responseBody"`
	Error       *string    `json:"errorMessage"`
	ErrorKind   *string    `json:"errorKind"`
	Refusal     *string    `json:"refusal"`
	DurationMs  int64      `json:"durationMs"`
	CreatedAt   clock.Time `json:"createdAt"`
}

type job struct {
	ID          string      `json:"id"`
	Destination *string     `json:"destinationId"`
	Trigger     string      `json:"triggeredBy"`
	Status      string      `json:"status"`
	AttemptNo   int64       `json:"attemptNo"`
	ScheduledAt clock.Time  `json:"scheduledAt"`
	StartedAt   *clock.Time `json:"startedAt"`
	CompletedAt *clock.Time `json:"completedAt"`
	Error       *string     `json:"errorMessage"`
	CreatedAt   clock.Time  `json:"createdAt"`
}

type replayRequest struct {
	ID           string      `json:"id"`
	EventID      string      `json:"eventId"`
	Destination  *string     `json:"destinationId"`
	OnlyFailed   bool        `json:"onlyFailed"`
	RequestedBy  string      `json:"requestedBy"`
	Reason       string      `json:"reason"`
	Actor        string      `json:"actor"`
	Status       string      `json:"status"`
	Error        *string     `json:"errorMessage"`
	ReplayID     *string     `json:"replayId"`
	CreatedAt    clock.Time  `json:"createdAt"`
	DispatchedAt *clock.Time `json:"dispatchedAt"`
	CompletedAt  *clock.Time `json:"completedAt"`
}

// eventPage is one event, with one tab of it.
type eventPage struct {
	details
	Directory directory
	Tab       string
	Tabs      []tab
	Replays   []replayRequest
	Timeline  timeline
	Headers   []header
	Received  document
	Canonical document
	Answers   []answer
	Diff      *comparison
	Audit     []auditEntry
	Related   related
	Waiting   int      // deliveries that wait for another try
	Failed    []place  // destinations whose last delivery failed
	Sent      []place  // destinations that it was sent to, or is to be
	Targets   []place  // of its integration, today
	Curl      string   // the webhook as a command
	Modes     []string // how each of Targets is sent to
}

type tab struct {
	Name, Label, Count string
}

type header struct{ Name, Value string }

// answer is an attempt with what the destination answered.
type answer struct {
	attempt
	Place place
	Body  document
	Last  bool // of this destination
}

func (m *Module) event(v *visit) error { return v.showEvent(nil) }

// showEvent shows an event, and what went wrong with it.
func (v *visit) showEvent(wrong error) error {
	p := eventPage{Tab: v.param("tab")}
	eventID := v.c.Param("id")
	if !valid(eventID) {
		return fault.NotFound.New("no_event", "There is no event %s.", eventID)
	}
	err := v.together(v.into("/events/"+eventID, nil, &p.details), v.directoryInto(&p.Directory),
		v.into("/replay-requests", url.Values{"eventId": {eventID}, "pageSize": {"50"}}, &p.Replays))
	if err != nil {
		return err
	}
	p.outcomes()
	p.Timeline = timelineOf(p.details, p.Replays, p.Directory)
	p.tabs()
	if err := p.load(v); err != nil {
		return err
	}
	return v.showWith(http.StatusOK, "event", p.Event.Type, p, wrong)
}

// outcomes finds how the event's deliveries ended at each destination.
func (p *eventPage) outcomes() {
	last, order := map[string]attempt{}, []string{}
	for _, a := range p.Attempts {
		if _, seen := last[a.Destination]; !seen {
			order = append(order, a.Destination)
		}
		last[a.Destination] = a
	}
	for _, dest := range order {
		p.Sent = append(p.Sent, p.Directory.place(dest))
		if last[dest].Status == "failed" {
			p.Failed = append(p.Failed, p.Directory.place(dest))
		}
	}
	for _, j := range p.Jobs {
		if j.Status != "queued" {
			continue
		}
		p.Waiting++
		if dest := j.Destination; dest != nil && !slices.Contains(order, *dest) {
			order = append(order, *dest)
			p.Sent = append(p.Sent, p.Directory.place(*dest))
		}
	}
	for _, in := range p.Directory.Integrations {
		if in.ID == p.Event.Integration {
			for _, dest := range in.Destinations {
				p.Targets = append(p.Targets, p.Directory.place(dest.ID))
				p.Modes = append(p.Modes, dest.Mode)
			}
		}
	}
}

// tabs lists what there is to see.
func (p *eventPage) tabs() {
	p.Tabs = []tab{{"received", "Received", ""}, {"canonical", "Canonical", ""}, {"answers", "Sent and answers", strconv.Itoa(len(p.Attempts))},
		{"diff", "Diff", ""}, {"jobs", "Jobs", strconv.Itoa(len(p.Jobs))}, {"related", "Related", ""}, {"audit", "Audit", ""}}
	for _, t := range p.Tabs {
		if t.Name == p.Tab {
			return
		}
	}
	p.Tab = "received"
}

// load reads what the chosen tab needs.
func (p *eventPage) load(v *visit) error {
	base := Root + "/events/" + p.Event.ID + "/body?of="
	switch p.Tab {
	case "received":
		p.Received = receivedOf(base+"received", p.Webhook)
		if p.Webhook != nil {
			p.Headers = headersOf(p.Webhook.Headers)
			p.Curl = curlOf(v.m.publicURL(v)+"/api/v1/webhooks/"+p.Event.Source, p.Headers, decoded(p.Webhook.RawBody))
		}
	case "canonical":
		p.Canonical = canonicalOf(base+"canonical", p.Event)
	case "answers":
		for _, a := range p.Attempts {
			shown := answer{attempt: a, Place: p.Directory.place(a.Destination), Body: document{Missing: "There was no answer."}}
			if a.Answer != nil && *a.Answer != "" {
				shown.Body = documentOf(base+"answer."+a.ID, []byte(*a.Answer))
			} else if a.HTTPStatus != nil {
				shown.Body.Missing = "The answer had no body."
			}
			p.Answers = append(p.Answers, shown)
		}
		seen := map[string]bool{}
		for i := len(p.Answers) - 1; i >= 0; i-- {
			p.Answers[i].Last = !seen[p.Answers[i].Destination]
			seen[p.Answers[i].Destination] = true
		}
	case "diff":
		p.Diff = p.compare(v.param("a"), v.param("b"))
	case "audit":
		_, err := v.get("/audit-entries", url.Values{"entityId": {p.Event.ID}, "pageSize": {"100"}}, &p.Audit)
		return err
	case "related":
		return p.Related.load(v, p.Event)
	}
	return nil
}

// actOnEvent replays an event, or has its waiting deliveries tried now or cancelled.
func (m *Module) actOnEvent(v *visit) error {
	eventID := url.PathEscape(v.c.Param("id"))
	back := Root + "/events/" + eventID
	reason := strings.TrimSpace(v.form.Get("reason"))
	body := map[string]any{}
	if reason != "" {
		body["reason"] = reason
	}
	var result struct {
		Jobs int `json:"jobs"`
	}
	var notice string
	var err error
	switch action := v.c.Param("action"); action {
	case "erase":
		return m.eraseEvent(v)
	case "replay":
		switch scope := v.form.Get("scope"); scope {
		case "", "all":
		case "failed":
			body["onlyFailed"] = true
		default:
			body["destinationId"] = scope
		}
		err, notice = v.api.Post(v.ctx, "/events/"+eventID+"/replay", body, nil), "The event is being replayed."
	case "retry", "cancel":
		err = v.api.Post(v.ctx, "/events/"+eventID+"/"+action, body, &result)
		notice = plural(result.Jobs, "delivery is", "deliveries are") + map[string]string{"retry": " tried now.", "cancel": " cancelled; a replay can still send the event."}[action]
	default:
		return fault.NotFound.New("no_action", "There is no such action.")
	}
	if err != nil {
		return v.showEvent(err)
	}
	return v.done(back, notice)
}
