package testkit

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/database"
)

// node is a part of a plan; its numbers are means over its loops.
// https://www.postgresql.org/docs/current/using-explain.html
type node struct {
	Loops      float64 `json:"Actual Loops"`
	Rows       float64 `json:"Actual Rows"`
	Filtered   float64 `json:"Rows Removed by Filter"`
	JoinFilter float64 `json:"Rows Removed by Join Filter"`
	Rechecked  float64 `json:"Rows Removed by Index Recheck"`
	Plans      []node  `json:"Plans"`
}

// RowsRead runs a statement on PostgreSQL. It returns the number of rows read from tables,
// including those filtered out, and the plan.
func RowsRead(t testing.TB, db *database.DB, query string, args ...any) (rows int, plan string) {
	t.Helper()
	var text []byte
	require.NoError(t, db.Get(t.Context(), &text, "EXPLAIN (ANALYZE, FORMAT JSON) "+query, args...), query)
	var plans []struct {
		Plan node `json:"Plan"`
	}
	require.NoError(t, json.Unmarshal(text, &plans))
	require.Len(t, plans, 1)
	return int(plans[0].Plan.read()), string(text)
}

func (n node) read() float64 {
	sum := (n.Filtered + n.JoinFilter + n.Rechecked) * n.Loops
	if len(n.Plans) == 0 { // a table or an index
		sum += n.Rows * n.Loops
	}
	for _, below := range n.Plans {
		sum += below.read()
	}
	return sum
}
