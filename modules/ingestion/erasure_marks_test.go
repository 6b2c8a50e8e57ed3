package ingestion

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/id"
	"integration-gateway/platform/testkit"
)

// mark leaves an erasure's mark of now.
func (g *gateway) mark(text string, paths []string, sources ...string) contract.ErasureMark {
	g.t.Helper()
	mark := contract.ErasureMark{ErasureID: id.New(), Sources: sources, Text: text, Paths: paths, OrderedAt: g.db.Now()}
	require.NoError(g.t, g.module.MarkErasure(context.Background(), mark))
	return mark
}

// erase does what an erasure does, in its order: the mark, the quarantine, the events.
func (g *gateway) erase(subject string, paths ...string) {
	g.t.Helper()
	g.mark(subject, paths)
	var holds Holds
	want := contract.ErasureScan{Subject: subject}
	if paths != nil {
		holds, want.Subject = holding(g.t, subject, paths...), ""
	}
	require.NoError(g.t, g.db.InTx(context.Background(), func(tx *database.Tx) error {
		_, err := g.module.RemoveRefused(context.Background(), tx, g.refusedOf(subject, holds))
		return err
	}))
	if found := g.eventsOf(want, holds); len(found) > 0 {
		g.forget(found...)
	}
}

// refusedFor is a request about somebody that a later secret verifies, in quarantine.
func (g *gateway) refusedFor(eventID, subject string) Quarantined {
	g.t.Helper()
	body := fmt.Sprintf(`{"eventId":%q,"eventType":"t","occurredAt":"2026-01-31T12:00:00Z","data":{"id":%q}}`, eventID, subject)
	r := request("acme", body)
	r.Header.Set("X-Acme-Signature", signWith("the-new-secret", body))
	require.Equal(g.t, http.StatusUnauthorized, g.do(r).Status)
	return g.kept()[0]
}

func (g *gateway) mendSecret() {
	g.t.Helper()
	require.Equal(g.t, http.StatusCreated, g.manage(http.MethodPost, "/integrations/"+g.acme+"/secrets", `{"value":"the-new-secret"}`).Status)
}

func (g *gateway) storesNothing() {
	g.t.Helper()
	for _, table := range []string{"webhook_events", "normalized_events", "event_states", "processing_jobs", "idempotency_keys"} {
		require.Zero(g.t, g.count(table), table)
	}
}

func (g *gateway) release(quarantineID string) answer {
	return g.manage(http.MethodPost, "/quarantine/"+quarantineID+"/release", "")
}

// TestAReleaseUnderWayDuringAnErasure: the release has read the request when the erasure begins, and
// stores its event when the erasure has gone by.
func TestAReleaseUnderWayDuringAnErasure(t *testing.T) {
	for _, c := range []struct {
		name   string
		paths  []string
		status int
		left   int // in quarantine
	}{
		{"that removes the request", nil, http.StatusNotFound, 0},
		{"that finds its event alone", []string{"$.subject"}, http.StatusConflict, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			eachStore(t, func(t *testing.T, db *database.DB) {
				g := setup(t, db)
				q := g.refusedFor("e1", person)
				g.mendSecret()
				began, goOn, released := make(chan struct{}), make(chan struct{}), make(chan answer, 1)
				g.to.routing = func() { close(began); <-goOn }
				go func() { released <- g.release(q.ID) }()
				<-began
				g.erase(person, c.paths...)
				close(goOn)
				a := <-released
				require.Equal(t, c.status, a.Status, "%+v", a.Error)
				g.storesNothing()
				require.Len(t, g.kept(), c.left)
				g.to.routing = nil
				require.Equal(t, c.status, g.release(q.ID).Status, "later neither")
				g.storesNothing()
			})
		})
	}
}

// TestAReleaseThatIsFirstIsFoundByTheErasure: the erasure begins while the event is being stored.
func TestAReleaseThatIsFirstIsFoundByTheErasure(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		q := g.refusedFor("e1", person)
		g.mendSecret()
		erased := make(chan struct{})
		g.to.scheduling = func() {
			go func() { defer close(erased); g.erase(person) }()
			if db.Dialect.Name == "postgres" {
				g.waitForLock()
			}
		}
		require.Equal(t, http.StatusAccepted, g.release(q.ID).Status)
		<-erased
		require.Equal(t, 1, g.count("normalized_events"))
		require.NotContains(t, g.dump(), person)
		require.Equal(t, []string{"quarantine.released"}, g.actions(q.ID))
	})
}

// TestOnlyWhatAnErasureIsOfIsNotReleased: another subject, another source, what was received after
// the order, and what a cancelled erasure was of.
func TestOnlyWhatAnErasureIsOfIsNotReleased(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		hers := g.refusedFor("e1", person)
		another := g.refusedFor("e2", "grace@example.com")
		g.mendSecret()
		g.mark(person, nil, "globex")
		early := contract.ErasureMark{ErasureID: id.New(), Text: person, OrderedAt: hers.ReceivedAt.Add(-time.Minute)}
		require.NoError(t, g.module.MarkErasure(t.Context(), early))
		cancelled := g.mark(person, nil)
		require.Equal(t, http.StatusAccepted, g.release(another.ID).Status)
		a := g.release(hers.ID)
		require.Equal(t, http.StatusConflict, a.Status)
		require.Contains(t, a.Error.Message, "have the provider send it again")
		require.Equal(t, "erased", g.kept()[0].Reason)
		require.NoError(t, db.InTx(t.Context(), func(tx *database.Tx) error { return g.module.RemoveErasureMarks(t.Context(), tx, cancelled.ErasureID) }))
		require.Equal(t, http.StatusAccepted, g.release(hers.ID).Status)
	})
}

