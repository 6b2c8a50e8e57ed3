package console

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
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
	linkFor     = 5 * time.Minute
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
INSERT INTO console_sessions (id, hash, key_id, key_proof, created_at, seen_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $5, $6)`

const deleteEndedSQL = `
DELETE FROM console_sessions
WHERE  expires_at <= $1 OR seen_at <= $2`

// begin stores a session of a key, "" for the configured one, and returns its token. It removes
// those that have ended.
func (m *Module) begin(ctx context.Context, keyID, actor string) (string, error) {
	token, sessionID := newToken(), id.New()
	now := m.d.Now()
	var ofKey, ofConfigured *string
	if keyID != "" {
		ofKey = &keyID
	} else {
		text := proof(token, m.cfg.ManagementKey.Reveal())
		ofConfigured = &text
	}
	err := m.d.DB.InTx(ctx, func(tx *database.Tx) error {
		if _, err := tx.Exec(ctx, deleteEndedSQL, now, now.Add(-idleFor)); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, insertSessionSQL, sessionID, hashOf(token), ofKey, ofConfigured, now, now.Add(absoluteFor)); err != nil {
			return err
		}
		return m.audit(ctx, tx, "session.began", sessionID, actor)
	})
	if err != nil {
		return "", fmt.Errorf("store the session: %w", err)
	}
	return token, nil
}

const selectSessionSQL = `
SELECT id, key_id, key_proof, seen_at, expires_at
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
	if !now.Before(s.ExpiresAt.Time) || now.Sub(s.SeenAt.Time) >= idleFor {
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
	if s.KeyID != nil {
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
		var ended []string
		if err := tx.Select(ctx, &ended, deleteSessionSQL, hashOf(token)); err != nil || len(ended) == 0 {
			return err
		}
		return m.audit(ctx, tx, "session.ended", ended[0], actor)
	})
	if err != nil {
		return fmt.Errorf("remove the session: %w", err)
	}
	return nil
}

// audit records that a session began or was ended by its holder.
func (m *Module) audit(ctx context.Context, tx *database.Tx, action, sessionID, actor string) error {
	err := m.d.Audit.Record(ctx, tx, []contract.AuditEntry{{EntityType: "console_session", EntityID: &sessionID, Action: action, Actor: actor, Details: []byte(`{}`)}})
	if err != nil {
		return fmt.Errorf("audit %s: %w", action, err)
	}
	return nil
}

// links are the tokens of addresses that sign in once, until they end. They are in memory:
// `gateway dev` is one process.
type links struct {
	mu    sync.Mutex
	until map[string]time.Time // by the token's hash
}

// Link returns the path of a page that signs in once, within five minutes, as the configured
// key.
func (m *Module) Link() string {
	token := newToken()
	m.links.mu.Lock()
	defer m.links.mu.Unlock()
	if m.links.until == nil {
		m.links.until = map[string]time.Time{}
	}
	m.links.until[hashOf(token)] = m.d.Now().Add(linkFor)
	return Root + "/sign-in?once=" + token
}

// take reports whether a link's token is good, which it then is no more.
func (l *links) take(token string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	until, known := l.until[hashOf(token)]
	delete(l.until, hashOf(token))
	return known && now.Before(until)
}
