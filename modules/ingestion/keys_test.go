package ingestion

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/testkit"
)

// TestAHugeNumberOfKeysIsOnlyAsLargeAsItsBytes: as many members as fit into a body, all
// named alike or all differently, cost what their bytes cost. Anything that compared each
// with each other would take hours. The event has no id, so that the body is put in order.
func TestAHugeNumberOfKeysIsOnlyAsLargeAsItsBytes(t *testing.T) {
	const size = 1 << 20
	g := setup(t, testkit.Open(t, testkit.SQLite(t)), func(c *Config, _ *Deps) { c.MaxBodyBytes = size })
	made := g.manage(http.MethodPost, "/integrations", `{"source":"own","provider":"generic","secrets":["`+acmeSecret+`"],
		"options":{"generic":{"scheme":"token","signature":{"header":"X-Token"},"event":{"type":"text:made"}}}}`)
	require.Equal(t, http.StatusCreated, made.Status, "%+v", made.Error)
	for name, key := range map[string]func(i int) string{
		"different": func(i int) string { return fmt.Sprintf(`"%x":1,`, i) },
		"alike":     func(int) string { return `"":1,` },
		"backwards": func(i int) string { return fmt.Sprintf(`"%x":1,`, 1<<24-i) },
	} {
		var b strings.Builder
		for i := 0; b.Len() < size-40; i++ {
			b.WriteString(key(i))
		}
		r := request("own", "{"+b.String()+`"last":1}`)
		r.Header.Set("X-Token", acmeSecret)
		a := g.do(r)
		require.Equal(t, http.StatusAccepted, a.Status, "%s: %+v", name, a.Error)
	}
	require.Equal(t, 3, g.count("normalized_events"))
}
