package bulk

import (
	"encoding/json"

	"integration-gateway/modules/replay/oneoff"
	"integration-gateway/platform/contract"
)

// entry records what happened to a replay. It leaves the filter out, which may name a person:
// the trail outlives the records.
func entry(r replay, what, actor string) contract.AuditEntry {
	text, _ := json.Marshal(struct { // strings and numbers always marshal
		RequestedBy   string  `json:"requestedBy"`
		Reason        string  `json:"reason"`
		DestinationID *string `json:"destinationId"`
		Host          string  `json:"host,omitempty"` // of the URL that it goes to
		Payload       string  `json:"payload"`
		Rate          int     `json:"rate"`
		Counts        counts  `json:"counts"`
	}{r.RequestedBy, r.Reason, r.DestinationID, oneoff.Host(r.URL), r.Payload, r.Rate, counts{r.Matched, r.Queued, r.Delivered, r.Failed}})
	return contract.AuditEntry{EntityType: contract.EntityReplay, EntityID: &r.ID, Action: "bulk_replay." + what, Actor: actor, Details: text}
}
