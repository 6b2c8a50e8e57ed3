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
	Same   erasable // of all events of its source about the same subject
	Whole  bool     // these were chosen
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
	p := erasePage{Event: whole.Event, Word: eraseWord, Reason: strings.TrimSpace(v.form.Get("reason")), Whole: v.form.Get("scope") == "subject"}
	err := v.api.Post(v.ctx, "/erasures", map[string]any{"eventIds": []string{p.Event.ID}, "dryRun": true}, &p.Found)
	if order := p.wholeOrder(); err == nil && order != nil {
		order["dryRun"] = true
		err = v.api.Post(v.ctx, "/erasures", order, &p.Same)
	}
	if err != nil && wrong == nil {
		wrong = err
	}
	return v.showWith(200, "event-erase", "Erase "+p.Event.Type, p, wrong)
}

// wholeOrder is the erasure of all events of the event's source about its subject; nil if it has none.
func (p erasePage) wholeOrder() map[string]any {
	if p.Event.Subject == nil || *p.Event.Subject == "" {
		return nil
	}
	return map[string]any{"subject": *p.Event.Subject, "source": p.Event.Source}
}

// eraseEvent orders the erasure of one event, or of all of its source about the same subject.
func (m *Module) eraseEvent(v *visit) error {
	if strings.TrimSpace(v.form.Get("confirm")) != eraseWord {
		return v.showErase(fault.Invalid.New("not_confirmed", "Type %s to confirm: what is erased cannot be brought back.", eraseWord))
	}
	eventID := v.c.Param("id")
	order, notice := map[string]any{"eventIds": []string{eventID}}, "The event is being erased: its content goes within seconds, and that it was here stays in the records."
	if v.form.Get("scope") == "subject" {
		var p erasePage
		var whole details
		if _, err := v.get("/events/"+url.PathEscape(eventID), nil, &whole); err != nil {
			return err
		}
		p.Event = whole.Event
		if order = p.wholeOrder(); order == nil {
			return v.showErase(fault.Conflict.New("no_subject", "The event has no subject any more: it may be erased already."))
		}
		notice = "The events about this subject are being erased, the oldest first: their content goes, and that they were here stays in the records."
	}
	order["reason"] = strings.TrimSpace(v.form.Get("reason"))
	if err := v.api.Post(v.ctx, "/erasures", order, nil); err != nil {
		return v.showErase(err)
	}
	return v.done(Root+"/events/"+url.PathEscape(eventID), notice)
}
