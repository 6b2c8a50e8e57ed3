package integrations

import (
	"context"
	"slices"
	"strings"
	"time"

	"integration-gateway/platform/database"
	"integration-gateway/platform/strictjson"
)

// secrets plans the secrets of c; a nil list changes nothing. It adds before it removes, so
// that one secret always verifies.
func (p *planner) secrets(ctx context.Context, row integrationRow, c IntegrationConfig) error {
	if c.Secrets == nil {
		return nil
	}
	existing, err := p.secretValues(ctx, p.tx, row.ID)
	if err != nil {
		return err
	}
	for _, s := range c.Secrets {
		s = s.purposed(row.spec(p.d.Providers))
		at := slices.IndexFunc(existing, func(e openSecret) bool { return s.is(e.Purpose, e.value) })
		if at < 0 {
			p.step(row.Source, "+", "secret"+noted(s.Note), func(ctx context.Context, tx *database.Tx) error {
				_, err := p.AddSecret(ctx, tx, row.ID, s)
				return err
			})
			continue
		}
		known := existing[at].SecretInfo
		existing = slices.Delete(existing, at, at+1)
		change, fields := s.against(known)
		if len(fields) > 0 {
			p.step(row.Source, "~", "secret "+known.ID+noted(known.Note)+": "+strings.Join(fields, ", "), func(ctx context.Context, tx *database.Tx) error {
				return p.ChangeSecret(ctx, tx, row.ID, known.ID, change)
			})
		}
	}
	for _, e := range existing {
		if e.PendingSince != nil {
			continue // it came after the file was written; whether it is the provider's is not for a file to say
		}
		p.step(row.Source, "-", "secret "+e.ID+noted(e.Note), func(ctx context.Context, tx *database.Tx) error {
			return p.RemoveSecret(ctx, tx, row.ID, e.ID, true)
		})
	}
	return nil
}

// against returns the change that makes a known secret match s, and the changed fields.
func (s SecretConfig) against(known SecretInfo) (change SecretChange, fields []string) {
	if s.Note != "" && s.Note != known.Note {
		change.Note, fields = &s.Note, append(fields, "note")
	}
	if s.ExpiresAt != nil && !sameTime(clockTime(s.ExpiresAt), known.ExpiresAt) {
		change.ExpiresAt, fields = strictjson.Nullable[time.Time]{Given: true, Value: s.ExpiresAt}, append(fields, "expiresAt")
	}
	if !known.IsActive {
		active := true
		change.IsActive, fields = &active, append(fields, "isActive")
	}
	return change, fields
}

func noted(note string) string {
	if note == "" {
		return ""
	}
	return " (" + note + ")"
}
