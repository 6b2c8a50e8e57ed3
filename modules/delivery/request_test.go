package delivery

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/modules/delivery/destination"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/secret"
	"integration-gateway/platform/standardwebhooks"
)

// receives gives the first request that the destination got for the event, and its body.
func (h *harness) receives(eventID string) (*http.Request, string) {
	h.t.Helper()
	h.becomes(eventID, contract.EventProcessed)
	h.receiver.mu.Lock()
	defer h.receiver.mu.Unlock()
	for i, r := range h.receiver.got {
		if r.Header.Get("X-Event-Id") == eventID {
			return r, string(h.receiver.bodies[i])
		}
	}
	h.t.Fatalf("nothing came for event %s", eventID)
	return nil, ""
}

// signedBy checks the gateway's signature of a request under names that start with prefix.
func signedBy(t *testing.T, r *http.Request, prefix, signingSecret, body string) {
	t.Helper()
	at, err := strconv.ParseInt(r.Header.Get(prefix+"Timestamp"), 10, 64)
	require.NoError(t, err)
	want := standardwebhooks.Sign([]secret.Value{secret.New(signingSecret)}, r.Header.Get("X-Event-Id"), time.Unix(at, 0), []byte(body))
	require.Equal(t, want, r.Header.Get(prefix+"Signature"))
	require.Equal(t, r.Header.Get("X-Event-Id"), r.Header.Get(prefix+"Id"))
}

func TestACanonicalDeliveryReadsNoWebhook(t *testing.T) {
	eachHarness(t, func(h *harness) {
		h.add(config(t, `{"url":"`+h.receiver.URL+`","transform":"payload"}`))
		h.run()
		h.receives(h.accept())
		h.events.mu.Lock()
		defer h.events.mu.Unlock()
		require.Zero(t, h.events.asked)
	})
}

func TestATransformedBodyIsWhatIsSigned(t *testing.T) {
	eachHarness(t, func(h *harness) {
		made := h.add(config(t, `{"url":"`+h.receiver.URL+`","transform":"{'text': 'new: ' + eventType, 'n': data.n, 'from': headers['user-agent']}"}`))
		h.run()
		got, body := h.receives(h.accept())
		require.Equal(t, `{"from":"Acme/1","n":12345678901234567890,"text":"new: order.created"}`, body)
		require.Equal(t, "application/json", got.Header.Get("Content-Type"))
		signedBy(t, got, "Webhook-", made.SigningSecret, body)
	})
}

func TestATransformationThatFailsIsAFailedAttempt(t *testing.T) {
	eachHarness(t, func(h *harness) {
		made := h.add(config(t, `{"url":"`+h.receiver.URL+`","transform":"data.missing","policy":{"maxAttempts":2}}`))
		h.breakers.policy.volume = 1
		h.run()
		event := h.accept()
		state := h.becomes(event, contract.EventFailed)
		require.Equal(t, 2, state.ProcessingAttempts)
		require.Equal(t, "the transformation failed: no such key: missing", *state.LastError)
		attempts, _ := h.history(event)
		require.Nil(t, attempts[0].HTTPStatus)
		require.Zero(t, h.receiver.count())
		require.Equal(t, "closed", h.shown(made.ID).Breaker, "it says nothing about the destination")
	})
}

func TestARawDelivery(t *testing.T) {
	eachHarness(t, func(h *harness) {
		made := h.add(config(t, `{"url":"`+h.receiver.URL+`","mode":"raw","headers":{"X-Team":"billing","User-Agent":"ours"}}`))
		h.run()
		event := h.accept()
		got, body := h.receives(event)
		require.Equal(t, originalBody, body, "byte for byte")
		for name, want := range map[string][]string{
			"Content-Type": {"application/json; charset=utf-8"}, "X-Acme-Signature": {"abc"}, "X-Many": {"a", "b"},
			"X-Acme-Token": nil, "X-Forwarded-For": nil, // a credential was never stored; an address on the way means nothing here
			"Content-Encoding": nil, // what is kept of a packed body is what was in it
			"X-Event-Id":       {event}, "X-Correlation-Id": {"corr-" + event}, "X-Integration-Provider": {"acme"},
			"X-Team": {"billing"}, "User-Agent": {"ours"}, // the destination's own come last
		} {
			require.Equal(t, want, got.Header.Values(name), name)
		}
		require.NotEqual(t, "gateway.example", got.Host)
		signedBy(t, got, "Webhook-", made.SigningSecret, originalBody)
	})
}

func TestAProviderThatSignsByStandardWebhooksKeepsItsNames(t *testing.T) {
	eachHarness(t, func(h *harness) {
		made := h.add(config(t, `{"url":"`+h.receiver.URL+`","mode":"raw"}`))
		event := h.accept()
		o := h.events.originals[event]
		o.Headers = []byte(`{"content-type":["application/json"],"webhook-id":["msg_1"],"webhook-timestamp":["1"],"webhook-signature":["v1,theirs"]}`)
		h.events.originals[event] = o
		h.run()
		got, body := h.receives(event)
		require.Equal(t, "msg_1", got.Header.Get("Webhook-Id"))
		require.Equal(t, "v1,theirs", got.Header.Get("Webhook-Signature"))
		signedBy(t, got, "X-Gateway-Webhook-", made.SigningSecret, body)
	})
}

