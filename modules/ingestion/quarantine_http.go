package ingestion

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/labstack/echo/v4"

	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/provider"
)

func (m *Module) quarantineRoutes(r httpapi.Routes) {
	r.Viewer.Scoped().GET("/quarantine", m.getQuarantine, quarantineSpec)
	r.Viewer.Scoped().GET("/quarantine/summary", m.getQuarantineSummary, quarantineSummarySpec)
	r.Viewer.Scoped().GET("/quarantine/:id", m.getQuarantined, quarantinedSpec)
	r.Operator.Scoped().DELETE("/quarantine/:id", m.deleteQuarantined, deleteQuarantinedSpec)
	r.Operator.Scoped().POST("/quarantine/:id/release", m.postRelease, releaseSpec)
	r.Operator.Scoped().POST("/quarantine/release", m.postReleaseAll, releaseAllSpec)
}

func (m *Module) getQuarantine(c echo.Context) error {
	q := httpapi.QueryOf(c)
	f := QuarantineFilter{Source: q.Text("source"), Reason: q.Text("reason"), SourceIP: q.Text("sourceIp"), ExternalEventID: provider.Clean(q.Text("externalEventId")),
		ReceivedFrom: q.Time("receivedFrom"), ReceivedTo: q.Time("receivedTo")}
	paging := q.Paging()
	list, err := m.Quarantined(c.Request().Context(), f, paging.Page)
	if err != nil {
		return err
	}
	return httpapi.Paged(c, paging, list, func(q Quarantined) Quarantined { return q })
}

// QuarantinedRequest is a refused request with its stored headers and body.
type QuarantinedRequest struct {
	Quarantined
	Method         string            `json:"method"`
	URL            string            `json:"url"`
	RequestHeaders map[string]string `json:"requestHeaders"`
	RawPayload     json.RawMessage   `json:"rawPayload"` // the body as JSON, or as a string if it is not JSON
	RawBody        []byte            `json:"rawBody"`    // the exact bytes, in base64
}

// QuarantinedByID returns one refused request, or fault.NotFound.
func (m *Module) QuarantinedByID(ctx context.Context, quarantineID string) (QuarantinedRequest, error) {
	q, err := m.quarantined(ctx, quarantineID)
	if err != nil {
		return QuarantinedRequest{}, err
	}
	return QuarantinedRequest{Quarantined: q.Quarantined, Method: q.Method, URL: q.URL, RequestHeaders: joinedHeaders(q.Headers),
		RawPayload: rawPayload(q.Body), RawBody: httpapi.OrEmpty(q.Body)}, nil
}

func (m *Module) getQuarantined(c echo.Context) error {
	q, err := m.QuarantinedByID(c.Request().Context(), httpapi.ID(c))
	if err != nil {
		return err
	}
	return httpapi.Data(c, http.StatusOK, q)
}

func (m *Module) deleteQuarantined(c echo.Context) error {
	quarantineID := httpapi.ID(c)
	if err := m.RemoveQuarantined(c.Request().Context(), quarantineID); err != nil {
		return err
	}
	return httpapi.Data(c, http.StatusOK, deleted{quarantineID})
}

func (m *Module) postRelease(c echo.Context) error {
	released, err := m.Release(c.Request().Context(), httpapi.ID(c))
	switch {
	case err != nil:
		return err
	case released.Duplicate:
		return httpapi.Data(c, http.StatusOK, released)
	}
	return httpapi.Data(c, http.StatusAccepted, released)
}

// maxReleases bounds a bulk release through the API, so that the request ends in time.
const maxReleases = 1000

// releaseAllBody selects the requests of a bulk release.
type releaseAllBody struct {
	Source string `json:"source" api:"required"`
	Reason string `json:"reason"`
	Limit  *int   `json:"limit" api:"minimum=1,maximum=1000"`
}

func (b releaseAllBody) limit() int {
	if b.Limit == nil {
		return maxReleases
	}
	return *b.Limit
}

// Mistakes returns every invalid field.
func (b releaseAllBody) Mistakes() (wrong []fault.Field) {
	if !provider.ValidSourceName(b.Source) {
		wrong = append(wrong, fault.Field{Field: "source", Message: "must name the source whose requests are released"})
	}
	if !httpapi.Printable(b.Reason) {
		wrong = append(wrong, fault.Field{Field: "reason", Message: "must be one of the reasons that the quarantine shows, such as no_match"})
	}
	if limit := b.limit(); limit < 1 || limit > maxReleases {
		wrong = append(wrong, fault.Field{Field: "limit", Message: fmt.Sprintf("must be a whole number from 1 to %d", maxReleases)})
	}
	return wrong
}

// deleted is the answer to a removal.
type deleted struct {
	ID string `json:"id"`
}

func (m *Module) postReleaseAll(c echo.Context) error {
	body := httpapi.BodyOf[releaseAllBody](c)
	all, err := m.ReleaseAll(c.Request().Context(), QuarantineFilter{Source: body.Source, Reason: body.Reason}, body.limit())
	if err != nil {
		return err
	}
	return httpapi.Data(c, http.StatusOK, all)
}
