package destination

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/id"
	"integration-gateway/platform/secret"
)

// watched is a reader that counts what it is asked, and does something first where a test
// wants it to.
type watched struct {
	reader
	mu     sync.Mutex
	asked  map[string]int // queries, by what they ask; "rows" counts the rows that were asked for by id
	before func(what string) error
}

func watch(c *Cache) *watched {
	w := &watched{reader: c.db, asked: map[string]int{}, before: func(string) error { return nil }}
	c.db = w
	return w
}

func (w *watched) note(what string, n int) error {
	w.mu.Lock()
	w.asked[what] += n
	before := w.before
	w.mu.Unlock()
	return before(what)
}

// took gives what was asked since it was last called.
func (w *watched) took() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	asked := w.asked
	w.asked = map[string]int{}
	return asked
}

func (w *watched) does(before func(what string) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.before = before
}

func (w *watched) summary(ctx context.Context) (int, int64, error) {
	if err := w.note("summary", 1); err != nil {
		return 0, 0, err
	}
	return w.reader.summary(ctx)
}

func (w *watched) revisions(ctx context.Context) ([]revision, error) {
	if err := w.note("revisions", 1); err != nil {
		return nil, err
	}
	return w.reader.revisions(ctx)
}

func (w *watched) byID(ctx context.Context, ids []string) ([]Destination, error) {
	list, err := w.reader.byID(ctx, ids)
	return list, errors.Join(err, w.note("rows", len(ids)))
}

func (w *watched) related(ctx context.Context, ids []string) ([]Destination, error) {
	list, err := w.reader.related(ctx, ids)
	return list, errors.Join(err, w.note("related", 1))
}

var errAway = errors.New("the database is away")

func away(string) error { return errAway }

func idsOf(list []*Destination) (ids []string) {
	for _, d := range list {
		ids = append(ids, d.ID)
	}
	return ids
}

func (h *harness) of(c *Cache, integration string) []string {
	h.t.Helper()
	list, err := c.Of(context.Background(), integration)
	require.NoError(h.t, err)
	return idsOf(list)
}

// another is the cache of another process, which nobody follows for yet, and its clock.
func (h *harness) another() (c *Cache, w *watched, pass func(time.Duration)) {
	_, c = New(h.deps())
	var ahead time.Duration
	var mu sync.Mutex
	c.now = func() time.Time { mu.Lock(); defer mu.Unlock(); return clock.System().Add(ahead) }
	return c, watch(c), func(d time.Duration) { mu.Lock(); defer mu.Unlock(); ahead += d }
}

func (h *harness) look(c *Cache) {
	h.t.Helper()
	require.NoError(h.t, c.look(context.Background()))
}

var example = contract.DestinationConfig{URL: to("https://example.com/hooks")}

func TestWhatIsUnknownIsAskedForOnceByAllWhoWait(t *testing.T) {
	eachHarness(t, func(h *harness) {
		made := h.add(example).ID
		c, w, pass := h.another()
		waiting := make(chan struct{})
		w.does(func(string) error { <-waiting; return nil })
		var all sync.WaitGroup
		for i := range 50 {
			all.Go(func() {
				if i%2 == 0 {
					require.Equal(t, []string{made}, h.of(c, h.integration))
					return
				}
				found, err := c.Get(context.Background(), []string{made})
				require.NoError(t, err)
				require.Contains(t, found, made)
			})
		}
		close(waiting)
		all.Wait()
		require.LessOrEqual(t, w.took()["related"], 2, "who asked for the integration and who asked for the destination")

		none := id.New()
		for range 3 {
			require.Empty(t, h.of(c, none))
		}
		require.Equal(t, map[string]int{"related": 1}, w.took(), "that there is none is remembered")
		pass(absentAge)
		require.Empty(t, h.of(c, none))
		require.Equal(t, map[string]int{"related": 1}, w.took(), "and not for long")
	})
}

