package console

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/clock"
)

func TestWordsOfTheSearchBox(t *testing.T) {
	for text, want := range map[string]struct {
		filter  eventFilter
		bare    string
		mistake string
	}{
		"":                                {},
		"evt_1001":                        {bare: "evt_1001"},
		"source:acme status:failed":       {filter: eventFilter{Source: "acme", Status: "failed"}},
		`subject:"Ada Lovelace" since:2h`: {filter: eventFilter{Subject: "Ada Lovelace", Since: "2h"}},
		"SOURCE:acme type:order:created":  {filter: eventFilter{Source: "acme", Type: "order:created"}},
		"urn:uuid:1":                      {bare: "urn:uuid:1"},
		"source:":                         {mistake: "source: needs a value, such as source:acme"},
		"one two":                         {bare: "one", mistake: "“two” is one id too many; search for one at a time."},
		"since:yesterday":                 {mistake: "since:yesterday is no length; write since:30m, since:2h or since:7d."},
		"since:-1h":                       {mistake: "since:-1h is no length; write since:30m, since:2h or since:7d."},
	} {
		f, bare, mistakes := parseWords(text)
		require.Equal(t, want.filter, f, text)
		require.Equal(t, want.bare, bare, text)
		require.Equal(t, want.mistake, strings.Join(mistakes, " "), text)
		if want.mistake == "" && bare == "" {
			again, _, _ := parseWords(f.words())
			require.Equal(t, f, again, "what the box shows is read the same")
		}
	}
}

func TestAFilterIsTheAddress(t *testing.T) {
	f := eventFilter{Source: "acme", Subject: "a&b=c", Since: "7d"}
	require.Equal(t, f, filterOf(f.query()))
	now := time.Date(2026, 11, 28, 9, 0, 0, 0, time.UTC)
	require.Equal(t, "2026-11-21T09:00:00Z", f.asked(now).Get("receivedFrom"))
	require.Empty(t, eventFilter{Since: "soon"}.asked(now))
	require.Equal(t, "/console/events?since=7d&source=acme", f.Parts()[1].Without)
}

func TestNumbersAndTimesReadWell(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "< 1 ms", 1500 * time.Microsecond: "1 ms", 999 * time.Millisecond: "999 ms", 1240 * time.Millisecond: "1.2 s",
		59 * time.Second: "59 s", 3 * time.Minute: "3 min", 5 * time.Hour: "5 h", 72 * time.Hour: "3 d"} {
		require.Equal(t, want, duration(d))
	}
	for d, want := range map[time.Duration]string{time.Second: "just now", 30 * time.Second: "30 s ago", 90 * time.Minute: "1 h ago", -3 * time.Minute: "in 3 min"} {
		require.Equal(t, want, relative(d))
	}
	for n, want := range map[any]string{0: "0", 999: "999", 1000: "1,000", int64(-1234567): "-1,234,567"} {
		require.Equal(t, want, number(n))
	}
	require.Equal(t, "10,000+", amount(4_312_000, true), "nothing says a count that was not counted")
	require.Equal(t, "99.9 %", share(99_999, 1), "all is said where it is all alone")
	require.Equal(t, "100 %", share(5, 0))
	require.Equal(t, "–", share(0, 0))
	require.Equal(t, "01a20d…2c43aa", short("01a20d22-776d-7693-b3eb-b9fe0a2c43aa"))
	require.Equal(t, "01a20d…2c43aa:…", short("01a20d22-776d-7693-b3eb-b9fe0a2c43aa:orders/create"), "a topic tells no ids apart")
	require.Equal(t, "zen:us…eleted", short("zen:user.deleted"))
	require.Equal(t, "now", due(-time.Minute), "what is past is done as soon as can be")
	require.Equal(t, "in 72 years", due(72*366*24*time.Hour))
	require.True(t, unsteady(delivered{Delivered: 15, Failures: 5}))
	require.False(t, unsteady(delivered{Delivered: 20, Failures: 5}), "one of five")
	require.False(t, unsteady(delivered{Failures: 4}), "too few to tell")
}

func TestBodiesAreShownAsTheyCame(t *testing.T) {
	const raw = `{"n":12345678901234567891.10,"e":1e400,"s":"\u0000<b>","a":[]}`
	d := documentOf("/x?of=received", []byte(raw))
	require.True(t, d.JSON)
	require.Equal(t, "{\n  \"n\": 12345678901234567891.10,\n  \"e\": 1e400,\n  \"s\": \"\\u0000<b>\",\n  \"a\": []\n}", d.Text)
	require.Empty(t, d.More)
	require.True(t, documentOf("", []byte{0xff, 0x00, 1}).Binary)

	long := []byte(`"` + strings.Repeat("ä", partBytes) + `"`)
	d = documentOf("/x?of=received", long)
	whole, rest := d.Text, len(d.Text)
	require.Equal(t, "/x?of=received&offset="+strconv.Itoa(rest), d.More)
	for rest < len(long) {
		part := cut(string(long), rest)
		whole += part
		rest += len(part)
	}
	require.Equal(t, string(long), whole, "no character is cut")
}

