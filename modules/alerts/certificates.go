package alerts

import (
	"context"
	"fmt"
	"maps"
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/database"
)

// certificate is a row of alert_certificates: until when a listener's certificate is valid.
// Each process tells of its own, since only one evaluates the conditions.
type certificate struct {
	Name      string     `db:"name"` // of the listener
	Host      string     `db:"host"`
	ExpiresAt clock.Time `db:"expires_at"`
}

// A process tells of its certificates again after tellEvery; what nobody has told of for
// forgottenAfter is not in use any more.
const (
	tellEvery      = 5 * time.Minute
	forgottenAfter = time.Hour
)

const (
	saveCertificateSQL = `
INSERT INTO alert_certificates (name, host, expires_at, seen_at)
VALUES ($1, $2, $3, $4)
ON CONFLICT (name, host) DO UPDATE SET expires_at = excluded.expires_at, seen_at = excluded.seen_at`
	forgetCertificatesSQL = `
DELETE FROM alert_certificates WHERE seen_at < $1`
	selectCertificatesSQL = `
SELECT name, host, expires_at FROM alert_certificates WHERE seen_at >= $1 ORDER BY name, host`
)

// told is what this process last told of its certificates.
type told struct {
	at       time.Time
	expiries map[string]time.Time
}

// tellCertificates stores the certificates of this process, if they changed or were not stored
// for a while.
func (m *Module) tellCertificates(ctx context.Context) error {
	if m.d.Certificates == nil {
		return nil
	}
	now, expiries := m.d.Now(), m.d.Certificates()
	age := now.Sub(m.told.at)
	if len(expiries) == 0 || age >= 0 && age < tellEvery && maps.Equal(expiries, m.told.expiries) {
		return nil
	}
	err := m.d.DB.InTx(ctx, func(tx *database.Tx) error {
		for name, end := range expiries {
			if _, err := tx.Exec(ctx, saveCertificateSQL, name, m.cfg.Host, end, tx.Now); err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, forgetCertificatesSQL, tx.Now.Add(-forgottenAfter))
		return err
	})
	if err != nil {
		return fmt.Errorf("store the certificates: %w", err)
	}
	m.told = told{now, expiries}
	return nil
}

// certificates returns those that are in use.
func (m *Module) certificates(ctx context.Context) (list []certificate, err error) {
	if err := m.d.DB.Select(ctx, &list, selectCertificatesSQL, m.d.Now().Add(-forgottenAfter)); err != nil {
		return nil, fmt.Errorf("read the certificates: %w", err)
	}
	return list, nil
}
