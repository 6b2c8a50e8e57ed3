package ingestion

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/labstack/echo/v4"

	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/provider"
)

func (m *Module) quarantineRoutes(r httpapi.Routes) {
	r.Viewer.Scoped().GET("/quarantine", m.getQuarantine, quarantineSpec)
	r.Viewer.Scoped().GET("/quarantine/groups", m.getQuarantineGroups, quarantineGroupsSpec)
	r.Viewer.Scoped().GET("/quarantine/summary", m.getQuarantineSummary, quarantineSummarySpec)
	r.Viewer.Scoped().GET("/quarantine/:id", m.getQuarantined, quarantinedSpec)
	r.Operator.Scoped().DELETE("/quarantine/:id", m.deleteQuarantined, deleteQuarantinedSpec)
	r.Operator.Scoped().POST("/quarantine/:id/release", m.postRelease, releaseSpec)
	r.Operator.Scoped().POST("/quarantine/release", m.postReleaseAll, releaseAllSpec)
}

func quarantineFilterOf(q *httpapi.Query) QuarantineFilter {
	return QuarantineFilter{Source: q.Text("source"), Reason: q.Text("reason"), SourceIP: q.Text("sourceIp"), ExternalEventID: provider.Clean(q.Text("externalEventId")),
		ReceivedFrom: q.Time("receivedFrom"), ReceivedTo: q.Time("receivedTo")}
}

func (m *Module) getQuarantine(c echo.Context) error {
	q := httpapi.QueryOf(c)
	f := quarantineFilterOf(q)
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

// deleted is the answer to a removal.
type deleted struct {
	ID string `json:"id"`
}
