package app

import (
	"encoding/json"
	"net/http"
	"sync"

	"github.com/labstack/echo/v4"

	"integration-gateway/platform/config"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
)

const (
	sinkRoute = "/internal/delivery-sink/"
	// A canonical event may contain its data twice, also under the provider's name for it.
	sinkLimit       = 2*config.MaxSourceBodyBytes + 1<<20
	maxSinkFailures = 1000 // remembered deliveries that failed once
)

// sink receives deliveries for trying out the gateway. It accepts everything except
// payloads that request a failure, at the top level or in their data:
//
//	"simulateFailure": true     fails every time
//	"simulateFailure": "once"   fails the first time
//
// It does not exist in production.
type sink struct {
	mu     sync.Mutex
	failed map[string]bool // webhook-ids that failed once
}

func newSink() *sink { return &sink{failed: map[string]bool{}} }

// Routes registers the sink.
func (s *sink) Routes(r httpapi.Routes) { r.Public.POST(sinkRoute+":provider", s.post, sinkSpec) }

var sinkSpec = httpapi.Spec{
	Summary: "Receives deliveries, for trying things out; absent in production.",
	Raw:     true,
	Answers: []httpapi.Answer{httpapi.Returns(http.StatusAccepted, "SinkReceipt", sinkAnswer{})},
	Errors:  []fault.Kind{fault.TooLarge, fault.Internal},
	Example: `{"provider":"acme","eventType":"order.created","externalEventId":"evt_1001","occurredAt":"2026-01-05T09:00:00.000Z","subject":null,"data":{"id":"ord_1"}}`,
}

type sinkAnswer struct {
	Provider string `json:"provider"`
	EventID  string `json:"eventId" api:"plain"`
	Received bool   `json:"received"`
}

// simulated is the requested failure: a response, not an error of ours.
var simulated = map[string]any{"success": false, "error": map[string]any{
	"code": "INTERNAL_SERVER_ERROR", "message": "The payload asked for a failure.", "details": nil}}

// sinkPayload is the part of a payload that controls the sink.
type sinkPayload struct {
	SimulateFailure any             `json:"simulateFailure"`
	Data            json.RawMessage `json:"data"`
}

func (s *sink) post(c echo.Context) error {
	body, err := httpapi.ReadBody(c, sinkLimit)
	if err != nil {
		return err
	}
	event := c.Request().Header.Get("Webhook-Id")
	answer := sinkAnswer{Provider: c.Param("provider"), EventID: event}
	if s.fails(body, event) {
		return c.JSON(http.StatusInternalServerError, simulated)
	}
	answer.Received = true
	return httpapi.Data(c, http.StatusAccepted, answer)
}

func (s *sink) fails(body []byte, event string) bool {
	var top, data sinkPayload
	if json.Unmarshal(body, &top) != nil {
		return false
	}
	if json.Unmarshal(top.Data, &data) != nil {
		data = sinkPayload{}
	}
	if top.SimulateFailure == true || data.SimulateFailure == true {
		return true
	}
	if top.SimulateFailure != "once" && data.SimulateFailure != "once" {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed[event] {
		delete(s.failed, event)
		return false
	}
	if len(s.failed) >= maxSinkFailures {
		clear(s.failed)
	}
	s.failed[event] = true
	return true
}
