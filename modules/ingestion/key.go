package ingestion

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"

	"integration-gateway/modules/ingestion/provider"
)

// maxPlainID is how long an external id may be to stand in a key as it is; a b-tree
// refuses long keys.
const maxPlainID = 200

// idempotencyKeys names each event of one request for good: two requests mean the
// same event exactly when they give the same key. body is the whole request's.
func idempotencyKeys(source string, events []provider.Event, body []byte) []string {
	keys := make([]string, len(events))
	for i, e := range events {
		switch {
		case e.IDAsSent == nil:
			keys[i] = source + ":payload:" + hash(stableJSON(provider.WithoutBOM(body)))
			if len(events) > 1 {
				keys[i] += ":" + strconv.Itoa(i)
			}
		case plain(e.IDAsSent):
			keys[i] = source + ":" + string(e.IDAsSent)
		default:
			// Over the bytes as they were sent: decoding would fold \ud800 and \ud801 into one.
			keys[i] = source + ":sha256:" + hash(e.IDAsSent)
		}
	}
	return keys
}

// plain reports whether an id means the same as its bytes, and cannot be taken for one
// of the other two forms of keys.
func plain(id []byte) bool {
	if len(id) == 0 || len(id) > maxPlainID {
		return false
	}
	for _, b := range id {
		if b < ' ' || b > '~' || b == '\\' {
			return false
		}
	}
	text := string(id)
	return !strings.HasPrefix(text, "sha256:") && !strings.HasPrefix(text, "payload:")
}

func hash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
