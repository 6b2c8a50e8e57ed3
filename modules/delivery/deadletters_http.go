package delivery

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
)

// The bounds of a bulk requeue through the API, so that the request ends in time.
const (
	defaultRequeueLimit = 1000
	maxRequeueLimit     = 1000
)

// deadLetterQuery are the conditions of a list of dead letters.
var deadLetterQuery = append([]httpapi.Param{
	httpapi.EnumParam("kind", "why it was given up", deadExhausted, deadRefused, deadUnreadable),
	httpapi.EnumParam("status", "what became of it", deadOpen, deadRequeued, deadResolved),
	shortText("source"), shortText("provider"), shortText("eventType"),
	httpapi.UUIDParam("destinationId", "to this destination"),
	httpapi.UUIDParam("eventId", "of this event"),
	httpapi.TimeParam("from", "the same as `createdFrom`"), httpapi.TimeParam("to", "the same as `createdTo`"),
}, httpapi.Between("created")...)

var (
	deadLettersSpec = httpapi.Spec{
		Summary: "Deliveries and messages that were given up, newest first.",
		Query:   httpapi.PagedQuery(slices.Clone(deadLetterQuery)...),
		Answers: []httpapi.Answer{httpapi.ReturnsPage("", DeadLetter{})},
	}
	deadLetterSpec = httpapi.Spec{
		Summary: "One dead letter, with the body of an unreadable message.",
		Answers: []httpapi.Answer{httpapi.Returns(http.StatusOK, "", DeadLetterWithBody{})},
	}
	requeueSpec = httpapi.Spec{
		Summary: "Tries a dead letter again: a delivery as a replay, a message through the process queue.",
		Body:    requeueBody{}, BodyName: "Requeue", OptionalBody: true,
		Answers: []httpapi.Answer{httpapi.Returns(http.StatusAccepted, "", DeadLetterWithBody{})},
		Errors:  []fault.Kind{fault.Conflict},
	}
	resolveSpec = httpapi.Spec{
		Summary: "Closes an open dead letter without another delivery, for a reason. The event keeps its status.",
		Body:    resolveBody{}, BodyName: "Resolve", Example: `{"reason":"the order was corrected by hand"}`,
		Answers: []httpapi.Answer{httpapi.Returns(http.StatusOK, "", DeadLetterWithBody{})},
		Errors:  []fault.Kind{fault.Conflict},
	}
	requeueAllSpec = httpapi.Spec{
		Summary: "Tries all open dead letters that match again, oldest first.",
		Body:    bulkBody{}, BodyName: "BulkRequeue", Example: `{"source":"acme","kind":"exhausted","createdFrom":"2026-01-05T09:00:00Z","dryRun":true}`,
		Answers: []httpapi.Answer{
			httpapi.Returns(http.StatusAccepted, "", Requeued{}),
			httpapi.Returns(http.StatusOK, "", Requeued{}).If("`dryRun`: nothing was changed"),
		},
	}
	resolveAllSpec = httpapi.Spec{
		Summary: "Closes all open dead letters that match without another delivery, for a reason, oldest first.",
		Body:    bulkResolveBody{}, BodyName: "BulkResolve", Example: `{"destinationId":"0190a1b2-0000-7000-8000-000000000001","error":"HTTP 410","reason":"the orders were corrected by hand"}`,
		Answers: []httpapi.Answer{httpapi.Returns(http.StatusOK, "", Resolved{})},
	}
)

// shortText is a filter of a dead letter's text.
func shortText(name string) httpapi.Param {
	p := httpapi.TextParam(name, "exactly")
	p.High = maxFilterText
	return p
}

func (m *Module) listDeadLetters(c echo.Context) error {
	q := httpapi.QueryOf(c)
	paging := q.Paging()
	f, wrong := ParseDeadLetterFilter(q.Given)
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
	d, err := m.DeadLetter(c.Request().Context(), httpapi.ID(c))
	if err != nil {
		return err
	}
	return httpapi.Data(c, http.StatusOK, d)
}

