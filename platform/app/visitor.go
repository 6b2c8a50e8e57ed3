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

// visitor uses the gateway as providers and operators do: over HTTP alone.
type visitor struct {
	api    string
	key    string
	unique string
	client *http.Client
	acts   []act
}

// act is a webhook and what became of it.
type act struct {
	what, answer, became string
	well                 bool
}

func newVisitor(d *devSystem) *visitor {
	return &visitor{api: d.url() + httpapi.Base, key: d.cfg.ManagementKey.Reveal(), unique: id.New()[24:],
		client: &http.Client{Timeout: 10 * time.Second}}
}

// play sends the webhooks one after the other and prints the table.
func (v *visitor) play(ctx context.Context, out io.Writer) error {
	for _, step := range []func(context.Context) (act, error){v.good, v.repeated, v.forged, v.flaky} {
		a, err := step(ctx)
		if err != nil {
			a.became = "failed: " + err.Error()
		}
		a.well = a.well && err == nil
		v.acts = append(v.acts, a)
	}
	return v.report(out)
}

func (v *visitor) report(out io.Writer) error {
	table := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	_, _ = fmt.Fprintln(table, "WEBHOOK\tANSWER\tWHAT BECAME OF IT\t")
	well := 0
	for _, a := range v.acts {
		mark := "as it should"
		if a.well {
			well++
		} else {
			mark = "WRONG"
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", a.what, a.answer, a.became, mark)
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("print the table: %w", err)
	}
	_, _ = fmt.Fprintf(out, "\n%d of %d went as they should.\n", well, len(v.acts))
	if well < len(v.acts) {
		return errDemo
	}
	return nil
}

func (v *visitor) body(name, data string) []byte {
	return fmt.Appendf(nil, `{"eventId":"evt_%s_%s","eventType":"order.created","occurredAt":"%s","data":{"id":"ord_%s"%s}}`,
		name, v.unique, exampleTime, v.unique, data)
}

func (v *visitor) good(ctx context.Context) (act, error) {
	a := act{what: "a good one"}
	body := v.body("good", "")
	got, err := v.send(ctx, body, acme.credential(body))
	if err != nil {
		return a, err
	}
	a.answer = got.String()
	story, err := v.ended(ctx, got.EventID)
	a.became = story.String()
	a.well = got.status == http.StatusAccepted && story.is("processed", http.StatusAccepted)
	return a, err
}

func (v *visitor) repeated(ctx context.Context) (act, error) {
	a := act{what: "the same once more"}
	body := v.body("good", "")
	got, err := v.send(ctx, body, acme.credential(body))
	if err != nil {
		return a, err
	}
	a.answer = got.String()
	story, err := v.ended(ctx, got.EventID)
	a.became = "the same event, " + story.String()
	a.well = got.status == http.StatusOK && got.Duplicate && story.is("processed", http.StatusAccepted)
	return a, err
}

func (v *visitor) forged(ctx context.Context) (act, error) {
	a := act{what: "one with a bad signature"}
	body := v.body("forged", "")
	got, err := v.send(ctx, body, acme.credential(append([]byte(nil), body[1:]...)))
	if err != nil {
		return a, err
	}
	a.answer = got.String()
	var events []struct{}
	if err := v.read(ctx, "/events?externalEventId=evt_forged_"+v.unique, &events); err != nil {
		return a, err
	}
	audited, err := v.audited(ctx, "webhook.rejected")
	a.became = fmt.Sprintf("%s, audited as webhook.rejected: %t", count(len(events), "event"), audited)
	a.well = got.status == http.StatusUnauthorized && len(events) == 0 && audited
	return a, err
}

func (v *visitor) flaky(ctx context.Context) (act, error) {
	a := act{what: "one whose delivery fails first"}
	body := v.body("flaky", `,"simulateFailure":"once"`)
	got, err := v.send(ctx, body, acme.credential(body))
	if err != nil {
		return a, err
	}
	a.answer = got.String()
	story, err := v.ended(ctx, got.EventID)
	a.became = story.String()
	a.well = got.status == http.StatusAccepted && story.is("processed", http.StatusInternalServerError, http.StatusAccepted)
	return a, err
}

// answer is what a sender is told.
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

func (v *visitor) send(ctx context.Context, body []byte, credential string) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, v.api+"/webhooks/acme", bytes.NewReader(body))
	if err != nil {
		return answer{}, fmt.Errorf("make the request: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(acme.header, credential)
	var a answer
	a.status, err = v.do(req, &a)
	return a, err
}

// read gets data from the management API.
func (v *visitor) read(ctx context.Context, path string, data any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, v.api+path, nil)
	if err != nil {
		return fmt.Errorf("make the request: %w", err)
	}
	req.Header.Set(httpapi.HeaderManagementKey, v.key)
	status, err := v.do(req, data)
	if err == nil && status != http.StatusOK {
		return fmt.Errorf("GET %s was answered with %d", path, status)
	}
	return err
}

func (v *visitor) do(req *http.Request, data any) (status int, err error) {
	res, err := v.client.Do(req)
	if err != nil {
		return 0, fmt.Errorf("ask the gateway: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	envelope := struct {
		Data any `json:"data"`
	}{data}
	if err := json.NewDecoder(res.Body).Decode(&envelope); err != nil {
		return res.StatusCode, fmt.Errorf("read the gateway's answer: %w", err)
	}
	return res.StatusCode, nil
}
