package ingestion

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/labstack/echo/v4"

	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
)

func (m *Module) quarantineRoutes(r httpapi.Routes) {
	r.Viewer.Scoped().GET("/quarantine", m.getQuarantine)
	r.Viewer.Scoped().GET("/quarantine/:id", m.getQuarantined)
	r.Operator.Scoped().DELETE("/quarantine/:id", m.deleteQuarantined)
	r.Operator.Scoped().POST("/quarantine/:id/release", m.postRelease)
	r.Operator.Scoped().POST("/quarantine/release", m.postReleaseAll)
}

func (m *Module) getQuarantine(c echo.Context) error {
	q := httpapi.QueryOf(c)
	f := QuarantineFilter{Source: q.Text("source"), Reason: q.Text("reason")}
	paging := q.Paging("newest")
	if err := q.Err(); err != nil {
		return err
	}
	list, err := m.Quarantined(c.Request().Context(), f, paging.Page)
	if err != nil {
		return err
	}
	return httpapi.Paged(c, paging, list, func(q Quarantined) Quarantined { return q })
}

// QuarantinedRequest is a refused request with what is kept of it.
type QuarantinedRequest struct {
	Quarantined
	Method         string            `json:"method"`
	URL            string            `json:"url"`
	RequestHeaders map[string]string `json:"requestHeaders"`
	RawPayload     json.RawMessage   `json:"rawPayload"` // the body as JSON, or as a string when it is none
	RawBody        []byte            `json:"rawBody"`    // the exact bytes, in base64
}

// QuarantinedByID gives one refused request; fault.NotFound when there is none.
func (m *Module) QuarantinedByID(ctx context.Context, quarantineID string) (QuarantinedRequest, error) {
	q, err := m.quarantined(ctx, quarantineID)
	if err != nil {
		return QuarantinedRequest{}, err
	}
	return QuarantinedRequest{Quarantined: q.Quarantined, Method: q.Method, URL: q.URL, RequestHeaders: joinedHeaders(q.Headers),
		RawPayload: rawPayload(q.Body), RawBody: orEmpty(q.Body)}, nil
}

func (m *Module) getQuarantined(c echo.Context) error {
	quarantineID, err := httpapi.ID(c)
	if err != nil {
		return err
	}
	q, err := m.QuarantinedByID(c.Request().Context(), quarantineID)
	if err != nil {
		return err
	}
	return httpapi.Data(c, http.StatusOK, q)
}

func (m *Module) deleteQuarantined(c echo.Context) error {
	quarantineID, err := httpapi.ID(c)
	if err != nil {
		return err
	}
	if err := m.RemoveQuarantined(c.Request().Context(), quarantineID); err != nil {
		return err
	}
	return httpapi.Data(c, http.StatusOK, map[string]string{"id": quarantineID})
}

func (m *Module) postRelease(c echo.Context) error {
	quarantineID, err := httpapi.ID(c)
	if err != nil {
		return err
	}
	released, err := m.Release(c.Request().Context(), quarantineID)
	switch {
	case err != nil:
		return err
	case released.Duplicate:
		return httpapi.Data(c, http.StatusOK, released)
	}
	return httpapi.Data(c, http.StatusAccepted, released)
}

// maxReleases bounds a release of several through the API: a request must end in its time.
const maxReleases = 1000

func (m *Module) postReleaseAll(c echo.Context) error {
	var body struct {
		Source string `json:"source"`
		Reason string `json:"reason"`
		Limit  *int   `json:"limit"`
	}
	if err := httpapi.DecodeStrictJSON(c, 16<<10, &body); err != nil {
		return err
	}
	limit := maxReleases
	if body.Limit != nil {
		limit = *body.Limit
	}
	var wrong []fault.Field
	if !validSource(body.Source) {
		wrong = append(wrong, fault.Field{Field: "source", Message: "must name the source whose requests are released"})
	}
	if !printable(body.Reason) {
		wrong = append(wrong, fault.Field{Field: "reason", Message: "must be one of the reasons that the quarantine shows, such as no_match"})
	}
	if limit < 1 || limit > maxReleases {
		wrong = append(wrong, fault.Field{Field: "limit", Message: fmt.Sprintf("must be a whole number from 1 to %d", maxReleases)})
	}
	if len(wrong) > 0 {
		return httpapi.Invalid(wrong)
	}
	all, err := m.ReleaseAll(c.Request().Context(), QuarantineFilter{Source: body.Source, Reason: body.Reason}, limit)
	if err != nil {
		return err
	}
	return httpapi.Data(c, http.StatusOK, all)
}
