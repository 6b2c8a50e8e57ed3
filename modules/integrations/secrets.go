package integrations

import (
	"context"
	"fmt"
	"slices"
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/id"
	"integration-gateway/platform/provider"
	"integration-gateway/platform/secret"
	"integration-gateway/platform/strictjson"
)

// insertSecrets seals and stores secrets and returns their ids in order.
func (m *Module) insertSecrets(ctx context.Context, tx *database.Tx, integrationID string, secrets []SecretConfig) ([]string, error) {
	rows := database.NewRows("id uuid", "integration_id uuid", "secret text", "purpose text", "is_active boolean", "note text",
		"expires_at timestamptz", "created_at timestamptz")
	var ids []string
	for _, s := range secrets {
		secretID := id.New()
		sealed, err := m.d.Sealer.Seal(SecretPlace(secretID), s.Value)
		if err != nil {
			return nil, fmt.Errorf("seal a secret: %w", err)
		}
		ids = append(ids, secretID)
		rows.Add(secretID, integrationID, sealed, string(s.Purpose), true, s.Note, s.ExpiresAt, tx.Now)
	}
	return ids, tx.Insert(ctx, "integration_secrets", rows)
}

// AddSecret adds a secret to an integration and returns its id. A value that the integration
// already has is a conflict.
func (m *Module) AddSecret(ctx context.Context, tx *database.Tx, integrationID string, s SecretConfig) (string, error) {
	i, err := m.lockIntegration(ctx, tx, integrationID)
	if err != nil {
		return "", err
	}
	var wrong violations
	spec := i.spec(m.d.Providers)
	s = s.purposed(spec)
	if m.checkSecret(spec, "", s, &wrong); len(wrong) > 0 {
		return "", httpapi.Invalid(wrong)
	}
	values, err := m.secretValues(ctx, tx, integrationID)
	if err != nil {
		return "", err
	}
	for _, known := range values {
		if s.is(known.Purpose, known.value) && known.PendingSince != nil { // whoever has the value confirms it
			active, change := true, SecretChange{Note: &s.Note}
			change.IsActive, change.ExpiresAt = &active, strictjson.Nullable[time.Time]{Given: true, Value: s.ExpiresAt}
			return known.ID, m.ChangeSecret(ctx, tx, integrationID, known.ID, change)
		}
		if s.is(known.Purpose, known.value) {
			return "", fault.Conflict.New("secret_exists", "The integration already has this secret; its id is %s.", known.ID).At("value")
		}
	}
	ids, err := m.insertSecrets(ctx, tx, integrationID, []SecretConfig{s})
	if err != nil {
		return "", err
	}
	at := clockTime(s.ExpiresAt)
	return ids[0], m.auditIntegration(ctx, tx, i, "secret.added", integrationDetails{SecretID: ids[0], Note: s.Note, ExpiresAt: at})
}

func clockTime(t *time.Time) *clock.Time {
	if t == nil {
		return nil
	}
	at := clock.At(*t)
	return &at
}

//nolint:gosec // a query, not a secret
const updateSecretSQL = `
UPDATE integration_secrets SET note = $2, is_active = $3, expires_at = $4, pending_since = CASE WHEN $3 THEN NULL ELSE pending_since END
WHERE  id = $1`

// ChangeSecret changes a secret's note, expiry or activity. To activate a pending one confirms it.
func (m *Module) ChangeSecret(ctx context.Context, tx *database.Tx, integrationID, secretID string, c SecretChange) error {
	var wrong violations
	if c.Note != nil {
		if checkNote("note", *c.Note, &wrong); len(wrong) > 0 {
			return httpapi.Invalid(wrong)
		}
	}
	i, all, err := m.lockSecrets(ctx, tx, integrationID)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(all, func(s SecretInfo) bool { return s.ID == secretID })
	if at < 0 {
		return noSecret(secretID)
	}
	before, verified := all[at], anyVerifies(all, tx.Now)
	s := &all[at]
	if c.Note != nil {
		s.Note = *c.Note
	}
	if c.IsActive != nil {
		s.IsActive = *c.IsActive
	}
	if c.ExpiresAt.Given {
		s.ExpiresAt = clockTime(c.ExpiresAt.Value)
	}
	if s.Note == before.Note && s.IsActive == before.IsActive && sameTime(s.ExpiresAt, before.ExpiresAt) {
		return nil
	}
	if verified && !anyVerifies(all, tx.Now) && !c.Force {
		return lastSecret()
	}
	if _, err := tx.Exec(ctx, updateSecretSQL, s.ID, s.Note, s.IsActive, s.ExpiresAt); err != nil {
		return fmt.Errorf("change a secret: %w", err)
	}
	action := "secret.updated"
	switch {
	case s.IsActive && before.PendingSince != nil:
		action = "secret.confirmed"
	case c.ExpiresAt.Value != nil:
		action = "secret.expired"
	}
	return m.auditIntegration(ctx, tx, i, action, integrationDetails{SecretID: s.ID, Note: s.Note, IsActive: &s.IsActive, ExpiresAt: s.ExpiresAt})
}

func sameTime(a, b *clock.Time) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Equal(b.Time)
}

//nolint:gosec // a query, not a secret
const deleteSecretSQL = `
DELETE FROM integration_secrets
WHERE  id = $1`

