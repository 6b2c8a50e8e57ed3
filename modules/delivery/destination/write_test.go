package destination

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/id"
	"integration-gateway/platform/standardwebhooks"
	"integration-gateway/platform/testkit"
)

func to[T any](value T) *T { return &value }

// config reads a destination as a caller would write it.
func config(t testing.TB, text string) (c contract.DestinationConfig) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(text), &c))
	return c
}

func TestTheMistakesInADestination(t *testing.T) {
	const good = `"url":"https://example.com/hooks"`
	h := newHarness(t, testkit.Open(t, testkit.SQLite(t)))
	for _, c := range []struct {
		name, text string
		want       map[string]string // part of the message, by field
	}{
		{"nothing but a URL", `{` + good + `}`, nil},
		{"no URL", `{}`, map[string]string{"url": "is required"}},
		{"a URL with a password", `{"url":"https://a:b@example.com"}`, map[string]string{"url": "must not contain a user or password"}},
		{"a URL of another kind", `{"url":"ftp://example.com"}`, map[string]string{"url": "must start with https:// or http://"}},
		{"an unknown mode", `{` + good + `,"mode":"cooked"}`, map[string]string{"mode": "must be canonical"}},
		{"a raw body that is to be changed", `{` + good + `,"mode":"raw","transform":"data"}`, map[string]string{"transform": "use the mode canonical"}},
		{"a filter that is none", `{` + good + `,"filter":"eventTyp == 'a'"}`, map[string]string{"filter": "did you mean 'eventType'?"}},
		{"expressions with a NUL, which PostgreSQL cannot keep", `{` + good + `,"filter":"eventType == '\u0000'","transform":"'\u0000'"}`,
			map[string]string{"filter": "NUL", "transform": "NUL"}},
		{"a NUL that is written out", `{` + good + `,"filter":"eventType == '\\u0000'"}`, nil},
		{"a filter that gives a text", `{` + good + `,"filter":"eventType"}`, map[string]string{"filter": "must be true or false"}},
		{"a transformation that is none", `{` + good + `,"transform":"{"}`, map[string]string{"transform": "is no valid CEL expression"}},
		{"filter and transformation", `{` + good + `,"filter":"eventType != 'a'","transform":"{'text': data.id}"}`, nil},

		{"headers", `{` + good + `,"headers":{"X-Team":"billing","authorization":"Token a"}}`, nil},
		{"a name that is not a valid header name", `{` + good + `,"headers":{"X Team":"billing"}}`, map[string]string{"headers": "not a valid header name"}},
		{"a value of two lines", `{` + good + `,"headers":{"X-Team":"a\r\nX-Event-Id: b"}}`, map[string]string{"headers.X-Team": "without line breaks"}},
		{"an empty value", `{` + good + `,"headers":{"X-Team":""}}`, map[string]string{"headers.X-Team": "must have a value"}},
		{"a name twice", `{` + good + `,"headers":{"X-Team":"a","x-team":"b"}}`, map[string]string{"headers.x-team": "twice"}},
		{"the gateway's own headers", `{` + good + `,"headers":{"Webhook-Signature":"a","x-event-id":"a","Host":"a","content-length":"1","Content-Type":"a"}}`,
			map[string]string{"headers.Webhook-Signature": "by the gateway", "headers.x-event-id": "by the gateway", "headers.Host": "by the gateway",
				"headers.content-length": "by the gateway", "headers.Content-Type": "by the gateway"}},
		{"two credentials for one header", `{` + good + `,"headers":{"Authorization":"a"},"auth":{"type":"bearer","token":"b"}}`,
			map[string]string{"headers.Authorization": "omit one of the two"}},

		{"a credential of no kind", `{` + good + `,"auth":{"type":"digest"}}`, map[string]string{"auth.type": "must be none, basic, bearer or oauth2"}},
		{"none", `{` + good + `,"auth":{"type":"none"}}`, nil},
		{"half a basic one", `{` + good + `,"auth":{"type":"basic","username":"a"}}`, map[string]string{"auth.password": "is required with the type basic"}},
		{"a basic one", `{` + good + `,"auth":{"type":"basic","username":"a","password":"b:c"}}`, nil},
		{"a name with a colon", `{` + good + `,"auth":{"type":"basic","username":"a:b","password":"c"}}`, map[string]string{"auth.username": "colon"}},
		{"a bearer's, with a password", `{` + good + `,"auth":{"type":"bearer","token":"a","password":"b"}}`, map[string]string{"auth.password": "does not belong to the type bearer"}},
		{"a bearer's of two lines", `{` + good + `,"auth":{"type":"bearer","token":"a\nb"}}`, map[string]string{"auth.token": "no line breaks"}},
		{"half an OAuth one", `{` + good + `,"auth":{"type":"oauth2","clientId":"a"}}`, map[string]string{"auth.tokenUrl": "is required", "auth.clientSecret": "is required"}},
		{"an OAuth one with a wrong URL", `{` + good + `,"auth":{"type":"oauth2","clientId":"a","clientSecret":"b","tokenUrl":"example.com"}}`,
			map[string]string{"auth.tokenUrl": "must start with https:// or http://"}},
		{"an OAuth one", `{` + good + `,"auth":{"type":"oauth2","clientId":"a","clientSecret":"b","tokenUrl":"https://example.com/token","scopes":["a","b:c"]}}`, nil},
		{"a scope that is two", `{` + good + `,"auth":{"type":"oauth2","clientId":"a","clientSecret":"b","tokenUrl":"https://example.com/token","scopes":["a b"]}}`,
			map[string]string{"auth.scopes": "without spaces"}},

		{"the least of a policy", `{` + good + `,"policy":{"timeoutMs":100,"maxAttempts":1,"retryBaseMs":100,"retryCapMs":100,"concurrency":1,"ratePerSecond":1}}`, nil},
		{"the most of it", `{` + good + `,"policy":{"timeoutMs":600000,"maxAttempts":100,"retryBaseMs":86400000,"retryCapMs":86400000,"concurrency":1000,"ratePerSecond":10000}}`, nil},
		{"less than the least", `{` + good + `,"policy":{"timeoutMs":99,"maxAttempts":-1,"retryBaseMs":99,"retryCapMs":99,"concurrency":-1,"ratePerSecond":-1}}`,
			map[string]string{"policy.timeoutMs": "100 to 600000", "policy.maxAttempts": "1 to 100", "policy.retryBaseMs": "100 to", "policy.retryCapMs": "100 to",
				"policy.concurrency": "1 to 1000", "policy.ratePerSecond": "1 to 10000"}},
		{"more than the most", `{` + good + `,"policy":{"timeoutMs":600001,"maxAttempts":101}}`, map[string]string{"policy.timeoutMs": "100 to 600000", "policy.maxAttempts": "1 to 100"}},
		{"a cap below the base", `{` + good + `,"policy":{"retryBaseMs":2000,"retryCapMs":1999}}`, map[string]string{"policy.retryCapMs": "not be less than retryBaseMs, 2000"}},
		{"everything at once", `{"mode":"x","filter":"1","headers":{"host":"a"},"auth":{"type":"x"},"policy":{"timeoutMs":1}}`,
			map[string]string{"url": "", "mode": "", "filter": "", "headers.host": "", "auth.type": "", "policy.timeoutMs": ""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := h.db.InTx(t.Context(), func(tx *database.Tx) error {
				_, err := h.AddDestination(t.Context(), tx, h.integration, config(t, c.text))
				return err
			})
			if c.want == nil {
				require.NoError(t, err)
				return
			}
			requireFields(t, err, c.want)
		})
	}
}

