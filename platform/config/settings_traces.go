package config

import (
	"crypto/tls"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"integration-gateway/platform/secret"
)

// Traces is where the spans of events go, by the variables of OpenTelemetry.
// https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
type Traces struct {
	Disabled bool
	Exporter string // otlp or none; "" for otlp if there is an endpoint

	All, Own OTLP // Own, for traces alone, wins

	Sampler string
	Share   float64 // of events that are traced, where the sampler has a ratio

	Service  string
	Resource map[string]string

	Queue, Batch         int // spans
	Delay, ExportTimeout time.Duration
}

// OTLP is how an exporter reaches its collector. Zero values are not set.
type OTLP struct {
	Endpoint    secret.Value // a URL, which may hold a password
	Headers     map[string]secret.Value
	Protocol    string
	Compression string
	Timeout     time.Duration
	Authorities string // the path of a PEM file, as are the next
	Certificate string
	Key         string
}

// The values of these settings.
const (
	exporterOTLP = "otlp"
	exporterNone = "none"
	protocolHTTP = "http/protobuf"
	protocolGRPC = "grpc"
	tracesPath   = "/v1/traces"
)

// On reports whether spans are sent.
func (t Traces) On() bool {
	if t.Disabled || t.Exporter == exporterNone {
		return false
	}
	return t.Exporter == exporterOTLP || !t.All.Endpoint.Empty() || !t.Own.Endpoint.Empty()
}

// URL returns where spans are sent: the endpoint of traces as it is, or else the path of traces
// below that of all signals.
func (t Traces) URL() secret.Value {
	switch {
	case !t.Own.Endpoint.Empty():
		return t.Own.Endpoint
	case !t.All.Endpoint.Empty():
		return secret.New(strings.TrimRight(t.All.Endpoint.Reveal(), "/") + tracesPath)
	}
	return secret.New("http://localhost:4318" + tracesPath)
}

// Settings returns how the collector is reached: of each setting the one for traces, or else the
// one for all signals.
func (t Traces) Settings() OTLP {
	s := t.All
	override(&s.Protocol, t.Own.Protocol)
	override(&s.Compression, t.Own.Compression)
	override(&s.Timeout, t.Own.Timeout)
	override(&s.Authorities, t.Own.Authorities)
	override(&s.Certificate, t.Own.Certificate)
	override(&s.Key, t.Own.Key)
	if len(t.Own.Headers) > 0 {
		s.Headers = t.Own.Headers
	}
	if s.Timeout == 0 {
		s.Timeout = 10 * time.Second
	}
	return s
}

func override[T comparable](field *T, value T) {
	var zero T
	if value != zero {
		*field = value
	}
}

// Ratio returns the share of events that are traced, from 0 to 1.
func (t Traces) Ratio() float64 {
	switch strings.TrimPrefix(t.Sampler, "parentbased_") {
	case "always_off":
		return 0
	case "traceidratio":
		return t.Share
	}
	return 1
}

