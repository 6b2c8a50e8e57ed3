package expression

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkMatches measures what a filter adds to a commit: one that looks at the type
// alone, one that reads the body, and one that costs all that it may.
func BenchmarkMatches(b *testing.B) {
	dear := `{"data":[` + strings.TrimSuffix(strings.Repeat("1,", 5000), ",") + `]}`
	for _, c := range []struct{ name, text, payload string }{
		{"type", `eventType == 'order.created'`, order},
		{"body", `data.items.exists(i, i.sku == 'b')`, order},
		{"dearest", `data.all(a, data.all(b, a + b > 0))`, dear},
	} {
		b.Run(c.name, func(b *testing.B) {
			f, err := New().Filter(c.text)
			require.NoError(b, err)
			e := event(c.payload)
			b.ReportAllocs()
			for b.Loop() {
				_, _ = f.Matches(b.Context(), NewFacts(e))
			}
		})
	}
}
