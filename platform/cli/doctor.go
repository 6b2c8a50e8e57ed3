package cli

import (
	"errors"
	"time"

	"github.com/spf13/cobra"

	"integration-gateway/platform/app"
	"integration-gateway/platform/app/doctor"
	"integration-gateway/platform/cli/output"
	"integration-gateway/platform/config"
)

// doctorTimeout is how long each check may take.
const doctorTimeout = 10 * time.Second

func (c *command) doctor() *cobra.Command {
	cmd := &cobra.Command{
		Use: "doctor", Short: "Examine the installation, and say what to do", Args: cobra.NoArgs,
		Long: `Examines the settings, the database and its schema, the broker and its queues, the cache, the
clock, the keys, where deliveries may go, the disk, certificates, and who can reach the
listeners, as a process started here would find them. It works without a running gateway and
changes nothing. Each line is ok, warn or fail, with what to do.

Exits with 0 if nothing fails, with 5 if a server does not answer, and otherwise with 1.`,
	}
	role := addRole(cmd, "", roleHelp+" (default: what the settings are enough for)")
	data := cmd.Flags().String("data", app.DefaultDataDir, "the data folder of gateway dev, used without DATABASE_URL")
	timeout := cmd.Flags().Duration("timeout", doctorTimeout, "how long each check may take")
	c.addOutputFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *timeout < time.Second {
			return usage("doctor: --timeout must be at least 1s")
		}
		out, err := c.printer()
		if err != nil {
			return err
		}
		cfg, o, err := c.examined(*role, *data)
		if err != nil {
			return err
		}
		o.Timeout = *timeout
		found := app.Examine(cmd.Context(), cfg, o)
		if err := c.printFindings(out, found); err != nil {
			return err
		}
		switch worst, unavailable := doctor.Worst(found); {
		case unavailable:
			return &failure{exitUnavailable, "a server does not answer"}
		case worst == doctor.Fail:
			return &failure{exitFailed, "something is wrong"}
		}
		return nil
	}
	return cmd
}

// examined returns the configuration to examine. Without a role it is that of the process
// which the settings are enough for.
func (c *command) examined(role, data string) (config.Config, app.DoctorOptions, error) {
	known, _ := config.Inspect(config.Options{Role: config.Migrate, Path: c.configPath})
	folder := ""
	if known.Database.URL.Empty() {
		folder = data
	}
	if role == "" {
		role = roleOf(known)
	}
	o, err := roleOptions(role)
	if err != nil {
		return config.Config{}, app.DoctorOptions{}, err
	}
	cfg, mistakes, err := c.settings(o)
	if err == nil && role == "dev" {
		cfg, err = app.OfDataFolder(cfg, folder, known.Database.URL)
	}
	var wrong config.Mistakes
	if err != nil && !errors.As(err, &wrong) {
		wrong = config.Mistakes{{Name: "secrets.key", Problem: err.Error(), Fix: "make it readable for this user alone"}}
	}
	return cfg, app.DoctorOptions{Role: role, Mistakes: append(mistakes, wrong...)}, nil
}

func roleOf(known config.Config) string {
	switch broker := !known.RabbitMQ.URL.Empty(); {
	case known.Database.URL.Empty(), known.Database.SQLite() && known.ManagementKey.Empty():
		return "dev"
	case !broker:
		return "both"
	case known.ManagementKey.Empty():
		return "work"
	}
	return "serve"
}

var findingColumns = []output.Column{
	{Title: "CHECK", Path: "check", Kind: output.ID}, {Title: "STATUS", Path: "status", Kind: output.State},
	{Title: "TEXT", Path: "text"}, {Title: "FIX", Path: "fix"},
}

func (c *command) printFindings(out *output.Printer, found []doctor.Finding) error {
	if !out.ForPeople() {
		return c.whole(out, found, found, findingColumns)
	}
	const widest = len("certificates")
	for _, f := range found {
		line := []output.Field{{Text: string(f.Status), Kind: output.State}, {Text: f.Check}, {Text: f.Text}}
		if err := out.Line(line, []int{4, widest, 0}); err != nil {
			return err
		}
		if f.Fix == "" {
			continue
		}
		if err := out.Line([]output.Field{{}, {}, {Text: "→ " + f.Fix}}, []int{4, widest, 0}); err != nil {
			return err
		}
	}
	return nil
}
