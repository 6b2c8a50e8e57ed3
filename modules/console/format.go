package console

import (
	"encoding/json"
	"fmt"
	"github.com/DataDog/datadog-agent/pkg/template/html"
	"math"
	"strconv"
	"strings"
	"time"

	"integration-gateway/platform/clock"
)

// functions are what templates may call.
func (m *Module) functions() template.FuncMap {
	return template.FuncMap{
		"asset":    func(name string) string { return Root + "/assets/" + m.assets.named[name] },
		"time":     func(t any) moment { return m.momentOf(t) },
		"short":    short,
		"number":   number,
		"amount":   amount,
		"millis":   millis,
		"seconds":  seconds,
		"bytes":    bytesText,
		"share":    share,
		"pretty":   pretty,
		"kind":     func(status string) string { return kinds[status] },
		"label":    label,
		"actor":    func(name string) string { return strings.TrimPrefix(name, "api-key:") },
		"plural":   plural,
		"join":     strings.Join,
		"dict":     dict,
		"list":     func(items ...any) []any { return items },
		"icon":     icon,
		"sprite":   sprite,
		"fixed":    func(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) },
		"lessThan": func(a, b int) bool { return a < b },
		"plus":     func(a, b int64) int64 { return a + b },

		// Methods that templates call. The package for templates finds none by their names, unlike
		// html/template: the linker then has to keep every method of every type, 11 MB of them.
		"asker":        func(of interface{ asker() string }) string { return of.asker() },
		"href":         func(of interface{ href() string }) string { return of.href() },
		"filtered":     func(of interface{ Any() bool }) bool { return of.Any() },
		"known":        auditPage.Known,
		"parts":        eventFilter.Parts,
		"shows":        preferences.Shows,
		"place":        directory.place,
		"headers":      testCall.sorted,
		"answer":       testCall.Answer,
		"acknowledger": alert.Acknowledger,
		"limit":        conditionRow.Limit,
		"configured":   conditionRow.Default,
		"changer":      conditionRow.Changer,
		"unit":         conditionRow.UnitName,
		"state":        processRow.state,
		"remedy":       remedyOf,
		"mapped":       func(of interface{ mapped() bool }) bool { return of.mapped() },
		"rows":         mappingPreview.rows,
		"changed":      mappedRow.changed,
		"live":         func(of interface{ Live() bool }) bool { return of.Live() },
		"words":        func(of interface{ Words() []string }) []string { return of.Words() },
		"remaining":    func(of interface{ Remaining() string }) string { return of.Remaining() },
		"took":         func(of interface{ Took() string }) string { return of.Took() },
		"done":         replayCounts.Done,
	}
}

// moment is a time as pages show it: relative, and exact on hover.
type moment struct {
	Zero            bool
	Machine, Exact  string
	Relative, Clock string
	Due             string // when something that is to come is due
}

func (m *Module) momentOf(value any) moment {
	var t time.Time
	switch v := value.(type) {
	case clock.Time:
		t = v.Time
	case *clock.Time:
		if v != nil {
			t = v.Time
		}
	case time.Time:
		t = v
	}
	if t.IsZero() {
		return moment{Zero: true}
	}
	u := t.UTC()
	return moment{Machine: u.Format("2006-01-02T15:04:05.000Z"), Exact: u.Format("2006-01-02 15:04:05.000") + " UTC",
		Relative: relative(m.d.Now().Sub(t)), Clock: u.Format("15:04:05.000"), Due: due(t.Sub(m.d.Now()))}
}

// relative says how long ago something was, or how far ahead it is.
func relative(ago time.Duration) string {
	if ago < 0 {
		return "in " + roughly(-ago)
	}
	if ago < 2*time.Second {
		return "just now"
	}
	return roughly(ago) + " ago"
}

// due says when something is that is to come: what is past is done as soon as can be.
func due(ahead time.Duration) string {
	if ahead <= 0 {
		return "now"
	}
	return "in " + roughly(ahead)
}

func roughly(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	if years := int(d.Hours() / 24 / 365); years >= 2 {
		return fmt.Sprintf("%d years", years)
	}
	return fmt.Sprintf("%d d", int(d.Hours()/24))
}

