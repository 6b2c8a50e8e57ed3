package delivery

import (
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
)

// The bounds of a requeue in bulk through the API: a request must end in its time.
const (
	defaultRequeueLimit = 1000
	maxRequeueLimit     = 1000
)

func (m *Module) listDeadLetters(c echo.Context) error {
	q := httpapi.QueryOf(c)
	paging := q.Paging("newest")
	f, wrong := ParseDeadLetterFilter(q.Text)
	if err := q.Err(); err != nil {
		return err
	}
	if len(wrong) > 0 {
		return httpapi.Invalid(wrong)
	}
	list, err := m.DeadLetters(c.Request().Context(), f, paging.Page)
	if err != nil {
		return err
	}
	return httpapi.Paged(c, paging, list, func(d DeadLetter) DeadLetter { return d })
}

func (m *Module) getDeadLetter(c echo.Context) error {
	deadLetterID, err := httpapi.ID(c)
	if err != nil {
		return err
	}
	d, err := m.DeadLetter(c.Request().Context(), deadLetterID)
	if err != nil {
		return err
	}
	return httpapi.Data(c, http.StatusOK, d)
}

// requeueBody is what a requeue may say of itself; all of it may be left out.
type requeueBody struct {
	RequestedBy *string `json:"requestedBy"`
	Reason      *string `json:"reason"`
}

// requester checks b and adds its mistakes to wrong.
func (b requeueBody) requester(reason string, wrong *[]fault.Field) Requester {
	by := Requester{Name: "api-user", Reason: reason}
	text := func(name string, value *string, low, high int, into *string) {
		if value == nil {
			return
		}
		*into = strings.TrimSpace(*value)
		if n := utf8.RuneCountInString(*into); n < low || n > high || strings.ContainsRune(*into, 0) {
			*wrong = append(*wrong, fault.Field{Field: name, Message: fmt.Sprintf("must be text of %d to %d characters, none of them NUL", low, high)})
		}
	}
	text("requestedBy", b.RequestedBy, 2, 120, &by.Name)
	text("reason", b.Reason, 5, 500, &by.Reason)
	return by
}

func (m *Module) requeueDeadLetter(c echo.Context) error {
	deadLetterID, err := httpapi.ID(c)
	if err != nil {
		return err
	}
	var b requeueBody
	if c.Request().ContentLength != 0 {
		if err := httpapi.DecodeJSON(c, 16<<10, &b); err != nil {
			return err
		}
	}
	var wrong []fault.Field
	by := b.requester("requeue of dead letter "+deadLetterID, &wrong)
	if len(wrong) > 0 {
		return httpapi.Invalid(wrong)
	}
	ctx := c.Request().Context()
	by.Actor = httpapi.Actor(ctx)
	d, err := m.RequeueDeadLetter(ctx, deadLetterID, by)
	if err != nil {
		return err
	}
	return httpapi.Data(c, http.StatusAccepted, d)
}

// bulkBody is a requeue by filter. The filter's fields are named as in the list's query.
type bulkBody struct {
	requeueBody
	Kind          *string `json:"kind"`
	Status        *string `json:"status"`
	Source        *string `json:"source"`
	Provider      *string `json:"provider"`
	EventType     *string `json:"eventType"`
	DestinationID *string `json:"destinationId"`
	EventID       *string `json:"eventId"`
	From          *string `json:"from"`
	To            *string `json:"to"`
	DryRun        bool    `json:"dryRun"`
	Limit         *int    `json:"limit"`
}

func (b bulkBody) text(name string) string {
	value := map[string]*string{"kind": b.Kind, "status": b.Status, "source": b.Source, "provider": b.Provider, "eventType": b.EventType,
		"destinationId": b.DestinationID, "eventId": b.EventID, "from": b.From, "to": b.To}[name]
	if value == nil {
		return ""
	}
	return *value
}

func (m *Module) requeueDeadLetters(c echo.Context) error {
	var b bulkBody
	if err := httpapi.DecodeKnownJSON(c, 16<<10, &b); err != nil {
		return err
	}
	f, wrong := ParseDeadLetterFilter(b.text)
	by := b.requester("requeue of dead letters in bulk", &wrong)
	limit := defaultRequeueLimit
	if b.Limit != nil {
		if limit = *b.Limit; limit < 1 || limit > maxRequeueLimit {
			wrong = append(wrong, fault.Field{Field: "limit", Message: fmt.Sprintf("must be a whole number from 1 to %d", maxRequeueLimit)})
		}
	}
	if len(wrong) > 0 {
		return httpapi.Invalid(wrong)
	}
	ctx := c.Request().Context()
	by.Actor = httpapi.Actor(ctx)
	done, err := m.RequeueDeadLetters(ctx, f, limit, b.DryRun, by)
	if err != nil {
		return err
	}
	status := http.StatusAccepted
	if b.DryRun {
		status = http.StatusOK
	}
	return httpapi.Data(c, status, done)
}
