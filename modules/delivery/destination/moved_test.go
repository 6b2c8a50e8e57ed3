package destination

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/testkit"
)

// An admin who may not read a destination's token changed its URL to a host of his own, read
// the token there, and put the URL back. The trail said fields: [url] and nothing else.
func TestCredentialsDoNotFollowADestinationToAnotherHost(t *testing.T) {
	const with = `{"url":"https://a.example/hooks?k=hunter9","headers":{"X-Key":"hunter2"},"auth":{"type":"bearer","token":"hunter3"}}`
	for _, c := range []struct {
		name, before, change string
		want                 map[string]string
	}{
		{"another host", with, `{"url":"https://b.example/hooks"}`, map[string]string{
			"auth":    `must be given again, or removed with {"type":"none"}, because the url moves from https://a.example to https://b.example`,
			"headers": "must be given again, or removed with {}, because the url moves from https://a.example to https://b.example"}},
		{"another port", with, `{"url":"https://a.example:8443/hooks"}`, map[string]string{"auth": "to https://a.example:8443", "headers": ""}},
		{"in the open", with, `{"url":"http://a.example/hooks"}`, map[string]string{"auth": "to http://a.example", "headers": ""}},
		{"a name below", with, `{"url":"https://a.example.b.example/"}`, map[string]string{"auth": "", "headers": ""}},
		{"a wrong URL too", with, `{"url":"ftp://b.example"}`, map[string]string{"auth": "", "headers": "", "url": "must start with"}},
		{"with the one and not the other", with, `{"url":"https://b.example","auth":{"type":"bearer","token":"new"}}`, map[string]string{"headers": ""}},
		{"with both", with, `{"url":"https://b.example","auth":{"type":"bearer","token":"new"},"headers":{"X-Key":"new"}}`, nil},
		{"both taken away", with, `{"url":"https://b.example","auth":{"type":"none"},"headers":{}}`, nil},
		{"another path", with, `{"url":"https://a.example/other"}`, nil},
		{"the same host, written otherwise", with, `{"url":"https://A.Example.:443/hooks"}`, nil},
		{"nothing that is sent", `{"url":"https://a.example"}`, `{"url":"https://b.example"}`, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHarness(t, testkit.Open(t, testkit.SQLite(t)))
			made := h.add(config(t, c.before))
			change := func(ctx context.Context, tx *database.Tx) error {
				return h.ChangeDestination(ctx, tx, h.integration, made.ID, config(t, c.change))
			}
			err := h.db.InTx(t.Context(), func(tx *database.Tx) error { return change(t.Context(), tx) })
			planned := h.db.InTx(t.Context(), func(tx *database.Tx) error {
				_, err := h.DestinationChanges(t.Context(), tx, h.integration, made.ID, config(t, c.change))
				return err
			})
			if c.want == nil {
				require.NoError(t, err)
				require.NoError(t, planned)
				return
			}
			requireFields(t, err, c.want)
			requireFields(t, planned, c.want)
			require.Equal(t, "https://a.example/hooks?k=hunter9", h.shown(made.ID).URL)
		})
	}
}

func TestTheTrailSaysWhereADestinationMoved(t *testing.T) {
	h := newHarness(t, testkit.Open(t, testkit.SQLite(t)))
	made := h.add(config(t, `{"url":"https://a.example:8443/hooks?k=hunter2"}`))
	h.change(made.ID, `{"url":"https://[2606:4700::1]/x?k=hunter3","auth":{"type":"oauth2","tokenUrl":"https://t.example/hunter4","clientId":"a","clientSecret":"b"}}`)
	h.change(made.ID, `{"url":"https://[2606:4700::1]/y"}`)
	h.tx(func(ctx context.Context, tx *database.Tx) error {
		return h.Archive(ctx, tx, h.integration, made.ID, contract.FinishJobs)
	})
	want := []map[string]any{
		{"host": "https://a.example:8443"},
		{"hostBefore": "https://a.example:8443", "hostAfter": "https://[2606:4700::1]", "tokenHostBefore": nil, "tokenHostAfter": "https://t.example",
			"fields": []any{"url", "auth"}},
		{"fields": []any{"url"}},
		{"host": "https://[2606:4700::1]", "openJobs": "finish"},
	}
	require.Len(t, h.audit.entries, len(want))
	for i, e := range h.audit.entries {
		var details map[string]any
		require.NoError(t, json.Unmarshal(e.Details, &details))
		delete(details, "integrationId")
		require.Equal(t, want[i], details)
		require.NotContains(t, string(e.Details), "hunter")
	}
}
