package console

import (
	"net/url"
	"strings"

	"integration-gateway/platform/fault"
)

// erasePage says what erasing an event would take with it, and asks for the reason.
type erasePage struct {
	Event  event
	Found  erasable
	Reason string
	Word   string // to be typed
}

// erasable is the dry run of an erasure.
type erasable struct {
	Events int `json:"events"`
	Others int `json:"others"`
}

// eraseWord is what has to be typed: an erasure cannot be undone.
const eraseWord = "erase"

func (m *Module) eraseForm(v *visit) error { return v.showErase(nil) }

func (v *visit) showErase(wrong error) error {
	eventID := v.c.Param("id")
	var whole details
	if _, err := v.get("/events/"+url.PathEscape(eventID), nil, &whole); err != nil {
		return err
	}
	p := erasePage{Event: whole.Event, Word: eraseWord, Reason: strings.TrimSpace(v.form.Get("reason"))}
	err := v.api.Post(v.ctx, "/erasures", map[string]any{"eventIds": []string{p.Event.ID}, "dryRun": true}, &p.Found)
	if err != nil && wrong == nil {
		wrong = err
	}
	return v.showWith(200, "event-erase", "Erase "+p.Event.Type, p, wrong)
}

// eraseEvent orders the erasure of one event.
func (m *Module) eraseEvent(v *visit) error {
	if strings.TrimSpace(v.form.Get("confirm")) != eraseWord {
		return v.showErase(fault.Invalid.New("not_confirmed", "Type %s to confirm: what is erased cannot be brought back.", eraseWord))
	}
	eventID := v.c.Param("id")
	if err := v.api.Post(v.ctx, "/erasures", map[string]any{"eventIds": []string{eventID}, "reason": strings.TrimSpace(v.form.Get("reason"))}, nil); err != nil {
		return v.showErase(err)
	}
	return v.done(Root+"/events/"+url.PathEscape(eventID), "The event is being erased: its content goes within seconds, and that it was here stays in the records.")
}
