package ingestion

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/provider"
)

// checkWebhook answers the GET with which some providers check an address, and the OPTIONS
// with which some ask for permission to send to it. Other providers may do neither.
func (m *Module) checkWebhook(c echo.Context) error {
	r := c.Request()
	src, err := m.activeSourceOf(c)
	if err != nil {
		return m.refused(c, unknownSource, err)
	}
	answer := src.Spec.Challenge
	if r.Method == http.MethodOptions {
		answer = src.Spec.Preflight
	}
	if answer == nil {
		return m.refused(c, src.Name, wrongMethod(c, src))
	}
	req := provider.Request{Method: r.Method, URL: m.urlOf(r), Path: provider.PathOf(m.urlOf(r)), Header: r.Header, ReceivedAt: m.d.Now()}
	reply, err := answer(req, src.SecretsAt(req.ReceivedAt))
	if err != nil {
		return m.refused(c, src.Name, err)
	}
	if err := m.limitVerified(r.Context(), src, httpapi.ClientIP(c)); err != nil {
		return m.refused(c, src.Name, err)
	}
	if err := m.auditHandshake(r.Context(), src, reply, httpapi.ClientIP(c)); err != nil {
		return err
	}
	if r.Method == http.MethodOptions {
		_, all := src.Spec.Allowed()
		c.Response().Header().Set(echo.HeaderAllow, strings.Join(all, ", "))
	}
	return sendReply(c, reply)
}

// greet answers a POST that checks the address and that its provider does not sign; nil for
// other requests.
func (m *Module) greet(ctx context.Context, src *source, req provider.Request, ip string) (*provider.Reply, error) {
	reply := src.Spec.GreetingReply(req, src.SecretsAt(req.ReceivedAt))
	if reply == nil {
		return nil, nil
	}
	if err := m.limitVerified(ctx, src, ip); err != nil {
		return nil, err
	}
	return reply, m.storeArrived(ctx, src, reply, ip)
}

// Handshakes that bring a secret, in a minute: of one client network, and of a source in all.
const (
	arrivalsOfNetwork = 5
	arrivalsOfSource  = 30
)

// storeArrived stores the secret that a handshake brings, before it is answered. Each costs a
// transaction, so strangers get few.
func (m *Module) storeArrived(ctx context.Context, src *source, reply *provider.Reply, ip string) error {
	if reply.Arrived == nil || src.has(*reply.Arrived) {
		return nil
	}
	const reason, message = "rate_limited", "This source takes no more than %d handshakes with a secret a minute."
	if err := m.limit(ctx, "arrived:"+src.Name+":"+httpapi.Network(ip), arrivalsOfNetwork, reason, message); err != nil {
		return err
	}
	if err := m.limit(ctx, "arrived:"+src.Name, arrivalsOfSource, reason, message); err != nil {
		return err
	}
	return m.d.Sources.StoreArrivedSecret(ctx, src.IntegrationID, *reply.Arrived, ip)
}

// has reports whether a secret is one that the source verifies with.
func (s *source) has(arrived provider.ArrivedSecret) bool {
	return slices.ContainsFunc(s.Secrets, func(known provider.Secret) bool {
		return (known.Purpose == arrived.Purpose || known.Purpose == "") && known.Value.Equal(arrived.Value.Reveal())
	})
}

// sourceOf finds the source that a request names. The request's log line has the name even
// if no such source exists, provided that it is a valid name. An address with
// more segments than the source's definition reads is nobody's.
func (m *Module) sourceOf(c echo.Context) (*source, error) {
	name := c.Param("source")
	if provider.ValidSourceName(name) {
		httpapi.Note(c, "source", name)
	}
	src, err := m.find(c.Request().Context(), name)
	if err == nil && strings.Count(c.Path(), ":") > 1+src.Spec.Segments.Most() {
		return nil, fault.NotFound.New("unknown_path", "There is no active source at this address.")
	}
	return src, err
}

// headWebhook answers the HEAD with which some providers check an address. It proves nothing
// and reveals only that the source exists.
func (m *Module) headWebhook(c echo.Context) error {
	src, err := m.activeSourceOf(c)
	switch {
	case err != nil:
		return m.refused(c, unknownSource, err)
	case !src.Spec.Probes:
		return m.refused(c, src.Name, wrongMethod(c, src))
	}
	return c.NoContent(http.StatusOK)
}

// wrongMethod refuses a method that the source's provider does not use, such as a browser's
// GET.
func wrongMethod(c echo.Context, src *source) error {
	webhooks, all := src.Spec.Allowed()
	c.Response().Header().Set(echo.HeaderAllow, strings.Join(all, ", "))
	return fault.MethodNotAllowed.New("wrong_method", "The source %s is active and accepts webhooks by %s, not by %s.", src.Name, strings.Join(webhooks, " or "), c.Request().Method)
}

