package testkit

import (
	"compress/gzip"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	collector "go.opentelemetry.io/proto/slim/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/slim/otlp/common/v1"
	otlp "go.opentelemetry.io/proto/slim/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// Collector takes spans by OTLP over HTTP and keeps them.
type Collector struct {
	URL string // without the path

	t        testing.TB
	mu       sync.Mutex
	spans    []Span
	requests []http.Header
	status   int
}

// Span is a received span. Ids are in hex, "" for none.
type Span struct {
	TraceID, ID, ParentID string
	Name                  string
	Kind                  otlp.Span_SpanKind
	Start, End            uint64 // nanoseconds since 1970
	Failed                bool
	Attributes            map[string]string // numbers in decimal
	Links                 []string          // trace and span id, with a slash between
	Resource              map[string]string
	SchemaURL             string
}

// NewCollector starts a collector that takes everything.
func NewCollector(t testing.TB) *Collector {
	c := &Collector{t: t, status: http.StatusOK}
	server := httptest.NewServer(http.HandlerFunc(c.serve))
	t.Cleanup(server.Close)
	c.URL = server.URL
	return c
}

// Answer has it answer with status; it keeps spans only while that is 200.
func (c *Collector) Answer(status int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status = status
}

// Spans returns what it has received.
func (c *Collector) Spans() []Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Span{}, c.spans...)
}

// Trace returns the spans of one trace.
func (c *Collector) Trace(id string) (list []Span) {
	for _, s := range c.Spans() {
		if s.TraceID == id {
			list = append(list, s)
		}
	}
	return list
}

// Requests returns the headers of all requests.
func (c *Collector) Requests() []http.Header {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]http.Header{}, c.requests...)
}

func (c *Collector) serve(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests = append(c.requests, r.Header.Clone())
	if c.status != http.StatusOK {
		w.WriteHeader(c.status)
		return
	}
	if r.Method != http.MethodPost || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" {
		c.t.Errorf("not a request of OTLP: %s %s %s", r.Method, r.URL.Path, r.Header.Get("Content-Type"))
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	spans, err := readSpans(r)
	if err != nil {
		c.t.Errorf("a request that cannot be read: %s", err)
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	c.spans = append(c.spans, spans...)
	w.Header().Set("Content-Type", "application/x-protobuf")
	answer, err := proto.Marshal(&collector.ExportTraceServiceResponse{})
	if err == nil {
		_, err = w.Write(answer)
	}
	if err != nil {
		c.t.Logf("a collector's answer: %s", err)
	}
}

func readSpans(r *http.Request) (list []Span, err error) {
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		if body, err = gzip.NewReader(r.Body); err != nil {
			return nil, err
		}
	}
	text, err := io.ReadAll(body)
	if err != nil {
		return nil, err
	}
	var request collector.ExportTraceServiceRequest
	if err := (proto.UnmarshalOptions{}).Unmarshal(text, &request); err != nil {
		return nil, err
	}
	for _, of := range request.GetResourceSpans() {
		for _, scoped := range of.GetScopeSpans() {
			for _, s := range scoped.GetSpans() {
				one := Span{TraceID: hex.EncodeToString(s.GetTraceId()), ID: hex.EncodeToString(s.GetSpanId()), ParentID: hex.EncodeToString(s.GetParentSpanId()),
					Name: s.GetName(), Kind: s.GetKind(), Start: s.GetStartTimeUnixNano(), End: s.GetEndTimeUnixNano(),
					Failed: s.GetStatus().GetCode() == otlp.Status_STATUS_CODE_ERROR, Attributes: texts(s.GetAttributes()),
					Resource: texts(of.GetResource().GetAttributes()), SchemaURL: scoped.GetSchemaUrl()}
				for _, l := range s.GetLinks() {
					one.Links = append(one.Links, hex.EncodeToString(l.GetTraceId())+"/"+hex.EncodeToString(l.GetSpanId()))
				}
				list = append(list, one)
			}
		}
	}
	return list, nil
}

func texts(list []*common.KeyValue) map[string]string {
	all := map[string]string{}
	for _, a := range list {
		switch v := a.GetValue().GetValue().(type) {
		case *common.AnyValue_IntValue:
			all[a.GetKey()] = strconv.FormatInt(v.IntValue, 10)
		default:
			all[a.GetKey()] = a.GetValue().GetStringValue()
		}
	}
	return all
}

// Named returns the only span of that name.
func Named(t testing.TB, spans []Span, name string) Span {
	t.Helper()
	var found []Span
	for _, s := range spans {
		if s.Name == name {
			found = append(found, s)
		}
	}
	require.Len(t, found, 1, "spans named %s", name)
	return found[0]
}
