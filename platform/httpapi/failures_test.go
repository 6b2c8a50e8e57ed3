package httpapi_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/httpapi"
)

func TestFailuresOfOneAddressAreLimitedAndAValidKeyIsNot(t *testing.T) {
	h := setup(t, httpapi.Config{FailuresPerMinute: 2}, nil)
	try := func(address, given string) int {
		r := get("/api/v1/integrations")
		r.RemoteAddr = address
		if given != "" {
			r.Header.Set("X-Internal-Api-Key", given)
		}
		a := h.do(t, r)
		if a.status == http.StatusTooManyRequests {
			require.NotEmpty(t, a.header.Get("Retry-After"))
			require.Equal(t, "RATE_LIMITED", a.body.Error.Code)
		}
		return a.status
	}
	for _, c := range []struct {
		name, address, key string
		status             int
	}{
		{"the first", "192.0.2.1:1", "wrong", 401},
		{"the second, of another kind", "192.0.2.1:2", "", 401},
		{"the third", "192.0.2.1:3", "wrong", 429},
		{"the right key all the same", "192.0.2.1:4", key, 200},
		{"it does not reset the count", "192.0.2.1:5", "wrong", 429},
		{"another address", "192.0.2.2:1", "wrong", 401},
		{"an IPv6 network", "[2001:db8::1]:1", "wrong", 401},
		{"its neighbour", "[2001:db8::2]:1", "wrong", 401},
		{"and another of the 64 bits", "[2001:db8::ffff:0:0:1]:1", "wrong", 429},
		{"the next network", "[2001:db8:0:1::1]:1", "wrong", 401},
	} {
		require.Equal(t, c.status, try(c.address, c.key), c.name)
	}
}
