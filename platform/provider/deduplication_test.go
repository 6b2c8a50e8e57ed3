package provider

import (
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/fault"
)

func TestErrorsInAPolicyNameTheirField(t *testing.T) {
	for _, c := range []struct {
		provider string
		policy   Deduplication
		field    string
	}{
		{"github", Deduplication{By: "luck"}, "by"},
		{"github", Deduplication{By: ByPlaces}, "places"},
		{"github", Deduplication{By: ByPlaces, Places: []string{"$.a", "$["}}, "places[1]"},
		{"github", Deduplication{By: ByPlaces, Places: []string{"text:a"}}, "places[0]"},
		{"github", Deduplication{By: ByPlaces, Places: make([]string, maxPlaces+1)}, "places"},
		{"github", Deduplication{By: ByID, Places: []string{"$.a"}}, "places"},
		{"github", Deduplication{By: ByBody}, "windowSeconds"},
		{"github", Deduplication{WindowSeconds: -1}, "windowSeconds"},
		{"github", Deduplication{WindowSeconds: 31 * 24 * 3600}, "windowSeconds"},
		{"github", Deduplication{By: ByNone, WindowSeconds: 1}, "windowSeconds"},
		{"acme", Deduplication{By: ByPlaces, Places: []string{"$.a"}}, "by"},
	} {
		_, err := Builtin().Configure(c.provider, Options{Deduplication: &c.policy})
		require.True(t, fault.Is(err, fault.Invalid), "%+v: %v", c.policy, err)
		require.Equal(t, "options.deduplication."+c.field, fault.As(err).Fields[0].Field)
	}
	_, err := Builtin().Configure(genericName, define(t, `{"scheme":"token","signature":{"header":"T"},"event":{"type":"text:x"},"deduplication":{"by":"body"}}`))
	require.Equal(t, "options.generic.deduplication.windowSeconds", fault.As(err).Fields[0].Field)
}

// A definition has a policy, and an integration may choose another.
func TestAnIntegrationsPolicyTakesPrecedence(t *testing.T) {
	o := define(t, `{"scheme":"token","signature":{"header":"T"},"event":{"type":"text:x"},"deduplication":{"by":"places","places":["$.a"]}}`)
	identity := func(o Options) string {
		s, err := Builtin().Configure(genericName, o)
		require.NoError(t, err)
		events, err := s.Normalize(Request{Body: []byte(`{"a":1}`)})
		require.NoError(t, err)
		return string(events[0].Identity)
	}
	require.Equal(t, `"1",`, identity(o))
	o.Deduplication = &Deduplication{By: ByID}
	require.Empty(t, identity(o))
}
