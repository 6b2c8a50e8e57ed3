package provider

import (
	"net/http"
	"strings"
	"testing"
)

// benchRequest is a webhook of acme of 340 bytes.
func benchRequest() Request {
	const begin, end = `{"eventId":"evt_0000000001","eventType":"order.created","occurredAt":"2026-01-05T09:00:00Z",` +
		`"data":{"id":"ord_1","total":"19.90","currency":"EUR","note":"`, `"}}`
	body := begin + strings.Repeat("x", 340-len(begin)-len(end)) + end
	return Request{Method: http.MethodPost, Body: []byte(body), Header: http.Header{
		"Content-Type": {"application/json"}, "X-Acme-Signature": {hexHMAC("acme-demo-secret", body)},
	}}
}

func BenchmarkVerify(b *testing.B) {
	req, known := benchRequest(), secrets("acme-demo-secret")
	spec := acme()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := spec.Verify.Verify(req, known); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNormalize(b *testing.B) {
	req, spec := benchRequest(), acme()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := spec.Normalize(req); err != nil {
			b.Fatal(err)
		}
	}
}
