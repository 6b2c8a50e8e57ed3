package console

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/id"
)

// How long a session lasts.
const (
	idleFor     = 8 * time.Hour
	absoluteFor = 24 * time.Hour
	seenEvery   = time.Minute // how precisely the last request is stored
)

// errSignedOut says that there is no session, or that it has ended.
var errSignedOut = errors.New("nobody is signed in")

// session is a row of console_sessions.
type session struct {
	ID        string     `db:"id"`
	KeyID     *string    `db:"key_id"`
	KeyProof  *string    `db:"key_proof"`
	SeenAt    clock.Time `db:"seen_at"`
	ExpiresAt clock.Time `db:"expires_at"`
	Actor     *string    `db:"actor"` // who a token said it is; nil for keys
	Role      *string    `db:"role"`
	Sources   *string    `db:"sources"`
}

func (s session) role() string {
	if s.Role == nil {
		return ""
	}
	return *s.Role
}

// sources are those that a token had; nil for all. Unreadable ones mean none, never all.
func (s session) sources() []string {
	if s.Sources == nil {
		return nil
	}
	list := []string{}
	if json.Unmarshal([]byte(*s.Sources), &list) != nil || list == nil {
		return []string{}
	}
	return list
}

// holder is who a session is begun for: a key, or whom an issuer's token named.
type holder struct {
	keyID  string // "" for the configured key, and with until
	caller httpapi.Caller
	until  time.Time // when the token expires; zero for keys
}

// newToken makes 256 random bits, as text for a cookie or an address.
func newToken() string {
	random := make([]byte, 32)
	_, _ = rand.Read(random) // it never fails
	return base64.RawURLEncoding.EncodeToString(random)
}

