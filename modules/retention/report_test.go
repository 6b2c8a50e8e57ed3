package retention

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/database"
	"integration-gateway/platform/testkit"
)

func TestTheReportSaysWhatIsDroppedNext(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		f := setup(t, db, Config{Events: 36 * time.Hour})
		f.event(clock.System(), "processed", "succeeded")
		f.exec(`ANALYZE`)
		report, err := f.m.Report(t.Context())
		require.NoError(t, err)
		require.Equal(t, db.Dialect.Name, report.Database)
		require.Len(t, report.Tables, len(ofEvents)+len(auditTables()))
		for _, table := range report.Tables {
			if slices.Contains(auditTables(), table.Name) {
				require.Equal(t, ForEver, table.Retention)
			} else {
				require.Equal(t, "36h", table.Retention)
				require.NotNil(t, table.Rows, table.Name)
				require.EqualValues(t, 1, *table.Rows, table.Name)
			}
			require.Positive(t, table.Bytes, table.Name)
			for _, p := range table.Partitions {
				goes := p.From != nil && !slices.Contains(auditTables(), table.Name)
				require.Equal(t, goes, p.DropsAt != nil, p.Name)
				if goes {
					require.Equal(t, p.To.Add(36*time.Hour), p.DropsAt.Time)
				}
			}
		}
		require.Equal(t, db.Dialect.Name == "postgres", len(report.Tables[0].Partitions) > 0)
	})
}

func TestARetentionIsFormattedAsInTheSettings(t *testing.T) {
	for text, d := range map[string]time.Duration{ForEver: 0, "1h": time.Hour, "1d": day, "25h": 25 * time.Hour, "400d": 400 * day} {
		require.Equal(t, text, formatRetention(d))
	}
}