// duration is a length in the unit that reads best.
func duration(d time.Duration) string {
	switch {
	case d < 0:
		return "-" + duration(-d)
	case d < time.Millisecond:
		return "< 1 ms"
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < 2*time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d < 2*time.Hour:
		return fmt.Sprintf("%.0f min", d.Minutes())
	case d < 48*time.Hour:
		return fmt.Sprintf("%.0f h", d.Hours())
	}
	return fmt.Sprintf("%.0f d", d.Hours()/24)
}

// seconds is a length given in seconds.
func seconds(s float64) string { return duration(time.Duration(s * float64(time.Second))) }

// millis is a length given in milliseconds; nil is none.
func millis(value any) string {
	ms := math.NaN()
	switch v := value.(type) {
	case int64:
		ms = float64(v)
	case float64:
		ms = v
	case *float64:
		if v != nil {
			ms = *v
		}
	}
	if math.IsNaN(ms) {
		return "–"
	}
	return duration(time.Duration(ms * float64(time.Millisecond)))
}

// number groups thousands.
func number(value any) string {
	if n, is := value.(*int64); is && n != nil {
		value = *n
	}
	text := fmt.Sprint(value)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// amount is how many rows a list has: never a count that was not counted.
func amount(total int, estimate bool) string {
	if estimate {
		return "10,000+"
	}
	return number(total)
}

func bytesText(n int64) string {
	const unit = 1024
	switch {
	case n < unit:
		return fmt.Sprintf("%d B", n)
	case n < unit*unit:
		return fmt.Sprintf("%.1f kB", float64(n)/unit)
	case n < unit*unit*unit:
		return fmt.Sprintf("%.1f MB", float64(n)/unit/unit)
	}
	return fmt.Sprintf("%.1f GB", float64(n)/unit/unit/unit)
}

// share is a part of a whole in percent; "–" of nothing.
func share(part, rest int64) string {
	if part+rest == 0 {
		return "–"
	}
	percent := 100 * float64(part) / float64(part+rest)
	if percent > 99.9 && rest > 0 {
		percent = 99.9
	}
	return strings.TrimSuffix(strconv.FormatFloat(percent, 'f', 1, 64), ".0") + " %"
}

// short leaves out an id's middle: the end tells ids apart that were made together. What follows a
// long id and a colon, such as the topic of a webhook, tells nothing apart.
func short(text string) string {
	const most = 15
	if head, _, cut := strings.Cut(text, ":"); cut && len(head) > most && len(text) > most {
		return short(head) + ":…"
	}
	runes := []rune(text)
	if len(runes) <= most {
		return text
	}
	return string(runes[:6]) + "…" + string(runes[len(runes)-6:])
}

// pretty indents JSON and changes no number or string in it.
func pretty(raw json.RawMessage) string { return prettyText(string(raw)) }

func plural(n any, one, many string) string {
	text := number(n)
	if text == "1" {
		return "1 " + one
	}
	return text + " " + many
}

// dict makes the data of a partial from names and values.
func dict(pairs ...any) map[string]any {
	d := map[string]any{}
	for i := 0; i+1 < len(pairs); i += 2 {
		d[fmt.Sprint(pairs[i])] = pairs[i+1]
	}
	return d
}

// kinds are the looks of states: good, bad, busy, wait or off.
var kinds = map[string]string{
	"processed": "good", "failed": "bad", "retrying": "warn", "processing": "busy", "pending": "wait",
	"success": "good", "succeeded": "good", "queued": "wait", "running": "busy", "completed": "good", "dispatched": "busy", "paused": "off", "cancelled": "off",
	"open": "bad", "requeued": "busy", "resolved": "good", "closed": "good", "half_open": "warn", "resuming": "warn",
	"active": "good", "inactive": "off", "ok": "good", "error": "bad", "degraded": "bad", "page": "bad", "ticket": "warn",
	"stopped": "off", "lost": "bad", "revoked": "off", "expired": "off", "exhausted": "bad", "refused": "warn", "unreadable": "warn",
}

// labels are states in words that say what they mean.
var labels = map[string]string{
	"processed": "delivered", "pending": "waiting", "processing": "sending", "half_open": "half open",
}

func label(status string) string {
	if text := labels[status]; text != "" {
		return text
	}
	return strings.ReplaceAll(status, "_", " ")
}
