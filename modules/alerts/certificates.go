package alerts

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/database"
)

// certificate is a row of alert_certificates: until when a listener's certificate, or a
// destination's client certificate, is valid. Each process tells of those that it uses, since
// only one evaluates the conditions.
type certificate struct {
	Name      string     `db:"name"` // of the listener, or the destination's id
	Host      string     `db:"host"` // of the listener; "" for a destination's, which every host uses
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
	at   time.Time
	list []certificate
}

// tellCertificates stores the certificates of this process, if they changed or were not stored
// for a while.
func (m *Module) tellCertificates(ctx context.Context) error {
	now, list := m.d.Now(), m.used()
	age := now.Sub(m.told.at)
	if len(list) == 0 || age >= 0 && age < tellEvery && slices.Equal(list, m.told.list) {
		return nil
	}
	err := m.d.DB.InTx(ctx, func(tx *database.Tx) error {
		for _, c := range list {
			if _, err := tx.Exec(ctx, saveCertificateSQL, c.Name, c.Host, c.ExpiresAt, tx.Now); err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, forgetCertificatesSQL, tx.Now.Add(-forgottenAfter))
		return err
	})
	if err != nil {
		return fmt.Errorf("store the certificates: %w", err)
	}
	m.told = told{now, list}
	return nil
}

// used returns the certificates of this process, always in the same order: two processes store
// those of destinations at once.
func (m *Module) used() (list []certificate) {
	add := func(host string, expiries func() map[string]time.Time) {
		if expiries == nil {
			return
		}
		all := expiries()
		for _, name := range slices.Sorted(maps.Keys(all)) {
			list = append(list, certificate{name, host, clock.At(all[name])})
		}
	}
	add("", m.d.ClientCertificates)
	add(m.cfg.Host, m.d.Certificates)
	return list
}

// certificates returns those that are in use.
func (m *Module) certificates(ctx context.Context) (list []certificate, err error) {
	if err := m.d.DB.Select(ctx, &list, selectCertificatesSQL, m.d.Now().Add(-forgottenAfter)); err != nil {
		return nil, fmt.Errorf("read the certificates: %w", err)
	}
	return list, nil
}
