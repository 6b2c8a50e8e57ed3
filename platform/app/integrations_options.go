package app

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/provider"
	"integration-gateway/platform/strictjson"
)

// ProviderOptions parses options of the form key=value; dots in a key address nested
// objects. A value is text if the option is text, or else JSON.
func ProviderOptions(pairs []string) (provider.Options, error) {
	var read provider.Options
	var wrong []fault.Field
	for _, pair := range pairs {
		key, value, found := strings.Cut(pair, "=")
		if !found || key == "" {
			return read, fmt.Errorf("--option %s: must be key=value", pair)
		}
		text, _ := json.Marshal(value) // strings always marshal
		mistakes := strictjson.Read(nested(key, text), &read)
		if len(mistakes) > 0 && json.Valid([]byte(value)) {
			mistakes = strictjson.Read(nested(key, []byte(value)), &read)
		}
		for _, m := range mistakes {
			wrong = append(wrong, fault.Field{Field: "options." + m.Field, Message: m.Message})
		}
	}
	if len(wrong) > 0 {
		return read, httpapi.Invalid(wrong)
	}
	return read, nil
}

// nested returns the object that holds value under a key with dots.
func nested(key string, value []byte) []byte {
	parts := strings.Split(key, ".")
	slices.Reverse(parts)
	for _, part := range parts {
		name, _ := json.Marshal(part) // strings always marshal
		value = slices.Concat([]byte("{"), name, []byte(":"), value, []byte("}"))
	}
	return value
}
