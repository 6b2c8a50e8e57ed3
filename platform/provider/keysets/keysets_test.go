package keysets

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"integration-gateway/platform/fault"
)

const address = "https://issuer.example.com/keys"

// issuer answers with its keys, and counts.
type issuer struct {
	mu     sync.Mutex
	asked  int
	ids    []string
	status int
	err    error
	hold   chan struct{} // answers once it is closed; nil for at once
	at     time.Time
}

func (i *issuer) fetch(ctx context.Context, _ string) (int, []byte, error) {
	i.mu.Lock()
	i.asked++
	hold := i.hold
	i.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return 0, nil, ctx.Err()
		}
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	var set jose.JSONWebKeySet
	for _, id := range i.ids {
		seed := [32]byte{}
		copy(seed[:], id)
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: ed25519.NewKeyFromSeed(seed[:]).Public(), KeyID: id})
	}
	text, err := json.Marshal(set)
	return i.status, text, errors.Join(err, i.err)
}

func (i *issuer) now() time.Time { i.mu.Lock(); defer i.mu.Unlock(); return i.at }

func (i *issuer) set(change func()) { i.mu.Lock(); defer i.mu.Unlock(); change() }

func (i *issuer) count() int { i.mu.Lock(); defer i.mu.Unlock(); return i.asked }

func setup() (*issuer, *Cache) {
	i := &issuer{ids: []string{"1"}, status: http.StatusOK, at: time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)}
	return i, New(i.fetch, i.now)
}

// idle waits until no download runs.
func idle(t *testing.T, c *Cache) {
	require.Eventually(t, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.sets[address].running == nil
	}, 10*time.Second, time.Millisecond)
}

func ids(keys []jose.JSONWebKey) (all []string) {
	for _, key := range keys {
		all = append(all, key.KeyID)
	}
	return all
}

func TestKeysAreDownloadedOnceAndKept(t *testing.T) {
	i, c := setup()
	for range 100 {
		for _, id := range []string{"1", ""} {
			keys, err := c.Keys(t.Context(), address, id)
			require.NoError(t, err)
			require.Equal(t, []string{"1"}, ids(keys))
		}
	}
	require.Equal(t, 1, i.count())
}

func TestAnUnknownKeyCausesFewDownloads(t *testing.T) {
	i, c := setup()
	for n := range 100 {
		keys, err := c.Keys(t.Context(), address, fmt.Sprint("made up ", n))
		require.NoError(t, err)
		require.Equal(t, []string{"1"}, ids(keys), "which is none of them")
	}
	require.Equal(t, 1, i.count())
	i.set(func() { i.at, i.ids = i.at.Add(MinRefetch-time.Nanosecond), []string{"1", "2"} })
	keys, err := c.Keys(t.Context(), address, "2")
	require.NoError(t, err)
	require.Equal(t, []string{"1"}, ids(keys), "too early to ask again")
	i.set(func() { i.at = i.at.Add(time.Nanosecond) })
	keys, err = c.Keys(t.Context(), address, "2")
	require.NoError(t, err)
	require.Equal(t, []string{"1", "2"}, ids(keys), "a new key is found")
	require.Equal(t, 2, i.count())
}

func TestWithoutKeysNothingIsVerified(t *testing.T) {
	for name, change := range map[string]func(*issuer){
		"no connection":      func(i *issuer) { i.err = errors.New("refused") },
		"an error":           func(i *issuer) { i.status = http.StatusInternalServerError },
		"not found":          func(i *issuer) { i.status = http.StatusNotFound },
		"a redirect":         func(i *issuer) { i.status = http.StatusFound },
		"no keys":            func(i *issuer) { i.ids = nil },
		"an endless set":     func(i *issuer) { i.ids = []string{strings.Repeat("x", MaxBytes)} },
		"an issuer too late": func(i *issuer) { i.err = context.DeadlineExceeded },
	} {
		t.Run(name, func(t *testing.T) {
			i, c := setup()
			change(i)
			for range 100 {
				keys, err := c.Keys(t.Context(), address, "1")
				require.Nil(t, keys)
				require.True(t, fault.Is(err, fault.Unavailable), "the provider tries again")
				require.Equal(t, "keys_unavailable", fault.As(err).Reason)
			}
			require.Equal(t, 1, i.count(), "a failure is remembered for a moment")
			i.set(func() {
				i.ids, i.status, i.err, i.at = []string{"1"}, http.StatusOK, nil, i.at.Add(MinRefetch)
			})
			keys, err := c.Keys(t.Context(), address, "1")
			require.NoError(t, err)
			require.Equal(t, []string{"1"}, ids(keys))
		})
	}
}

