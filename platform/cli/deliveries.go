package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"

	"github.com/spf13/cobra"

	"integration-gateway/platform/app"
	"integration-gateway/platform/cli/output"
)

var errorKinds = []string{"http_status", "redirect", "token", "unsent", "egress_refused", "proxy", "dns", "timeout", "tls", "connection_refused", "unreachable", "connection_lost", "protocol", "other"}

func (c *command) deliveries() *cobra.Command {
	cmd := group("deliveries", "Look at the attempts to deliver events", "",
		c.list(listing{
			short: "List attempts, newest first", path: "/deliveries",
			params: []param{
				{flag: "event", name: "eventId", help: "only of this event (its id)"},
				{flag: "source", name: "source", help: "only of this source"},
				{flag: "destination", name: "destinationId", help: "only to this destination (its id)"},
				{flag: "status", name: "status", help: "only those", oneOf: []string{"success", "failed"}},
				{flag: "error-kind", name: "errorKind", help: "only those that failed so", oneOf: errorKinds},
				{flag: "http-status", name: "httpStatus", help: "only with this answer, such as 503"},
				{flag: "since", name: "createdFrom", help: "at or after: " + momentHelp, time: true},
				{flag: "until", name: "createdTo", help: "at or before", time: true},
			},
			columns: []output.Column{
				{Title: "ID", Path: "id", Kind: output.ID},
				{Title: "AT", Path: "createdAt", Kind: output.Age},
				{Title: "STATUS", Path: "status", Kind: output.State},
				{Title: "HTTP", Path: "httpStatus", Kind: output.Number},
				{Title: "TOOK", Path: "durationMs", Kind: output.Millis},
				{Title: "ERROR", Path: "errorKind"},
				{Title: "NO", Path: "attemptNo", Kind: output.Number, Wide: true},
				{Title: "MESSAGE", Path: "errorMessage", Wide: true},
				{Title: "EVENT", Path: "normalizedEventId", Kind: output.ID, Wide: true},
				{Title: "DESTINATION", Path: "destinationId", Kind: output.ID, Wide: true},
			},
			empty: "No attempt matches.",
		}),
		c.deliveriesShow())
	c.addAPIFlags(cmd)
	return cmd
}

// deliveriesShow finds an attempt among those of its event: the API has no route for one.
func (c *command) deliveriesShow() *cobra.Command {
	cmd := &cobra.Command{
		Use: "show [ATTEMPT] --event EVENT", Short: "Show an attempt with the destination's answer", Args: cobra.MaximumNArgs(1),
		Long: `Shows one attempt of an event, by its id or number, or the last one.`,
	}
	event := cmd.Flags().String("event", "", "the event, as in gateway events show")
	cmd.RunE = c.onAPI(func(ctx context.Context, s *session, args []string) error {
		if *event == "" {
			return usage("deliveries show: give the event with --event; gateway deliveries list -o wide shows it")
		}
		eventID, err := s.eventID(ctx, *event)
		if err != nil {
			return err
		}
		var shown struct {
			Attempts []json.RawMessage `json:"deliveryAttempts"`
		}
		if _, err := s.Get(ctx, "/events/"+eventID, nil, &shown); err != nil {
			return err
		}
		raw, err := chooseAttempt(shown.Attempts, args)
		if err != nil {
			return err
		}
		return s.one(raw, "id", s.showAttempt)
	})
	return cmd
}

func chooseAttempt(all []json.RawMessage, args []string) (json.RawMessage, error) {
	if len(args) == 0 && len(all) > 0 {
		return all[len(all)-1], nil
	}
	for _, raw := range all {
		item, err := output.Parse(raw)
		if err != nil {
			return nil, err
		}
		if attemptID, _ := app.ValidID(args[0]); output.TextAt(item, "id") == attemptID || output.TextAt(item, "attemptNo") == args[0] {
			return raw, nil
		}
	}
	return nil, notFound("The event has no such attempt; it has %d.", len(all))
}

