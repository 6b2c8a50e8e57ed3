package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSendersSpeakHTTP(t *testing.T) {
	var bodies []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mac := hmac.New(sha256.New, []byte(acmeSecret))
		mac.Write(body)
		if hex.EncodeToString(mac.Sum(nil)) != r.Header.Get("X-Acme-Signature") || !json.Valid(body) || len(body) != 340 {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		bodies = append(bodies, string(body))
		w.WriteHeader(http.StatusAccepted)
		_, _ = w.Write(body)
	}))
	defer server.Close()
	made, err := newTemplate(server.Listener.Addr().String(), "mark", 340, 0)
	require.NoError(t, err)
	for _, s := range append(newStandardSenders(made, 1), newLeanSender(made)) {
		bodies = nil
		s.setDeadline(time.Now().Add(10 * time.Second))
		for _, n := range []int{0, 7, 12345678} {
			status, err := s.send(n)
			require.NoError(t, err)
			require.Equal(t, http.StatusAccepted, status)
		}
		s.close()
		require.Contains(t, bodies[0], `"eventId":"mark-00000000"`)
		require.Contains(t, bodies[1], `"id":"ord_00000007"`)
		require.Contains(t, bodies[2], `"eventId":"mark-12345678"`)
	}
}

func TestALoadIsSpreadOverSourcesByNumber(t *testing.T) {
	paths := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { paths <- r.URL.Path }))
	defer server.Close()
	made, err := newTemplate(server.Listener.Addr().String(), "mark", 340, 50)
	require.NoError(t, err)
	for _, s := range append(newStandardSenders(made, 1), newLeanSender(made)) {
		s.setDeadline(time.Now().Add(10 * time.Second))
		for n, want := range map[int]string{0: "acme-00", 49: "acme-49", 150: "acme-00", 1207: "acme-07"} {
			status, err := s.send(n)
			require.NoError(t, err)
			require.Equal(t, http.StatusOK, status)
			require.Equal(t, "/api/v1/webhooks/"+want, <-paths)
		}
		s.close()
	}
	l := newLedger("mark", 100)
	l.sources = 50
	l.next.Store(100)
	for n := range l.records {
		l.records[n].status = http.StatusAccepted
	}
	require.Equal(t, 98, l.missing(), "the first source's two do not count")
}

func TestABodyHasAMinimumSize(t *testing.T) {
	_, err := newTemplate("127.0.0.1:1", "mark", 10, 0)
	require.ErrorContains(t, err, "--payload")
}

func TestTheReceiverCountsEachEventOnce(t *testing.T) {
	r, err := newReceiver()
	require.NoError(t, err)
	defer r.close()
	l := newLedger("mark", 3)
	r.ledger.Store(l)
	l.next.Store(3)
	for n := range l.records {
		l.records[n].status = http.StatusAccepted
	}
	for _, id := range []string{"mark-00000000", "mark-00000002", "mark-00000002", "other-00000001", "mark-00000009"} {
		body := `{"provider":"acme","externalEventId":"` + id + `","data":{"note":"` + strings.Repeat("x", 20_000) + `"}}`
		res, err := http.Post(r.url()+"/acme", "application/json", strings.NewReader(body))
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, http.StatusOK, res.StatusCode)
	}
	require.Equal(t, int64(2), l.arrivals.Load())
	require.Equal(t, int64(1), l.twice.Load())
	require.Equal(t, 1, l.missing())
}

func TestARatioIsToTheNeighbouringTurns(t *testing.T) {
	r := result{
		ceilings: []measured{{acceptRate: 100}, {acceptRate: 300}, {acceptRate: 500}},
		turns:    []measured{{acceptRate: 50}, {acceptRate: 100}},
	}
	require.Equal(t, []float64{0.25, 0.25}, r.ratios(acceptRate, acceptRate))
}

func TestPercentiles(t *testing.T) {
	micros := make([]int64, 101)
	for i := range micros {
		micros[i] = int64(100-i) * 1000
	}
	require.Equal(t, percentiles{50 * time.Millisecond, 90 * time.Millisecond, 99 * time.Millisecond, 100 * time.Millisecond}, percentilesOf(micros))
	require.Equal(t, percentiles{}, percentilesOf(nil))
}

func TestTheResultReplacesTheLast(t *testing.T) {
	path := filepath.Join(t.TempDir(), "performance.md")
	require.NoError(t, os.WriteFile(path, []byte("# Title\n\n"+beginMark+"\nold\n"+endMark+"\n\nrest\n"), 0o600))
	require.NoError(t, write(path, "new"))
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "# Title\n\n"+beginMark+"\n\nnew\n"+endMark+"\n\nrest\n", string(text))

	require.NoError(t, os.WriteFile(path, []byte("# Title\n"), 0o600))
	require.ErrorContains(t, write(path, "new"), "does not contain")
}

func TestContradictingOptions(t *testing.T) {
	for _, args := range [][]string{
		{"--setup", "other"}, {"--mode", "other"}, {"--loop", "other"}, {"--setup", "embedded", "--mode", "accept"},
		{"--loop", "open"}, {"--sender", "other"}, {"--rate", "5"}, {"--repeats", "0"}, {"--write", "--mode", "accept"},
	} {
		_, err := parse(args, io.Discard)
		require.Error(t, err, args)
	}
	o, err := parse([]string{"--write", "--duration", "2s"}, io.Discard)
	require.NoError(t, err)
	require.True(t, o.full)
}

func TestBytesAloneMayBeWritten(t *testing.T) {
	o, err := parse([]string{"--bytes", "--write"}, io.Discard)
	require.NoError(t, err)
	require.False(t, o.full)
	_, err = parse([]string{"--bytes", "--events", "0"}, io.Discard)
	require.ErrorContains(t, err, "--events")
}