// requireFields holds a fault.Invalid to parts of its messages, by field.
func requireFields(t *testing.T, err error, want map[string]string) {
	t.Helper()
	require.True(t, fault.Is(err, fault.Invalid), "%v", err)
	got := map[string]string{}
	for _, f := range fault.As(err).Fields {
		got[f.Field] = f.Message
	}
	require.Len(t, got, len(want), "%v", got)
	for field, part := range want {
		require.Contains(t, got, field)
		require.Contains(t, got[field], part)
	}
}

func (h *harness) shown(destinationID string) contract.Destination {
	h.t.Helper()

	list, err := h.Destinations(context.Background(), []string{h.integration})
	require.NoError(h.t, err)
	for _, d := range list {
		if d.ID == destinationID {
			return d
		}
	}
	h.t.Fatalf("destination %s is not shown", destinationID)
	return contract.Destination{}
}

func (h *harness) change(destinationID, text string) {
	h.t.Helper()
	h.tx(func(ctx context.Context, tx *database.Tx) error {
		return h.ChangeDestination(ctx, tx, h.integration, destinationID, config(h.t.(*testing.T), text))
	})
}

func TestADestinationIsShownWithoutWhatIsWriteOnly(t *testing.T) {
	eachHarness(t, func(h *harness) {
		made := h.add(config(t, `{"url":"https://example.com/a","filter":"eventType != 'a'","headers":{"X-B":"hunter2","X-A":"hunter3"},
			"auth":{"type":"bearer","token":"hunter4"},"policy":{"timeoutMs":1000},"isActive":false}`))
		require.True(t, strings.HasPrefix(made.SigningSecret, standardwebhooks.SecretPrefix))
		d := h.shown(made.ID)
		require.Equal(t, []string{"X-A", "X-B"}, d.Headers)
		require.Equal(t, "bearer", d.Auth)
		require.Equal(t, contract.ModeCanonical, d.Mode)
		require.Equal(t, "eventType != 'a'", d.Filter)
		require.Equal(t, 1000, *d.Policy.TimeoutMS)
		require.False(t, d.IsActive)
		text, err := json.Marshal(d)
		require.NoError(t, err)
		require.NotContains(t, string(text), "hunter")

		h.change(made.ID, `{"mode":"raw"}`)
		changed := h.shown(made.ID)
		require.Equal(t, contract.ModeRaw, changed.Mode)
		d.Mode, d.UpdatedAt = changed.Mode, changed.UpdatedAt
		require.Equal(t, d, changed, "nothing else changes")

		h.change(made.ID, `{"url":"https://example.com/b","filter":"","headers":{},"auth":{"type":"none"},"policy":{"timeoutMs":0,"maxAttempts":5},"isActive":true}`)
		changed = h.shown(made.ID)
		require.Equal(t, contract.Destination{ID: made.ID, IntegrationID: h.integration, URL: "https://example.com/b", IsActive: true, Mode: contract.ModeRaw,
			Auth: "none", Policy: contract.DestinationPolicy{MaxAttempts: to(5)}, Breaker: "closed", CreatedAt: d.CreatedAt, UpdatedAt: changed.UpdatedAt}, changed)
		var sealed, since int
		require.NoError(t, h.db.Get(t.Context(), &sealed, `SELECT count(*) FROM destinations WHERE headers IS NOT NULL OR auth IS NOT NULL`))
		require.Zero(t, sealed)
		require.NoError(t, h.db.Get(t.Context(), &since, `SELECT count(*) FROM destinations WHERE wants_all_since IS NOT NULL`))
		require.Equal(t, 1, since, "gateway verify asks for no job of events from before")
		h.audited(made.ID, "destination.created", "destination.changed", "destination.changed")
		for _, e := range h.audit.entries {
			require.NotContains(t, string(e.Details), "hunter")
		}
	})
}

