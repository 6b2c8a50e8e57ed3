package expression

import (
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/contract"
)

func TestErrorsRepeatNothingOfTheEvent(t *testing.T) {
	payload := []byte(`{"data":{"email":"ada@example.com","pattern":"(ada@example.com","list":[1],"n":12345,"quote":"a\"da@example.com"}}`)
	for expression, want := range map[string]string{
		"timestamp(data.email)":            "invalid RFC 3339 timestamp …",
		"timestamp(data.quote)":            "invalid RFC 3339 timestamp …",
		"data[data.email]":                 "no such key",
		"data.missing":                     "no such key: missing",
		"data.list[data.n]":                "index out of bounds",
		"data.list[7]":                     "index out of bounds: 7",
		"data.email.matches(data.pattern)": "error parsing regexp: missing closing ): …",
		"int(data.email)":                  "type conversion error from 'string' to 'int'",
	} {
		transform, err := New().Transform(expression)
		require.NoError(t, err, expression)
		_, err = transform.Body(t.Context(), NewFacts(contract.NewEvent{Payload: payload}))
		require.EqualError(t, err, want, expression)
	}
}
