package httpapi

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/database"
	"integration-gateway/platform/id"
)

// FuzzForwardedFor: the client's address is the peer's unless a trusted proxy reports
// another one, which then was in the header.
func FuzzForwardedFor(f *testing.F) {
	for _, header := range []string{"", "203.0.113.7", "203.0.113.7, 10.0.0.2", "[2001:db8::1]:443", "::ffff:10.0.0.1", "fe80::1%eth0", ",,", "unknown", "1.2.3.4:99999", "\"1.2.3.4\""} {
		f.Add(header, "10.0.0.1")
		f.Add(header, "203.0.113.9")
	}
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	f.Fuzz(func(t *testing.T, header, from string) {
		peer, err := netip.ParseAddr(from)
		if err != nil {
			return
		}
		peer = canonical(peer)
		client := clientAddr(peer, []string{header}, trusted)
		require.True(t, client.IsValid())
		require.Empty(t, client.Zone())
		if !within(peer, trusted) {
			require.Equal(t, peer, client, "an untrusted header is ignored")
		}
	})
}

// FuzzCursor: a cursor that parses can start a list, and is formatted to the same text
// again.
func FuzzCursor(f *testing.F) {
	p := Paging{order: "newest"}
	f.Add(p.cursor(database.Position{Value: "2026-01-05T10:00:00Z", ID: id.New()}))
	f.Add(p.cursor(database.Position{}))
	f.Add("")
	f.Add("bm90aGluZw")
	f.Add("eyJvIjoibmV3ZXN0IiwidiI6IlwidWQ4MDAiLCJpIjoiIn0")
	f.Fuzz(func(t *testing.T, text string) {
		at, ok := parseCursor(text, p.order)
		if !ok {
			return
		}
		require.True(t, id.Valid(at.ID))
		again, ok := parseCursor(p.cursor(at), p.order)
		require.True(t, ok)
		require.Equal(t, at, again)
	})
}