// requeueBody is the optional body of a requeue.
type requeueBody struct {
	RequestedBy *string `json:"requestedBy" api:"chars=2-120"`
	Reason      *string `json:"reason" api:"chars=5-500"`
}

// Mistakes returns every invalid field.
func (b requeueBody) Mistakes() (wrong []fault.Field) {
	b.requester("", &wrong)
	return wrong
}

// requester validates b and adds its violations to wrong.
func (b requeueBody) requester(reason string, wrong *[]fault.Field) Requester {
	by := Requester{Name: "api-user", Reason: reason}
	text := func(name string, value *string, low, high int, into *string) {
		if value == nil {
			return
		}
		*into = strings.TrimSpace(*value)
		*wrong = append(*wrong, httpapi.CheckText(name, *into, low, high)...)
	}
	text("requestedBy", b.RequestedBy, 2, 120, &by.Name)
	text("reason", b.Reason, 5, 500, &by.Reason)
	return by
}

func (m *Module) requeueDeadLetter(c echo.Context) error {
	deadLetterID := httpapi.ID(c)
	var wrong []fault.Field // none: the body was checked
	by := httpapi.BodyOf[requeueBody](c).requester("requeue of dead letter "+deadLetterID, &wrong)
	ctx := c.Request().Context()
	by.Actor = httpapi.Actor(ctx)
	d, err := m.RequeueDeadLetter(ctx, deadLetterID, by)
	if err != nil {
		return err
	}
	return httpapi.Data(c, http.StatusAccepted, d)
}

// resolveBody is who closes a dead letter, and why.
type resolveBody struct {
	RequestedBy *string `json:"requestedBy" api:"chars=2-120"`
	Reason      *string `json:"reason" api:"required,chars=5-500"`
}

// Mistakes returns every invalid field.
func (b resolveBody) Mistakes() (wrong []fault.Field) {
	if b.Reason == nil {
		wrong = append(wrong, fault.Field{Field: "reason", Message: "is required"})
	}
	requeueBody(b).requester("", &wrong)
	return wrong
}

func (m *Module) resolveDeadLetter(c echo.Context) error {
	var wrong []fault.Field // none: the body was checked
	body := httpapi.BodyOf[resolveBody](c)
	by := requeueBody(body).requester("", &wrong)
	ctx := c.Request().Context()
	if by.Actor = httpapi.Actor(ctx); body.RequestedBy == nil {
		by.Name = by.Actor
	}
	d, err := m.ResolveDeadLetter(ctx, httpapi.ID(c), by)
	if err != nil {
		return err
	}
	return httpapi.Data(c, http.StatusOK, d)
}

// bulkBody is a requeue by filter. The filter's fields are named as in the list's query.
type bulkBody struct {
	requeueBody
	Kind          *string `json:"kind" api:"enum=exhausted|refused|unreadable"`
	Status        *string `json:"status" api:"enum=open"`
	Source        *string `json:"source"`
	Provider      *string `json:"provider"`
	EventType     *string `json:"eventType"`
	DestinationID *string `json:"destinationId"`
	EventID       *string `json:"eventId"`
	Error         *string `json:"error"` // the reason that the dead letters have, exactly
	From          *string `json:"from" api:"format=date-time"`
	To            *string `json:"to" api:"format=date-time"`
	CreatedFrom   *string `json:"createdFrom" api:"format=date-time"`
	CreatedTo     *string `json:"createdTo" api:"format=date-time"`
	All           bool    `json:"all"` // in place of a filter
	DryRun        bool    `json:"dryRun"`
	Limit         *int    `json:"limit" api:"minimum=1,maximum=1000"`
}

// filters are the names of the conditions, in the order of the fields. The status is none: it
// is open.
var filters = []string{"kind", "source", "provider", "eventType", "destinationId", "eventId", "error", "from", "to", "createdFrom", "createdTo"}

