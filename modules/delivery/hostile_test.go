package delivery

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/modules/delivery/destination"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/egress"
	"integration-gateway/platform/testkit"
)

// savesAll is a Sender that refuses nothing before it connects: what is stored may be from
// before its address was refused, or of a process with other settings.
type savesAll struct{ destination.Sender }

func (savesAll) Refuses(string) egress.Refusal { return 0 }

// switchProtocols answers as a WebSocket server does, and then keeps the connection.
func switchProtocols(t *testing.T, w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	t.Cleanup(func() { _ = conn.Close() })
	_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
}

// Four destinations that answered 101 held all slots of a worker, for ever.
func TestADestinationThatSwitchesProtocolsHoldsNoSlot(t *testing.T) {
	h := newHarness(t, testkit.Open(t, testkit.SQLite(t)), Config{Concurrency: 4, Timeout: time.Second})
	h.receiver.answers(func(_ int, w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/switch") {
			switchProtocols(t, w)
		}
	})
	for range 4 {
		h.add(config(t, `{"url":"`+h.receiver.URL+`/switch","policy":{"maxAttempts":1}}`))
	}
	h.add(config(t, `{"url":"`+h.receiver.URL+`/good"}`))
	h.run()
	for range 3 {
		event := h.accept()
		h.becomes(event, contract.EventFailed)
		attempts, _ := h.history(event)
		require.Len(t, attempts, 5)
		for _, a := range attempts {
			if a.Status == "success" {
				continue
			}
			require.Equal(t, to("protocol"), a.ErrorKind)
			require.Nil(t, a.HTTPStatus)
			require.Equal(t, "the destination answered with an unrequested 101 Switching Protocols", *a.ErrorMessage)
			require.Less(t, a.DurationMS, 1000)
		}
	}
}

// Resolvers, resolved addresses and the gateway's own stood in attempts, which viewers read,
// and in the event's last error and the audit trail.
func TestWhatIsStoredOfAFailureNamesNoAddress(t *testing.T) {
	t.Parallel()
	h := newHarness(t, testkit.Open(t, testkit.SQLite(t)), Config{})
	h.sender.use(savesAll{h.sender.Sender})
	h.receiver.answers(func(_ int, _ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/late" {
			<-r.Context().Done()
			return
		}
		panic(http.ErrAbortHandler)
	})
	tls := strings.Replace(h.receiver.URL, "http://", "https://", 1)
	h.run()
	for name, c := range map[string]struct{ config, want string }{
		"nobody listens":    {`{"url":"http://127.0.0.1:1/"}`, "connection refused"},
		"it hangs up":       {`{"url":"` + h.receiver.URL + `"}`, "the connection was closed before a response"},
		"it is late":        {`{"url":"` + h.receiver.URL + `/late"}`, "no answer within 500ms: timeout while waiting for the response"},
		"it speaks no TLS":  {`{"url":"` + tls + `"}`, "tls: "},
		"no such name":      {`{"url":"http://a..invalid/"}`, "the host name "},
		"a refused address": {`{"url":"http://10.9.8.7/"}`, "the destination is a private address"},
		"no token": {`{"url":"` + h.receiver.URL + `","auth":{"type":"oauth2","tokenUrl":"http://127.0.0.1:1/","clientId":"a","clientSecret":"b"}}`,
			"no access token: the token endpoint: connection refused"},
	} {
		made := h.add(config(t, c.config[:len(c.config)-1]+`,"policy":{"maxAttempts":1,"timeoutMs":500}}`))
		event := h.accept()
		h.eventually("the attempt at "+name, func() bool { attempts, _ := h.history(event); return len(attempts) == 1 })
		attempts, _ := h.history(event)
		state := h.state(event)
		require.Contains(t, *attempts[0].ErrorMessage, c.want, name)
		for _, address := range []string{"127.0.0.1", "10.9.8.7", "::1", ":53", "lookup", "->"} {
			require.NotContains(t, *attempts[0].ErrorMessage, address, name)
			require.NotContains(t, *state.LastError, address, name)
		}
		h.change(made.ID, `{"isActive":false}`)
		h.destinations.Changed(h.integration)
	}
	h.audit.mu.Lock()
	defer h.audit.mu.Unlock()
	for _, e := range h.audit.entries {
		if e.EntityType == contract.EntityDestination { // whose host is its URL's
			continue
		}
		require.NotContains(t, string(e.Details), "127.0.0.1")
		require.NotContains(t, string(e.Details), "lookup")
	}
}

func TestADestinationAtARefusedAddressIsNotSaved(t *testing.T) {
	h := newHarness(t, testkit.Open(t, testkit.SQLite(t)), Config{})
	for text, want := range map[string]map[string]string{
		`{"url":"http://169.254.169.254/latest"}`:   {"url": "leads to a cloud metadata address, which is refused; choose another host, or have the operator allow it in EGRESS_ALLOW"},
		`{"url":"https://[fd00::1]/"}`:              {"url": "leads to a private address"},
		`{"url":"https://[::ffff:10.0.0.1]:8443/"}`: {"url": "leads to a private address"},
		`{"url":"http://2130706433/"}`:              {"url": "must have a host name or a full address"},
		`{"url":"https://example.com","auth":{"type":"oauth2","tokenUrl":"http://10.0.0.1/","clientId":"a","clientSecret":"b"}}`: {"auth.tokenUrl": "leads to a private address"},
		`{"url":"https://example.com"}`: nil,
		`{"url":"http://127.0.0.1:1/"}`: nil, // which the harness allows
		`{"url":"http://localhost:1/"}`: nil,
	} {
		err := h.CheckDestination(config(t, text))
		if want == nil {
			require.NoError(t, err, text)
			continue
		}
		requireFields(t, err, want)
	}
}

func TestADestinationThatIsRefusedNowCanStillBeChanged(t *testing.T) {
	h := newHarness(t, testkit.Open(t, testkit.SQLite(t)), Config{})
	strict := h.sender.Sender
	h.sender.use(savesAll{strict})
	made := h.destination("http://10.0.0.1/")
	h.sender.use(strict)
	h.change(made, `{"isActive":false}`)
	require.False(t, h.shown(made).IsActive)
}

// TestADeferredPayloadIsSentLater: a claim of many large events does not hold all of them.
func TestADeferredPayloadIsSentLater(t *testing.T) {
	eachHarness(t, func(h *harness) {
		h.destination(h.receiver.URL)
		h.events.deferring = 2
		events := []string{h.accept(), h.accept(), h.accept()}
		h.run()
		for _, eventID := range events {
			require.Equal(t, 1, h.becomes(eventID, contract.EventProcessed).ProcessingAttempts, "waiting is no attempt")
		}
		require.Equal(t, 3, h.receiver.count())
		for _, body := range h.receiver.bodies {
			require.NotEmpty(t, body)
		}
	})
}
