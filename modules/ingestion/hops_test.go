package ingestion

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
)

func TestAWebhookThatCameThroughTooManyGatewaysIsRefused(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		for _, c := range []struct {
			name   string
			values []string
			status int
			reason string
			hops   int
		}{
			{"from its provider", nil, http.StatusAccepted, "", 0},
			{"from a gateway", []string{"1"}, http.StatusAccepted, "", 1},
			{"the last that is let in", []string{"4"}, http.StatusAccepted, "", 4},
			{"the first that is not", []string{"5"}, http.StatusBadRequest, "too_many_hops", 0},
			{"one more", []string{"65535"}, http.StatusBadRequest, "too_many_hops", 0},
			{"the most of several", []string{"1", "3", "2"}, http.StatusAccepted, "", 3},
			{"one of several is too much", []string{"1", "5"}, http.StatusBadRequest, "too_many_hops", 0},
			{"no number", []string{"many"}, http.StatusBadRequest, "malformed_hops", 0},
			{"less than none", []string{"-1"}, http.StatusBadRequest, "malformed_hops", 0},
			{"beyond all bounds", []string{"65536"}, http.StatusBadRequest, "malformed_hops", 0},
			{"nothing", []string{""}, http.StatusBadRequest, "malformed_hops", 0},
		} {
			t.Run(c.name, func(t *testing.T) {
				before := g.stored()
				r := acmeRequest(acmeBody(c.name))
				r.Header[contract.HopsHeader] = c.values
				got := g.do(r)
				require.Equal(t, c.status, got.Status)
				if c.reason != "" {
					require.Equal(t, before, g.stored())
					require.Equal(t, "VALIDATION_ERROR", got.Error.Code)
					require.Len(t, got.Error.Details, 1)
					require.Equal(t, contract.HopsHeader, got.Error.Details[0].Field)
					refusals := g.audit.take()
					require.Len(t, refusals, 1)
					require.Equal(t, c.reason, refusals[0].Reason)
					return
				}
				sent, err := g.module.Deliverables(t.Context(), []string{got.receipt(t).EventID})
				require.NoError(t, err)
				require.Len(t, sent, 1)
				require.Equal(t, c.hops, sent[0].Hops)
			})
		}
	})
}
