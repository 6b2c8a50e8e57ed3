package ingestion

import (
	"strings"
	"time"

	"integration-gateway/platform/cache"
	"integration-gateway/platform/provider"
)

// PossibleReplays configures the handling of a signed message that was received before under
// another event id, from a provider that does not sign the id.
type PossibleReplays struct {
	Window     time.Duration // how long signatures are remembered; 0 turns detection off
	Quarantine bool          // refuse and quarantine the request; otherwise store and mark it
}

// signatureOf returns a hash of the signed message, which recognises the message when it
// arrives again. It is "" if the signature covers the event's id, or nothing of the request.
// Different encodings of one signature have the same hash.
func signatureOf(spec provider.Spec, match provider.Match) string {
	if !spec.IDUnsigned() || len(match.Message) == 0 {
		return ""
	}
	return hash(match.Message)
}

// signatureClaims returns cache claims that remember, for each signature of the group, the
// ids that it first came with. at holds the index of each claim's webhook.
func (m *Module) signatureClaims(group []verifiedWebhook) (claims []cache.Claim, at []int) {
	if m.cfg.PossibleReplays.Window <= 0 {
		return nil, nil
	}
	for i, w := range group {
		if w.signature == "" {
			continue
		}
		window := m.cfg.PossibleReplays.Window
		if tolerance := w.source.Spec.Tolerance; tolerance > 0 {
			window = min(window, 2*tolerance) // before and after; then the signature has expired
		}
		claims = append(claims, cache.Claim{Key: "signature:" + w.source.Name + ":" + w.signature, Value: w.ids(), TTL: window})
		at = append(at, i)
	}
	return claims, at
}

// ids returns a hash of the keys of all the webhook's events.
func (w verifiedWebhook) ids() string {
	keys := make([]string, len(w.events))
	for i, e := range w.events {
		keys[i] = e.key
	}
	return hash([]byte(strings.Join(keys, "\n")))
}

// markReplays marks the webhooks whose signature was seen before with other ids.
func markReplays(group []verifiedWebhook, at []int, claims []cache.Claim, claimed []cache.Claimed) {
	for n, c := range claimed {
		if !c.Won && c.Value != claims[n].Value {
			group[at[n]].possibleReplay = true
		}
	}
}

// refusesReplay returns the error for a possible replay, or nil if the webhook is stored.
// Webhooks that an operator releases from quarantine are stored.
func (m *Module) refusesReplay(w verifiedWebhook) error {
	if !w.possibleReplay || w.release != nil || !w.source.Spec.QuarantinesReplays(m.cfg.PossibleReplays.Quarantine) {
		return nil
	}
	return provider.Replayed()
}