func TestARawDeliveryWhoseWebhookIsGoneFailsWithTheReason(t *testing.T) {
	eachHarness(t, func(h *harness) {
		h.add(config(t, `{"url":"`+h.receiver.URL+`","mode":"raw"}`))
		event := h.accept()
		delete(h.events.originals, event)
		h.run()
		require.Equal(t, errNoOriginal.Error(), *h.becomes(event, contract.EventFailed).LastError)
		attempts, _ := h.history(event)
		require.Len(t, attempts, 1, "another would fail alike")
		require.Len(t, h.deadLetters(DeadLetterFilter{}), 1)
	})
}

func TestATransformationThatMissesTheHeadersOfAWebhookThatIsGoneFailsAtOnce(t *testing.T) {
	eachHarness(t, func(h *harness) {
		h.add(config(t, `{"url":"`+h.receiver.URL+`","transform":"{'a': headers['x-customer']}"}`))
		event := h.accept()
		delete(h.events.originals, event)
		h.run()
		require.Contains(t, *h.becomes(event, contract.EventFailed).LastError, errNoOriginal.Error()+": the transformation failed")
		attempts, _ := h.history(event)
		require.Len(t, attempts, 1)
	})
}

// TestADamagedEventIsADeadLetterAndDelaysNoOther: those that are claimed with it are delivered.
func TestADamagedEventIsADeadLetterAndDelaysNoOther(t *testing.T) {
	eachHarness(t, func(h *harness) {
		h.add(config(t, `{"url":"`+h.receiver.URL+`"}`))
		damaged, whole := h.accept(), h.accept()
		h.events.payloads[damaged] = contract.Deliverable{EventID: damaged, IntegrationID: h.events.payloads[damaged].IntegrationID, Unreadable: errors.New("another checksum")}
		h.run()
		h.becomes(whole, contract.EventProcessed)
		require.Equal(t, errUnreadable.Error()+": another checksum", *h.becomes(damaged, contract.EventFailed).LastError)
		attempts, _ := h.history(damaged)
		require.Len(t, attempts, 1, "another would fail alike")
		require.Len(t, h.deadLetters(DeadLetterFilter{}), 1)
	})
}

func TestARedactedBodyIsNeverSentAsTheProvidersOwn(t *testing.T) {
	eachHarness(t, func(h *harness) {
		h.add(config(t, `{"url":"`+h.receiver.URL+`","mode":"raw"}`))
		event := h.accept()
		o := h.events.originals[event]
		o.Redacted = true
		h.events.originals[event] = o
		h.run()
		require.Equal(t, errRedacted.Error(), *h.becomes(event, contract.EventFailed).LastError)
		attempts, _ := h.history(event)
		require.Len(t, attempts, 1)
		require.Empty(t, h.receiver.got)
	})
}

func TestCredentials(t *testing.T) {
	for _, c := range []struct{ name, config, want string }{
		{"none", `"auth":{"type":"none"}`, ""},
		{"basic", `"auth":{"type":"basic","username":"u","password":"p:w"}`, "Basic " + base64.StdEncoding.EncodeToString([]byte("u:p:w"))},
		{"bearer", `"auth":{"type":"bearer","token":"hunter2"}`, "Bearer hunter2"},
		{"a header of one's own", `"headers":{"Authorization":"Key hunter2"}`, "Key hunter2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			eachHarness(t, func(h *harness) {
				h.add(config(t, `{"url":"`+h.receiver.URL+`",`+c.config+`}`))
				h.run()
				got, _ := h.receives(h.accept())
				require.Equal(t, c.want, got.Header.Get("Authorization"))
			})
		})
	}
}

// tokenEndpoint answers for tokens t1, t2 … and counts what it was asked.
type tokenEndpoint struct {
	*receiver
	status  int
	expires string
}

func newTokenEndpoint(t *testing.T) *tokenEndpoint {
	e := &tokenEndpoint{receiver: newReceiver(t), expires: "3600"}
	e.answers(func(n int, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if e.status != 0 {
			w.WriteHeader(e.status)
			_, _ = io.WriteString(w, `{"error":"invalid_client","error_description":"hunter2 is wrong"}`)
			return
		}
		_, _ = io.WriteString(w, `{"access_token":"t`+strconv.Itoa(n)+`","token_type":"Bearer","expires_in":`+e.expires+`}`)
	})
	return e
}

func (h *harness) withOAuth(t *testing.T, e *tokenEndpoint, timeout string) string {
	return h.add(config(t, `{"url":"`+h.receiver.URL+`","policy":{"maxAttempts":2,"timeoutMs":`+timeout+`},
		"auth":{"type":"oauth2","tokenUrl":"`+e.URL+`/token","clientId":"id","clientSecret":"hunter2","scopes":["a","b"]}}`)).ID
}