func TestWhatADestinationKeepsIsSealed(t *testing.T) {
	eachHarness(t, func(h *harness) {
		h.add(config(t, `{"url":"https://example.com/a","headers":{"X-A":"hunter2"},"auth":{"type":"basic","username":"u","password":"hunter3"}}`))
		var row struct{ Headers, Auth string }
		require.NoError(t, h.db.Get(t.Context(), &row, `SELECT headers, auth FROM destinations`))
		require.True(t, strings.HasPrefix(row.Headers, "sealed:") && strings.HasPrefix(row.Auth, "sealed:"))
	})
}

func TestADestinationBelongsToItsIntegration(t *testing.T) {
	eachHarness(t, func(h *harness) {
		destinationID := h.add(contract.DestinationConfig{URL: to("https://example.com")}).ID
		for name, do := range map[string]func(ctx context.Context, tx *database.Tx) error{
			"change": func(ctx context.Context, tx *database.Tx) error {
				return h.ChangeDestination(ctx, tx, id.New(), destinationID, contract.DestinationConfig{URL: to("https://example.org")})
			},
			"remove": func(ctx context.Context, tx *database.Tx) error {
				return h.Archive(ctx, tx, id.New(), destinationID, contract.FinishJobs)
			},
			"rotate": func(ctx context.Context, tx *database.Tx) error {
				_, err := h.RotateSigningSecret(ctx, tx, id.New(), destinationID)
				return err
			},
		} {
			err := h.db.InTx(t.Context(), func(tx *database.Tx) error { return do(t.Context(), tx) })
			require.True(t, fault.Is(err, fault.NotFound), "%s: %v", name, err)
		}
		require.Equal(t, "https://example.com", h.shown(destinationID).URL)
	})
}

func TestTheActorOfAChangeIsTheCredential(t *testing.T) {
	h := newHarness(t, testkit.Open(t, testkit.SQLite(t)))
	ctx := httpapi.WithActor(t.Context(), "management-key")
	require.NoError(t, h.db.InTx(ctx, func(tx *database.Tx) error {
		_, err := h.AddDestination(ctx, tx, h.integration, contract.DestinationConfig{URL: to("https://example.com")})
		return err
	}))
	require.Equal(t, "management-key", h.audit.entries[0].Actor)
}

func TestBothSecretsSignForADay(t *testing.T) {
	eachHarness(t, func(h *harness) {
		made := h.add(contract.DestinationConfig{URL: to("https://example.com")})
		rotate := func() (fresh string) {
			h.tx(func(ctx context.Context, tx *database.Tx) (err error) {
				fresh, err = h.RotateSigningSecret(ctx, tx, h.integration, made.ID)
				return err
			})
			return fresh
		}
		signing := func(after time.Duration) (list []string) {
			found, err := h.cache.Get(t.Context(), []string{made.ID})
			require.NoError(t, err)
			for _, s := range found[made.ID].Secrets(clock.System().Add(after)) {
				list = append(list, s.Reveal())
			}
			return list
		}
		second := rotate()
		require.NotEqual(t, made.SigningSecret, second)
		require.Equal(t, []string{second, made.SigningSecret}, signing(0))
		third := rotate()
		require.Equal(t, []string{third, second}, signing(0), "the one from before signs no more")

		for _, c := range []struct {
			after time.Duration
			want  []string
		}{{rotationTime - time.Minute, []string{third, second}}, {rotationTime + time.Minute, []string{third}}} {
			require.Equal(t, c.want, signing(c.after), c.after)
		}
	})
}
