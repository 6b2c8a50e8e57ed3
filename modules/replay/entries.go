package replay

import (
	"encoding/json"

	"integration-gateway/modules/replay/oneoff"
	"integration-gateway/platform/contract"
)

func requestedEntry(r request) contract.AuditEntry {
	return entry(r, "requested", r.Actor, struct {
		RequestID     string  `json:"replayRequestId"`
		ReplayID      *string `json:"replayId,omitempty"`
		RequestedBy   string  `json:"requestedBy"`
		Reason        string  `json:"reason"`
		DestinationID *string `json:"destinationId"`
		Host          string  `json:"host,omitempty"` // of the URL that it goes to
		OnlyFailed    bool    `json:"onlyFailed"`
	}{r.ID, r.ReplayID, r.RequestedBy, r.Reason, r.DestinationID, oneoff.Host(r.URL), r.OnlyFailed})
}

func progressEntry(s transition) contract.AuditEntry {
	return entry(s.request, string(s.to), contract.ActorGateway, struct {
		RequestID string  `json:"replayRequestId"`
		Error     *string `json:"error,omitempty"`
	}{s.ID, s.err})
}

// entry records what happened to a replay, under the event's id.
func entry(r request, what, actor string, details any) contract.AuditEntry {
	text, _ := json.Marshal(details) // strings and booleans always marshal
	return contract.AuditEntry{
		EntityType: contract.EntityNormalizedEvent, EntityID: &r.EventID,
		Action: "replay." + what, Actor: actor, Details: text,
	}
}