func TestAnAccessTokenServesUntilItsEnd(t *testing.T) {
	eachHarness(t, func(h *harness) {
		e := newTokenEndpoint(t)
		h.withOAuth(t, e, "5000")
		var later atomic.Int64
		h.client = destination.NewClient(h.sender, func() time.Time { return clock.System().Add(time.Duration(later.Load())) })
		h.run()
		first, _ := h.receives(h.accept())
		require.Equal(t, "Bearer t1", first.Header.Get("Authorization"))
		asked := e.got[0]
		require.Equal(t, "Basic "+base64.StdEncoding.EncodeToString([]byte("id:hunter2")), asked.Header.Get("Authorization"))
		require.Contains(t, string(e.bodies[0]), "grant_type=client_credentials")
		require.Contains(t, string(e.bodies[0]), "scope=a+b")
		again, _ := h.receives(h.accept())
		require.Equal(t, "Bearer t1", again.Header.Get("Authorization"))

		later.Store(int64(time.Hour - destination.TokenMargin - time.Minute))
		still, _ := h.receives(h.accept())
		require.Equal(t, "Bearer t1", still.Header.Get("Authorization"))
		later.Store(int64(time.Hour - destination.TokenMargin + time.Second))
		fresh, _ := h.receives(h.accept())
		require.Equal(t, "Bearer t2", fresh.Header.Get("Authorization"))
	})
}

func TestATokenThatIsRefusedIsNotUsedAgain(t *testing.T) {
	eachHarness(t, func(h *harness) {
		e := newTokenEndpoint(t)
		h.withOAuth(t, e, "5000")
		h.receiver.answers(func(_ int, w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") == "Bearer t1" {
				w.WriteHeader(http.StatusUnauthorized)
			}
		})
		h.run()
		state := h.becomes(h.accept(), contract.EventProcessed)
		require.Equal(t, 2, state.ProcessingAttempts)
		require.Equal(t, 2, e.count())
	})
}

func TestATokenThatCannotBeHadIsAFailedAttempt(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(e *tokenEndpoint)
		want   string
	}{
		{"a refused client", func(e *tokenEndpoint) { e.status = 401 }, "no access token: the token endpoint answered HTTP 401 (invalid_client)"},
		{"a redirect, which is not followed", func(e *tokenEndpoint) {
			e.answers(func(_ int, w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "http://127.0.0.1/", http.StatusTemporaryRedirect)
			})
		}, "no access token: the token endpoint answered HTTP 307"},
		{"an answer without a token", func(e *tokenEndpoint) {
			e.answers(func(_ int, w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{}`) })
		}, "no access token: the token endpoint's answer has none"},
		{"an answer that comes too late", func(e *tokenEndpoint) {
			e.answers(func(_ int, _ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		}, "no access token: the token endpoint did not answer within the attempt's time"},
		{"nobody there", func(e *tokenEndpoint) { e.Close() }, "no access token: the token endpoint: connection refused"},
	} {
		t.Run(c.name, func(t *testing.T) {
			eachHarness(t, func(h *harness) {
				e := newTokenEndpoint(t)
				c.change(e)
				timeout := "5000"
				if strings.Contains(c.name, "too late") {
					timeout = "300"
				}
				h.withOAuth(t, e, timeout)
				h.run()
				event := h.accept()
				state := h.becomes(event, contract.EventFailed)
				require.Contains(t, *state.LastError, c.want)
				require.NotContains(t, *state.LastError, "hunter2")
				require.Zero(t, h.receiver.count())
				attempts, _ := h.history(event)
				require.Len(t, attempts, 2)
			})
		})
	}
}

func TestOneRequestForATokenServesAllWhoWait(t *testing.T) {
	eachHarness(t, func(h *harness) {
		e := newTokenEndpoint(t)
		h.withOAuth(t, e, "5000")
		var events []string
		for range 20 {
			events = append(events, h.accept())
		}
		h.run()
		for _, event := range events {
			h.becomes(event, contract.EventProcessed)
		}
		require.Equal(t, 1, e.count())
	})
}

// A token endpoint is reached as destinations are: an address that is refused to these is
// refused to it.
func TestATokenEndpointMayNotBeJustAnywhere(t *testing.T) {
	eachHarness(t, func(h *harness) {
		e := newTokenEndpoint(t)
		e.URL = "http://169.254.169.254"
		h.sender.use(savesAll{h.sender.Sender})
		d := h.withOAuth(t, e, "5000")
		found, err := h.destinations.Get(context.Background(), []string{d})
		require.NoError(t, err)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, h.receiver.URL, http.NoBody)
		require.NoError(t, err)
		_, err = h.client.Do(t.Context(), found[d], req)
		require.ErrorContains(t, err, "metadata")
	})
}