// RemoveSecret deletes a secret. It deletes the last one that verifies only with force.
func (m *Module) RemoveSecret(ctx context.Context, tx *database.Tx, integrationID, secretID string, force bool) error {
	i, all, err := m.lockSecrets(ctx, tx, integrationID)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(all, func(s SecretInfo) bool { return s.ID == secretID })
	if at < 0 {
		return noSecret(secretID)
	}
	rest := slices.Delete(slices.Clone(all), at, at+1)
	if all[at].verifies(tx.Now) && !anyVerifies(rest, tx.Now) && !force {
		return lastSecret()
	}
	if _, err := tx.Exec(ctx, deleteSecretSQL, secretID); err != nil {
		return fmt.Errorf("remove a secret: %w", err)
	}
	return m.auditIntegration(ctx, tx, i, "secret.removed", integrationDetails{SecretID: secretID, Note: all[at].Note})
}

func anyVerifies(secrets []SecretInfo, at time.Time) bool {
	return slices.ContainsFunc(secrets, func(s SecretInfo) bool { return s.verifies(at) })
}

func noSecret(secretID string) error {
	return fault.NotFound.New("secret_not_found", "The integration has no secret %s.", secretID)
}

func lastSecret() error {
	return fault.Conflict.New("last_secret", "It is the last secret that verifies; without it every webhook of the source is refused. "+
		"Add another one first, or use force.")
}

const secretColumns = `id, integration_id, purpose, note, is_active, pending_since, expires_at, match_count, last_matched_at, created_at`

const selectSecretInfoSQL = `
SELECT ` + secretColumns + `
FROM   integration_secrets
WHERE  integration_id = $1
ORDER  BY id`

// lockSecrets locks an integration and so its secrets.
func (m *Module) lockSecrets(ctx context.Context, tx *database.Tx, integrationID string) (integrationRow, []SecretInfo, error) {
	i, err := m.lockIntegration(ctx, tx, integrationID)
	if err != nil {
		return i, nil, err
	}
	var all []SecretInfo
	if err := tx.Select(ctx, &all, selectSecretInfoSQL, integrationID); err != nil {
		return i, nil, fmt.Errorf("read secrets: %w", err)
	}
	return i, all, nil
}

//nolint:gosec // a query, not a secret
const selectSecretsOfSQL = `
SELECT s.id, s.integration_id, s.purpose, s.note, s.is_active, s.pending_since, s.expires_at, s.match_count, s.last_matched_at, s.created_at
FROM   integration_secrets s
JOIN   v ON v.id = s.integration_id
ORDER  BY s.id`

// secretsOf returns these integrations' secrets without their values, oldest first.
func (m *Module) secretsOf(ctx context.Context, integrationIDs []string) (map[string][]SecretInfo, error) {
	var all []SecretInfo
	if err := m.d.DB.SelectRows(ctx, &all, database.IDs(integrationIDs), selectSecretsOfSQL); err != nil {
		return nil, fmt.Errorf("read secrets: %w", err)
	}
	of := map[string][]SecretInfo{}
	for _, s := range all {
		of[s.IntegrationID] = append(of[s.IntegrationID], s)
	}
	return of, nil
}

// selecter is a transaction, or the database outside of one.
type selecter interface {
	Select(ctx context.Context, dest any, query string, args ...any) error
}

// openSecret is a secret with its decrypted value.
type openSecret struct {
	SecretInfo
	value secret.Value
}

//nolint:gosec // a query, not a secret
const selectSecretValuesSQL = `
SELECT ` + secretColumns + `, secret
FROM   integration_secrets
WHERE  integration_id = $1
ORDER  BY id`

// warnOfShort adds warnings to the secrets that are short, where the provider's may be.
func (m *Module) warnOfShort(ctx context.Context, r integrationRow, secrets []SecretInfo) error {
	shortest := 0
	if spec, ok := m.d.Providers.Spec(r.Provider); ok {
		shortest = spec.MinSecretBytes
	}
	if o, err := readOptions(r.Options); err == nil && o.Generic != nil {
		shortest = o.Generic.MinSecretBytes
	}
	if shortest == 0 || shortest >= provider.MinSecret {
		return nil
	}
	all, err := m.secretValues(ctx, m.d.DB, r.ID)
	if err != nil {
		return err
	}
	for _, one := range all {
		text := provider.ShortToken(one.value)
		if at := slices.IndexFunc(secrets, func(s SecretInfo) bool { return s.ID == one.ID }); at >= 0 && text != "" {
			secrets[at].Warning = &text
		}
	}
	return nil
}

// secretValues decrypts an integration's secrets. A secret that cannot be decrypted has an
// empty value.
func (m *Module) secretValues(ctx context.Context, from selecter, integrationID string) ([]openSecret, error) {
	var rows []struct {
		SecretInfo
		Secret string `db:"secret"`
	}
	if err := from.Select(ctx, &rows, selectSecretValuesSQL, integrationID); err != nil {
		return nil, fmt.Errorf("read secrets: %w", err)
	}
	open := make([]openSecret, len(rows))
	for i, r := range rows {
		value, _ := m.d.Sealer.Open(SecretPlace(r.ID), r.Secret) // the key is missing: loading the snapshot reports it
		open[i] = openSecret{r.SecretInfo, value}
	}
	return open, nil
}
