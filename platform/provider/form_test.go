package provider

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/fault"
)

func TestFormsBecomeObjects(t *testing.T) {
	form := http.Header{"Content-Type": {"application/x-www-form-urlencoded; charset=UTF-8"}}
	for _, c := range []struct{ name, body, json, reason string }{
		{"fields in the order in which they were sent", "b=2&a=1", `{"b":"2","a":"1"}`, ""},
		{"one that is there several times", "a=1&b=x&a=2", `{"a":["1","2"],"b":"x"}`, ""},
		{"escapes and spaces", "a+b=c%20d%2Be", `{"a b":"c d+e"}`, ""},
		{"quotes and what has none", `q=%22%5C%0A&empty=&bare`, `{"q":"\"\\\u000a","empty":"","bare":""}`, ""},
		{"bytes that are not UTF-8 stay", "a=%ff", "{\"a\":\"\xff\"}", ""},
		{"a payload of JSON is the object itself", "payload=%7B%22a%22%3A1.10%7D&token=x", `{"a":1.10}`, ""},
		{"one that is no object is a field", "payload=text", `{"payload":"text"}`, ""},
		{"as many fields as there may be", strings.Repeat("a&", maxFields-1) + "b", strings.ReplaceAll(`{"a":[`+strings.Repeat(`"",`, maxFields-1)+`],"b":""}`, ",]", "]"), ""},
		{"one more", strings.Repeat("a&", maxFields) + "b", "", "too_many_fields"},
		{"nothing", "", "", "empty_body"},
		{"nothing but separators", "&&", "", "empty_body"},
		{"an escape that is none", "a=%zz", "", "malformed_form"},
	} {
		t.Run(c.name, func(t *testing.T) {
			text, err := jsonBody(Request{Header: form, Body: []byte(c.body)})
			if c.reason != "" {
				require.Equal(t, c.reason, fault.As(err).Reason)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.json, string(text))
		})
	}
}

func TestIDsInHeadersStayApart(t *testing.T) {
	ids := map[string]bool{}
	for _, sent := range []string{"\xff", "\xfe", "\ufffd", "a\"b", "a\\b", "<&>"} {
		found := header("X-Id").find(input{req: Request{Header: http.Header{"X-Id": {sent}}}})
		ids[string(found.asSent())] = true
		require.Equal(t, sent, found.text)
	}
	require.Len(t, ids, 6)
	twice := header("X-Id").find(input{req: Request{Header: http.Header{"X-Id": {"a", "a"}}}})
	require.True(t, twice.absent(), "which of two would it be")
}
