package delivery

import (
	"errors"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/modules/delivery/destination"
	"integration-gateway/platform/egress"
)

func TestAnAttemptSaysWhatKindOfFailureItWas(t *testing.T) {
	eachHarness(t, func(h *harness) {
		h.sender.use(savesAll{h.sender.Sender})
		h.receiver.answers(func(_ int, w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/switch":
				switchProtocols(t, w)
			case "/moved":
				w.WriteHeader(http.StatusFound)
			case "/broken":
				w.WriteHeader(http.StatusInternalServerError)
			case "/gone":
				panic(http.ErrAbortHandler)
			}
		})
		h.run()
		for _, c := range []struct {
			name, config  string
			kind, refusal *string
		}{
			{"received", `{"url":"` + h.receiver.URL + `/fine"}`, nil, nil},
			{"an answer that is none", `{"url":"` + h.receiver.URL + `/broken"}`, to("http_status"), nil},
			{"a redirect", `{"url":"` + h.receiver.URL + `/moved"}`, to("redirect"), nil},
			{"it hangs up", `{"url":"` + h.receiver.URL + `/gone"}`, to("connection_lost"), nil},
			{"it leaves HTTP", `{"url":"` + h.receiver.URL + `/switch"}`, to("protocol"), nil},
			{"nobody listens", `{"url":"http://127.0.0.1:1/"}`, to("connection_refused"), nil},
			{"an address of the inside", `{"url":"http://10.0.0.1/"}`, to("egress_refused"), to("private")},
			{"a metadata service", `{"url":"http://169.254.169.254/"}`, to("egress_refused"), to("metadata")},
			{"a name that is none", `{"url":"http://a..invalid/"}`, to("dns"), nil},
			{"nothing to send", `{"url":"` + h.receiver.URL + `","transform":"data.missing"}`, to("unsent"), nil},
			{"no token", `{"url":"` + h.receiver.URL + `","auth":{"type":"oauth2","tokenUrl":"` + h.receiver.URL + `/broken","clientId":"a","clientSecret":"b"}}`, to("token"), nil},
			{"a token endpoint of the inside", `{"url":"` + h.receiver.URL + `","auth":{"type":"oauth2","tokenUrl":"http://10.0.0.1/","clientId":"a","clientSecret":"b"}}`,
				to("egress_refused"), to("private")},
		} {
			made := h.add(config(t, c.config[:len(c.config)-1]+`,"policy":{"maxAttempts":1}}`))
			event := h.accept()
			h.eventually("the attempt at "+c.name, func() bool { attempts, _ := h.history(event); return len(attempts) == 1 })
			attempts, _ := h.history(event)
			require.Equal(t, c.kind, attempts[0].ErrorKind, c.name)
			require.Equal(t, c.refusal, attempts[0].Refusal, c.name)
			h.change(made.ID, `{"isActive":false}`)
			h.destinations.Changed(h.integration)
		}
	})
}

func TestKindsOfFailuresThatCanBeAskedForAreAllThatThereAre(t *testing.T) {
	require.Contains(t, failureKinds, failureOf(errNoOriginal), "what is not known is other")
	for r := egress.Unknown; r <= egress.Denied; r++ {
		require.Equal(t, "egress_refused:"+r.Reason(), failureOf(r))
	}
	require.Equal(t, "token", failureOf(destination.TokenError{Err: errors.New("none")}))
	require.Nil(t, response{status: 204}.kind())
}
