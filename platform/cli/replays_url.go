package cli

import (
	"github.com/spf13/cobra"

	"integration-gateway/platform/app"
	"integration-gateway/platform/cli/output"
)

// urlFlags say which URL, that is no destination, a replay goes to.
type urlFlags struct{ url, file, variable string }

func addURLFlags(cmd *cobra.Command) *urlFlags {
	f := &urlFlags{}
	cmd.Flags().StringVar(&f.url, "to-url", "", "once to this URL in place of destinations")
	cmd.Flags().StringVar(&f.file, "signing-secret-file", "", "a file with the secret that signs what goes to the URL (whsec_…)")
	cmd.Flags().StringVar(&f.variable, "signing-secret-env", "", "an environment variable with it")
	return f
}

// into adds the URL and its secret to a request.
func (f *urlFlags) into(command string, body map[string]any) error {
	given := func(text string) []string {
		if text == "" {
			return nil
		}
		return []string{text}
	}
	secrets, err := app.Secrets(nil, given(f.file), given(f.variable))
	switch {
	case err != nil:
		return usage(command + ": " + err.Error())
	case f.url == "" && len(secrets) == 0:
		return nil
	case f.url == "" || len(secrets) != 1:
		return usage(command + ": give --to-url with its secret, by --signing-secret-file or --signing-secret-env")
	}
	body["url"], body["signingSecret"] = f.url, secrets[0]
	return nil
}

func (c *command) replaysEvents() *cobra.Command {
	return c.list(listing{
		use: "events REPLAY", short: "List the events of a replay with what became of each, the last asked for first",
		path: "/replays/%s/events", of: "replays events",
		params: []param{
			{flag: "status", name: "status", help: "only those", oneOf: []string{"queued", "dispatched", "completed", "failed"}},
			{flag: "event", name: "eventId", help: "those of this event (its id)"},
			{flag: "destination", name: "destinationId", help: "those to this destination (its id)"},
		},
		columns: []output.Column{
			{Title: "EVENT", Path: "eventId", Kind: output.ID}, {Title: "STATUS", Path: "status", Kind: output.State},
			{Title: "DESTINATION", Path: "destinationId", Kind: output.ID}, {Title: "HTTP", Path: "httpStatus", Kind: output.Number},
			{Title: "ENDED", Path: "completedAt", Kind: output.Age}, {Title: "ERROR", Path: "errorMessage"},
			{Title: "URL", Path: "url", Wide: true}, {Title: "ATTEMPTS", Path: "attempts", Kind: output.Number, Wide: true},
			{Title: "CREATED", Path: "createdAt", Kind: output.Age, Wide: true},
		},
		empty: "The replay has asked for no event so far.",
	})
}

// showChanges prints what normalizing anew would change, if that was asked.
func (s *session) showChanges(counted map[string]any) error {
	found, is := counted["changes"].(map[string]any)
	if !is {
		return nil
	}
	err := s.out.Say("\nThe mapping of now changes %s events, leaves %s as they are, and fails for %s",
		output.TextAt(found, "changed"), output.TextAt(found, "unchanged"), output.TextAt(found, "failing"))
	if err != nil {
		return err
	}
	var lines []any
	events, _ := found["first"].([]any)
	for _, e := range events {
		event, _ := e.(map[string]any)
		if problem := output.TextAt(event, "problem"); problem != "" {
			lines = append(lines, map[string]any{"eventId": event["eventId"], "path": "fails", "after": problem})
		}
		changes, _ := event["changes"].([]any)
		for _, c := range changes {
			change, _ := c.(map[string]any)
			lines = append(lines, map[string]any{"eventId": event["eventId"], "path": change["path"], "before": orNothing(change["before"]), "after": orNothing(change["after"])})
		}
	}
	return s.table(map[string]any{"changes": lines}, "changes", "The oldest that it changes", []output.Column{
		{Title: "EVENT", Path: "eventId", Kind: output.ID}, {Title: "PATH", Path: "path"}, {Title: "BEFORE", Path: "before"}, {Title: "AFTER", Path: "after"}})
}

// orNothing is a value's JSON text, or a dash where there is none.
func orNothing(text any) any {
	if text == nil {
		return "-"
	}
	return text
}