func (s *session) showAttempt(item map[string]any) error {
	err := s.out.Fields(fieldsOf(item,
		output.Column{Title: "id", Path: "id"}, output.Column{Title: "event", Path: "normalizedEventId"}, output.Column{Title: "destination", Path: "destinationId"},
		output.Column{Title: "number", Path: "attemptNo"}, output.Column{Title: "at", Path: "createdAt", Kind: output.Time},
		output.Column{Title: "status", Path: "status", Kind: output.State}, output.Column{Title: "HTTP status", Path: "httpStatus"},
		output.Column{Title: "took", Path: "durationMs", Kind: output.Millis}, output.Column{Title: "error", Path: "errorMessage"},
		output.Column{Title: "kind", Path: "errorKind"}, output.Column{Title: "refused because", Path: "refusal"}))
	body := output.TextAt(item, "responseBody")
	if err != nil || body == "" {
		return err
	}
	if err := s.out.Title("Answer"); err != nil {
		return err
	}
	return s.out.Block(body)
}

func (c *command) deadLettersResolve() *cobra.Command {
	cmd := &cobra.Command{
		Use: "resolve [ID] --reason TEXT", Short: "Close a dead letter, or all that match a filter, without another delivery", Args: cobra.MaximumNArgs(1),
		Long: `Closes open dead letters: what they are about was settled in another way. Nothing is sent, and
the events keep their status. They cannot be opened again. The reason is shown, and in the audit
trail. Give an id, a filter, or --all; many are counted first, and closed after a question.`,
		Example: `  gateway dead-letters resolve 0190a1b2-0000-7000-8000-000000000001 --reason "the order was corrected by hand"
  gateway dead-letters resolve --error "the destination answered HTTP 410" --source shop --reason "the shop is closed"`,
	}
	r := newDeadLetterAct(cmd, "resolve")
	cmd.Flags().BoolVar(&r.yes, "yes", false, "do not ask for confirmation")
	cmd.Flags().BoolVar(&r.dryRun, "dry-run", false, "only count what would be closed")
	check := func(args []string) error {
		if r.reason == "" && !r.dryRun {
			return usage("dead-letters resolve: give --reason")
		}
		return r.check(args)
	}
	cmd.RunE = c.beforeAPI(check, func(ctx context.Context, s *session, args []string) error {
		if len(args) == 0 {
			return s.deadLettersInBulk(ctx, r)
		}
		var raw json.RawMessage
		if err := s.Post(ctx, "/dead-letters/"+args[0]+"/resolve", r.requester(map[string]any{}), &raw); err != nil {
			return err
		}
		return s.done(raw, args[0], "closed %s; nothing is sent", args[0])
	})
	return cmd
}

// deadLettersAtOnce is how many the API requeues or closes in one request.
const deadLettersAtOnce = 1000

// deadLettersDone counts what was requeued or closed.
type deadLettersDone struct {
	Matched  int `json:"matched"`
	Requeued int `json:"requeued"`
	Resolved int `json:"resolved"`
	Failed   int `json:"failed"`
	Skipped  int `json:"skipped"`
}

// acted is how many were requeued, or closed.
func (d deadLettersDone) acted() int { return d.Requeued + d.Resolved }

// answer is the sum as the API answers one request.
func (d deadLettersDone) answer(verb string) (json.RawMessage, error) {
	fields := map[string]int{"matched": d.Matched, "skipped": d.Skipped}
	if verb == "requeue" {
		fields["requeued"], fields["failed"] = d.Requeued, d.Failed
	} else {
		fields["resolved"] = d.Resolved
	}
	raw, err := json.Marshal(fields)
	if err != nil {
		return nil, fmt.Errorf("print the result: %w", err)
	}
	return raw, nil
}

// participles are how what was done is said.
var participles = map[string]string{"requeue": "requeued", "resolve": "closed"}

