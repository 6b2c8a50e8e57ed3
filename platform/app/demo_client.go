package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"text/tabwriter"
	"time"

	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/id"
)

// demoClient uses the gateway like providers and operators do: only over HTTP.
type demoClient struct {
	api      string
	key      string
	unique   string
	client   *http.Client
	webhooks []demoWebhook
}

// demoWebhook is a webhook of the demo and its result.
type demoWebhook struct {
	what, answer, result string
	ok                   bool
}

func newDemoClient(d *devSystem) *demoClient {
	return &demoClient{api: d.url() + httpapi.Base, key: d.cfg.ManagementKey.Reveal(), unique: id.New()[24:],
		client: &http.Client{Timeout: 10 * time.Second}}
}

// run sends the webhooks one after the other and prints the table.
func (c *demoClient) run(ctx context.Context, out io.Writer) error {
	for _, step := range []func(context.Context) (demoWebhook, error){c.sendValid, c.sendDuplicate, c.sendForged, c.sendFailing} {
		a, err := step(ctx)
		if err != nil {
			a.result = "failed: " + err.Error()
		}
		a.ok = a.ok && err == nil
		c.webhooks = append(c.webhooks, a)
	}
	return c.report(out)
}

func (c *demoClient) report(out io.Writer) error {
	table := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	_, _ = fmt.Fprintln(table, "WEBHOOK\tRESPONSE\tRESULT\t")
	passed := 0
	for _, a := range c.webhooks {
		mark := "as expected"
		if a.ok {
			passed++
		} else {
			mark = "WRONG"
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", a.what, a.answer, a.result, mark)
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("print the table: %w", err)
	}
	_, _ = fmt.Fprintf(out, "\n%d of %d as expected.\n", passed, len(c.webhooks))
	if passed < len(c.webhooks) {
		return errDemo
	}
	return nil
}

func (c *demoClient) body(name, data string) []byte {
	return fmt.Appendf(nil, `{"eventId":"evt_%s_%s","eventType":"order.created","occurredAt":"%s","data":{"id":"ord_%s"%s}}`,
		name, c.unique, exampleTime, c.unique, data)
}

func (c *demoClient) sendValid(ctx context.Context) (demoWebhook, error) {
	a := demoWebhook{what: "valid"}
	body := c.body("good", "")
	got, err := c.send(ctx, body, acme.credential(body))
	if err != nil {
		return a, err
	}
	a.answer = got.String()
	history, err := c.waitUntilFinished(ctx, got.EventID)
	a.result = history.String()
	a.ok = got.status == http.StatusAccepted && history.matches("processed", http.StatusAccepted)
	return a, err
}

func (c *demoClient) sendDuplicate(ctx context.Context) (demoWebhook, error) {
	a := demoWebhook{what: "the same webhook again"}
	body := c.body("good", "")
	got, err := c.send(ctx, body, acme.credential(body))
	if err != nil {
		return a, err
	}
	a.answer = got.String()
	history, err := c.waitUntilFinished(ctx, got.EventID)
	a.result = "the same event, " + history.String()
	a.ok = got.status == http.StatusOK && got.Duplicate && history.matches("processed", http.StatusAccepted)
	return a, err
}

func (c *demoClient) sendForged(ctx context.Context) (demoWebhook, error) {
	a := demoWebhook{what: "invalid signature"}
	body := c.body("forged", "")
	got, err := c.send(ctx, body, acme.credential(append([]byte(nil), body[1:]...)))
	if err != nil {
		return a, err
	}
	a.answer = got.String()
	var events []struct{}
	if err := c.read(ctx, "/events?externalEventId=evt_forged_"+c.unique, &events); err != nil {
		return a, err
	}
	audited, err := c.waitForAudit(ctx, "webhook.rejected")
	a.result = fmt.Sprintf("%s, audited as webhook.rejected: %t", count(len(events), "event"), audited)
	a.ok = got.status == http.StatusUnauthorized && len(events) == 0 && audited
	return a, err
}

func (c *demoClient) sendFailing(ctx context.Context) (demoWebhook, error) {
	a := demoWebhook{what: "delivery fails once"}
	body := c.body("flaky", `,"simulateFailure":"once"`)
	got, err := c.send(ctx, body, acme.credential(body))
	if err != nil {
		return a, err
	}
	a.answer = got.String()
	history, err := c.waitUntilFinished(ctx, got.EventID)
	a.result = history.String()
	a.ok = got.status == http.StatusAccepted && history.matches("processed", http.StatusInternalServerError, http.StatusAccepted)
	return a, err
}

// answer is the response to a webhook.
type answer struct {
	status    int
	EventID   string `json:"eventId"`
	Status    string `json:"status"`
	Duplicate bool   `json:"duplicate"`
}

func (a answer) String() string {
	if a.Status == "" {
		return fmt.Sprintf("%d %s", a.status, http.StatusText(a.status))
	}
	return fmt.Sprintf("%d %s", a.status, a.Status)
}

func (c *demoClient) send(ctx context.Context, body []byte, credential string) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.api+"/webhooks/acme", bytes.NewReader(body))
	if err != nil {
		return answer{}, fmt.Errorf("make the request: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(acme.header, credential)
	var a answer
	a.status, err = c.do(req, &a)
	return a, err
}

// read fetches data from the management API.
func (c *demoClient) read(ctx context.Context, path string, data any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.api+path, nil)
	if err != nil {
		return fmt.Errorf("make the request: %w", err)
	}
	req.Header.Set(httpapi.HeaderManagementKey, c.key)
	status, err := c.do(req, data)
	if err == nil && status != http.StatusOK {
		return fmt.Errorf("GET %s was answered with %d", path, status)
	}
	return err
}

func (c *demoClient) do(req *http.Request, data any) (status int, err error) {
	res, err := c.client.Do(req)
	if err != nil {
		return 0, fmt.Errorf("call the gateway: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	envelope := struct {
		Data any `json:"data"`
	}{data}
	if err := json.NewDecoder(res.Body).Decode(&envelope); err != nil {
		return res.StatusCode, fmt.Errorf("read the gateway's response: %w", err)
	}
	return res.StatusCode, nil
}
