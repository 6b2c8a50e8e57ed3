package app

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"text/tabwriter"

	"integration-gateway/modules/audit"
	"integration-gateway/modules/secrets"
	"integration-gateway/platform/config"
	"integration-gateway/platform/keyring"
)

// keys makes the ring of the configured keys and the retired ones.
func keys(cfg config.Config, retired []keyring.Retired, log *slog.Logger) (*keyring.Ring, error) {
	ring, err := keyring.New(keyring.Config{Current: cfg.SecretsKey, Others: cfg.SecretsReadKeys, Plain: cfg.SecretsReadPlain,
		NeedsKey: cfg.Env == config.Production})
	if err != nil {
		return nil, err
	}
	if cfg.SecretsKey.Empty() {
		log.Warn("SECRETS_KEY is not set: secrets are stored unencrypted; set a key of at least 32 characters, the same for every process")
	}
	for _, k := range retired {
		if err := ring.Adopt(k); err != nil {
			log.Warn("a retired key cannot be read: seals and digests made with it cannot be verified", "key_id", k.ID, "error", err)
		}
	}
	return ring, nil
}

// sealKeys returns the keys of the audit trail's seals.
func sealKeys(ring *keyring.Ring) []audit.SealKey {
	var keys []audit.SealKey
	for _, k := range ring.AuditKeys() {
		keys = append(keys, audit.SealKey{ID: k.ID, Key: k.Key})
	}
	return keys
}

// RotateKey re-encrypts all secrets under the current key. An error means that some are
// not.
func RotateKey(ctx context.Context, cfg config.Config, log *slog.Logger, o IntegrationOptions) error {
	return onIntegrations(ctx, cfg, log, func(ctx context.Context, g *system) error {
		r, err := g.secrets.Rotate(ctx, func(p secrets.Progress) error {
			if o.JSON {
				return nil
			}
			_, err := fmt.Fprintf(o.Out, "%s: %d checked, %d re-encrypted in total\n", p.Kind, p.Seen, p.Resealed)
			return err
		})
		if err != nil {
			return err
		}
		if o.JSON {
			err = printJSON(o.Out, r)
		} else {
			err = printRotation(o.Out, r)
		}
		if err == nil && len(r.Remaining) > 0 {
			err = fmt.Errorf("%d are not under the key %s", len(r.Remaining), r.KeyID)
		}
		return err
	})
}

func printRotation(out io.Writer, r secrets.Rotation) error {
	for _, s := range r.Remaining {
		if _, err := fmt.Fprintf(out, "%s %s %s: %s\n", s.Kind, s.ID, s.Of, s.Problem); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(out, "%d re-encrypted under the key %s, %d remain\n", r.Resealed, r.KeyID, len(r.Remaining))
	return err
}

// SecretsStatus prints which keys the records need.
func SecretsStatus(ctx context.Context, cfg config.Config, log *slog.Logger, o IntegrationOptions) error {
	return onIntegrations(ctx, cfg, log, func(ctx context.Context, g *system) error {
		s, err := g.secrets.Status(ctx)
		switch {
		case err != nil:
			return err
		case o.JSON:
			return printJSON(o.Out, s)
		}
		w := tabwriter.NewWriter(o.Out, 0, 0, 2, ' ', 0)
		_, _ = fmt.Fprintf(w, "KEY\tROLE\t%s\tCAN GO\n", strings.ToUpper(strings.Join(s.Kinds, "\t")))
		for _, k := range s.Keys {
			id, canGo := k.KeyID, "no"
			if id == "" {
				id = "-"
			}
			if k.CanGo {
				canGo = "yes"
			}
			counts := make([]string, len(s.Kinds))
			for i, kind := range s.Kinds {
				counts[i] = fmt.Sprint(k.Rows[kind])
			}
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", id, k.Role, strings.Join(counts, "\t"), canGo)
		}
		return w.Flush()
	})
}
