package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"text/tabwriter"

	"integration-gateway/modules/retention"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/config"
	"integration-gateway/platform/database"
)

// PartitionsOptions are the options of `gateway partitions`.
type PartitionsOptions struct {
	JSON bool
	Out  io.Writer
}

// Partitions prints the sizes of the growing tables and what retention removes next.
func Partitions(ctx context.Context, cfg config.Config, log *slog.Logger, o PartitionsOptions) error {
	return onDatabase(ctx, cfg, log, func(db *database.DB) error {
		if err := db.CheckSchema(ctx); err != nil {
			return err
		}
		report, err := retention.New(retention.Config{Events: cfg.Retention.Events, Audit: cfg.Retention.Audit},
			retention.Deps{DB: db, Log: log, Now: clock.System}).Report(ctx)
		if err != nil {
			return err
		}
		if o.JSON {
			err = printJSON(o.Out, report)
		} else {
			err = printPartitions(o.Out, report)
		}
		if err != nil {
			return fmt.Errorf("print the partitions: %w", err)
		}
		return nil
	})
}

const day = "2006-01-02"

func printPartitions(out io.Writer, r retention.Report) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, first := fmt.Fprintln(w, "TABLE, PARTITION\tFROM\tTO\tROWS\tSIZE\tGOES")
	for _, t := range r.Tables {
		rows := "–"
		if t.Rows != nil {
			rows = strconv.FormatInt(*t.Rows, 10)
		}
		goes := "older than " + t.Retention
		if t.Retention == retention.ForEver {
			goes = "never"
		}
		_, _ = fmt.Fprintf(w, "%s\t\t\t%s\t%s\t%s\n", t.Name, rows, size(t.Bytes), goes)
		for _, p := range t.Partitions {
			from, goes := "–", "by row"
			if p.From != nil {
				from, goes = p.From.Format(day), "never"
			}
			if p.DropsAt != nil {
				goes = "from " + p.DropsAt.Format(day)
			}
			_, _ = fmt.Fprintf(w, "  %s\t%s\t%s\t%d\t%s\t%s\n", p.Name, from, p.To.Format(day), p.Rows, size(p.Bytes), goes)
		}
	}
	err := errors.Join(first, w.Flush())
	if r.Database == "sqlite" && err == nil {
		_, err = fmt.Fprintln(out, "\nSQLite has no partitions: rows are deleted individually.")
	}
	return err
}

// size formats a number of bytes in a suitable unit.
func size(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB"}
	value, at := float64(n), 0
	for value >= 1024 && at < len(units)-1 {
		value, at = value/1024, at+1
	}
	if at == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", value, units[at])
}