func TestDiff(t *testing.T) {
	show := func(a, b string) string {
		var out strings.Builder
		for _, line := range diff(strings.Fields(a), strings.Fields(b)) {
			out.WriteString(line.Sign + line.Text)
		}
		return out.String()
	}
	require.Equal(t, " a b c", show("a b c", "a b c"))
	require.Equal(t, " a-b+x c", show("a b c", "a x c"))
	require.Equal(t, "+a+b", show("", "a b"))
	require.Equal(t, " a+b a", show("a a", "a b a"))
}

func TestTheTimelineIsInOrder(t *testing.T) {
	at := func(ms int) clock.Time {
		return clock.At(time.Date(2026, 11, 28, 9, 0, 0, 0, time.UTC).Add(time.Duration(ms) * time.Millisecond))
	}
	dest, status := "d-1", int64(500)
	d := details{Event: event{ReceivedAt: at(0)}, Webhook: &webhook{ReceivedAt: at(0)},
		Attempts: []attempt{{Destination: dest, No: 1, Status: "failed", HTTPStatus: &status, DurationMs: 20, CreatedAt: at(40)}, {Destination: dest, No: 2, Status: "success", DurationMs: 10, CreatedAt: at(1040)}},
		Jobs:     []job{{Destination: &dest, Status: "queued", AttemptNo: 3, ScheduledAt: at(9000)}}}
	line := timelineOf(d, []replayRequest{{Actor: "api-key:ada", Reason: "lost", CreatedAt: at(500)}}, directory{})
	var steps []string
	for _, s := range line.Steps {
		steps = append(steps, s.Text+" "+s.Gap)
	}
	require.Equal(t, []string{"Received ", "Verified and stored ", "Attempt 1 at d-1: failed +40 ms", "Replay asked for by ada +460 ms", "Attempt 2 at d-1: delivered +540 ms", "Next try at d-1 +8.0 s"}, steps)
	require.True(t, line.Steps[5].Due)

	// What waits for its destination to be back is due at no time, and is last.
	d.Jobs[0].ScheduledAt = at(100)
	for _, held := range []destinationInfo{{ID: dest, Breaker: "open", Active: true}, {ID: dest}} {
		dir := directory{Integrations: []integration{{Source: "acme", Destinations: []destinationInfo{held}}}}
		dir.name()
		last := timelineOf(d, nil, dir).Steps[4]
		require.Equal(t, map[bool]string{true: "Waits for acme/1, which is failing", false: "Waits for acme/1, which is paused"}[held.Active], last.Text)
		require.True(t, last.Held)
		require.Empty(t, last.Gap)
	}
	require.Equal(t, []lane{{Label: "d-1", Marks: []mark{
		{X: 19, Width: 19, Kind: "bad", Text: "Attempt 1: failed after 20 ms"}, {X: 990, Width: 10, Kind: "good", Text: "Attempt 2: success after 10 ms"}}}}, line.Lanes)
}

func TestARequestIsCopiedAsACommand(t *testing.T) {
	got := curlOf("http://g/api/v1/webhooks/acme", []header{{"content-length", "3"}, {"x-a", "it's"}}, []byte(`{"a":"'; rm -rf /"}`))
	require.Equal(t, `curl -i 'http://g/api/v1/webhooks/acme' \`+"\n"+`  -H 'x-a: it'\''s' \`+"\n"+`  --data-binary '{"a":"'\''; rm -rf /"}'`, got)
	require.Empty(t, curlOf("", nil, []byte{0xff}))
}

func TestChecksStopWhereTheRequestFailed(t *testing.T) {
	var kinds []string
	for _, c := range checksOf("outside_tolerance", "it is 9 min old") {
		kinds = append(kinds, c.Kind)
	}
	require.Equal(t, []string{"good", "good", "bad", "off", "off", "off", "off", "off", "off"}, kinds)
	list := checksOf("missing_field", "no eventId")
	require.Equal(t, check{"bad", "The body is an event of the provider", "no eventId"}, list[len(list)-2])
	require.Equal(t, check{"off", "The event fits its schema", "not reached"}, list[len(list)-1])
	list = checksOf("schema_mismatch", "at $.data")
	require.Equal(t, []string{"good", "bad"}, []string{list[len(list)-2].Kind, list[len(list)-1].Kind})
}
