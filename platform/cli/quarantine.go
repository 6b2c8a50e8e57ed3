package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"integration-gateway/platform/cli/output"
)

var quarantineParams = []param{
	{flag: "source", name: "source", help: "only to this source"},
	{flag: "reason", name: "reason", help: "only refused for this reason, such as no_match"},
	{flag: "external-id", name: "externalEventId", help: "only with this id in the unverified body"},
	{flag: "from-ip", name: "sourceIp", help: "only from this address"},
	{flag: "since", name: "receivedFrom", help: "received at or after: " + momentHelp, time: true},
	{flag: "until", name: "receivedTo", help: "received at or before", time: true},
}

func (c *command) quarantine() *cobra.Command {
	cmd := group("quarantine", "List refused webhooks and release them after fixing the cause", `Requests to a known source that could not be verified, or gave no event, are kept for a
time. A release verifies them again with the current secrets.`,
		c.list(listing{
			short: "List refused requests, newest first", path: "/quarantine",
			params: quarantineParams,
			columns: []output.Column{
				{Title: "ID", Path: "id", Kind: output.ID}, {Title: "RECEIVED", Path: "receivedAt", Kind: output.Age},
				{Title: "SOURCE", Path: "source"}, {Title: "REASON", Path: "reason"}, {Title: "DETAIL", Path: "detail"},
				{Title: "REPEATS", Path: "repeats", Kind: output.Number, Wide: true}, {Title: "FROM", Path: "sourceIp", Wide: true},
				{Title: "BYTES", Path: "size", Kind: output.Number, Wide: true}, {Title: "EXTERNAL ID", Path: "externalEventId", Wide: true},
				{Title: "CORRELATION", Path: "correlationId", Wide: true},
			},
			empty: "Nothing in quarantine matches.", after: printDropped,
		}),
		c.quarantineShow(), c.quarantineRelease(), c.quarantineDelete())
	c.addAPIFlags(cmd)
	return cmd
}

// printDropped prints the sources with refused requests that are not in quarantine.
func printDropped(ctx context.Context, s *session, query url.Values) error {
	of := url.Values{}
	if source := query.Get("source"); source != "" {
		of.Set("source", source)
	}
	var all []struct {
		Source  string `json:"source"`
		Dropped struct {
			Requests int            `json:"requests"`
			Causes   map[string]int `json:"causes"`
		} `json:"dropped"`
	}
	if _, err := s.Get(ctx, "/quarantine/summary", of, &all); err != nil {
		return err
	}
	for _, one := range all {
		if one.Dropped.Requests == 0 {
			continue
		}
		var causes []string
		for _, cause := range slices.Sorted(maps.Keys(one.Dropped.Causes)) {
			causes = append(causes, fmt.Sprintf("%s %d", cause, one.Dropped.Causes[cause]))
		}
		if err := s.out.Say("%s: %d refused requests are not in quarantine (%s)", one.Source, one.Dropped.Requests, strings.Join(causes, ", ")); err != nil {
			return err
		}
	}
	return nil
}

func (c *command) quarantineShow() *cobra.Command {
	cmd := &cobra.Command{Use: "show ID", Short: "Show one refused request", Args: cobra.ExactArgs(1)}
	check := func(args []string) (err error) {
		args[0], err = validID("quarantine show", args[0])
		return err
	}
	cmd.RunE = c.beforeAPI(check, func(ctx context.Context, s *session, args []string) error {
		var raw json.RawMessage
		if _, err := s.Get(ctx, "/quarantine/"+args[0], nil, &raw); err != nil {
			return err
		}
		return s.one(raw, "id", func(item map[string]any) error {
			fields := fieldsOf(item,
				output.Column{Title: "id", Path: "id"}, output.Column{Title: "source", Path: "source"}, output.Column{Title: "provider", Path: "provider"},
				output.Column{Title: "reason", Path: "reason"}, output.Column{Title: "detail", Path: "detail"},
				output.Column{Title: "received", Path: "receivedAt", Kind: output.Time}, output.Column{Title: "from", Path: "sourceIp"},
				output.Column{Title: "correlation", Path: "correlationId"},
				output.Column{Title: "request", Of: func(item map[string]any) string {
					return output.TextAt(item, "method") + " " + output.TextAt(item, "url")
				}})
			headers, _ := output.At(item, "requestHeaders").(map[string]any)
			return s.out.Fields(append(append(fields, sortedFields(headers)...), output.Field{Name: "body", Text: output.TextAt(item, "rawBody"), Kind: output.Body}))
		})
	})
	return cmd
}

func (c *command) quarantineDelete() *cobra.Command {
	cmd := &cobra.Command{Use: "delete ID", Short: "Drop one refused request for good", Args: cobra.ExactArgs(1)}
	asked := addConsent(cmd)
	check := func(args []string) (err error) {
		args[0], err = validID("quarantine delete", args[0])
		return err
	}
	cmd.RunE = c.beforeAPI(check, func(ctx context.Context, s *session, args []string) error {
		if do, err := c.agreed(asked, "The refused request %s will be deleted and cannot be released.", args[0]); err != nil || !do {
			return err
		}
		var raw json.RawMessage
		if err := s.Delete(ctx, "/quarantine/"+args[0], nil, &raw); err != nil {
			return err
		}
		return s.done(raw, args[0], "deleted %s", args[0])
	})
	return cmd
}

