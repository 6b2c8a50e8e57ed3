package ingestion

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"

	"integration-gateway/modules/ingestion/provider"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/secret"
	"integration-gateway/platform/strictjson"
)

// SecretConfig is a secret to be added: in JSON an object, or the value alone.
type SecretConfig struct {
	Value     secret.Value `json:"value"`
	Note      string       `json:"note"`
	ExpiresAt *time.Time   `json:"expiresAt"` // from then on it verifies nothing; nil for never
}

// UnmarshalJSON reads either form.
func (s *SecretConfig) UnmarshalJSON(text []byte) error {
	text = bytes.TrimSpace(text)
	switch {
	case bytes.HasPrefix(text, []byte(`"`)):
		return json.Unmarshal(text, &s.Value)
	case !bytes.HasPrefix(text, []byte(`{`)):
		return fault.Invalid.New("not_a_secret", "must be text, or an object with value, note and expiresAt")
	}
	type object SecretConfig
	if wrong := strictjson.Read(text, (*object)(s)); len(wrong) > 0 {
		return httpapi.Invalid(wrong)
	}
	return nil
}

// SecretChange is what can be changed about a secret. Its value cannot: another value is
// another secret, so that the numbers of matches mean one.
type SecretChange struct {
	Note      *string                        `json:"note"`
	ExpiresAt strictjson.Nullable[time.Time] `json:"expiresAt"`
	IsActive  *bool                          `json:"isActive"`
	Force     bool                           `json:"force"` // also when no secret is left that verifies
}

// SecretInfo is what may be known of a secret.
type SecretInfo struct {
	ID            string      `db:"id" json:"id"`
	IntegrationID string      `db:"integration_id" json:"-"`
	Note          string      `db:"note" json:"note"`
	IsActive      bool        `db:"is_active" json:"isActive"`
	ExpiresAt     *clock.Time `db:"expires_at" json:"expiresAt"`
	MatchCount    int64       `db:"match_count" json:"matchCount"` // webhooks that it verified
	LastMatchedAt *clock.Time `db:"last_matched_at" json:"lastMatchedAt"`
	CreatedAt     clock.Time  `db:"created_at" json:"createdAt"`
}

// verifies reports whether requests may be verified with the secret at that time.
func (s SecretInfo) verifies(at time.Time) bool {
	return s.IsActive && (s.ExpiresAt == nil || at.Before(s.ExpiresAt.Time))
}

// The bounds of a secret in bytes. Shorter ones can be guessed.
const (
	minSecret = 8
	maxSecret = 8192 // a public key in PEM is a few hundred
	maxNote   = 200  // characters
)

// checkSecret finds what is wrong with s, also for the provider where that is known. No
// message holds any part of it.
func (m *Module) checkSecret(spec *provider.Spec, path string, s SecretConfig, wrong *mistakes) {
	text, field := s.Value.Reveal(), strictjson.Join(path, "value")
	switch {
	case text == "":
		wrong.add(field, "is required")
	case len(text) < minSecret:
		wrong.add(field, "has %d bytes, and must have at least %d, or it could be guessed", len(text), minSecret)
	case len(text) > maxSecret:
		wrong.add(field, "must have at most %d bytes", maxSecret)
	case strings.TrimSpace(text) != text:
		wrong.add(field, "begins or ends with white space; paste it without")
	case !utf8.ValidString(text) || strings.ContainsRune(text, 0):
		wrong.add(field, "must be text in UTF-8, without NUL")
	case m.wellKnown(s.Value):
		wrong.add(field, "is a demo secret, which everybody knows; in production use your own")
	case spec != nil:
		if err := spec.SecretMistake(s.Value); err != nil {
			wrong.add(field, "cannot verify anything: %s", fault.As(err).Message)
		}
	}
	checkNote(strictjson.Join(path, "note"), s.Note, wrong)
	if s.ExpiresAt != nil && !s.ExpiresAt.After(m.d.Now()) {
		wrong.add(strictjson.Join(path, "expiresAt"), "must be in the future")
	}
}

func (m *Module) wellKnown(value secret.Value) bool {
	for _, known := range m.cfg.RefusedSecrets {
		if value.Equal(known.Reveal()) {
			return true
		}
	}
	return false
}

func checkNote(field, note string, wrong *mistakes) {
	if utf8.RuneCountInString(note) > maxNote || !printable(note) {
		wrong.add(field, "must be text of at most %d characters on one line", maxNote)
	}
}