// Mistakes returns every invalid field. A forgotten filter must not requeue everything.
func (b bulkBody) Mistakes() []fault.Field {
	_, wrong := ParseDeadLetterFilter(b.text)
	b.requester("", &wrong)
	if b.Limit != nil && (*b.Limit < 1 || *b.Limit > maxRequeueLimit) {
		wrong = append(wrong, fault.Field{Field: "limit", Message: fmt.Sprintf("must be a whole number from 1 to %d", maxRequeueLimit)})
	}
	if !plainText(b.text("error")) {
		wrong = append(wrong, fault.Field{Field: "error", Message: fmt.Sprintf("must be text of at most %d bytes in UTF-8", maxFilterText)})
	}
	if status := b.text("status"); status == deadRequeued || status == deadResolved {
		wrong = append(wrong, fault.Field{Field: "status", Message: "Only open dead letters can be requeued or closed."})
	}
	for _, name := range filters {
		if value := b.field(name); value != nil && *value == "" {
			wrong = append(wrong, fault.Field{Field: name, Message: "must not be empty; leave it out for any"})
		}
	}
	filtered := slices.ContainsFunc(filters, func(name string) bool { return b.text(name) != "" })
	switch {
	case !filtered && !b.All:
		wrong = append(wrong, fault.Field{Field: "all", Message: "must be true for all; otherwise give a filter: " + strings.Join(filters, ", ")})
	case filtered && b.All:
		wrong = append(wrong, fault.Field{Field: "all", Message: "cannot be combined with a filter"})
	}
	return wrong
}

// field returns a condition, nil if it is not given.
func (b bulkBody) field(name string) *string {
	return map[string]*string{"kind": b.Kind, "status": b.Status, "source": b.Source, "provider": b.Provider, "eventType": b.EventType,
		"destinationId": b.DestinationID, "eventId": b.EventID, "error": b.Error, "from": b.From, "to": b.To,
		"createdFrom": b.CreatedFrom, "createdTo": b.CreatedTo}[name]
}

func (b bulkBody) text(name string) string {
	if value := b.field(name); value != nil {
		return *value
	}
	return ""
}

// filter is the body's filter, and how many are to be acted on. The body was checked.
func (b bulkBody) filter() (f DeadLetterFilter, limit int) {
	f, _ = ParseDeadLetterFilter(b.text)
	f.Error, limit = b.text("error"), defaultRequeueLimit
	if b.Limit != nil {
		limit = *b.Limit
	}
	return f, limit
}

func (m *Module) requeueDeadLetters(c echo.Context) error {
	b := httpapi.BodyOf[bulkBody](c)
	var wrong []fault.Field // none: the body was checked
	by := b.requester("requeue of dead letters in bulk", &wrong)
	f, limit := b.filter()
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

// bulkResolveBody is a closing by filter, for a reason.
type bulkResolveBody struct{ bulkBody }

// Mistakes returns every invalid field.
func (b bulkResolveBody) Mistakes() []fault.Field {
	wrong := b.bulkBody.Mistakes()
	if b.Reason == nil && !b.DryRun {
		wrong = append(wrong, fault.Field{Field: "reason", Message: "is required"})
	}
	return wrong
}

func (m *Module) resolveDeadLetters(c echo.Context) error {
	b := httpapi.BodyOf[bulkResolveBody](c)
	var wrong []fault.Field // none: the body was checked
	by := b.requester("", &wrong)
	f, limit := b.filter()
	ctx := c.Request().Context()
	if by.Actor = httpapi.Actor(ctx); b.RequestedBy == nil {
		by.Name = by.Actor
	}
	done, err := m.ResolveDeadLetters(ctx, f, limit, b.DryRun, by)
	if err != nil {
		return err
	}
	return httpapi.Data(c, http.StatusOK, done)
}
