package integrations

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/labstack/echo/v4"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/id"
)

// sampleType is the event type of the sample that a test sends.
const sampleType = "gateway.test"

// testBody says what a test sends: the content of a stored event, a canonical event of one's
// own, or by default a sample.
type testBody struct {
	EventID *string         `json:"eventId"`
	Payload json.RawMessage `json:"payload" api:"object"`
}

// Mistakes returns every invalid field.
func (b testBody) Mistakes() (wrong []fault.Field) {
	if b.EventID != nil && !id.Valid(*b.EventID) {
		wrong = append(wrong, fault.Field{Field: "eventId", Message: "must be the UUID of an event of this integration"})
	}
	if b.given() {
		if text := bytes.TrimSpace(b.Payload); text[0] != '{' {
			wrong = append(wrong, fault.Field{Field: "payload", Message: "must be an object: the event to send"})
		}
		if b.EventID != nil {
			wrong = append(wrong, fault.Field{Field: "payload", Message: "cannot be combined with eventId"})
		}
	}
	return wrong
}

// given reports whether there is a payload.
func (b testBody) given() bool {
	text := bytes.TrimSpace(b.Payload)
	return len(text) > 0 && string(text) != "null"
}

var (
	testDestinationSpec = httpapi.Spec{
		Summary: "Sends one request to a destination, signed and transformed as its deliveries are, and returns the answer. It is no delivery of an event: it has an id of its own and the header `X-Gateway-Test`, changes no event, breaker or limit, and goes also to a paused destination.",
		Body:    testBody{}, BodyName: "DestinationTest", OptionalBody: true, BodyLimit: maxManagementBody,
		Answers: []httpapi.Answer{httpapi.Returns(http.StatusOK, "", contract.DestinationTested{})}, Errors: []fault.Kind{fault.NotFound, fault.Conflict},
		Example: `{"payload":{"eventType":"order.created","data":{"id":"ord_1"}}}`,
	}
	probeDestinationSpec = httpapi.Spec{
		Summary: "Lets the next waiting delivery through a destination's open breaker now, instead of when the wait is over.",
		Answers: []httpapi.Answer{httpapi.Returns(http.StatusAccepted, "", contract.DestinationProbe{})}, Errors: []fault.Kind{fault.NotFound, fault.Conflict},
	}
)

func (m *Module) postTest(c echo.Context) error {
	ctx, body := c.Request().Context(), httpapi.BodyOf[testBody](c)
	i, err := m.IntegrationByID(ctx, httpapi.ID(c))
	if err != nil {
		return err
	}
	t := contract.DestinationTest{IntegrationID: i.ID, DestinationID: httpapi.IDOf(c, "destinationId"), Source: i.Source, Provider: i.Provider}
	if err := m.content(&t, body); err != nil {
		return err
	}
	tested, err := m.d.Destinations.TestDestination(ctx, t)
	if err != nil {
		return err
	}
	return httpapi.Data(c, http.StatusOK, tested)
}

// content puts in what is sent.
func (m *Module) content(t *contract.DestinationTest, body testBody) error {
	switch {
	case body.EventID != nil:
		t.EventID = *body.EventID
		return nil
	case body.given():
		var named struct {
			EventType string `json:"eventType"`
		}
		_ = json.Unmarshal(body.Payload, &named) // another type has no meaning
		t.EventType, t.Payload = named.EventType, body.Payload
		return nil
	}
	t.EventType = sampleType
	sample, err := json.Marshal(map[string]any{
		"provider": t.Provider, "eventType": sampleType, "externalEventId": "test_" + id.New(), "occurredAt": clock.At(m.d.Now()), "subject": nil,
		"data": map[string]any{"test": true, "message": "A test of this destination. No event happened."},
	})
	if err != nil {
		return fmt.Errorf("make the sample: %w", err)
	}
	t.Payload = sample
	return nil
}

func (m *Module) postProbe(c echo.Context) error {
	ctx := c.Request().Context()
	i, err := m.IntegrationByID(ctx, httpapi.ID(c))
	if err != nil {
		return err
	}
	probe, err := m.d.Destinations.ProbeDestination(ctx, i.ID, httpapi.IDOf(c, "destinationId"))
	if err != nil {
		return err
	}
	return httpapi.Data(c, http.StatusAccepted, probe)
}

// DestinationCalls are requests to a destination that an operator asks for. Their errors are
// fault.NotFound and fault.Conflict.
type DestinationCalls interface {
	// TestDestination sends one request that is no delivery.
	TestDestination(ctx context.Context, t contract.DestinationTest) (contract.DestinationTested, error)
	// ProbeDestination has an open breaker probe now.
	ProbeDestination(ctx context.Context, integrationID, destinationID string) (contract.DestinationProbe, error)
}