func TestAnIntegrationIsLearntAsAWhole(t *testing.T) {
	eachHarness(t, func(h *harness) {
		first, second := h.add(example).ID, h.add(example).ID
		c, w, _ := h.another()
		found, err := c.Get(context.Background(), []string{second})
		require.NoError(t, err)
		require.Len(t, found, 1)
		require.Equal(t, []string{first, second}, h.of(c, h.integration), "a job of one brought the other")
		require.Equal(t, map[string]int{"related": 1}, w.took())
	})
}

func TestALookReadsWhatChangedAndNothingElse(t *testing.T) {
	eachHarness(t, func(h *harness) {
		kept, changed := h.add(example).ID, h.add(example).ID
		c, w, pass := h.another()
		h.look(c)
		require.Equal(t, map[string]int{"summary": 1, "revisions": 1, "rows": 2}, w.took(), "the first reads all")
		before := c.Cached(kept)
		pass(maxAge + 100*time.Millisecond)
		require.Equal(t, []string{kept, changed}, h.of(c, h.integration))
		require.Empty(t, w.took(), "what is followed is known")
		h.look(c)
		require.Equal(t, map[string]int{"summary": 1}, w.took(), "nothing changed")

		h.tx(func(ctx context.Context, tx *database.Tx) error {
			return h.ChangeDestination(ctx, tx, h.integration, changed, contract.DestinationConfig{URL: to("https://example.org")})
		})
		h.look(c)
		require.Equal(t, map[string]int{"summary": 1, "revisions": 1, "rows": 1}, w.took())
		require.Equal(t, "https://example.org", c.Cached(changed).URL)
		require.Same(t, before, c.Cached(kept))

		h.exec(`UPDATE destinations SET url = 'https://by.hand.example' WHERE id = $1`, changed)
		h.look(c)
		require.Equal(t, "https://by.hand.example", c.Cached(changed).URL, "who writes it does not matter")
		h.look(c)
		w.took()
		h.look(c)
		require.Equal(t, map[string]int{"summary": 1}, w.took())
	})
}

// A standby that lags has rows as they were: what it has counts.
func TestADatabaseThatGoesBackIsFollowed(t *testing.T) {
	eachHarness(t, func(h *harness) {
		kept, lost := h.add(example).ID, h.add(example).ID
		c, _, _ := h.another()
		h.look(c)
		was := c.Cached(kept).Revision
		h.tx(func(ctx context.Context, tx *database.Tx) error {
			return h.ChangeDestination(ctx, tx, h.integration, kept, contract.DestinationConfig{URL: to("https://example.org")})
		})
		h.look(c)
		require.NotEqual(t, was, c.Cached(kept).Revision)
		h.exec(`UPDATE destinations SET url = 'https://example.com/hooks' WHERE id = $1`, kept)
		h.exec(`DELETE FROM destinations WHERE id = $1`, lost)
		h.look(c)
		require.Equal(t, []string{kept}, h.of(c, h.integration))
		require.Equal(t, "https://example.com/hooks", c.Cached(kept).URL)
	})
}

func TestAChangeHereIsSeenAtOnce(t *testing.T) {
	for _, followed := range []bool{false, true} {
		eachHarness(t, func(h *harness) {
			if followed {
				h.look(h.cache)
			}
			require.Empty(t, h.of(h.cache, h.integration))
			made := h.add(example).ID
			require.Equal(t, []string{made}, h.of(h.cache, h.integration))
			h.tx(func(ctx context.Context, tx *database.Tx) error {
				return h.ChangeDestination(ctx, tx, h.integration, made, contract.DestinationConfig{IsActive: to(false)})
			})
			found, err := h.cache.Get(context.Background(), []string{made})
			require.NoError(t, err)
			require.False(t, found[made].Open())
			h.tx(func(ctx context.Context, tx *database.Tx) error {
				return h.Archive(ctx, tx, h.integration, made, contract.CancelJobs)
			})
			require.Empty(t, h.of(h.cache, h.integration))
			require.True(t, h.cache.Cached(made).Cancelled())
		})
	}
}

