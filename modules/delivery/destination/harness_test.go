package destination

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/egress"
	"integration-gateway/platform/id"
	"integration-gateway/platform/secret"
	"integration-gateway/platform/testkit"
)

// harness is a store and its cache on a real database.
type harness struct {
	*Store
	t           testing.TB
	db          *database.DB
	cache       *Cache
	audit       *fakeAudit
	integration string
	sealer      Sealer
}

func eachHarness(t *testing.T, test func(h *harness)) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) { test(newHarness(t, db)) })
}

func newHarness(t testing.TB, db *database.DB) *harness {
	h := &harness{t: t, db: db, audit: &fakeAudit{}, sealer: rot{}}
	h.Store, h.cache = New(h.deps())
	h.integration = h.newIntegration()
	return h
}

func (h *harness) deps() Deps {
	return Deps{DB: h.db, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Now: clock.System, Auditor: h.audit, Sealer: h.sealer,
		Sender: egress.New(egress.Config{Allow: egress.Allow{Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}})}
}

func (h *harness) newIntegration() string {
	h.t.Helper()
	integration := id.New()
	h.tx(func(ctx context.Context, tx *database.Tx) error {
		rows := database.NewRows("id uuid", "source text", "provider text", "name text", "is_active boolean", "created_at timestamptz", "updated_at timestamptz")
		rows.Add(integration, integration, "acme", "Acme", true, tx.Now, tx.Now)
		return tx.Insert(ctx, "integrations", rows)
	})
	return integration
}

func (h *harness) add(c contract.DestinationConfig) contract.NewDestination {
	h.t.Helper()
	return h.addTo(h.integration, c)
}

func (h *harness) addTo(integration string, c contract.DestinationConfig) (made contract.NewDestination) {
	h.t.Helper()
	h.tx(func(ctx context.Context, tx *database.Tx) (err error) {
		made, err = h.AddDestination(ctx, tx, integration, c)
		return err
	})
	return made
}

func (h *harness) tx(do func(ctx context.Context, tx *database.Tx) error) {
	h.t.Helper()
	require.NoError(h.t, h.db.InTx(context.Background(), func(tx *database.Tx) error { return do(context.Background(), tx) }))
}

func (h *harness) exec(query string, args ...any) (n int64) {
	h.t.Helper()
	h.tx(func(ctx context.Context, tx *database.Tx) (err error) {
		n, err = tx.Exec(ctx, query, args...)
		return err
	})
	return n
}

// rot stands in for encryption: what it seals is not what it was, and opens in its place
// alone.
type rot struct{}

func (rot) Seal(at secret.Place, v secret.Value) (string, error) {
	return "sealed:" + at.String() + ":" + v.Reveal(), nil
}

func (rot) Open(at secret.Place, stored string) (secret.Value, error) {
	text, ok := strings.CutPrefix(stored, "sealed:"+at.String()+":")
	if !ok {
		return secret.Value{}, errors.New("not sealed")
	}
	return secret.New(text), nil
}

type fakeAudit struct {
	mu      sync.Mutex
	entries []contract.AuditEntry
}

func (f *fakeAudit) Record(_ context.Context, tx *database.Tx, entries []contract.AuditEntry) error {
	tx.AfterCommit(func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.entries = append(f.entries, entries...)
	})
	return nil
}

// audited holds the trail of a destination to these actions.
func (h *harness) audited(destinationID string, want ...string) {
	h.t.Helper()
	var got []string
	for _, e := range h.audit.entries {
		if *e.EntityID == destinationID {
			got = append(got, e.Action)
		}
	}
	require.Equal(h.t, want, got)
}