// completeHandshake opens the confirmation page, if the integration allows it, and audits the
// handshake with what is left for an operator to do.
func (m *Module) completeHandshake(ctx context.Context, src *source, reply *provider.Reply, ip string) error {
	if reply.Visit {
		if err := m.visit(ctx, reply.Open); err != nil {
			return err
		}
	}
	if err := m.storeArrived(ctx, src, reply, ip); err != nil {
		return err
	}
	return m.auditHandshake(ctx, src, reply, ip)
}

// acceptance is the answer to a webhook that is accepted: its receipt, or for a batch without
// events, which the provider has done nothing wrong to send, one that names none.
type acceptance struct {
	EventID       *string  `json:"eventId"`
	EventIDs      []string `json:"eventIds,omitzero"` // set if there are several, or none
	Status        string   `json:"status" api:"enum=queued|empty"`
	Duplicate     bool     `json:"duplicate"`
	CorrelationID string   `json:"correlationId"`
}

// emptyBatch audits a batch without events.
func (m *Module) emptyBatch(ctx context.Context, src *source, ip string) (receipt, error) {
	return receipt{Status: statusEmpty, CorrelationID: correlation(ctx)}, m.auditHandshake(ctx, src, &provider.Reply{What: "empty_batch"}, ip)
}

// visit opens a provider's page. If that fails, the provider retries the handshake.
func (m *Module) visit(ctx context.Context, page string) error {
	if m.d.Fetch == nil {
		return fault.Unavailable.New("cannot_visit", "The provider's page cannot be opened here.")
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	status, _, err := m.d.Fetch(ctx, page)
	if err == nil && status/100 != 2 {
		err = fmt.Errorf("the answer was %d", status)
	}
	if err != nil {
		return fault.Unavailable.Wrap(err, "cannot_visit", "The provider's page cannot be opened at the moment.").After(failureAge)
	}
	return nil
}

type handshakeDetails struct {
	Source        string `json:"source"`
	Provider      string `json:"provider"`
	IntegrationID string `json:"integrationId"`
	Handshake     string `json:"handshake"`
	Open          string `json:"open,omitempty"` // the page that an operator must open to complete it
	Completed     bool   `json:"completed"`
	SourceIP      string `json:"sourceIp,omitempty"`
	CorrelationID string `json:"correlationId,omitempty"`
}

// auditHandshake records a handshake, unless anybody may have sent it: strangers must not be
// able to fill the audit trail.
func (m *Module) auditHandshake(ctx context.Context, src *source, reply *provider.Reply, ip string) error {
	if reply.Unproved {
		return nil
	}
	d := handshakeDetails{
		Source: src.Name, Provider: src.Spec.Name, IntegrationID: src.IntegrationID, Handshake: reply.What,
		Completed: reply.Open == "" || reply.Visit, SourceIP: ip, CorrelationID: erasureSafe(correlation(ctx)),
	}
	if !d.Completed {
		d.Open = reply.Open
	}
	text, _ := json.Marshal(d) // strings always marshal
	entry := contract.AuditEntry{EntityType: contract.EntityWebhookEvent, Action: "webhook.handshake", Actor: contract.ActorGateway, Details: text}
	return m.d.DB.InTx(ctx, func(tx *database.Tx) error {
		return m.d.Audit.Record(ctx, tx, []contract.AuditEntry{entry})
	})
}

// Headers that describe the stored event if the provider requires its own answer.
const (
	headerEventID     = "X-Event-Id"
	headerEventStatus = "X-Event-Status"
)

// acknowledge answers a stored webhook: as its provider requires, or with the receipt.
func acknowledge(c echo.Context, r receipt, reply *provider.Reply) error {
	switch {
	case reply != nil:
		if r.EventID != "" {
			c.Response().Header().Set(headerEventID, r.EventID)
		}
		c.Response().Header().Set(headerEventStatus, r.Status)
		return sendReply(c, reply)
	case r.Status == statusEmpty:
		return httpapi.Data(c, http.StatusAccepted, acceptance{EventIDs: []string{}, Status: r.Status, CorrelationID: r.CorrelationID})
	case r.Duplicate:
		return httpapi.Data(c, http.StatusOK, r)
	}
	return httpapi.Data(c, http.StatusAccepted, r)
}

// answerRefusal answers a refused webhook as its provider requires, or leaves that to the
// returned error. Limits and outages are told apart from refusals whatever the provider is.
func (m *Module) answerRefusal(c echo.Context, src *source, w *way, err error) error {
	err = m.refusedAs(c, src.Name, err, w.proved)
	if reply := src.Spec.RefusalReply(err); reply != nil && w.read {
		_ = sendReply(c, reply) // fails if the sender is gone
	}
	return err // for the log
}

func sendReply(c echo.Context, reply *provider.Reply) error {
	for name, value := range reply.Header {
		c.Response().Header().Set(name, value)
	}
	if len(reply.Body) == 0 {
		return c.NoContent(reply.Status)
	}
	return c.Blob(reply.Status, reply.ContentType, reply.Body)
}
