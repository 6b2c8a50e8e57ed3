package console

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"integration-gateway/platform/clock"
)

// timeline is what happened to an event, in order, and a drawing of it to scale.
type timeline struct {
	Steps  []step
	Lanes  []lane
	Total  string
	Height int
}

// step is one thing that happened, or is due.
type step struct {
	At          clock.Time
	Kind        string // of the icon and colour
	Text, Extra string
	Gap         string // since the step before
	Due         bool   // it is still to come
	Held        bool   // and waits for its destination to be back, whenever that is
	order       int
}

// lane is a row of the drawing: the receipt, or one destination.
type lane struct {
	Label string
	Y     int
	Marks []mark
}

// mark is a period of the drawing; x and width are of 1000.
type mark struct {
	X, Width int
	Kind     string
	Text     string
}

const laneHeight = 26

// markTexts say what marks of webhooks mean.
var markTexts = map[string]string{
	"duplicate_keys":  "A member stands twice in the body: parsers differ in which they read",
	"schema_mismatch": "An event does not fit the schema of its type",
}

// timelineOf orders what is known of an event.
func timelineOf(d details, replays []replayRequest, dir directory) timeline {
	var t timeline
	add := func(at clock.Time, kind, text, extra string) {
		t.Steps = append(t.Steps, step{At: at, Kind: kind, Text: text, Extra: extra, order: len(t.Steps)})
	}
	if w := d.Webhook; w != nil {
		from := ""
		if w.SourceIP != nil {
			from = "from " + *w.SourceIP
		}
		add(w.ReceivedAt, "busy", "Received", from)
		if w.PossibleReplay {
			add(w.ReceivedAt, "warn", "May be a replay", "its signature was seen before under another id")
		}
		for _, one := range w.Marks {
			add(w.ReceivedAt, "warn", markTexts[one.Mark], one.Detail)
		}
	} else {
		add(d.Event.ReceivedAt, "busy", "Received", "")
	}
	add(d.Webhook.storedAt(d.Event), "good", "Verified and stored", "answered 202")
	for _, r := range replays {
		add(r.CreatedAt, "busy", "Replay asked for by "+who(r), "“"+r.Reason+"”")
	}
	for _, a := range d.Attempts {
		text := "Attempt " + strconv.FormatInt(a.No, 10) + " at " + dir.place(a.Destination).Name
		extra := "took " + millis(a.DurationMs)
		if a.HTTPStatus != nil {
			extra = "HTTP " + strconv.FormatInt(*a.HTTPStatus, 10) + ", " + extra
		} else if a.Error != nil {
			extra = *a.Error + ", " + extra
		}
		add(a.CreatedAt, kinds[a.Status], text+map[string]string{"success": ": delivered", "failed": ": failed"}[a.Status], extra)
	}
	for _, j := range d.Jobs {
		if j.Status == "queued" {
			text, at := "Next try at its destinations", place{}
			if j.Destination != nil {
				at = dir.place(*j.Destination)
				text = "Next try at " + at.Name
			}
			if at.Held != "" {
				text = "Waits for " + at.Name + ", which " + at.Held
			}
			add(j.ScheduledAt, "wait", text, "attempt "+strconv.FormatInt(j.AttemptNo, 10))
			t.Steps[len(t.Steps)-1].Due, t.Steps[len(t.Steps)-1].Held = true, at.Held != ""
		}
	}
	slices.SortStableFunc(t.Steps, func(a, b step) int {
		if a.Due != b.Due {
			return map[bool]int{true: 1, false: -1}[a.Due] // what is to come is last, however long it is due
		}
		return cmp.Or(a.At.Compare(b.At.Time), cmp.Compare(a.order, b.order))
	})
	for i := 1; i < len(t.Steps); i++ {
		if gap := t.Steps[i].At.Sub(t.Steps[i-1].At.Time); gap >= time.Millisecond && !t.Steps[i].Held {
			t.Steps[i].Gap = "+" + duration(gap)
		}
	}
	t.draw(d, dir)
	return t
}

// storedAt is when an event was stored.
func (w *webhook) storedAt(e event) clock.Time {
	if w != nil && w.ReceivedAt.After(e.ReceivedAt.Time) {
		return w.ReceivedAt
	}
	return e.ReceivedAt
}

func who(r replayRequest) string {
	if r.RequestedBy != "" && r.RequestedBy != "api-user" {
		return r.RequestedBy
	}
	return strings.TrimPrefix(r.Actor, "api-key:")
}

// draw makes the drawing: a lane of the receipt, and one for each destination.
func (t *timeline) draw(d details, dir directory) {
	if len(d.Attempts) == 0 {
		return
	}
	begin := t.Steps[0].At.Time
	end := begin
	for _, a := range d.Attempts {
		if a.CreatedAt.After(end) {
			end = a.CreatedAt.Time
		}
	}
	total := max(end.Sub(begin), time.Millisecond)
	t.Total = duration(total)
	at := func(moment time.Time) int { return int(1000 * min(max(moment.Sub(begin), 0), total) / total) }
	index := map[string]int{}
	for _, a := range d.Attempts {
		i, known := index[a.Destination]
		if !known {
			i = len(t.Lanes)
			index[a.Destination] = i
			t.Lanes = append(t.Lanes, lane{Label: dir.place(a.Destination).Name, Y: i * laneHeight})
		}
		took := time.Duration(a.DurationMs) * time.Millisecond
		x := at(a.CreatedAt.Add(-took)) // an attempt is stored when it ends
		width := max(at(a.CreatedAt.Time)-x, 7)
		x = min(x, 1000-width)
		t.Lanes[i].Marks = append(t.Lanes[i].Marks, mark{X: x, Width: width, Kind: kinds[a.Status],
			Text: fmt.Sprintf("Attempt %d: %s after %s", a.No, label(a.Status), duration(took))})
	}
	t.Height = len(t.Lanes) * laneHeight
}
