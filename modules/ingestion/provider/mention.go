package provider

import (
	"bytes"
	"encoding/json"
)

// Mentions reports whether a text or a number in the body is just this text. A body that
// is no JSON, nor a form, mentions whatever it holds.
func Mentions(req Request, text string) bool {
	body, err := jsonBody(req)
	if err != nil || deeperThan(body, MaxDepth) || !json.Valid(body) {
		return bytes.Contains(req.Body, []byte(text))
	}
	found := false
	in := input{raw: body, doc: &document{}}
	eachText(in.tree(), func(one string) { found = found || one == text })
	return found
}
