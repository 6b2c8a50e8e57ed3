package ingestion

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"

	"integration-gateway/platform/id"
	"integration-gateway/platform/provider"
)

// maxPlainID is the longest external id that a key contains verbatim: a b-tree refuses long
// keys.
const maxPlainID = 200

// idempotencyKeys returns the permanent key of each event in a request: two requests mean
// the same event exactly if their keys are equal. body is the whole request's. Keys that are
// made from it hold for the policy's window; see inWindow.
func idempotencyKeys(source string, policy provider.Deduplication, events []provider.Event, body []byte) []string {
	keys := make([]string, len(events))
	for i, e := range events {
		switch {
		case policy.By == provider.ByNone:
			keys[i] = "once:" + id.New()
		case e.Identity != nil:
			keys[i] = "places:" + hash(e.Identity)
		case e.IDAsSent == nil || policy.By == provider.ByBody:
			keys[i] = payloadKey + hash(stableJSON(provider.WithoutBOM(body)))
			if len(events) > 1 {
				keys[i] += ":" + strconv.Itoa(i)
			}
		case plain(e.IDAsSent):
			keys[i] = string(e.IDAsSent)
		default:
			// Over the bytes as they were sent: decoding would fold \ud800 and \ud801 into one.
			keys[i] = "sha256:" + hash(e.IDAsSent)
		}
	}
	tellApart(keys)
	for i, key := range keys {
		keys[i] = source + ":" + key
	}
	return keys
}

// tellApart makes the keys of one request distinct: items may share an id, and each is an
// event. The second item of an id gets the number 2, and so on, so that a repeat of the
// request has the same keys, even if the provider counts its attempts in the items.
func tellApart(keys []string) {
	if len(keys) < 2 {
		return
	}
	met := make(map[string]int, len(keys))
	for i, key := range keys {
		met[key]++
		if n := met[key]; n > 1 {
			keys[i] = "item:" + strconv.Itoa(n) + ":" + key
		}
	}
}

// ownDigest returns the digest that is stored for an event's key. It is nil for most events,
// whose key can be computed from other columns.
func ownDigest(source string, externalID *string, key string) *string {
	if externalID != nil && key == source+":"+*externalID {
		return nil
	}
	digest := hash([]byte(key))
	return &digest
}

// keyDigest returns the digest of an event's idempotency key, or "". It lets receivers
// recognise an event that the gateway has lost and the provider sends again.
func keyDigest(source string, externalID, own *string) string {
	switch {
	case own != nil:
		return *own
	case externalID != nil:
		return hash([]byte(source + ":" + *externalID))
	}
	return ""
}

// The beginnings of keys that are not plain ids.
var madeKeys = []string{"sha256:", payloadKey, "item:", "places:", "once:"}

const payloadKey = "payload:"

// plain reports whether an id is printable ASCII and cannot be mistaken for a key of another
// format.
func plain(id []byte) bool {
	if len(id) == 0 || len(id) > maxPlainID {
		return false
	}
	for _, b := range id {
		if b < ' ' || b > '~' || b == '\\' {
			return false
		}
	}
	return !slices.ContainsFunc(madeKeys, func(made string) bool { return strings.HasPrefix(string(id), made) })
}

func hash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
