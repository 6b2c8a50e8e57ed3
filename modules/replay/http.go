package replay

import (
	"context"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/id"
	"integration-gateway/platform/secret"
)

// bodyLimit is far above the longest valid body, in bytes.
const bodyLimit = 16 << 10

// defaultRequestedBy is used when a request does not name a requester.
const defaultRequestedBy = "api-user"

type body struct {
	RequestedBy   *string `json:"requestedBy" api:"chars=2-120"`
	Reason        *string `json:"reason" api:"required,chars=5-500"`
	DestinationID *string `json:"destinationId"`
	OnlyFailed    *bool   `json:"onlyFailed"`

	URL           *string       `json:"url"`           // send it there once, in place of destinations; needs the role admin
	SigningSecret *secret.Value `json:"signingSecret"` // required with url: whsec_ and base64; never shown, and erased when the request ends
}

type accepted struct {
	ReplayRequestID string `json:"replayRequestId"`
	EventID         string `json:"eventId"`
}

var (
	postSpec = httpapi.Spec{
		Summary: "Sends an event again.",
		Body:    body{}, BodyName: "ReplayOrder", BodyLimit: bodyLimit, Example: `{"reason":"receiver was down"}`,
		Answers: []httpapi.Answer{httpapi.Returns(http.StatusAccepted, "ReplayAccepted", accepted{})},
		Errors:  []fault.Kind{fault.Conflict},
	}
	listSpec = httpapi.Spec{
		Summary: "Replay requests, newest first.",
		Query: httpapi.PagedQuery(append([]httpapi.Param{
			httpapi.UUIDParam("eventId", "those of this event"),
			httpapi.EnumParam("status", "those with this status", string(queued), string(dispatched), string(completed), string(failed)),
			httpapi.SourceParam(),
			httpapi.UUIDParam("destinationId", "those of this destination alone"),
		}, httpapi.Between("created")...)...),
		Answers: []httpapi.Answer{httpapi.ReturnsPage("ReplayRequest", view{})},
	}
	getSpec = httpapi.Spec{
		Summary: "One replay request.",
		Answers: []httpapi.Answer{httpapi.Returns(http.StatusOK, "ReplayRequest", view{})},
	}
)

// Mistakes returns every invalid field.
func (b body) Mistakes() []fault.Field {
	_, faults := b.order()
	return faults
}

func (m *Module) post(c echo.Context) error {
	eventID := httpapi.ID(c)
	o, _ := httpapi.BodyOf[body](c).order() // it has no mistakes
	ctx := c.Request().Context()
	if err := m.checkURL(ctx, o); err != nil {
		return err
	}
	o.eventID, o.actor = eventID, httpapi.Actor(ctx)
	requestID, err := m.request(ctx, o)
	if err != nil {
		return err
	}
	return httpapi.Data(c, http.StatusAccepted, accepted{requestID, eventID})
}

// checkURL checks where an order goes that names a URL. Whoever may not add destinations may not
// send events elsewhere either.
func (m *Module) checkURL(ctx context.Context, o order) error {
	if o.url != nil {
		if err := httpapi.Needs(ctx, httpapi.Admin, "A replay to a URL"); err != nil {
			return err
		}
	}
	if faults := m.sender.Check(o.url, o.signing); len(faults) > 0 {
		return httpapi.Invalid(faults)
	}
	return nil
}

