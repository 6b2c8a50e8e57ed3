package bulk

import (
	"fmt"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/secret"
)

// filterBody selects deliveries; absent fields match any.
type filterBody struct {
	Source             *string     `json:"source"`
	EventType          *string     `json:"eventType"`
	Subject            *string     `json:"subject"` // contained, literally, in either case
	Status             *string     `json:"status" api:"enum=pending|processing|processed|retrying|failed"`
	ReceivedFrom       *clock.Time `json:"receivedFrom"`
	ReceivedTo         *clock.Time `json:"receivedTo"`
	DeliveredFrom      *clock.Time `json:"deliveredFrom"` // an attempt succeeded in this window
	DeliveredTo        *clock.Time `json:"deliveredTo"`
	Destination        *string     `json:"destination"`        // its id: deliveries to it alone
	OnlyFailed         *bool       `json:"onlyFailed"`         // the last delivery to the destination failed
	OnlyNeverDelivered *bool       `json:"onlyNeverDelivered"` // the destination never received the event
}

// body is the order of a replay. It needs a filter, or all.
type body struct {
	Filter      *filterBody `json:"filter"`
	All         *bool       `json:"all"` // every event; only without a filter
	DryRun      *bool       `json:"dryRun"`
	Rate        *int        `json:"rate" api:"minimum=1,maximum=10000"` // events a second; 100 by default
	Destination *string     `json:"destination"`                        // its id: where to; by default to the same destinations as before
	Reason      *string     `json:"reason" api:"chars=5-500"`           // required unless it is a dry run
	RequestedBy *string     `json:"requestedBy" api:"chars=2-120"`

	URL           *string       `json:"url"`                                    // where to in place of destinations, each event once; needs the role admin
	SigningSecret *secret.Value `json:"signingSecret"`                          // required with url: whsec_ and base64; never shown, and erased when the replay ends
	Payload       *string       `json:"payload" api:"enum=stored|renormalized"` // what is sent: as it was normalized when it was received, or by the mapping of now; stored by default
}

// counts are numbers of deliveries: pairs of an event and a destination.
type counts struct {
	Matched   int64 `json:"matched"` // by the filter, as far as counted
	Queued    int64 `json:"queued"`  // asked for by now
	Delivered int64 `json:"delivered"`
	Failed    int64 `json:"failed"` // given up or cancelled
}

// filterView is a stored filter as the API shows it.
type filterView struct {
	Source             *string     `json:"source"`
	EventType          *string     `json:"eventType"`
	Subject            *string     `json:"subject"`
	Status             *string     `json:"status"`
	ReceivedFrom       *clock.Time `json:"receivedFrom"`
	ReceivedTo         *clock.Time `json:"receivedTo"`
	DeliveredFrom      *clock.Time `json:"deliveredFrom"`
	DeliveredTo        *clock.Time `json:"deliveredTo"`
	Destination        *string     `json:"destination"`
	OnlyFailed         bool        `json:"onlyFailed"`
	OnlyNeverDelivered bool        `json:"onlyNeverDelivered"`
}

// view is a replay as the API shows it.
type view struct {
	ID          string      `json:"id"`
	Status      string      `json:"status" api:"enum=queued|running|paused|completed|cancelled"`
	Counts      counts      `json:"counts"`
	Counted     bool        `json:"counted"` // whether counts.matched is complete
	Filter      filterView  `json:"filter"`
	Destination *string     `json:"destination"`
	URL         *string     `json:"url"`
	Payload     string      `json:"payload" api:"enum=stored|renormalized"`
	Rate        int         `json:"rate"`
	Reason      string      `json:"reason"`
	RequestedBy string      `json:"requestedBy"`
	CreatedBy   string      `json:"createdBy"` // the credential
	CreatedAt   clock.Time  `json:"createdAt"`
	UpdatedAt   clock.Time  `json:"updatedAt"`
	StartedAt   *clock.Time `json:"startedAt"`
	EndedAt     *clock.Time `json:"endedAt"` // when the last delivery had ended
}

// bySource and byDestination are parts of a dry run's count.
type (
	bySource struct {
		Source     string `json:"source"`
		Events     int64  `json:"events"`
		Deliveries int64  `json:"deliveries"`
	}
	byDestination struct {
		Destination string `json:"destination"`
		Deliveries  int64  `json:"deliveries"`
	}
	firstEvent struct {
		EventID      string     `json:"eventId"`
		Source       string     `json:"source"`
		EventType    string     `json:"eventType"`
		Subject      *string    `json:"subject"`
		ReceivedAt   clock.Time `json:"receivedAt"`
		Destinations []string   `json:"destinations"`
	}
)

// dryRun is what a replay would do.
type dryRun struct {
	DryRun        bool            `json:"dryRun"`
	Complete      bool            `json:"complete"` // false: counting took too long, and there is more
	Events        int64           `json:"events"`
	Counts        counts          `json:"counts"`
	BySource      []bySource      `json:"bySource"`
	ByDestination []byDestination `json:"byDestination"`
	Oldest        *clock.Time     `json:"oldest"` // by receivedAt
	Newest        *clock.Time     `json:"newest"`
	First         []firstEvent    `json:"first"`   // the oldest 20
	Changes       *changes        `json:"changes"` // with the payload renormalized
}