func traceSettings(c *Config) section {
	t := &c.Traces
	const by = running
	settings := []setting{
		{name: "OTEL_TRACES_EXPORTER", read: oneOf(&t.Exporter, exporterOTLP, exporterNone), by: by,
			unset: "`otlp` if one of the two endpoints is set, else `none`",
			help:  "Where spans go: to a collector, or nowhere."},
		{name: "OTEL_SDK_DISABLED", fallback: "false", read: boolean(&t.Disabled), by: by,
			help: "Turns traces off, whatever the other settings say."},
		{name: "OTEL_TRACES_SAMPLER", fallback: "parentbased_always_on", by: by,
			read: oneOf(&t.Sampler, "always_on", "always_off", "traceidratio", "parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio"),
			help: "Which events are traced: all, none, or the share that `OTEL_TRACES_SAMPLER_ARG` says. Since the gateway begins every trace itself, `parentbased_` makes no difference."},
		{name: "OTEL_TRACES_SAMPLER_ARG", fallback: "1", read: share(&t.Share), by: by,
			help: "The share of events that are traced, with a sampler of a ratio. It is decided by the event's id, so all processes need the same share."},
		{name: "OTEL_SERVICE_NAME", fallback: "integration-gateway", read: word(&t.Service), by: by,
			help: "The service of the spans, `service.name`."},
		{name: "OTEL_RESOURCE_ATTRIBUTES", read: pairs(&t.Resource), by: by,
			unset: "there are the service's name, version and instance, and the role of the process",
			help:  "Further attributes of the process, such as `deployment.environment.name=production`."},
	}
	settings = append(settings, otlpSettings("OTEL_EXPORTER_OTLP_", &t.All, by, "")...)
	settings = append(settings, otlpSettings("OTEL_EXPORTER_OTLP_TRACES_", &t.Own, by, "OTEL_EXPORTER_OTLP_")...)
	settings = append(settings,
		setting{name: "OTEL_BSP_MAX_QUEUE_SIZE", fallback: "2048", read: integer(&t.Queue, 1, 1_000_000), by: by,
			help: "How many spans may wait in memory. Further ones are dropped."},
		setting{name: "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", fallback: "512", read: integer(&t.Batch, 1, 100_000), by: by,
			help: "How many spans a request holds, at most."},
		setting{name: "OTEL_BSP_SCHEDULE_DELAY", fallback: "5000", read: duration(&t.Delay, time.Millisecond, 1, 600_000), by: by,
			help: "How long spans wait until they are sent, unless there are enough for a request."},
		setting{name: "OTEL_BSP_EXPORT_TIMEOUT", fallback: "30000", read: duration(&t.ExportTimeout, time.Millisecond, 1, 600_000), by: by,
			help: "How long one request may take with its repeats. Then its spans are dropped."})
	return section{title: "Traces", settings: settings,
		help: "Off, unless an exporter is named. The variables are those of OpenTelemetry, and the others of its SDKs have no effect. See [Traces](operations.md#traces)."}
}

// otlpSettings are the settings of an exporter. general is the prefix of those that count where
// these are not set; "" if these are the general ones.
func otlpSettings(prefix string, o *OTLP, by users, general string) []setting {
	list := []setting{
		{name: "ENDPOINT", read: serverURL(&o.Endpoint, "http", "https"), unset: "`http://localhost:4318`, if `OTEL_TRACES_EXPORTER` is `otlp`",
			help: "The URL of a collector that takes OTLP over HTTP, such as `http://127.0.0.1:4318`. Spans are sent to its path `/v1/traces`."},
		{name: "HEADERS", read: headers(&o.Headers), unset: "there are none",
			help: "Headers of each request, such as `Authorization=Bearer%20token`, separated by commas. Values are percent-encoded."},
		{name: "PROTOCOL", read: oneOf(&o.Protocol, protocolHTTP, protocolGRPC), unset: "`" + protocolHTTP + "`",
			help: "The protocol. `" + protocolGRPC + "` is refused at start if traces are on: the gateway has no gRPC, and collectors take `" + protocolHTTP + "` on port 4318."},
		{name: "COMPRESSION", read: oneOf(&o.Compression, "gzip", "none"), unset: "`none`",
			help: "How requests are compressed."},
		{name: "TIMEOUT", read: duration(&o.Timeout, time.Millisecond, 1, 600_000), unset: "`10000`",
			help: "How long one request may take."},
		{name: "CERTIFICATE", read: pemOf(&o.Authorities, "CERTIFICATE"), unset: "the machine's authorities are trusted",
			help: "A PEM file with the authorities that the collector's certificate is checked against."},
		{name: "CLIENT_CERTIFICATE", read: pemOf(&o.Certificate, "CERTIFICATE"), unset: "there is no client certificate",
			help: "A PEM file with the gateway's client certificate."},
		{name: "CLIENT_KEY", read: pemOf(&o.Key, "PRIVATE KEY"), unset: "there is no client certificate",
			help: "A PEM file with the key of the client certificate."},
	}
	for i := range list {
		s := &list[i]
		if general != "" {
			s.help, s.unset = "As `"+general+s.name+"`, for traces alone.", "`"+general+s.name+"` counts"
		}
		if general != "" && s.name == "ENDPOINT" {
			s.help = "The URL to which spans are sent, with its path: nothing is appended."
		}
		s.name, s.by = prefix+s.name, by
	}
	return list
}

// share reads a number from 0 to 1.
func share(into *float64) reader {
	return reader{"number from 0 to 1", func(text string) error {
		n, err := strconv.ParseFloat(text, 64)
		if err != nil || !(n >= 0 && n <= 1) { // NaN is neither
			return wrong(fmt.Sprintf("%q is not a share", text), "write a number from 0 to 1, such as 0.01 for one event of a hundred")
		}
		*into = n
		return nil
	}}
}

