package delivery

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/labstack/echo/v4"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/egress"
	"integration-gateway/platform/httpapi"
)

const selectDestinationsOfSQL = `
SELECT d.id FROM destinations d WHERE d.integration_id IN (SELECT id FROM v)`

var deliveriesSpec = httpapi.Spec{
	Summary: "Attempts to deliver events, newest first.",
	Query: httpapi.PagedQuery(append([]httpapi.Param{
		httpapi.EnumParam("status", "how the attempt ended", "success", "failed"),
		httpapi.EnumParam("errorKind", "why it failed", failureKinds...),
		httpapi.IntParam("httpStatus", "the destination's answer", 100, 999),
		httpapi.UUIDParam("eventId", "of this event"),
		httpapi.SourceParam(),
		httpapi.UUIDParam("destinationId", "to this destination"),
	}, httpapi.Between("created")...)...),
	Answers: []httpapi.Answer{httpapi.ReturnsPage("", contract.Attempt{})},
}

func (m *Module) listAttempts(c echo.Context) error {
	q := httpapi.QueryOf(c)
	paging := q.Paging()
	f := attemptFilter(q)
	if err := m.withinScope(c.Request().Context(), f); err != nil {
		return err
	}
	list, err := database.ReadList(c.Request().Context(), m.db, newestAttempts, f, paging.Page)
	if err != nil {
		return fmt.Errorf("list attempts: %w", err)
	}
	return httpapi.Paged(c, paging, list, func(r attemptRow) contract.Attempt { return contract.Attempt(r) })
}

var newestAttempts = database.Listing[attemptRow]{
	Columns: attemptColumns, From: "delivery_attempts", ID: "id", Desc: true,
	Key: func(r attemptRow) database.Position { return database.Position{ID: r.ID} },
}

// attemptFilter reads the conditions of GET /deliveries.
func attemptFilter(q *httpapi.Query) *database.Filter {
	f := &database.Filter{}
	result, kind := q.Enum("status"), q.Enum("errorKind")
	event, dest := q.UUID("eventId"), q.UUID("destinationId")
	for column, value := range map[string]string{"status": result, "normalized_event_id": event, "destination_id": dest} {
		if value != "" {
			f.Add(column+" = ?", value)
		}
	}
	if code := q.Int("httpStatus"); code != 0 {
		f.Add("http_status = ?", code)
	}
	f.CreatedBetween("id", "created_at", q.Time("createdFrom"), q.Time("createdTo"))
	if kind != "" {
		f.Add("status = 'failed'")              // the index has no others
		if kind == string(egress.KindRefused) { // a reason may follow it
			f.Add("(error_kind = ? OR error_kind LIKE ?)", kind, kind+":%")
		} else {
			f.Add("error_kind = ?", kind)
		}
	}
	return f
}

// The failed ones among so many attempts are grouped: a destination that hardly ever fails must
// not have all its attempts read.
const lookedAtForErrors = 1000

// AttemptErrors are the failed ones among the newest attempts, by error.
type AttemptErrors struct {
	Errors   []AttemptError `json:"errors"`   // the most frequent first
	Attempts int            `json:"attempts"` // looked at: the newest that match, 1,000 at most
	Failed   int            `json:"failed"`   // of these
}

// AttemptError are the failed attempts with one error.
type AttemptError struct {
	ErrorMessage *string    `json:"errorMessage"`
	ErrorKind    *string    `json:"errorKind"`
	Count        int        `json:"count"`
	LastEventID  string     `json:"lastEventId"` // whose attempt failed last
	LastAt       clock.Time `json:"lastAt"`
}

var errorsSpec = httpapi.Spec{
	Summary: "The errors of the newest attempts, with how often each occurred.",
	Query: append([]httpapi.Param{httpapi.SourceParam(), httpapi.UUIDParam("destinationId", "to this destination")},
		httpapi.Between("created")...),
	Answers: []httpapi.Answer{httpapi.Returns(http.StatusOK, "", AttemptErrors{})},
}

// selectErrorsSQL reads the newest attempts; %s is the filter.
const selectErrorsSQL = `
SELECT normalized_event_id, status, error_message,
	CASE WHEN error_kind LIKE 'egress_refused:%%' THEN 'egress_refused' ELSE error_kind END AS error_kind, created_at
FROM   delivery_attempts%s
ORDER  BY id DESC
LIMIT  %d`

func (m *Module) groupErrors(c echo.Context) error {
	ctx, q := c.Request().Context(), httpapi.QueryOf(c)
	f := &database.Filter{}
	if to := q.UUID("destinationId"); to != "" {
		f.Add("destination_id = ?", to)
	}
	f.CreatedBetween("id", "created_at", q.Time("createdFrom"), q.Time("createdTo"))
	if err := m.withinScope(ctx, f); err != nil {
		return err
	}
	clause, args := f.Where()
	var rows []attemptRow
	if err := m.db.Select(ctx, &rows, fmt.Sprintf(selectErrorsSQL, clause, lookedAtForErrors), args...); err != nil {
		return fmt.Errorf("read the errors of attempts: %w", err)
	}
	all := AttemptErrors{Errors: []AttemptError{}, Attempts: len(rows)}
	places := map[string]int{}
	text := func(of *string) string {
		if of == nil {
			return ""
		}
		return *of
	}
	for _, r := range rows {
		if r.Status != "failed" {
			continue
		}
		all.Failed++
		key := fmt.Sprint(text(r.ErrorKind), " ", text(r.ErrorMessage))
		i, known := places[key]
		if !known {
			i = len(all.Errors)
			places[key] = i
			all.Errors = append(all.Errors, AttemptError{ErrorMessage: r.ErrorMessage, ErrorKind: r.ErrorKind, LastEventID: r.NormalizedEventID, LastAt: r.CreatedAt})
		}
		all.Errors[i].Count++
	}
	slices.SortStableFunc(all.Errors, func(a, b AttemptError) int { return cmp.Compare(b.Count, a.Count) })
	return httpapi.Data(c, http.StatusOK, all)
}

// withinScope adds what the caller may see.
func (m *Module) withinScope(ctx context.Context, f *database.Filter) error {
	scope := httpapi.ScopeOf(ctx)
	if scope == nil {
		return nil
	}
	var own []string // destinations, by which attempts have an index
	if len(scope.Integrations) > 0 {
		if err := m.db.SelectRows(ctx, &own, database.IDs(scope.Integrations), selectDestinationsOfSQL); err != nil {
			return fmt.Errorf("find the destinations of the scope: %w", err)
		}
	}
	f.Among("destination_id", own)
	return nil
}
