package console

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/fault"
)

// testCall is what a destination answered to a request that is no delivery.
type testCall struct {
	EventID    string            `json:"eventId"`
	Received   bool              `json:"received"`
	Wanted     bool              `json:"wanted"`
	Status     *int64            `json:"status"`
	Error      *string           `json:"error"`
	DurationMs int64             `json:"durationMs"`
	Headers    map[string]string `json:"headers"`
	Body       string            `json:"body"`
	SentAt     clock.Time        `json:"sentAt"`

	Of string // the stored event whose content was sent; "" for a sample
}

// Answer is the body of the answer.
func (t testCall) Answer() document {
	if t.Body == "" {
		return document{Missing: "The answer had no body."}
	}
	text, isJSON, binary := readable([]byte(t.Body))
	return document{Text: text, JSON: isJSON, Binary: binary, Bytes: int64(len(t.Body))}
}

// sorted are the headers of the answer by name.
func (t testCall) sorted() []header { return headersOf(t.Headers) }

// storedEvent is a stored event that a test call may have the content of.
type storedEvent struct{ ID, Label string }

// storedEvents are those of the last attempts, each once.
func storedEvents(attempts []attempt) []storedEvent {
	var all []storedEvent
	for _, a := range attempts {
		if len(all) < 10 && !slices.ContainsFunc(all, func(c storedEvent) bool { return c.ID == a.Event }) {
			all = append(all, storedEvent{a.Event, short(a.Event) + ", " + a.Status})
		}
	}
	return all
}

// testDestination sends a sample, or the content of a stored event, and shows the answer.
func (v *visit) testDestination(p place) error {
	eventID := strings.TrimSpace(v.form.Get("other"))
	if eventID == "" {
		eventID = v.form.Get("event")
	}
	body := map[string]any{}
	if eventID != "" {
		body["eventId"] = eventID
	}
	tested := testCall{Of: eventID}
	if err := v.api.Post(v.ctx, "/integrations/"+p.Integration+"/destinations/"+p.ID+"/test", body, &tested); err != nil {
		return v.showDestination(nil, err)
	}
	return v.showDestination(&tested, nil)
}

// actOnDestination pauses, resumes, tests or probes a destination.
func (m *Module) actOnDestination(v *visit) error {
	d, err := v.directory()
	if err != nil {
		return err
	}
	p := d.place(v.c.Param("id"))
	if !p.Known {
		return fault.NotFound.New("no_destination", "There is no such destination.")
	}
	path, notice := "/integrations/"+p.Integration+"/destinations/"+p.ID, ""
	switch action := v.c.Param("action"); action {
	case "pause":
		body := map[string]any{}
		if reason := strings.TrimSpace(v.form.Get("reason")); reason != "" {
			body["reason"] = reason
		}
		notice = p.Name + " is paused: deliveries to it wait until it is resumed."
		if length, ok := parseSince(v.form.Get("length")); ok {
			until := m.d.Now().Add(length)
			body["until"], notice = until.UTC().Format(time.RFC3339), p.Name+" is paused for "+duration(length)+": deliveries to it wait, and then go on by themselves."
		}
		err = v.api.Post(v.ctx, path+"/pause", body, nil)
	case "resume":
		err, notice = v.api.Post(v.ctx, path+"/resume", nil, nil), p.Name+" is resumed: what waited is delivered now."
	case "probe":
		err, notice = v.api.Post(v.ctx, path+"/probe", nil, nil), "The next waiting delivery is tried now; if it succeeds, the rest follows."
	case "test":
		return v.testDestination(p)
	default:
		return fault.NotFound.New("no_action", "There is no such action.")
	}
	if err != nil {
		return v.showDestination(nil, err)
	}
	return v.done(Root+"/destinations/"+p.ID, notice)
}

// wordsFor are what the search box can be completed with: the words of the filter with the values
// that occur.
func (m *Module) wordsFor(v *visit) error {
	d, err := v.directory()
	if err != nil {
		return err
	}
	var recent []event
	if _, err := v.get("/events", map[string][]string{"pageSize": {"100"}}, &recent); err != nil {
		return err
	}
	words := []string{}
	add := func(name, value string) {
		f, word := eventFilter{}, name+":"+value
		for _, field := range f.fields() {
			if field.word == name {
				*field.value = value
				word = f.words()
			}
		}
		if !slices.Contains(words, word) {
			words = append(words, word)
		}
	}
	for _, source := range d.sources() {
		add("source", source)
	}
	for _, status := range statuses {
		add("status", status)
	}
	for _, since := range sinces {
		add("since", since)
	}
	for _, e := range recent {
		add("type", e.Type)
		add("provider", e.Provider)
	}
	text, err := json.Marshal(words)
	if err != nil {
		return err
	}
	return v.c.JSONBlob(http.StatusOK, text)
}
