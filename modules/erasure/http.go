package erasure

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
)

// View is an erasure as the API shows it, without the text that it looks for.
type View struct {
	ID           string                 `json:"id"`
	Status       string                 `json:"status" api:"enum=queued|running|completed|cancelled"`
	Kind         string                 `json:"kind" api:"enum=subject|events|value"`
	TextDigest   *string                `json:"textDigest"` // a keyed hash of the subject or value; null of an erasure by ids
	Paths        []string               `json:"paths"`
	EventIDs     []string               `json:"eventIds"`
	Source       *string                `json:"source"`
	ReceivedFrom *clock.Time            `json:"receivedFrom"`
	ReceivedTo   *clock.Time            `json:"receivedTo"`
	Limit        *int                   `json:"limit"`
	Limited      bool                   `json:"limited"` // it ended at the limit; the same order again goes on
	Counts       contract.ErasureCounts `json:"counts"`
	Looked       int                    `json:"looked"`     // events that were looked at
	Unreadable   int                    `json:"unreadable"` // of these, whose damaged content may hold the value
	Stage        string                 `json:"stage" api:"enum=quarantine|events"`
	At           *clock.Time            `json:"at"` // the receipt of the last event that was looked at
	Reason       string                 `json:"reason"`
	RequestedBy  string                 `json:"requestedBy"`
	CreatedBy    string                 `json:"createdBy"` // the credential
	CreatedAt    clock.Time             `json:"createdAt"`
	UpdatedAt    clock.Time             `json:"updatedAt"`
	StartedAt    *clock.Time            `json:"startedAt"`
	EndedAt      *clock.Time            `json:"endedAt"`
}

func viewOf(e erasure) View {
	v := View{ID: e.ID, Status: e.Status, Kind: e.Kind, TextDigest: e.TextDigest, Paths: httpapi.OrEmpty(e.Target.Paths), EventIDs: httpapi.OrEmpty(e.Target.EventIDs),
		Source: e.Target.Source, ReceivedFrom: e.Target.ReceivedFrom, ReceivedTo: e.Target.ReceivedTo, Limit: e.MostEvents, Limited: e.Limited,
		Counts: e.counts(), Looked: e.Looked, Unreadable: e.Unreadable, Stage: e.Stage, Reason: e.Reason, RequestedBy: e.RequestedBy, CreatedBy: e.Actor,
		CreatedAt: e.CreatedAt, UpdatedAt: e.UpdatedAt, StartedAt: e.StartedAt, EndedAt: e.EndedAt}
	if e.Looked > 0 && e.Kind != byEvents {
		v.At = &e.AfterAt
	}
	return v
}

var (
	postSpec = httpapi.Spec{
		Summary: "Erases data for good, as a job: of a subject, of events, or of the events that hold a value at JSON paths; or counts it.",
		Body:    Order{}, BodyName: "ErasureOrder",
		Example: `{"value":"ada@example.com","paths":["$.data.email"],"source":"acme","receivedFrom":"2026-01-01T00:00:00Z","reason":"a request for erasure"}`,
		Answers: []httpapi.Answer{
			httpapi.Returns(http.StatusAccepted, "Erasure", View{}).If("it was stored, and begins in a moment"),
			httpapi.Returns(http.StatusOK, "ErasureDryRun", Found{}).If("a dry run: what it would erase"),
		},
		Names: map[string]any{"ErasureCounts": contract.ErasureCounts{}, "ErasureOfSource": OfSource{}},
	}
	listSpec = httpapi.Spec{
		Summary: "Erasures, newest first.",
		Query: httpapi.PagedQuery(append([]httpapi.Param{
			httpapi.EnumParam("status", "those with this status", queued, running, completed, cancelled),
			httpapi.SourceParam(),
		}, httpapi.Between("created")...)...),
		Answers: []httpapi.Answer{httpapi.ReturnsPage("Erasure", View{})},
	}
	getSpec = httpapi.Spec{
		Summary: "An erasure and its progress.",
		Answers: []httpapi.Answer{httpapi.Returns(http.StatusOK, "Erasure", View{})},
	}
	cancelSpec = httpapi.Spec{
		Summary: "Ends an erasure before its end; what it has erased stays erased.",
		Answers: []httpapi.Answer{httpapi.Returns(http.StatusOK, "Erasure", View{})},
		Errors:  []fault.Kind{fault.Conflict},
	}
)

func (m *Module) post(c echo.Context) error {
	ctx, o := c.Request().Context(), httpapi.BodyOf[Order](c)
	if isTrue(o.DryRun) {
		found, err := m.Count(ctx, o, m.cfg.Count)
		if err != nil {
			return err
		}
		return httpapi.Data(c, http.StatusOK, found)
	}
	e, err := m.create(ctx, o, false)
	if err != nil {
		return err
	}
	return httpapi.Data(c, http.StatusAccepted, viewOf(e))
}

func (m *Module) get(c echo.Context) error {
	e, err := m.visible(c.Request().Context(), httpapi.ID(c))
	if err != nil {
		return err
	}
	return httpapi.Data(c, http.StatusOK, viewOf(e))
}

func (m *Module) list(c echo.Context) error {
	q := httpapi.QueryOf(c)
	paging := q.Paging()
	from, to := q.Between("created")
	list, err := m.readList(c.Request().Context(), q.Enum("status"), from, to, paging.Page)
	if err != nil {
		return err
	}
	return httpapi.Paged(c, paging, list, viewOf)
}

// cancel takes the lease from its holder, whose piece then does not commit. The same order twice is
// no conflict.
func (m *Module) cancel(c echo.Context) error {
	ctx, erasureID := c.Request().Context(), httpapi.ID(c)
	e, err := m.visible(ctx, erasureID)
	if err != nil {
		return err
	}
	if e.Status != cancelled {
		err = m.d.DB.InTx(ctx, func(tx *database.Tx) error {
			if err := tx.Get(ctx, &e, selectSQL+" WHERE id = $1"+tx.Dialect.ForUpdate, erasureID); err != nil {
				return err
			}
			switch e.Status {
			case cancelled:
				return nil
			case completed:
				return fault.Conflict.New("wrong_status", "The erasure is completed; what it erased stays erased.")
			}
			return m.end(ctx, tx, e, cancelled, false, "records.erasure_cancelled", httpapi.Actor(ctx))
		})
		if err != nil {
			return err
		}
	}
	if e, err = m.visible(ctx, erasureID); err != nil {
		return err
	}
	return httpapi.Data(c, http.StatusOK, viewOf(e))
}