func (c *command) quarantineRelease() *cobra.Command {
	cmd := &cobra.Command{
		Use: "release [ID]", Short: "Verify one refused request again, or all that match a filter, and accept it", Args: cobra.MaximumNArgs(1),
		Long: `Give an id, a filter, or --all. Exits with 1 if nothing was released, or something is still
refused.`,
	}
	filter := addFilters(cmd, quarantineParams)
	var all, dryRun bool
	cmd.Flags().BoolVar(&all, "all", false, "release every refused request")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only count what would be verified again")
	check := func(args []string) (err error) {
		switch one := len(args) == 1; {
		case one && (all || dryRun || filter.given()):
			return usage("quarantine release: give an id or a filter, not both")
		case !one && all == filter.given():
			return usage("quarantine release: give an id, a filter, or --all")
		case one:
			args[0], err = validID("quarantine release", args[0])
		default:
			_, err = filter.query()
		}
		return err
	}
	cmd.RunE = c.beforeAPI(check, func(ctx context.Context, s *session, args []string) error {
		if len(args) == 1 {
			return s.releaseOne(ctx, args[0])
		}
		body, err := filter.fields()
		if err != nil {
			return err
		}
		if all {
			body["all"] = true
		}
		if dryRun {
			return s.countReleases(ctx, body)
		}
		return s.releaseAll(ctx, body)
	})
	return cmd
}

func (s *session) releaseOne(ctx context.Context, quarantineID string) error {
	var raw json.RawMessage
	if err := s.Post(ctx, "/quarantine/"+quarantineID+"/release", map[string]any{}, &raw); err != nil {
		return err
	}
	item, err := output.Parse(raw)
	if err != nil {
		return err
	}
	as := " as event"
	if output.At(item, "duplicate") == true {
		as = ": duplicate of event"
	}
	return s.done(raw, quarantineID, "released %s%s %s", quarantineID, as, output.TextAt(item, "eventId"))
}

// released counts what was released.
type released struct {
	Matched    int            `json:"matched"`
	Released   int            `json:"released"`
	Duplicates int            `json:"duplicates"`
	Refused    map[string]int `json:"refused"`
	Skipped    int            `json:"skipped"`
}

func (r released) stay() int {
	n := 0
	for _, each := range r.Refused {
		n += each
	}
	return n
}

// releasesAtOnce is how many the API releases in one request.
const releasesAtOnce = 1000

func (s *session) countReleases(ctx context.Context, body map[string]any) error {
	body["dryRun"] = true
	var raw json.RawMessage
	if err := s.Post(ctx, "/quarantine/release", body, &raw); err != nil {
		return err
	}
	item, err := output.Parse(raw)
	if err != nil {
		return err
	}
	return s.done(raw, "", "%s would be verified again", output.TextAt(item, "matched"))
}

func (s *session) releaseAll(ctx context.Context, body map[string]any) error {
	sum := released{Refused: map[string]int{}}
	progress := s.c.progress()
	defer progress.done()
	for {
		var part released
		if err := s.Post(ctx, "/quarantine/release", body, &part); err != nil {
			return fmt.Errorf("after %d: %w", sum.Released+sum.Duplicates, err)
		}
		sum.Matched, sum.Released, sum.Duplicates = sum.Matched+part.Matched, sum.Released+part.Released, sum.Duplicates+part.Duplicates
		sum.Skipped += part.Skipped
		for why, n := range part.Refused {
			sum.Refused[why] += n
		}
		progress.show("%d released", sum.Released)
		if part.Matched < releasesAtOnce || part.stay() > 0 {
			break
		}
	}
	progress.done()
	raw, err := json.Marshal(sum)
	if err != nil {
		return fmt.Errorf("print the result: %w", err)
	}
	if err := s.done(raw, "", "%s", sum); err != nil {
		return err
	}
	switch {
	case sum.Matched == 0:
		return errors.New("nothing in quarantine matches, so nothing was released")
	case sum.Released+sum.Duplicates == 0 && sum.stay() == 0:
		return errors.New("all were removed meanwhile, so nothing was released")
	case sum.stay() > 0:
		return fmt.Errorf("%d of %d are still in quarantine; see `gateway quarantine show`", sum.stay(), sum.Matched)
	}
	return nil
}

func (r released) String() string {
	text := fmt.Sprintf("released %d of %d; %d were duplicates", r.Released+r.Duplicates, r.Matched, r.Duplicates)
	refused := []string{}
	for _, reason := range slices.Sorted(maps.Keys(r.Refused)) {
		refused = append(refused, fmt.Sprintf("%d %s", r.Refused[reason], reason))
	}
	if r.Skipped > 0 {
		text += fmt.Sprintf("; %d were released or removed meanwhile", r.Skipped)
	}
	if len(refused) > 0 {
		text += "\nstill refused: " + strings.Join(refused, ", ")
	}
	return text
}
