package delivery

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"integration-gateway/modules/delivery/destination"
	"integration-gateway/modules/delivery/destination/expression"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/id"
)

// testHeader tells a receiver that a request is a test.
const testHeader = "X-Gateway-Test"

// The bounds of a test: of its time, since somebody waits for the answer, and of what is shown.
const (
	longestTest     = 30 * time.Second
	testBodyBytes   = 4 << 10
	testHeaderCount = 30
	testHeaderBytes = 200
)

// TestDestination sends one request to a destination, as a delivery is sent: transformed,
// signed, with its credential, through the egress rules. It is not stored as an attempt, does
// not count for the breaker and the limits, and goes also to a paused destination. It is
// audited.
func (m *Module) TestDestination(ctx context.Context, t contract.DestinationTest) (contract.DestinationTested, error) {
	d, err := m.current(ctx, t.IntegrationID, t.DestinationID)
	if err != nil {
		return contract.DestinationTested{}, err
	}
	a, err := m.testAttempt(ctx, d, t)
	if err != nil {
		return contract.DestinationTested{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, longestTest)
	defer cancel()
	tested := m.sendTest(ctx, a)
	wanted, _ := d.Wants(ctx, expression.NewFacts(fact(a.event, a.original)))
	tested.Wanted = wanted
	return tested, m.auditTest(context.WithoutCancel(ctx), d, tested)
}

// current reads a destination as it is now.
func (m *Module) current(ctx context.Context, integrationID, destinationID string) (*destination.Destination, error) {
	found, err := m.destinations.GetAgain(ctx, []string{destinationID})
	if err != nil {
		return nil, err
	}
	d := found[destinationID]
	if d == nil || d.IntegrationID != integrationID || d.ArchivedAt != nil {
		return nil, fault.NotFound.New("destination_not_found", "The integration has no destination %s.", destinationID)
	}
	if d.Broken() != nil {
		return nil, fault.Conflict.Wrap(d.Broken(), "destination_broken", "The secrets of the destination %s cannot be decrypted with the current keys.", d.ID)
	}
	return d, nil
}

// testAttempt is the attempt to send, under an event id of its own: a receiver must not take it
// for the event whose content it has.
func (m *Module) testAttempt(ctx context.Context, d *destination.Destination, t contract.DestinationTest) (attempt, error) {
	a := attempt{destination: d, event: contract.Deliverable{IntegrationID: t.IntegrationID, Source: t.Source, Provider: t.Provider,
		EventType: t.EventType, Payload: t.Payload, Active: true}, original: &contract.Original{Headers: []byte(`{}`), Body: t.Payload}}
	if t.EventID != "" {
		events, err := m.events.Deliverables(ctx, []string{t.EventID})
		switch {
		case err != nil:
			return a, err
		case len(events) == 0 || events[0].IntegrationID != t.IntegrationID:
			return a, noEvent(t.EventID)
		}
		originals, err := m.events.Originals(ctx, []string{t.EventID})
		if err != nil {
			return a, err
		}
		a.event, a.original = events[0], nil
		if len(originals) > 0 {
			a.original = &originals[0]
		}
	}
	a.EventID, a.event.IdempotencyKey = id.New(), ""
	a.event.EventID = a.EventID
	return a, nil
}

func (m *Module) sendTest(ctx context.Context, a attempt) contract.DestinationTested {
	d, began := a.destination, m.now()
	tested := contract.DestinationTested{DestinationID: d.ID, EventID: a.EventID, SentAt: clock.At(began), Headers: map[string]string{}}
	failed := func(text, kind string) contract.DestinationTested {
		text, kind = destination.Brief(text), strings.SplitN(kind, ":", 2)[0]
		tested.Error, tested.ErrorKind = &text, &kind
		return tested
	}
	ctx, cancel := context.WithTimeout(ctx, d.Timeout(m.cfg.Timeout))
	defer cancel()
	req, err := m.request(ctx, a, began)
	if err != nil {
		return failed(err.Error(), failedUnsent)
	}
	req.Header.Set(testHeader, "true")
	answer, err := m.client.Do(ctx, d, req)
	tested.DurationMS = m.now.Since(began).Milliseconds()
	hide := func(text string) string { return d.Hide(text, req.Header.Get("Authorization")) }
	if err != nil {
		return failed(hide(m.wording(d, err)), failureOf(err))
	}
	r := response{status: answer.Status}
	tested.Status, tested.Received = &r.status, r.received()
	tested.Headers = excerpt(answer.Header, hide)
	tested.Body = destination.Storable([]byte(hide(string(answer.Body))), testBodyBytes)
	if !tested.Received {
		return failed(*r.problem(), *r.kind())
	}
	return tested
}

// excerpt returns the first headers of an answer, without those that hold credentials.
func excerpt(header http.Header, hide func(string) string) map[string]string {
	shown := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(header)) {
		if name == "Set-Cookie" || strings.Contains(name, "Auth") || len(shown) == testHeaderCount {
			continue
		}
		shown[destination.Storable([]byte(name), testHeaderBytes)] = destination.Storable([]byte(hide(strings.Join(header[name], ", "))), testHeaderBytes)
	}
	return shown
}