// deadLettersInBulk requeues or closes the open dead letters of a filter, a thousand a request.
func (s *session) deadLettersInBulk(ctx context.Context, r *deadLetterAct) error {
	body, err := r.filter.fields()
	if err != nil {
		return err
	}
	r.requester(body)
	if r.all {
		body["all"] = true
	}
	participle := participles[r.verb]
	if r.dryRun || r.verb == "resolve" && !r.yes {
		raw, count, err := s.countDeadLetters(ctx, body, r)
		if err != nil {
			return err
		}
		if r.dryRun {
			return s.done(raw, "", "%d would be %s", count, participle)
		}
		if count > 0 {
			if do, err := s.c.agreed(&r.consent, "%d open dead letters will be closed for good; nothing is sent.", count); err != nil || !do {
				return err
			}
			r.limit = count // the oldest are closed first: what has come meanwhile stays open
		}
	}
	sum, err := s.actOnDeadLetters(ctx, r, body)
	if err != nil {
		return fmt.Errorf("after %d: %w", sum.acted(), err)
	}
	raw, err := sum.answer(r.verb)
	if err != nil {
		return err
	}
	text := fmt.Sprintf("%s %d of %d", participle, sum.acted(), sum.Matched)
	if r.verb == "requeue" {
		text += fmt.Sprintf("; %d cannot be requeued", sum.Failed)
	}
	if sum.Skipped > 0 {
		text += fmt.Sprintf("; %d were requeued, closed or removed meanwhile", sum.Skipped)
	}
	if err := s.done(raw, "", "%s", text); err != nil {
		return err
	}
	switch {
	case sum.Failed > 0:
		return fmt.Errorf("%d of %d cannot be requeued; see `gateway dead-letters show`", sum.Failed, sum.Matched)
	case sum.acted() == 0 && sum.Skipped == 0:
		return &failure{exitFailed, "no open dead letter matches, so nothing was " + participle}
	case sum.acted() == 0:
		return &failure{exitFailed, "all were requeued, closed or removed meanwhile, so nothing was " + participle}
	}
	return nil
}

// actOnDeadLetters repeats the request until none is left, or as many as the limit are done.
func (s *session) actOnDeadLetters(ctx context.Context, r *deadLetterAct, body map[string]any) (sum deadLettersDone, err error) {
	progress := s.c.progress()
	defer progress.done()
	for {
		if body["limit"] = deadLettersAtOnce; r.limit > 0 {
			body["limit"] = min(r.limit-sum.acted()-sum.Failed-sum.Skipped, deadLettersAtOnce)
		}
		var part deadLettersDone
		if err := s.Post(ctx, "/dead-letters/"+r.verb, body, &part); err != nil {
			return sum, err
		}
		if sum.Matched == 0 { // the first says how many there are
			sum.Matched = part.Matched
		}
		sum.Requeued, sum.Resolved, sum.Failed, sum.Skipped = sum.Requeued+part.Requeued, sum.Resolved+part.Resolved, sum.Failed+part.Failed, sum.Skipped+part.Skipped
		progress.show("%d %s", sum.acted(), participles[r.verb])
		over := r.limit > 0 && sum.acted()+sum.Failed+sum.Skipped >= r.limit
		if over || part.acted()+part.Skipped == 0 || part.Failed > 0 || part.Matched <= part.acted()+part.Skipped {
			return sum, nil
		}
	}
}

func (s *session) countDeadLetters(ctx context.Context, body map[string]any, r *deadLetterAct) (raw json.RawMessage, count int, err error) {
	dry := maps.Clone(body)
	dry["dryRun"] = true
	var part deadLettersDone
	if err := s.Post(ctx, "/dead-letters/"+r.verb, dry, &raw); err != nil {
		return nil, 0, err
	}
	if err := json.Unmarshal(raw, &part); err != nil {
		return nil, 0, fmt.Errorf("read the answer: %w", err)
	}
	if r.limit > 0 {
		part.Matched = min(part.Matched, r.limit)
	}
	return raw, part.Matched, nil
}
