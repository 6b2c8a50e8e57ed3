package ingestion

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/labstack/echo/v4"

	"integration-gateway/modules/ingestion/provider"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
)

// getWebhook answers the GET by which some providers try an address. Where the source's
// provider has none, there is no such route.
func (m *Module) getWebhook(c echo.Context) error {
	r := c.Request()
	src, err := m.sources.find(r.Context(), c.Param("source"))
	if err != nil {
		return m.refused(c, unknown, err)
	}
	if src.spec.Challenge == nil {
		return m.refused(c, src.name, unknownSource())
	}
	req := provider.Request{Method: r.Method, URL: m.urlOf(r), Header: r.Header, ReceivedAt: m.d.Now()}
	reply, err := src.spec.Challenge(req, src.secretsAt(req.ReceivedAt))
	if err != nil {
		return m.refused(c, src.name, err)
	}
	if err := m.limitVerified(r.Context(), src, httpapi.ClientIP(c)); err != nil {
		return m.refused(c, src.name, err)
	}
	if err := m.auditHandshake(r.Context(), src, reply, httpapi.ClientIP(c)); err != nil {
		return err
	}
	return sendReply(c, reply)
}

// headWebhook answers the HEAD by which some providers try an address. It proves
// nothing and tells only that the source is there, which its operator wants it to.
func (m *Module) headWebhook(c echo.Context) error {
	src, err := m.sources.find(c.Request().Context(), c.Param("source"))
	if err == nil && !src.spec.Probes {
		err = unknownSource()
	}
	if err != nil {
		return m.refused(c, unknown, err)
	}
	return c.NoContent(http.StatusOK)
}

// shake completes a handshake: it opens the page that the integration lets it open, and
// writes down what an operator may have to do.
func (m *Module) shake(ctx context.Context, src *source, reply *provider.Reply, ip string) error {
	if reply.Visit {
		if err := m.visit(ctx, reply.Open); err != nil {
			return err
		}
	}
	return m.auditHandshake(ctx, src, reply, ip)
}

// visit opens a provider's page. The provider tries again when it cannot be opened now.
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
	Open          string `json:"open,omitempty"` // what an operator opens to complete it
	Completed     bool   `json:"completed"`
	SourceIP      string `json:"sourceIp,omitempty"`
	CorrelationID string `json:"correlationId"`
}

func (m *Module) auditHandshake(ctx context.Context, src *source, reply *provider.Reply, ip string) error {
	d := handshakeDetails{
		Source: src.name, Provider: src.spec.Name, IntegrationID: src.integrationID, Handshake: reply.What,
		Completed: reply.Open == "" || reply.Visit, SourceIP: ip, CorrelationID: correlation(ctx),
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

// Headers that tell a sender of an event whose provider wants an answer of its own.
const (
	headerEventID     = "X-Event-Id"
	headerEventStatus = "X-Event-Status"
)

// acknowledge answers a stored webhook: as its provider wants it, else with the receipt.
func acknowledge(c echo.Context, r receipt, reply *provider.Reply) error {
	switch {
	case reply != nil:
		c.Response().Header().Set(headerEventID, r.EventID)
		c.Response().Header().Set(headerEventStatus, r.Status)
		return sendReply(c, reply)
	case r.Duplicate:
		return httpapi.Data(c, http.StatusOK, r)
	}
	return httpapi.Data(c, http.StatusAccepted, r)
}

func sendReply(c echo.Context, reply *provider.Reply) error {
	if len(reply.Body) == 0 {
		return c.NoContent(reply.Status)
	}
	return c.Blob(reply.Status, reply.ContentType, reply.Body)
}
