package integrations

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/provider"
	"integration-gateway/platform/secret"
	"integration-gateway/platform/strictjson"
)

// SecretConfig is a new secret: in JSON an object, or just the value.
type SecretConfig struct {
	Value     secret.Value     `json:"value" api:"required"`
	Purpose   provider.Purpose `json:"purpose"` // by default what proves the provider's webhooks
	Note      string           `json:"note"`
	ExpiresAt *time.Time       `json:"expiresAt"` // nil for never
}

// UnmarshalJSON reads either form.
func (s *SecretConfig) UnmarshalJSON(text []byte) error {
	text = bytes.TrimSpace(text)
	switch {
	case bytes.HasPrefix(text, []byte(`"`)):
		return json.Unmarshal(text, &s.Value)
	case !bytes.HasPrefix(text, []byte(`{`)):
		return fault.Invalid.New("not_a_secret", "must be text, or an object with value, purpose, note and expiresAt")
	}
	type object SecretConfig
	if wrong := strictjson.Read(text, (*object)(s)); len(wrong) > 0 {
		return httpapi.Invalid(wrong)
	}
	return nil
}

// SecretChange is a change of a secret. The value cannot change: another value is another
// secret, so that match counts refer to one value.
type SecretChange struct {
	Note      *string                        `json:"note"`
	ExpiresAt strictjson.Nullable[time.Time] `json:"expiresAt"`
	IsActive  *bool                          `json:"isActive"`
	Force     bool                           `json:"force"` // even if no secret that verifies is left
}

// SecretInfo is a secret without its value.
type SecretInfo struct {
	ID            string           `db:"id" json:"id"`
	IntegrationID string           `db:"integration_id" json:"-"`
	Purpose       provider.Purpose `db:"purpose" json:"purpose"`
	Note          string           `db:"note" json:"note"`
	IsActive      bool             `db:"is_active" json:"isActive"`
	PendingSince  *clock.Time      `db:"pending_since" json:"pendingSince"` // when a handshake brought it; null if it is confirmed, or was entered
	ExpiresAt     *clock.Time      `db:"expires_at" json:"expiresAt"`
	MatchCount    int64            `db:"match_count" json:"matchCount"` // webhooks that it verified
	LastMatchedAt *clock.Time      `db:"last_matched_at" json:"lastMatchedAt"`
	CreatedAt     clock.Time       `db:"created_at" json:"createdAt"`
	Warning       *string          `db:"-" json:"warning"` // of a short token
}

// inUse reports whether the secret is valid at that time.
func (s SecretInfo) inUse(at time.Time) bool {
	return s.IsActive && (s.ExpiresAt == nil || at.Before(s.ExpiresAt.Time))
}

// verifies reports whether the secret proves webhooks at that time.
func (s SecretInfo) verifies(at time.Time) bool {
	return s.inUse(at) && s.Purpose != provider.Challenge
}

// The bounds of a secret, in bytes; see also provider.MinSecret.
const (
	maxSecret = 8192 // a public key in PEM is a few hundred
	maxNote   = 200  // characters
)

// checkSecret finds what is wrong with s, also for the provider where that is known. No
// message holds any part of it.
func (m *Module) checkSecret(spec *provider.Spec, path string, s SecretConfig, wrong *violations) {
	text, field, fewest := s.Value.Reveal(), strictjson.Join(path, "value"), provider.MinSecret
	if spec != nil {
		fewest = spec.MinBytes(s.purposed(spec).Purpose)
	}
	switch {
	case text == "":
		wrong.add(field, "is required")
	case len(text) < fewest:
		wrong.add(field, "has %s and must have at least %d, or it could be guessed", provider.Bytes(len(text)), fewest)
	case len(text) > maxSecret:
		wrong.add(field, "must have at most %d bytes", maxSecret)
	case strings.TrimSpace(text) != text:
		wrong.add(field, "must not begin or end with white space")
	case !utf8.ValidString(text) || strings.ContainsRune(text, 0):
		wrong.add(field, "must be text in UTF-8, without NUL")
	case m.wellKnown(s.Value):
		wrong.add(field, "is a publicly known demo secret; use your own in production")
	case spec != nil && s.Purpose != provider.Challenge:
		if err := spec.ValidateSecret(s.Value); err != nil {
			wrong.add(field, "cannot verify anything: %s", fault.As(err).Message)
		}
	}
	checkPurpose(spec, strictjson.Join(path, "purpose"), s.Purpose, wrong)
	checkNote(strictjson.Join(path, "note"), s.Note, wrong)
	if s.ExpiresAt != nil && !s.ExpiresAt.After(m.d.Now()) {
		wrong.add(strictjson.Join(path, "expiresAt"), "must be in the future")
	}
}

func checkPurpose(spec *provider.Spec, field string, purpose provider.Purpose, wrong *violations) {
	switch {
	case purpose == "":
	case purpose != provider.Signing && purpose != provider.Token && purpose != provider.Challenge:
		wrong.add(field, "must be signing, token or challenge")
	case spec != nil && !spec.Uses(purpose):
		wrong.add(field, "cannot be %s: nothing of %s uses such a secret", purpose, spec.Title)
	}
}

// purposed returns s with a purpose.
func (s SecretConfig) purposed(spec *provider.Spec) SecretConfig {
	if s.Purpose == "" {
		s.Purpose = provider.Signing
		if spec != nil {
			s.Purpose = spec.PurposeOf(s.Value)
		}
	}
	return s
}

// is reports whether s is the same secret as one of that purpose and value.
func (s SecretConfig) is(purpose provider.Purpose, value secret.Value) bool {
	return s.Purpose == purpose && value.Equal(s.Value.Reveal())
}

// noneProves reports whether all of the secrets are for challenges.
func noneProves(secrets []SecretConfig) bool {
	return !slices.ContainsFunc(secrets, func(s SecretConfig) bool { return s.Purpose != provider.Challenge })
}

func (m *Module) wellKnown(value secret.Value) bool {
	for _, known := range m.cfg.RefusedSecrets {
		if value.Equal(known.Reveal()) {
			return true
		}
	}
	return false
}

func checkNote(field, note string, wrong *violations) {
	if utf8.RuneCountInString(note) > maxNote || !httpapi.Printable(note) {
		wrong.add(field, "must be at most %d visible characters on one line", maxNote)
	}
}
