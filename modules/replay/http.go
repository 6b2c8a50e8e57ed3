package replay

import (
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/id"
)

// bodyLimit is far more than the longest body that is accepted needs, in bytes.
const bodyLimit = 16 << 10

// defaultRequestedBy stands for those who do not say who they are.
const defaultRequestedBy = "api-user"

type body struct {
	RequestedBy   *string `json:"requestedBy"`
	Reason        *string `json:"reason"`
	DestinationID *string `json:"destinationId"`
	OnlyFailed    *bool   `json:"onlyFailed"`
}

type accepted struct {
	ReplayRequestID string `json:"replayRequestId"`
	EventID         string `json:"eventId"`
}

func (m *Module) post(c echo.Context) error {
	eventID, err := pathID(c)
	if err != nil {
		return err
	}
	var b body
	if err := httpapi.DecodeJSON(c, bodyLimit, &b); err != nil {
		return err
	}
	o, err := b.order()
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	o.eventID, o.actor = eventID, httpapi.Actor(ctx)
	requestID, err := m.request(ctx, o)
	if err != nil {
		return err
	}
	return httpapi.Data(c, http.StatusAccepted, accepted{requestID, eventID})
}

// order checks the body and names every field that is wrong.
func (b body) order() (order, error) {
	var faults []fault.Field
	o := order{requestedBy: defaultRequestedBy, onlyFailed: b.OnlyFailed != nil && *b.OnlyFailed}
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
	if len(faults) > 0 {
		return order{}, httpapi.Invalid(faults)
	}
	return o, nil
}

// text trims value and checks that it has from low to high characters.
func text(field, value string, low, high int, faults *[]fault.Field) string {
	value = strings.TrimSpace(value)
	if n := utf8.RuneCountInString(value); n < low || n > high || strings.ContainsRune(value, 0) {
		message := fmt.Sprintf("must be text of %d to %d characters, none of them NUL", low, high)
		*faults = append(*faults, fault.Field{Field: field, Message: message})
	}
	return value
}

// pathID is the id in the path, in the lower case that ids are stored in.
func pathID(c echo.Context) (string, error) {
	value := strings.ToLower(c.Param("id"))
	if !id.Valid(value) {
		return "", httpapi.Invalid([]fault.Field{{Field: "id", Message: "must be a UUID"}})
	}
	return value, nil
}

// view is a request as it is shown. The event's id stands under both names: as
// attempts and jobs call it, and as the filter does.
type view struct {
	ID                string      `json:"id"`
	NormalizedEventID string      `json:"normalizedEventId"`
	EventID           string      `json:"eventId"`
	DestinationID     *string     `json:"destinationId"`
	OnlyFailed        bool        `json:"onlyFailed"`
	RequestedBy       string      `json:"requestedBy"`
	Reason            string      `json:"reason"`
	Actor             string      `json:"actor"`
	Status            status      `json:"status"`
	ErrorMessage      *string     `json:"errorMessage"`
	CreatedAt         clock.Time  `json:"createdAt"`
	DispatchedAt      *clock.Time `json:"dispatchedAt"`
	CompletedAt       *clock.Time `json:"completedAt"`
}

func viewOf(r request) view {
	return view{
		ID: r.ID, NormalizedEventID: r.EventID, EventID: r.EventID, DestinationID: r.DestinationID,
		OnlyFailed: r.OnlyFailed, RequestedBy: r.RequestedBy, Reason: r.Reason, Actor: r.Actor,
		Status: r.Status, ErrorMessage: r.ErrorMessage,
		CreatedAt: r.CreatedAt, DispatchedAt: r.DispatchedAt, CompletedAt: r.CompletedAt,
	}
}

func (m *Module) one(c echo.Context) error {
	requestID, err := pathID(c)
	if err != nil {
		return err
	}
	r, err := readRequest(c.Request().Context(), m.db, requestID)
	if err != nil {
		return err
	}
	return httpapi.Data(c, http.StatusOK, viewOf(r))
}

func (m *Module) list(c echo.Context) error {
	q := httpapi.QueryOf(c)
	paging := q.Paging("newest")
	eventID := strings.ToLower(q.UUID("eventId"))
	wanted := q.Enum("status", "", string(queued), string(dispatched), string(completed), string(failed))
	if err := q.Err(); err != nil {
		return err
	}
	list, err := readRequests(c.Request().Context(), m.db, eventID, wanted, paging.Page)
	if err != nil {
		return err
	}
	return httpapi.Paged(c, paging, list, viewOf)
}
