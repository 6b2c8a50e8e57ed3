package integrations

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/labstack/echo/v4"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/id"
	"integration-gateway/platform/provider"
)

// A secret that a handshake brings is pending: stored, and used for nothing until an operator
// confirms it. Anybody may send one, so an integration has few, and those that are there stay: a
// newer one would push out the provider's before anybody has looked. While there is no room, the
// handshake is refused, and whoever sets up the webhook learns that it failed. One that nobody
// confirms in a day gives way.
const (
	maxPending  = 3
	pendingStay = 24 * time.Hour
)

//nolint:gosec // a query, not a secret
const insertPendingSQL = `
INSERT INTO integration_secrets (id, integration_id, secret, purpose, is_active, pending_since, note, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $6)`

// StoreArrivedSecret stores a secret that a handshake brings as pending. It returns nil for one that
// the integration has, and fault.Conflict if no further one may wait.
func (m *Module) StoreArrivedSecret(ctx context.Context, integrationID string, arrived provider.ArrivedSecret, sourceIP string) error {
	ctx = httpapi.WithActor(ctx, contract.ActorGateway)
	return m.d.DB.InTx(ctx, func(tx *database.Tx) error {
		i, err := m.lockIntegration(ctx, tx, integrationID)
		if err != nil {
			return err
		}
		s := SecretConfig{Value: arrived.Value, Purpose: arrived.Purpose, Note: "brought by the handshake " + arrived.Handshake}
		var wrong violations
		if m.checkSecret(i.spec(m.d.Providers), "", s, &wrong); len(wrong) > 0 {
			return fault.Unauthorized.New("bad_secret", "The secret of this handshake cannot be used.").Because("the secret %s", wrong[0].Message)
		}
		all, err := m.secretValues(ctx, tx, integrationID)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(all, func(known openSecret) bool { return s.is(known.Purpose, known.value) }) {
			return nil // also one that an operator switched off: it stays off
		}
		if err := m.makeRoom(ctx, tx, i, all); err != nil {
			return err
		}
		secretID := id.New()
		sealed, err := m.d.Sealer.Seal(SecretPlace(secretID), s.Value)
		if err != nil {
			return fmt.Errorf("seal a secret: %w", err)
		}
		if _, err := tx.Exec(ctx, insertPendingSQL, secretID, i.ID, sealed, string(s.Purpose), false, tx.Now, s.Note); err != nil {
			return fmt.Errorf("store a pending secret: %w", err)
		}
		return m.auditIntegration(ctx, tx, i, "secret.arrived", integrationDetails{SecretID: secretID, Purpose: s.Purpose, Handshake: arrived.Handshake, SourceIP: sourceIP})
	})
}

// makeRoom removes the oldest pending secret if there are too many and nobody confirmed it in time.
func (m *Module) makeRoom(ctx context.Context, tx *database.Tx, i integrationRow, all []openSecret) error {
	pending := slices.DeleteFunc(slices.Clone(all), func(s openSecret) bool { return s.PendingSince == nil })
	if len(pending) < maxPending {
		return nil
	}
	oldest := slices.MinFunc(pending, func(a, b openSecret) int { return a.PendingSince.Compare(b.PendingSince.Time) })
	if tx.Now.Sub(oldest.PendingSince.Time) < pendingStay {
		return fault.Conflict.New("secrets_pending", "%d secrets of earlier handshakes wait to be confirmed. Have an operator confirm or remove them, then repeat the handshake.", len(pending))
	}
	if _, err := tx.Exec(ctx, deleteSecretSQL, oldest.ID); err != nil {
		return fmt.Errorf("remove a pending secret: %w", err)
	}
	return m.auditIntegration(ctx, tx, i, "secret.removed", integrationDetails{SecretID: oldest.ID, Note: oldest.Note})
}

// revealed is the value of a pending secret.
type revealed struct {
	ID    string `json:"id"`
	Value string `json:"value"`
}

var revealSpec = httpapi.Spec{
	Summary: "Shows a pending secret's value, to compare it or enter it at the provider; a confirmed one is never shown.",
	Answers: []httpapi.Answer{httpapi.Returns(http.StatusOK, "RevealedSecret", revealed{})}, Errors: conflict,
}

func (m *Module) postReveal(c echo.Context) error {
	integrationID, secretID := httpapi.ID(c), httpapi.IDOf(c, "secretId")
	shown := revealed{ID: secretID}
	err := m.change(c, func(tx *database.Tx) (err error) {
		shown.Value, err = m.RevealSecret(c.Request().Context(), tx, integrationID, secretID)
		return err
	})
	if err != nil {
		return err
	}
	return httpapi.Data(c, http.StatusOK, shown)
}

// RevealSecret returns a pending secret's value, and audits that it was shown.
func (m *Module) RevealSecret(ctx context.Context, tx *database.Tx, integrationID, secretID string) (string, error) {
	i, err := m.lockIntegration(ctx, tx, integrationID)
	if err != nil {
		return "", err
	}
	all, err := m.secretValues(ctx, tx, integrationID)
	if err != nil {
		return "", err
	}
	at := slices.IndexFunc(all, func(s openSecret) bool { return s.ID == secretID })
	switch {
	case at < 0:
		return "", noSecret(secretID)
	case all[at].PendingSince == nil:
		return "", fault.Conflict.New("secret_confirmed", "The secret %s is not pending, and the values of others are never shown.", secretID)
	case all[at].value.Empty():
		return "", fault.Conflict.New("key_missing", "The secret %s cannot be opened with the keys of this process.", secretID)
	}
	return all[at].value.Reveal(), m.auditIntegration(ctx, tx, i, "secret.revealed", integrationDetails{SecretID: secretID})
}
