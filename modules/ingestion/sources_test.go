package ingestion

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/testkit"
)

func contextOf(t *testing.T) (context.Context, context.CancelFunc) {
	return context.WithCancel(t.Context())
}

func TestASourceThatCannotBeUsedTakesDownNoOther(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		for name, breakIt := range map[string]func(g *gateway){
			"options that are no JSON": func(g *gateway) { g.exec(`UPDATE integrations SET options = '{"x' WHERE source = 'acme-eu'`) },
			"a provider that is gone":  func(g *gateway) { g.exec(`UPDATE integrations SET provider = 'initech' WHERE source = 'acme-eu'`) },
			"a secret encrypted with another key": func(g *gateway) {
				g.exec(`UPDATE integration_secrets SET secret = 'plain' WHERE id = $1`, g.secretsOf(g.euID)[0].ID)
			},
		} {
			t.Run(name, func(t *testing.T) {
				at := newFakeClock()
				g := setup(t, db, func(_ *Config, d *Deps) { d.Now = at.now })
				g.exec(`DELETE FROM integration_secrets WHERE integration_id IN (SELECT id FROM integrations WHERE source = 'acme-eu')`)
				g.exec(`DELETE FROM integrations WHERE source = 'acme-eu'`)
				g.euID = g.create("acme-eu", "first-secret")
				breakIt(g)
				body := acmeBody("e1")
				r := request("acme-eu", body)
				r.Header.Set("X-Acme-Signature", signWith("first-secret", body))
				a := g.do(r)
				require.Equal(t, http.StatusServiceUnavailable, a.Status)
				require.Equal(t, "30", a.Header.Get("Retry-After"))
				require.Contains(t, a.Error.Message, "until its operator mends")
				require.NotContains(t, a.Error.Message, "initech")
				require.NotEqual(t, http.StatusServiceUnavailable, g.sentTo("acme", acmeSecret, "other-"+name))
				require.Equal(t, http.StatusOK, g.get("/integrations").Status, "it can be seen and mended")
			})
		}
	})
}

// Two processes on one database: what one changes, the other goes by within two seconds.
func TestAChangeIsSeenByEveryProcessWithinTwoSeconds(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		at := newFakeClock()
		here := setup(t, db, func(_ *Config, d *Deps) { d.Now = at.now })
		there := setup(t, db, func(_ *Config, d *Deps) { d.Now = at.now })
		seen := func(name string, before, after int, send func() int, change func() answer) {
			t.Helper()
			require.Equal(t, before, send(), name)
			require.Less(t, change().Status, 300, name)
			require.Equal(t, before, send(), "%s: it is remembered there, or this test shows nothing", name)
			at.pass(time.Second)
			require.Equal(t, after, send(), name)
		}
		n := 0
		send := func(source, secretText string) func() int {
			return func() int { n++; return there.sentTo(source, secretText, "e"+time.Duration(n).String()) }
		}
		var made string
		seen("a new source", 404, 202, send("acme-eu", "first-secret"), func() answer {
			made = here.create("acme-eu", "first-secret")
			return answer{}
		})
		base := "/integrations/" + made
		seen("a new secret", 401, 202, send("acme-eu", "second-secret"), func() answer {
			return here.manage(http.MethodPost, base+"/secrets", `{"value":"second-secret"}`)
		})
		seen("a removed secret", 202, 401, send("acme-eu", "first-secret"), func() answer {
			return here.manage(http.MethodDelete, base+"/secrets/"+here.secretsOf(made)[0].ID, "")
		})
		seen("a deactivated integration", 202, 404, send("acme-eu", "second-secret"), func() answer {
			return here.manage(http.MethodPatch, base, `{"isActive":false}`)
		})
		seen("an activated one", 404, 202, send("acme-eu", "second-secret"), func() answer {
			return here.manage(http.MethodPatch, base, `{"isActive":true}`)
		})
		seen("a limit of the body", 202, 413, send("acme-eu", "second-secret"), func() answer {
			return here.manage(http.MethodPatch, base, `{"maxBodyBytes":10}`)
		})
		seen("a removed integration", 413, 404, send("acme-eu", "second-secret"), func() answer {
			return here.manage(http.MethodDelete, base, "")
		})
	})
}

func TestNoMoreWaitForASourceThanThereIsRoomFor(t *testing.T) {
	loading, finish := make(chan struct{}), make(chan struct{})
	started := sync.OnceFunc(func() { close(loading) })
	s := newSources(func(context.Context, string) (*source, error) {
		started() // again for one that counts as waiting and comes after the first load
		<-finish
		return &source{name: "acme"}, nil
	}, clock.System)
	answers := make(chan error, maxAsking)
	for range maxAsking {
		go func() {
			_, err := s.find(t.Context(), "acme")
			answers <- err
		}()
	}
	<-loading
	require.Eventually(t, func() bool { return s.waiting.Load() == maxAsking }, 10*time.Second, time.Millisecond)
	_, err := s.find(t.Context(), "acme")
	require.True(t, fault.Is(err, fault.Unavailable), "one more: %v", err)
	close(finish)
	for range maxAsking {
		require.NoError(t, <-answers)
	}
	_, err = s.find(t.Context(), "acme")
	require.NoError(t, err)
}