func (m *Module) auditTest(ctx context.Context, d *destination.Destination, tested contract.DestinationTested) error {
	ctx, cancel := context.WithTimeout(ctx, claimTimeout)
	defer cancel()
	return m.db.InTx(ctx, func(tx *database.Tx) error {
		return m.auditDestination(ctx, tx, d, "destination.tested", map[string]any{"eventId": tested.EventID, "received": tested.Received,
			"status": tested.Status, "errorKind": tested.ErrorKind, "durationMs": tested.DurationMS})
	})
}

// auditDestination records what an operator did to a destination.
func (m *Module) auditDestination(ctx context.Context, tx *database.Tx, d *destination.Destination, action string, details map[string]any) error {
	details["integrationId"] = d.IntegrationID
	text, err := json.Marshal(details)
	if err != nil {
		return fmt.Errorf("audit %s: %w", action, err)
	}
	return m.auditor.Record(ctx, tx, []contract.AuditEntry{{EntityType: contract.EntityDestination, EntityID: &d.ID, Action: action,
		Actor: httpapi.Actor(ctx), Details: text}})
}

const probeNowSQL = `
UPDATE destination_breakers SET until = $2
WHERE  destination_id = $1 AND state = 'open' AND until > $2`

// ProbeDestination lets the next waiting job of a destination through its open breaker now,
// instead of when the wait is over. Whether the breaker closes is decided by its answer.
func (m *Module) ProbeDestination(ctx context.Context, integrationID, destinationID string) (contract.DestinationProbe, error) {
	d, err := m.current(ctx, integrationID, destinationID)
	switch {
	case err != nil:
		return contract.DestinationProbe{}, err
	case d.Breaker == destination.BreakerClosed:
		return contract.DestinationProbe{}, fault.Conflict.New("breaker_closed", "The breaker of the destination %s is closed, so there is nothing to probe.", d.ID)
	case !d.IsActive:
		return contract.DestinationProbe{}, fault.Conflict.New("destination_paused", "The destination %s is paused; resume it first.", d.ID)
	}
	probe := contract.DestinationProbe{DestinationID: d.ID, Breaker: string(d.Breaker)}
	err = m.db.InTx(ctx, func(tx *database.Tx) error {
		probe.ProbeAt = clock.At(tx.Now)
		n, err := tx.Exec(ctx, probeNowSQL, d.ID, tx.Now)
		if err != nil {
			return fmt.Errorf("ask for a probe: %w", err)
		}
		tx.AfterCommit(func() { m.destinations.Changed(d.IntegrationID) })
		if n == 0 {
			return nil // one is due or under way
		}
		return m.auditDestination(ctx, tx, d, "destination.probe_requested", map[string]any{})
	})
	return probe, err
}