// hashOf is the form in which a token is stored. It has 256 random bits, so one round suffices.
func hashOf(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// proof binds a session to the configured key: it changes with the key, and says nothing of it
// to who has the database and not the cookie.
func proof(token, key string) string {
	mac := hmac.New(sha256.New, []byte(token))
	mac.Write([]byte(key))
	return hex.EncodeToString(mac.Sum(nil))
}

const insertSessionSQL = `
INSERT INTO console_sessions (id, hash, key_id, key_proof, actor, role, sources, created_at, seen_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9)`

// A session whose token has expired is kept until it would be idle, so that its browser is sent to
// the issuer rather than asked for a key.
const deleteEndedSQL = `
DELETE FROM console_sessions
WHERE  seen_at <= $2 OR expires_at <= $1 AND actor IS NULL`

// row is the session of a holder whose cookie has a token.
func (m *Module) row(h holder, token string, now time.Time) session {
	s := session{ID: id.New(), SeenAt: clock.Time{Time: now}, ExpiresAt: clock.Time{Time: now.Add(absoluteFor)}}
	switch {
	case !h.until.IsZero():
		bound, role := proof(token, m.d.Issuer.Terms()), h.caller.Role.String()
		s.KeyProof, s.Actor, s.Role = &bound, &h.caller.Actor, &role
		if h.caller.Scope != nil {
			text, _ := json.Marshal(h.caller.Scope.Sources) // strings always marshal
			list := string(text)
			s.Sources = &list
		}
		if h.until.Before(s.ExpiresAt.Time) {
			s.ExpiresAt.Time = h.until
		}
	case h.keyID != "":
		s.KeyID = &h.keyID
	default:
		bound := proof(token, m.cfg.ManagementKey.Reveal())
		s.KeyProof = &bound
	}
	return s
}

// begin stores a session and returns its token. It removes those that have ended, among them
// that of replaced, the token that the browser had before.
func (m *Module) begin(ctx context.Context, h holder, replaced string) (string, error) {
	now, token := m.d.Now(), newToken()
	s := m.row(h, token, now)
	err := m.d.DB.InTx(ctx, func(tx *database.Tx) error {
		if _, err := tx.Exec(ctx, deleteEndedSQL, now, now.Add(-idleFor)); err != nil {
			return err
		}
		if replaced != "" {
			if err := m.remove(ctx, tx, replaced, h.caller.Actor); err != nil {
				return err
			}
		}
		if _, err := tx.Exec(ctx, insertSessionSQL, s.ID, hashOf(token), s.KeyID, s.KeyProof, s.Actor, s.Role, s.Sources, now, s.ExpiresAt); err != nil {
			return err
		}
		return m.audit(ctx, tx, "session.began", s.ID, h.caller.Actor)
	})
	if err != nil {
		return "", fmt.Errorf("store the session: %w", err)
	}
	return token, nil
}

const selectSessionSQL = `
SELECT id, key_id, key_proof, actor, role, sources, seen_at, expires_at
FROM   console_sessions
WHERE  hash = $1`

const updateSeenSQL = `
UPDATE console_sessions SET seen_at = $2
WHERE  id = $1`

// resume returns who holds the session of a token, with the role and sources that the key has
// now; errSignedOut if it has ended, or its key has.
func (m *Module) resume(ctx context.Context, token string) (httpapi.Caller, error) {
	var s session
	switch err := m.d.DB.Get(ctx, &s, selectSessionSQL, hashOf(token)); {
	case errors.Is(err, sql.ErrNoRows):
		return httpapi.Caller{}, errSignedOut
	case err != nil:
		return httpapi.Caller{}, fmt.Errorf("read the session: %w", err)
	}
	now := m.d.Now()
	switch {
	case now.Sub(s.SeenAt.Time) >= idleFor:
		return httpapi.Caller{}, errSignedOut
	case !now.Before(s.ExpiresAt.Time) && s.Actor != nil:
		return httpapi.Caller{}, errLoginEnded
	case !now.Before(s.ExpiresAt.Time):
		return httpapi.Caller{}, errSignedOut
	}
	caller, err := m.holder(ctx, s, token)
	if err != nil {
		return httpapi.Caller{}, err
	}
	if now.Sub(s.SeenAt.Time) >= seenEvery {
		err := m.d.DB.InTx(ctx, func(tx *database.Tx) error {
			_, err := tx.Exec(ctx, updateSeenSQL, s.ID, now)
			return err
		})
		if err != nil {
			m.d.Log.WarnContext(ctx, "storing when a session was used failed; it may end early", "module", "console", "error", err)
		}
	}
	return caller, nil
}

func (m *Module) holder(ctx context.Context, s session, token string) (httpapi.Caller, error) {
	switch {
	case s.Actor != nil:
		return m.ofIssuer(ctx, s, token)
	case s.KeyID != nil:
		caller, err := m.d.Keys.CallerOf(ctx, *s.KeyID)
		if isUnauthorized(err) {
			return caller, errSignedOut
		}
		return caller, err
	}
	key := m.cfg.ManagementKey
	if s.KeyProof == nil || key.Empty() || !hmac.Equal([]byte(*s.KeyProof), []byte(proof(token, key.Reveal()))) {
		return httpapi.Caller{}, errSignedOut
	}
	return httpapi.Caller{Actor: httpapi.ManagementActor, Role: httpapi.Admin}, nil
}

const deleteSessionSQL = `
DELETE FROM console_sessions
WHERE  hash = $1
RETURNING id`

// end removes the session of a token.
func (m *Module) end(ctx context.Context, token, actor string) error {
	err := m.d.DB.InTx(ctx, func(tx *database.Tx) error {
		return m.remove(ctx, tx, token, actor)
	})
	if err != nil {
		return fmt.Errorf("remove the session: %w", err)
	}
	return nil
}

func (m *Module) remove(ctx context.Context, tx *database.Tx, token, actor string) error {
	var ended []string
	if err := tx.Select(ctx, &ended, deleteSessionSQL, hashOf(token)); err != nil || len(ended) == 0 {
		return err
	}
	return m.audit(ctx, tx, "session.ended", ended[0], actor)
}

// audit records that a session began or was ended by its holder.
func (m *Module) audit(ctx context.Context, tx *database.Tx, action, sessionID, actor string) error {
	err := m.d.Audit.Record(ctx, tx, []contract.AuditEntry{{EntityType: "console_session", EntityID: &sessionID, Action: action, Actor: actor, Details: []byte(`{}`)}})
	if err != nil {
		return fmt.Errorf("audit %s: %w", action, err)
	}
	return nil
}