// TestARequestIsReleasedOnce: of two releases at once one stores the event, and the other is told of it.
func TestARequestIsReleasedOnce(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		q := g.refusedFor("e1", person)
		g.mendSecret()
		began, goOn, released := make(chan struct{}, 2), make(chan struct{}), make(chan answer, 2)
		g.to.routing = func() { began <- struct{}{}; <-goOn }
		for range 2 {
			go func() { released <- g.release(q.ID) }()
		}
		<-began
		<-began
		close(goOn)
		first, second := <-released, <-released
		require.Equal(t, http.StatusAccepted+http.StatusOK, first.Status+second.Status, "%+v %+v", first, second)
		require.Equal(t, 1, g.count("normalized_events"))
		require.Equal(t, []string{"quarantine.released"}, g.actions(q.ID))
	})
}

// TestAnErasureReachesWhatWaitsInTheQuarantinesMemory: a request that was refused before the erasure
// is written after it. Those of others keep their content, or they could not be released.
func TestAnErasureReachesWhatWaitsInTheQuarantinesMemory(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		now := newFakeClock()
		now.at = db.Now()
		g := setup(t, db, func(c *Config, d *Deps) { d.Now, c.MaxBodyBytes = now.now, 1<<20 })
		refuse := func(source, body string, headers ...string) {
			r := request(source, body)
			for i := 0; i < len(headers); i += 2 {
				r.Header.Set(headers[i], headers[i+1])
			}
			require.Equal(t, http.StatusUnauthorized, g.do(r).Status)
		}
		about := func(who string) string { return `{"who":"` + who + `"}` }
		refuse("acme", about(person))
		refuse("acme", about("\\u0061da@example.com")) // the same
		refuse("acme", `{}`, "X-Customer", "mail to "+person)
		refuse("acme", "no JSON of "+person)
		refuse("acme", "no JSON "+strings.Repeat("x", maxSearchedByHash))
		refuse("acme", about("eve@example.com"), "X-Customer", "mail to eve@example.com") // as long
		refuse("acme", about("for "+person))                                              // somebody else's, as far as anybody knows
		refuse("globex", about("grace@example.com"))
		g.mark(person, nil, "acme")
		require.Empty(t, g.refusedOf(person, nil), "they are not in the database yet")
		kept := g.kept()
		require.Len(t, kept, 8)
		redacted := 0
		for _, q := range kept {
			if q.Redacted {
				redacted++
			}
		}
		require.Equal(t, 5, redacted, "of the large text nobody knows")
		require.Empty(t, g.refusedOf(person, nil))
		require.NotContains(t, g.dump(), "mail to "+person)
		require.Len(t, g.refusedOf("eve@example.com", nil), 1)
		require.Len(t, g.refusedOf("for "+person, nil), 1)
		require.Len(t, g.refusedOf("grace@example.com", nil), 1)

		refuse("acme", about("grace@example.com"))
		refuse("acme", `{"mail":"grace@example.com"}`)
		g.mark("grace@example.com", []string{"$.mail"})
		now.pass(time.Minute)
		refuse("acme", `{"mail":"grace@example.com","later":true}`)
		g.kept()
		require.Len(t, g.refusedOf("grace@example.com", holding(t, "grace@example.com", "$.mail")), 1, "it was refused after the order")
		require.Len(t, g.refusedOf("grace@example.com", nil), 3)
	})
}

// TestAnErasureWaitsForTheRequestsThatAreBeingWritten: otherwise it would search before they are
// there, and they would have been written without regard to it.
func TestAnErasureWaitsForTheRequestsThatAreBeingWritten(t *testing.T) {
	g := setup(t, testkit.Open(t, testkit.Postgres(t)))
	marked := make(chan error, 1)
	require.NoError(t, g.db.InTx(t.Context(), func(tx *database.Tx) error {
		if err := g.module.withoutErasedRefused(t.Context(), tx, []quarantined{{Quarantined: Quarantined{Source: "acme"}}}); err != nil {
			return err
		}
		go func() {
			marked <- g.module.MarkErasure(context.Background(), contract.ErasureMark{ErasureID: id.New(), Text: person, OrderedAt: g.db.Now()})
		}()
		g.waitForLock()
		require.Empty(t, marked)
		return nil
	}))
	require.NoError(t, <-marked)
}

// TestTheKeysOfMarksStayInUse: a retired key could not tell what an erasure was of.
func TestTheKeysOfMarksStayInUse(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		now := newFakeClock()
		now.at = db.Now()
		g := setup(t, db, func(_ *Config, d *Deps) { d.Now = now.now })
		g.mark(person, nil)
		used, err := g.module.KeysInUse(t.Context())
		require.NoError(t, err)
		require.Equal(t, map[string]int64{"digest": 1}, used)
		var digest string
		require.NoError(t, db.Get(t.Context(), &digest, `SELECT text_digest FROM erasure_marks`))
		require.NotContains(t, digest, person)
		now.pass(3 * time.Hour)
		g.kept()
		require.Zero(t, g.count("erasure_marks"), "nothing from before is there any more")
	})
}
