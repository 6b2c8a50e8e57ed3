package bodies_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/provider/bodies"
)

func TestXMLBecomesJSON(t *testing.T) {
	for _, c := range []struct{ name, document, json string }{
		{"an element with text alone is a text", `<a>x &lt; y</a>`, `{"a":"x < y"}`},
		{"an empty one is empty", `<?xml version="1.0"?><a/>`, `{"a":""}`},
		{"elements of one name become an array", `<a><b>1</b><c>2</c><b>3</b></a>`, `{"a":{"b":["1","3"],"c":"2"}}`},
		{"attributes have an @, and text beside them a #", `<a id="7">x</a>`, `{"a":{"@id":"7","#text":"x"}}`},
		{"namespaces are left out", `<s:a xmlns:s="urn:x"><s:b>1</s:b></s:a>`, `{"a":{"b":"1"}}`},
		{"CDATA is text", `<a><![CDATA[<b>]]></a>`, `{"a":"<b>"}`},
	} {
		got, err := bodies.XML([]byte(c.document))
		require.NoError(t, err, c.name)
		require.Equal(t, c.json, string(got), c.name)
	}
}

func TestXMLIsBounded(t *testing.T) {
	for _, c := range []struct{ name, document, says string }{
		{"nothing", ``, "no element"},
		{"an entity of one's own", `<!DOCTYPE a [<!ENTITY b "bb">]><a>&b;</a>`, "document type"},
		{"an entity of a file", `<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>`, "document type"},
		{"an unknown entity", `<a>&b;</a>`, "not well-formed"},
		{"too deep", strings.Repeat("<a>", bodies.MaxDepth+1) + strings.Repeat("</a>", bodies.MaxDepth+1), "deeper than"},
		{"too many elements", "<r>" + strings.Repeat("<a/>", bodies.MaxElements) + "</r>", "more than"},
		{"another charset", `<?xml version="1.0" encoding="utf-7"?><a/>`, "not well-formed"},
		{"a second root", `<a/><b/>`, "follows its root"},
		{"cut off", `<a><b>`, "not well-formed"},
	} {
		_, err := bodies.XML([]byte(c.document))
		require.ErrorContains(t, err, c.says, c.name)
	}
	_, err := bodies.XML([]byte(strings.Repeat("<a>", bodies.MaxDepth) + strings.Repeat("</a>", bodies.MaxDepth)))
	require.NoError(t, err, "as deep as is allowed")
}

func multipartOf(n int) []byte {
	var b strings.Builder
	for i := range n {
		b.WriteString("--x\r\nContent-Disposition: form-data; name=\"f" + strconv.Itoa(i) + "\"\r\n\r\n" + strconv.Itoa(i) + "\r\n")
	}
	return []byte(b.String() + "--x--\r\n")
}

func TestMultipartBecomesJSON(t *testing.T) {
	got, err := bodies.Multipart([]byte("--x\r\nContent-Disposition: form-data; name=\"event\"\r\n\r\nopen\r\n"+
		"--x\r\nContent-Disposition: form-data; name=\"doc\"; filename=\"a.bin\"\r\nContent-Type: application/octet-stream\r\n\r\n\xff\x00\r\n--x--\r\n"), "x")
	require.NoError(t, err)
	require.JSONEq(t, `{"event":"open","doc":{"filename":"a.bin","contentType":"application/octet-stream","content":"/wA="}}`, string(got))
	_, err = bodies.Multipart(multipartOf(bodies.MaxParts), "x")
	require.NoError(t, err, "as many parts as are allowed")
	_, err = bodies.Multipart(multipartOf(bodies.MaxParts+1), "x")
	require.ErrorContains(t, err, "more than 100 parts")
	_, err = bodies.Multipart([]byte("--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\ncut"), "x")
	require.ErrorContains(t, err, "not well-formed")
}

func TestTextBecomesJSON(t *testing.T) {
	require.Equal(t, `{"text":"a \"b\""}`, string(bodies.Text([]byte(`a "b"`))))
}