func TestAChangeElsewhereIsFollowed(t *testing.T) {
	eachHarness(t, func(h *harness) {
		c, _, _ := h.another()
		ctx, end := context.WithCancel(context.Background())
		var following sync.WaitGroup
		following.Go(func() { c.Follow(ctx) })
		defer func() { end(); following.Wait() }()
		require.Empty(t, h.of(c, h.integration))
		made := h.add(example).ID
		require.Eventually(t, func() bool { return c.Cached(made).URL != "" }, time.Minute, time.Millisecond)
		h.exec(`INSERT INTO destination_breakers (destination_id, state, until, trips, opened_at) VALUES ($1, 'open', $2, 0, $2)`, made, clock.System())
		require.Eventually(t, func() bool { return !c.Cached(made).Flows() }, time.Minute, time.Millisecond)
		h.exec(`DELETE FROM destination_breakers`)
		require.Eventually(t, func() bool { return c.Cached(made).Flows() }, time.Minute, time.Millisecond)
		require.Equal(t, []string{made}, h.of(c, h.integration))
	})
}

func TestWhatIsChangedWhileItIsReadIsReadAgain(t *testing.T) {
	eachHarness(t, func(h *harness) {
		made := h.add(example).ID
		w := watch(h.cache)
		var once sync.Once
		w.does(func(what string) error { // the rows are read, and then another change is committed
			if what == "related" {
				once.Do(func() {
					h.tx(func(ctx context.Context, tx *database.Tx) error {
						return h.ChangeDestination(ctx, tx, h.integration, made, contract.DestinationConfig{URL: to("https://example.org")})
					})
				})
			}
			return nil
		})
		h.of(h.cache, h.integration)
		list, err := h.cache.Of(context.Background(), h.integration)
		require.NoError(t, err)
		require.Equal(t, "https://example.org", list[0].URL)
		require.Equal(t, 2, w.took()["related"])
	})
}

// A destination that was changed elsewhere stayed as it was for as long as looks hung or failed.
func TestWhatNobodyFollowsAnyMoreIsAskedFor(t *testing.T) {
	eachHarness(t, func(h *harness) {
		made := h.add(example).ID
		c, w, pass := h.another()
		h.look(c)
		h.exec(`UPDATE destinations SET url = 'https://example.org'`)
		w.does(func(what string) error {
			if what == "summary" {
				return errAway
			}
			return nil
		})
		require.ErrorIs(t, c.look(context.Background()), errAway)
		pass(followedAge)
		found, err := c.Get(context.Background(), []string{made})
		require.NoError(t, err)
		require.Equal(t, "https://example.org", found[made].URL)
		w.does(away)
		pass(time.Hour)
		found, err = c.Get(context.Background(), []string{made})
		require.NoError(t, err)
		require.Contains(t, found, made, "what is known goes on")
	})
}

func TestAnOlderReadReplacesNothing(t *testing.T) {
	eachHarness(t, func(h *harness) {
		made := h.add(example).ID
		w := watch(h.cache)
		var once sync.Once
		w.does(func(what string) error { // a look has read the rows, and then a change is committed and read
			if what == "rows" {
				once.Do(func() {
					h.tx(func(ctx context.Context, tx *database.Tx) error {
						return h.ChangeDestination(ctx, tx, h.integration, made, contract.DestinationConfig{URL: to("https://example.org")})
					})
					h.of(h.cache, h.integration)
				})
			}
			return nil
		})
		h.look(h.cache)
		require.Equal(t, "https://example.org", h.cache.Cached(made).URL)
		h.look(h.cache)
		w.took()
		h.look(h.cache)
		require.Equal(t, map[string]int{"summary": 1}, w.took(), "what it has is what the database has")
	})
}

