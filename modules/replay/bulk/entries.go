package bulk

import (
	"encoding/json"

	"integration-gateway/platform/contract"
)

// entry records what happened to a replay. It leaves the filter out, which may name a person:
// the trail outlives the records.
func entry(r replay, what, actor string) contract.AuditEntry {
	text, _ := json.Marshal(struct { // strings and numbers always marshal
		RequestedBy   string  `json:"requestedBy"`
		Reason        string  `json:"reason"`
		DestinationID *string `json:"destinationId"`
		Rate          int     `json:"rate"`
		Counts        counts  `json:"counts"`
	}{r.RequestedBy, r.Reason, r.DestinationID, r.Rate, counts{r.Matched, r.Queued, r.Delivered, r.Failed}})
	return contract.AuditEntry{EntityType: contract.EntityReplay, EntityID: &r.ID, Action: "bulk_replay." + what, Actor: actor, Details: text}
}
