package integrations

import (
	"context"
	"time"

	"integration-gateway/platform/database"
	"integration-gateway/platform/strictjson"
)

// RotateSecret adds a secret and lets the others of its purpose expire after expireOld, or never if it is
// nil. It returns the id of the new secret, and of the others that verify until then.
func (m *Module) RotateSecret(ctx context.Context, tx *database.Tx, integrationID string, s SecretConfig, expireOld *time.Duration) (added string, old []string, err error) {
	i, before, err := m.lockSecrets(ctx, tx, integrationID)
	if err != nil {
		return "", nil, err
	}
	s = s.purposed(i.spec(m.d.Providers))
	if added, err = m.AddSecret(ctx, tx, integrationID, s); err != nil {
		return "", nil, err
	}
	for _, one := range before {
		if !one.inUse(tx.Now) || one.Purpose != s.Purpose {
			continue
		}
		old = append(old, one.ID)
		if expireOld == nil {
			continue
		}
		end := tx.Now.Add(*expireOld)
		if one.ExpiresAt != nil && one.ExpiresAt.Before(end) {
			continue // it expires sooner
		}
		err := m.ChangeSecret(ctx, tx, integrationID, one.ID, SecretChange{ExpiresAt: strictjson.Nullable[time.Time]{Given: true, Value: &end}})
		if err != nil {
			return "", nil, err
		}
	}
	return added, old, nil
}
