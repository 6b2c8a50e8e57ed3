package app

import (
	"encoding/json"
	"net/http"
	"sync"

	"github.com/labstack/echo/v4"

	"integration-gateway/platform/config"
	"integration-gateway/platform/httpapi"
)

const (
	sinkRoute = "/internal/delivery-sink/"
	// A canonical event may hold its data twice, under the provider's name for it too.
	sinkLimit = 2*config.MaxSourceBodyBytes + 1<<20
	sinkMemo  = 1000 // deliveries that failed once and are remembered
)

// sink is a receiver of deliveries for trying the gateway out. It takes everything,
// but for payloads that ask for a failure, at the top or in their data:
//
//	"simulateFailure": true     fails every time
//	"simulateFailure": "once"   fails the first time
//
// There is none in production.
type sink struct {
	mu     sync.Mutex
	failed map[string]bool // webhook-ids that failed once
}

func newSink() *sink { return &sink{failed: map[string]bool{}} }

// Routes registers the sink.
func (s *sink) Routes(r httpapi.Routes) { r.Public.POST(sinkRoute+":provider", s.post) }

type sinkAnswer struct {
	Provider string `json:"provider"`
	EventID  string `json:"eventId"`
	Received bool   `json:"received"`
}

// simulated is the failure that was asked for: an answer, and no error of ours.
var simulated = map[string]any{"success": false, "error": map[string]any{
	"code": "INTERNAL_SERVER_ERROR", "message": "The payload asked for a failure.", "details": nil}}

// wish is what a payload says about its delivery.
type wish struct {
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
	var top, data wish
	if json.Unmarshal(body, &top) != nil {
		return false
	}
	if json.Unmarshal(top.Data, &data) != nil {
		data = wish{}
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
	if len(s.failed) >= sinkMemo {
		clear(s.failed)
	}
	s.failed[event] = true
	return true
}
