package cli

import (
	"github.com/spf13/cobra"

	"integration-gateway/platform/app"
	"integration-gateway/platform/config"
)

func (c *command) backup() *cobra.Command {
	return c.onRecords(&cobra.Command{
		Use:   "backup FILE",
		Short: "Copy the records of a database file while they are in use",
		Long: `Writes a consistent copy of the database file to FILE, checked and readable for its owner
alone; the gateway may be running. The key for secrets is not in it: keep it elsewhere.
For records in PostgreSQL use its own tools (docs/backup.md).`,
	}, "replace FILE if it exists", func(cmd *cobra.Command, cfg config.Config, o app.BackupOptions) error {
		return app.Backup(cmd.Context(), cfg, c.logger(cfg.Log), o)
	})
}

func (c *command) restore() *cobra.Command {
	return c.onRecords(&cobra.Command{
		Use:   "restore FILE",
		Short: "Replace the records of a database file with a backup",
		Long: `Checks FILE, a backup of gateway backup, and puts it in the place of the database file. No
gateway may be using it. Existing records are replaced with --force alone, and kept under
another name. Events that were accepted after the backup are gone.`,
	}, "replace existing records, which are kept under another name", func(cmd *cobra.Command, cfg config.Config, o app.BackupOptions) error {
		return app.Restore(cmd.Context(), cfg, c.logger(cfg.Log), o)
	})
}

// onRecords completes a command on a database file and one other file.
func (c *command) onRecords(cmd *cobra.Command, force string, do func(*cobra.Command, config.Config, app.BackupOptions) error) *cobra.Command {
	cmd.Args = cobra.ExactArgs(1)
	o := app.BackupOptions{Out: c.stdout}
	cmd.Flags().BoolVar(&o.Force, "force", false, force)
	data := cmd.Flags().String("data", app.DefaultDataDir, "the data folder of gateway dev, used without DATABASE_URL")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		o.File = args[0]
		cfg, err := c.recordsConfig(*data)
		if err != nil {
			return err
		}
		return do(cmd, cfg, o)
	}
	return cmd
}

// recordsConfig is the configuration of DATABASE_URL, or else of gateway dev's records in a
// folder.
func (c *command) recordsConfig(data string) (config.Config, error) {
	known, _ := config.Inspect(config.Options{Role: config.Migrate, Path: c.configPath})
	if known.Database.URL.Empty() {
		return app.InDataFolder(known, data)
	}
	cfg, _, err := c.load(config.Options{Role: config.Migrate})
	return cfg, err
}
