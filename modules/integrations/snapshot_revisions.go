package integrations

import (
	"context"
	"fmt"

	"integration-gateway/platform/database"
)

// revisions says which state of each integration was read, inactive ones included. A trigger
// draws another revision with each change of an integration, and of what verifies in a
// secret. Revisions are random and compared for being different, never for being later: so a
// restored backup and a standby that has taken over are followed too.
type revisions struct {
	of    map[string]int64 // the sum of the integration's own and its secrets', by its id
	count int              // of integrations and secrets
	sum   int64
}

// summary is what revisions add up to in the database.
type summary struct {
	Count int   `db:"count"`
	Sum   int64 `db:"sum"`
}

func (r revisions) summary() summary { return summary{r.count, r.sum} }

//nolint:gosec // a query, not a secret
const selectSummarySQL = `
SELECT sum(count) AS count, CAST(sum(sum) AS bigint) AS sum
FROM   (SELECT count(*) AS count, COALESCE(sum(revision), 0) AS sum FROM integrations
        UNION ALL SELECT count(*), COALESCE(sum(revision), 0) FROM integration_secrets) AS tables`

// readSummary, like all reads for the snapshot, uses the connections of transactions: lists
// that are slow delay no webhook.
func (m *Module) readSummary(ctx context.Context) (summary, error) {
	var rows []summary
	if err := m.d.DB.SelectApart(ctx, &rows, selectSummarySQL); err != nil {
		return summary{}, fmt.Errorf("sum up the revisions of sources: %w", err)
	}
	return rows[0], nil
}

//nolint:gosec // a query, not a secret
const selectRevisionsSQL = `
SELECT i.id, CAST(i.revision + COALESCE(sum(s.revision), 0) AS bigint) AS revision, 1 + count(s.id) AS count
FROM   integrations i
LEFT   JOIN integration_secrets s ON s.integration_id = i.id
GROUP  BY i.id, i.revision`

func (m *Module) readRevisions(ctx context.Context) (revisions, error) {
	var rows []struct {
		ID       string `db:"id"`
		Revision int64  `db:"revision"`
		Count    int    `db:"count"`
	}
	if err := m.d.DB.SelectApart(ctx, &rows, selectRevisionsSQL); err != nil {
		return revisions{}, fmt.Errorf("read the revisions of sources: %w", err)
	}
	all := revisions{of: make(map[string]int64, len(rows))}
	for _, row := range rows {
		all.of[row.ID] = row.Revision
		all.count += row.Count
		all.sum += row.Revision
	}
	return all, nil
}

// changedSince gives the integrations whose revisions are not those of before, and those that
// one of them alone has.
func (r revisions) changedSince(before revisions) (ids []string) {
	for id, revision := range r.of {
		if known, ok := before.of[id]; !ok || known != revision {
			ids = append(ids, id)
		}
	}
	for id := range before.of {
		if _, ok := r.of[id]; !ok {
			ids = append(ids, id)
		}
	}
	return ids
}

// readAtOnce is how many integrations one query reads.
const readAtOnce = 1000

// rowsOf reads these integrations with their active secrets, in the order of their ids, which
// are sorted.
func (m *Module) rowsOf(ctx context.Context, ids []string) (all []sourceRow, err error) {
	for len(ids) > 0 {
		n := min(len(ids), readAtOnce)
		var rows []sourceRow
		if err := m.d.DB.SelectRows(ctx, &rows, database.IDs(ids[:n]), selectSourcesSQL); err != nil {
			return nil, fmt.Errorf("read sources: %w", err)
		}
		all, ids = append(all, rows...), ids[n:]
	}
	return all, nil
}