// order returns what the body orders, and every invalid field.
func (b body) order() (o order, faults []fault.Field) {
	o = order{requestedBy: defaultRequestedBy, onlyFailed: b.OnlyFailed != nil && *b.OnlyFailed, url: b.URL, signing: b.SigningSecret}
	if o.url != nil && b.DestinationID != nil {
		faults = append(faults, fault.Field{Field: "url", Message: "cannot be combined with destinationId; leave one of them out"})
	}
	if o.url != nil && o.onlyFailed {
		faults = append(faults, fault.Field{Field: "onlyFailed", Message: "is about destinations, and cannot be combined with url"})
	}
	if b.RequestedBy != nil {
		o.requestedBy = text("requestedBy", *b.RequestedBy, 2, 120, &faults)
	}
	if b.Reason == nil {
		faults = append(faults, fault.Field{Field: "reason", Message: "is required"})
	} else {
		o.reason = text("reason", *b.Reason, 5, 500, &faults)
	}
	if b.DestinationID != nil {
		destination := strings.ToLower(*b.DestinationID)
		if !id.Valid(destination) {
			faults = append(faults, fault.Field{Field: "destinationId", Message: "must be a UUID"})
		}
		o.destinationID = &destination
	}
	return o, faults
}

// text trims value and checks that it has low to high characters.
func text(field, value string, low, high int, faults *[]fault.Field) string {
	value = strings.TrimSpace(value)
	*faults = append(*faults, httpapi.CheckText(field, value, low, high)...)
	return value
}

// view is a request as the API shows it. The event's id appears under both names: as in
// attempts and jobs, and as in the filter.
type view struct {
	ID                string      `json:"id"`
	NormalizedEventID string      `json:"normalizedEventId"`
	EventID           string      `json:"eventId"`
	ReplayID          *string     `json:"replayId"` // the bulk replay that it belongs to
	DestinationID     *string     `json:"destinationId"`
	URL               *string     `json:"url"`                                    // where it goes in place of destinations
	Payload           string      `json:"payload" api:"enum=stored|renormalized"` // see the bulk replay
	OnlyFailed        bool        `json:"onlyFailed"`
	RequestedBy       string      `json:"requestedBy"`
	Reason            string      `json:"reason"`
	Actor             string      `json:"actor"`
	Status            status      `json:"status" api:"enum=queued|dispatched|completed|failed"`
	ErrorMessage      *string     `json:"errorMessage"`
	CreatedAt         clock.Time  `json:"createdAt"`
	DispatchedAt      *clock.Time `json:"dispatchedAt"`
	CompletedAt       *clock.Time `json:"completedAt"`
	Attempts          *int        `json:"attempts"`   // at the url; null for destinations, whose attempts are deliveries
	HTTPStatus        *int        `json:"httpStatus"` // the url's last answer, as the next
	ErrorKind         *string     `json:"errorKind"`
}

func viewOf(r request) view {
	v := view{
		ID: r.ID, NormalizedEventID: r.EventID, EventID: r.EventID, ReplayID: r.ReplayID, DestinationID: r.DestinationID,
		URL: r.URL, Payload: contract.PayloadStored, OnlyFailed: r.OnlyFailed, RequestedBy: r.RequestedBy, Reason: r.Reason, Actor: r.Actor,
		Status: r.Status, ErrorMessage: r.ErrorMessage,
		CreatedAt: r.CreatedAt, DispatchedAt: r.DispatchedAt, CompletedAt: r.CompletedAt, HTTPStatus: r.HTTPStatus, ErrorKind: r.ErrorKind,
	}
	if r.Renormalized {
		v.Payload = contract.PayloadRenormalized
	}
	if r.URLID != nil {
		v.Attempts = &r.Attempts
	}
	return v
}

func (m *Module) get(c echo.Context) error {
	r, err := readRequest(c.Request().Context(), m.db, httpapi.ID(c))
	if err != nil {
		return err
	}
	return httpapi.Data(c, http.StatusOK, viewOf(r))
}

func (m *Module) list(c echo.Context) error {
	q := httpapi.QueryOf(c)
	paging := q.Paging()
	from, to := q.Between("created")
	want := filter{eventID: q.UUID("eventId"), status: q.Enum("status"), destinationID: q.UUID("destinationId"), from: from, to: to}
	list, err := readRequests(c.Request().Context(), m.db, want, paging.Page)
	if err != nil {
		return err
	}
	return httpapi.Paged(c, paging, list, viewOf)
}
