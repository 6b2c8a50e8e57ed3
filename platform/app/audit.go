package app

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"integration-gateway/modules/audit"
	"integration-gateway/platform/config"
)

// AuditOptions are the options of `gateway audit`.
type AuditOptions struct {
	RetainedFrom time.Time
	LostBefore   time.Time // seals that were lost before then are known about
	Anchor       string    // "" or the format of AnchorOf
	JSON         bool
	Out          io.Writer
}

// AnchorOf parses a seal's number and hash, written as 17:9f86….
func AnchorOf(text string) (seq int64, hash string, err error) {
	if text == "" {
		return 0, "", nil
	}
	number, hash, _ := strings.Cut(text, ":")
	seq, err = strconv.ParseInt(number, 10, 64)
	if err != nil || seq < 1 || len(hash) != 64 || strings.Trim(hash, "0123456789abcdef") != "" {
		return 0, "", errors.New("must be a seal's number and hash, such as 17:9f86… with 64 hexadecimal digits")
	}
	return seq, hash, nil
}

// VerifyAudit checks the audit trail against its seals. An error means that it was changed,
// or could not be read.
func VerifyAudit(ctx context.Context, cfg config.Config, log *slog.Logger, o AuditOptions) error {
	asked := audit.ProofConfig{RetainedFrom: o.RetainedFrom}
	var err error
	if asked.AnchorSeq, asked.AnchorHash, err = AnchorOf(o.Anchor); err != nil {
		return fmt.Errorf("the anchor %w", err)
	}
	g, err := openTool(ctx, cfg, log, false)
	if err != nil {
		return err
	}
	defer g.close(log)
	proof, err := g.audit.Prove(ctx, asked)
	if err != nil {
		return err
	}
	if o.JSON {
		err = printJSON(o.Out, proof)
	} else {
		err = printProof(o.Out, proof)
	}
	if err != nil {
		return fmt.Errorf("print the proof: %w", err)
	}
	if !proof.Holds {
		return fmt.Errorf("the audit trail was tampered with: %s at seal %d", proof.Broken.Kind, proof.Broken.Seal)
	}
	for _, l := range proof.Lost { // the last first
		if !l.At.Before(o.LostBefore) {
			return fmt.Errorf("seals of the audit trail were lost, last at %s. If that was a failover or a restored database, say so: --lost-before %s",
				l.At.UTC().Format(time.RFC3339), l.At.UTC().Add(time.Second).Format(time.RFC3339))
		}
	}
	return nil
}

func printProof(out io.Writer, p audit.Proof) error {
	var text strings.Builder
	if b := p.Broken; b != nil {
		fmt.Fprintf(&text, "seal %d: %s", b.Seal, b.Kind)
		if b.EntryID != "" {
			fmt.Fprintf(&text, ", entry %s", b.EntryID)
		}
		fmt.Fprintf(&text, ": %s\n%d entries before it are unchanged.\n", b.Detail, p.Entries)
		_, err := io.WriteString(out, text.String())
		return err
	}
	fmt.Fprintf(&text, "%d entries in %d seals are unchanged; %d are not sealed yet.\n", p.Entries, p.Seals, p.Waiting)
	if p.Late > 0 {
		fmt.Fprintf(&text, "%d of them committed late and have a late seal.\n", p.Late)
	}
	if p.Removed > 0 {
		fmt.Fprintf(&text, "%d older ones were removed by retention.\n", p.Removed)
	}
	if p.Unkeyed > 0 {
		fmt.Fprintf(&text, "%d seals were made without SECRETS_KEY: anyone with write access to the database can remake them.\n", p.Unkeyed)
	}
	for _, l := range p.Lost {
		fmt.Fprintf(&text, "At %s seal %d was gone or another (it had the hash %s), and sealing went on from seal %d: by a failover or a restored database, "+
			"or somebody removed seals. What was written before that and sealed after it may have been changed.\n", l.At, l.Seen, l.Hash, l.Found)
	}
	if p.Seals > 0 {
		fmt.Fprintf(&text, "Store this elsewhere, for --anchor: %d:%s\n", p.Seals, p.Head)
	}
	_, err := io.WriteString(out, text.String())
	return err
}

// ExportAudit writes the audit trail as JSON lines.
func ExportAudit(ctx context.Context, cfg config.Config, log *slog.Logger, o AuditOptions) error {
	g, err := openTool(ctx, cfg, log, false)
	if err != nil {
		return err
	}
	defer g.close(log)
	out := bufio.NewWriterSize(o.Out, 1<<16)
	n, err := g.audit.Export(ctx, out)
	if err != nil {
		return fmt.Errorf("after %d entries: %w", n, err)
	}
	return out.Flush()
}