var (
	postSpec = httpapi.Spec{
		Summary: "Replays the events that match a filter, oldest first, as a job; or counts them.",
		Body:    body{}, BodyName: "BulkReplayOrder",
		Example: `{"filter":{"source":"acme","receivedFrom":"2026-01-05T14:00:00Z","receivedTo":"2026-01-05T14:20:00Z"},"rate":50,"reason":"the receiver lost them"}`,
		Answers: []httpapi.Answer{
			httpapi.Returns(http.StatusAccepted, "BulkReplay", view{}).If("it was stored, and begins in a moment"),
			httpapi.Returns(http.StatusOK, "BulkReplayDryRun", dryRun{}).If("a dry run: what it would do"),
		},
		Names: map[string]any{"BulkReplayCounts": counts{}, "BulkReplayFilter": filterView{}, "BulkReplayFilterOrder": filterBody{},
			"BulkReplayOfSource": bySource{}, "BulkReplayOfDestination": byDestination{}, "BulkReplayEvent": firstEvent{}, "BulkReplayChanges": changes{}, "BulkReplayChangedEvent": changedEvent{}, "BulkReplayChange": change{}},
	}
	listSpec = httpapi.Spec{
		Summary: "Bulk replays, newest first.",
		Query: httpapi.PagedQuery(append([]httpapi.Param{
			httpapi.EnumParam("status", "those with this status", queued, running, paused, completed, cancelled),
			httpapi.SourceParam(),
			httpapi.UUIDParam("destinationId", "ordered for this destination: where it goes, or whose deliveries it repeats"),
		}, httpapi.Between("created")...)...),
		Answers: []httpapi.Answer{httpapi.ReturnsPage("BulkReplay", view{})},
	}
	getSpec = httpapi.Spec{
		Summary: "A bulk replay and its progress.",
		Answers: []httpapi.Answer{httpapi.Returns(http.StatusOK, "BulkReplay", view{})},
	}
)

func operateSpec(summary string) httpapi.Spec {
	return httpapi.Spec{Summary: summary, Answers: []httpapi.Answer{httpapi.Returns(http.StatusOK, "BulkReplay", view{})},
		Errors: []fault.Kind{fault.Conflict}}
}

func (m *Replays) post(c echo.Context) error {
	ctx, ordered := c.Request().Context(), httpapi.BodyOf[body](c)
	o, err := m.resolve(ctx, ordered)
	if err != nil {
		return err
	}
	if o.dryRun {
		found, err := m.count(ctx, o)
		if err != nil {
			return err
		}
		return httpapi.Data(c, http.StatusOK, found)
	}
	r, err := m.create(ctx, o)
	if err != nil {
		return err
	}
	return httpapi.Data(c, http.StatusAccepted, viewOf(r))
}

func (m *Replays) get(c echo.Context) error {
	r, err := m.Visible(c.Request().Context(), httpapi.ID(c))
	if err != nil {
		return err
	}
	return httpapi.Data(c, http.StatusOK, viewOf(r))
}

func (m *Replays) list(c echo.Context) error {
	q := httpapi.QueryOf(c)
	paging := q.Paging()
	from, to := q.Between("created")
	list, err := m.readList(c.Request().Context(), q.Enum("status"), q.UUID("destinationId"), from, to, paging.Page)
	if err != nil {
		return err
	}
	return httpapi.Paged(c, paging, list, viewOf)
}

func viewOf(r replay) view {
	return view{
		ID: r.ID, Status: r.Status, Counts: counts{r.Matched, r.Queued, r.Delivered, r.Failed}, Counted: r.CountedAt != nil,
		Filter: r.Filter.view(), Destination: r.DestinationID, URL: r.URL, Payload: r.Payload, Rate: r.Rate, Reason: r.Reason, RequestedBy: r.RequestedBy, CreatedBy: r.Actor,
		CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt, StartedAt: r.StartedAt, EndedAt: r.EndedAt,
	}
}

// filter is a filter as it is stored.
type filter filterBody

func (f filter) view() filterView {
	is := func(b *bool) bool { return b != nil && *b }
	return filterView{Source: f.Source, EventType: f.EventType, Subject: f.Subject, Status: f.Status, ReceivedFrom: f.ReceivedFrom,
		ReceivedTo: f.ReceivedTo, DeliveredFrom: f.DeliveredFrom, DeliveredTo: f.DeliveredTo, Destination: f.Destination,
		OnlyFailed: is(f.OnlyFailed), OnlyNeverDelivered: is(f.OnlyNeverDelivered)}
}

// events is what the filter says of events. Nobody receives an event before the gateway does.
func (f filter) events(integrations []string) contract.ReplayEvents {
	want := contract.ReplayEvents{Integrations: integrations, Source: given(f.Source), EventType: given(f.EventType), Subject: given(f.Subject),
		Status: given(f.Status), ReceivedFrom: timeOf(f.ReceivedFrom), ReceivedTo: timeOf(f.ReceivedTo)}
	if end := timeOf(f.DeliveredTo); end != nil && (want.ReceivedTo == nil || end.Before(*want.ReceivedTo)) {
		want.ReceivedTo = end
	}
	return want
}

// where is where a replay goes; the zero value is to the same destinations as before.
type where struct {
	destination *string
	once        bool // to a URL
}

func (f filter) deliveries(to where) contract.ReplayDeliveries {
	v := f.view()
	return contract.ReplayDeliveries{Of: given(f.Destination), To: given(to.destination), Once: to.once, OnlyFailed: v.OnlyFailed, OnlyNeverDelivered: v.OnlyNeverDelivered,
		DeliveredFrom: timeOf(f.DeliveredFrom), DeliveredTo: timeOf(f.DeliveredTo)}
}

func given(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}

func timeOf(t *clock.Time) *time.Time {
	if t == nil {
		return nil
	}
	at := t.UTC()
	return &at
}

func notFound(replayID string) error {
	return fault.NotFound.New("replay_not_found", "There is no replay %s.", replayID)
}

func wrong(field, format string, args ...any) fault.Field {
	return fault.Field{Field: field, Message: fmt.Sprintf(format, args...)}
}