func word(into *string) reader {
	return reader{"text of at most 255 characters", func(text string) error {
		if len(text) > 255 {
			return wrong("it is too long", "write at most 255 characters")
		}
		*into = text
		return nil
	}}
}

// pemOf takes the path of a file of certificates or of a key. Its error does not name it: it may
// be the key itself.
func pemOf(into *string, kind string) reader {
	return reader{"path of a PEM file", func(path string) error {
		text, err := readAtMost(path, maxPEM)
		if err != nil {
			return wrong(fmt.Sprintf("the file cannot be read: %s", err), "name a PEM file that the gateway's user can read")
		}
		if !strings.Contains(text, kind+"-----") {
			return wrong("the file holds no "+strings.ToLower(kind), "name a PEM file with one")
		}
		*into = path
		return nil
	}}
}

// maxPEM bounds a file of certificates: a machine's authorities are some 200 kB.
const maxPEM = 4 << 20

// pairs reads a list of key=value, with percent-encoded values. No error holds a value.
func pairs(into *map[string]string) reader {
	return reader{"list of `key=value`, separated by commas", func(text string) error {
		found := map[string]string{}
		for n, part := range strings.Split(text, ",") {
			if strings.TrimSpace(part) == "" {
				continue
			}
			name, value, ok := strings.Cut(part, "=")
			value, err := url.PathUnescape(strings.TrimSpace(value))
			if name = strings.TrimSpace(name); !ok || name == "" || err != nil {
				return wrong(fmt.Sprintf("part %d of the list is not key=value with a percent-encoded value", n+1), "write pairs such as a=b,c=d%%20e")
			}
			found[name] = value
		}
		*into = found
		return nil
	}}
}

// headers reads HTTP headers, whose values may be secret.
func headers(into *map[string]secret.Value) reader {
	var found map[string]string
	list := pairs(&found)
	return reader{list.takes, func(text string) error {
		if err := list.set(text); err != nil {
			return err
		}
		*into = map[string]secret.Value{}
		for _, name := range slices.Sorted(maps.Keys(found)) {
			if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(found[name]) {
				return wrong(fmt.Sprintf("%q is not an HTTP header", name), "write headers such as Authorization=Bearer%%20token")
			}
			(*into)[http.CanonicalHeaderKey(name)] = secret.New(found[name])
		}
		return nil
	}}
}

// checkTraces finds what is wrong with the settings of traces, if they are on.
func checkTraces(c Config, m *Mistakes) {
	if !c.Traces.On() {
		return
	}
	s, own := c.Traces.Settings(), c.Traces.Own
	named := func(setting string, isOwn bool) string {
		if isOwn {
			return "OTEL_EXPORTER_OTLP_TRACES_" + setting
		}
		return "OTEL_EXPORTER_OTLP_" + setting
	}
	if s.Protocol == protocolGRPC {
		m.add(named("PROTOCOL", own.Protocol != ""), "the gateway sends spans over HTTP and not over gRPC",
			"set OTEL_EXPORTER_OTLP_TRACES_PROTOCOL to %s and OTEL_EXPORTER_OTLP_TRACES_ENDPOINT to the collector's port for it, such as http://collector:4318/v1/traces", protocolHTTP)
	}
	if (s.Certificate == "") != (s.Key == "") {
		m.add(named("CLIENT_CERTIFICATE", own.Certificate != "" || own.Key != ""), "a client certificate needs its key, and a key its certificate", "set both, or neither")
	} else if s.Key != "" {
		if _, err := tls.LoadX509KeyPair(s.Certificate, s.Key); err != nil {
			m.add(named("CLIENT_CERTIFICATE", own.Certificate != ""), "it does not match the key: "+strings.TrimPrefix(err.Error(), "tls: "), "name the certificate with its own key, each in PEM")
		}
	}
	if c.Traces.Queue > 0 && c.Traces.Batch > c.Traces.Queue { // a queue of 0 is said already
		m.add("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", fmt.Sprintf("%d is more than OTEL_BSP_MAX_QUEUE_SIZE (%d)", c.Traces.Batch, c.Traces.Queue), "make it at most as large")
	}
}
