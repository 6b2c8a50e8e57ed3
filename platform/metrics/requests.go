package metrics

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type request struct {
	route, method string
	code          int
}

// methods are those that routes use; senders may invent others.
var methods = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions}

func (m *Metrics) newRequests() {
	vec := m.histogram("gateway_http_request_duration_seconds", fewBuckets)
	m.requests = newSeries(maxRequests,
		func(r request) request { return request{other, "", r.code / 100 * 100} },
		func(r request) prometheus.Observer {
			return vec.WithLabelValues(r.route, r.method, strconv.Itoa(r.code))
		})
}

// Request records an answered request. route is the registered one, "" if there is none. traceID
// is that of the event it brought, "" if it is not traced.
func (m *Metrics) Request(route, method string, code int, took time.Duration, traceID string) {
	if route == "" {
		route = "(none)"
	}
	if !slices.Contains(methods, method) {
		method = other
	}
	observe(m.requests.get(request{route, method, code}), took, traceID)
}