func TestKeysAreRefreshed(t *testing.T) {
	i, c := setup()
	get := func(id string) ([]string, error) {
		keys, err := c.Keys(t.Context(), address, id)
		return ids(keys), err
	}
	begun := i.now()
	_, err := get("1")
	require.NoError(t, err)
	hold := make(chan struct{})
	i.set(func() { i.ids, i.hold, i.at = []string{"2"}, hold, begun.Add(FreshFor) })
	got, err := get("1")
	require.NoError(t, err)
	require.Equal(t, []string{"1"}, got, "nobody waits for the refresh")
	close(hold)
	idle(t, c)
	require.Equal(t, 2, i.count())
	got, err = get("2")
	require.NoError(t, err)
	require.Equal(t, []string{"2"}, got)

	i.set(func() { i.hold, i.ids, i.at = nil, []string{"3"}, i.at.Add(WaitAfter) })
	got, err = get("2")
	require.NoError(t, err)
	require.Equal(t, []string{"3"}, got, "a key that was withdrawn long ago is not used")

	i.set(func() { i.err, i.at = errors.New("down"), i.at.Add(UsableFor-time.Nanosecond) })
	got, err = get("3")
	require.NoError(t, err)
	require.Equal(t, []string{"3"}, got, "an outage of the issuer is bridged")
	_, err = get("4")
	require.True(t, fault.Is(err, fault.Unavailable), "it may be a new key: the provider tries again")
	i.set(func() { i.at = i.at.Add(time.Nanosecond) })
	_, err = get("3")
	require.True(t, fault.Is(err, fault.Unavailable), "for a day")
}

func TestAHangingIssuerBlocksFewRequests(t *testing.T) {
	i, c := setup()
	i.hold = make(chan struct{})
	var waiters sync.WaitGroup
	for range MaxWaiting {
		waiters.Go(func() {
			keys, err := c.Keys(t.Context(), address, "1")
			require.NoError(t, err)
			require.Len(t, keys, 1)
		})
	}
	require.Eventually(t, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		s := c.sets[address]
		return s != nil && s.waiting == MaxWaiting
	}, 10*time.Second, time.Millisecond)
	_, err := c.Keys(t.Context(), address, "1")
	require.Equal(t, "keys_busy", fault.As(err).Reason)
	gone, leave := context.WithCancel(t.Context())
	leave()
	c.leave(address) // room for one more
	_, err = c.Keys(gone, address, "1")
	require.Equal(t, "caller_gone", fault.As(err).Reason, "who leaves does not wait")
	c.mu.Lock()
	c.sets[address].waiting++
	c.mu.Unlock()
	i.set(func() { close(i.hold) })
	waiters.Wait()
	require.Equal(t, 1, i.count())
	require.Zero(t, c.sets[address].waiting)
}

func TestTheCacheIsBounded(t *testing.T) {
	i, c := setup()
	for n := range maxSets + 10 {
		i.set(func() { i.at = i.at.Add(time.Second) })
		_, err := c.Keys(t.Context(), fmt.Sprint("https://issuer.example.com/", n), "")
		require.NoError(t, err)
		c.mu.Lock()
		require.LessOrEqual(t, len(c.sets), maxSets)
		c.mu.Unlock()
	}
	require.NotContains(t, c.sets, "https://issuer.example.com/0", "the one that was not used for the longest time")
}

func TestADownloadThatPanicsIsAFailure(t *testing.T) {
	c := New(func(context.Context, string) (int, []byte, error) { panic("a bug") }, time.Now)
	_, err := c.Keys(t.Context(), address, "1")
	require.True(t, fault.Is(err, fault.Unavailable))
}

// While the issuer hangs, keys that are known serve every request.
func TestKnownKeysServeWhileTheIssuerHangs(t *testing.T) {
	i, c := setup()
	_, err := c.Keys(t.Context(), address, "1")
	require.NoError(t, err)
	hold := make(chan struct{})
	i.set(func() { i.at, i.hold = i.at.Add(WaitAfter), hold })
	var waiters sync.WaitGroup
	for range MaxWaiting {
		waiters.Go(func() {
			_, err := c.Keys(t.Context(), address, "1")
			require.NoError(t, err)
		})
	}
	require.Eventually(t, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.sets[address].waiting == MaxWaiting
	}, 10*time.Second, time.Millisecond)
	keys, err := c.Keys(t.Context(), address, "1")
	require.NoError(t, err, "more than may wait")
	require.Len(t, keys, 1)
	_, err = c.Keys(t.Context(), address, "2")
	require.Equal(t, "keys_busy", fault.As(err).Reason, "one that is not known")
	i.set(func() { i.err = errors.New("away") })
	close(hold)
	waiters.Wait()
	idle(t, c)

	again := make(chan struct{})
	defer close(again)
	i.set(func() { i.at, i.hold = i.at.Add(MinRefetch), again })
	keys, err = c.Keys(t.Context(), address, "1")
	require.NoError(t, err, "it has failed once: nobody waits")
	require.Len(t, keys, 1)
	c.mu.Lock()
	require.NotNil(t, c.sets[address].running, "and it is asked again")
	c.mu.Unlock()
}
