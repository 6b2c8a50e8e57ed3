package provider

import (
	"bytes"
	"encoding/json"
)

// Mentions reports whether a text, a number or a member's name in the body is just this text. A body that
// is no JSON, nor a form, mentions whatever it holds.
func Mentions(req Request, text string) bool {
	body, err := jsonBody(req)
	if err != nil || deeperThan(body, MaxDepth) || !json.Valid(body) {
		return bytes.Contains(req.Body, []byte(text))
	}
	found := false
	eachText(body, func(one string) bool {
		found = one == text
		return !found
	})
	return found
}
