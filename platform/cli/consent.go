package cli

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"integration-gateway/platform/app"
	"integration-gateway/platform/cli/output"
	"integration-gateway/platform/telemetry"
)

// consent are the flags of what deletes or stops something.
type consent struct{ yes, dryRun bool }

func addConsent(cmd *cobra.Command) *consent {
	a := &consent{}
	cmd.Flags().BoolVar(&a.yes, "yes", false, "do not ask for confirmation")
	cmd.Flags().BoolVar(&a.dryRun, "dry-run", false, "only say what would be done")
	return a
}

// agreed says what will be done and asks for confirmation. It reports whether to do it.
func (c *command) agreed(a *consent, format string, args ...any) (bool, error) {
	text := fmt.Sprintf(format, args...)
	if a.dryRun {
		_, err := fmt.Fprintf(c.stdout, "dry run: %s\n", text)
		return false, err
	}
	if a.yes {
		return true, nil
	}
	_, _ = fmt.Fprintln(output.NewWriter(c.stderr), text)
	return true, c.confirm(false)()
}

// confirm asks at the terminal, unless yes is set. If nobody can be asked, the command line is
// invalid without --yes.
func (c *command) confirm(yes bool) app.Confirm {
	return func() error {
		switch {
		case yes:
			return nil
		case !telemetry.IsTerminal(os.Stdin):
			return usage("not a terminal, so nothing was done: use --yes to confirm")
		}
		_, _ = fmt.Fprint(c.stderr, "Proceed? [y/N] ")
		answer, _ := bufio.NewReader(os.Stdin).ReadString('\n')
		if answer = strings.ToLower(strings.TrimSpace(answer)); answer != "y" && answer != "yes" {
			return errors.New("cancelled: nothing was done")
		}
		return nil
	}
}