func TestWithTheDatabaseAwayWhatIsKnownGoesOn(t *testing.T) {
	eachHarness(t, func(h *harness) {
		made := h.add(example).ID
		bare := h.newIntegration()
		c, w, pass := h.another()
		require.Equal(t, []string{made}, h.of(c, h.integration))
		require.Empty(t, h.of(c, bare))
		w.does(away)
		pass(time.Hour)
		require.Equal(t, []string{made}, h.of(c, h.integration), "also where nobody follows")
		found, err := c.Get(context.Background(), []string{made})
		require.NoError(t, err)
		require.Contains(t, found, made)

		_, err = c.Get(context.Background(), []string{made, id.New()})
		require.ErrorIs(t, err, errAway, "what is unknown may be new")
		_, err = c.Of(context.Background(), bare)
		require.ErrorIs(t, err, errAway)
		_, sure := c.LastOf(bare)
		require.False(t, sure, "its first destination may have been made since")
		require.ErrorIs(t, c.look(context.Background()), errAway)

		w.does(func(string) error { return nil })
		h.tx(func(ctx context.Context, tx *database.Tx) error {
			found, err := c.ReadOf(ctx, tx, []string{bare, h.integration})
			require.Empty(t, found[bare])
			require.Equal(t, []string{made}, idsOf(found[h.integration]))
			return err
		})
	})
}

func TestWhatCannotBeOpenedIsTriedAgain(t *testing.T) {
	eachHarness(t, func(h *harness) {
		made := h.add(example).ID
		c, _, _ := h.another()
		good := c.sealer
		c.sealer = lost{}
		h.look(c)
		require.False(t, c.Cached(made).Flows())
		c.sealer = good
		h.look(c)
		require.True(t, c.Cached(made).Flows(), "with the row as it was")
	})
}

// lost is a Sealer without the key.
type lost struct{ rot }

func (lost) Open(secret.Place, string) (secret.Value, error) {
	return secret.Value{}, errors.New("no key")
}

func TestAnExpressionIsCompiledWhenItIsFirstUsedAndOnce(t *testing.T) {
	eachHarness(t, func(h *harness) {
		made := h.add(config(t, `{"url":"https://example.com","filter":"eventType == 'a'"}`)).ID
		c, _, _ := h.another()
		h.look(c)
		compiled := c.Cached(made).filter()
		h.exec(`UPDATE destinations SET url = 'https://example.org'`)
		h.look(c)
		require.Equal(t, "https://example.org", c.Cached(made).URL)
		require.Equal(t, compiled, c.Cached(made).filter(), "its text is the same")
		require.True(t, slices.Contains(h.of(c, h.integration), made))
	})
}

// An integration's lists were made anew for each of its destinations whose breaker moved or that
// was new or gone, while everybody who asked for any destination waited.
func TestAnIntegrationsListsAreMadeOnceALook(t *testing.T) {
	const many = 4000
	_, c := New(Deps{Now: clock.System})
	integration, until, at := id.New(), clock.At(clock.System()), clock.System()
	list, breakers, ids := make([]*Destination, many), map[string]breaker{}, make([]string, many)
	for i := range list {
		ids[i] = id.New()
		list[i] = &Destination{ID: ids[i], IntegrationID: integration, IsActive: true, Breaker: BreakerClosed}
		breakers[ids[i]] = breaker{ID: ids[i], State: BreakerOpen, Until: &until}
	}
	for _, step := range []struct {
		what string
		do   func()
		want func() bool
	}{
		{"new", func() { c.install(list, 1, at) }, func() bool { return len(c.of[integration].open) == many }},
		{"breakers open", func() { c.trip(breakers, 2, at) }, func() bool { return !c.of[integration].open[many-1].Flows() }},
		{"breakers close", func() { c.trip(nil, 3, at) }, func() bool { return c.of[integration].open[many-1].Flows() }},
		{"gone", func() { c.drop(ids, 4, at) }, func() bool { return len(c.of) == 0 && len(c.byID) == 0 }},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		step.do()
		runtime.ReadMemStats(&after)
		require.True(t, step.want(), step.what)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(16<<20), step.what)
	}
}
