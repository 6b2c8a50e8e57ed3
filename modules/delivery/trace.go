package delivery

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"integration-gateway/platform/broker"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/telemetry"
	"integration-gateway/platform/tracing"
)

// lines returns a context whose log lines carry the ids of a job's event and of its span.
func (c claimed) lines(ctx context.Context) context.Context {
	return c.span.Context(telemetry.WithCorrelation(ctx, c.correlationID))
}

// publishSpan is the span of a job that a message names.
type publishSpan struct {
	tracing.Span
	message int
}

// publishing begins a span for each traced job that the messages name. A message carries the
// context of the first of its spans, to which the others link. Jobs of one message may be of
// different events, so each is in the trace of its own.
func (m *Module) publishing(messages []broker.Message, groups [][]announcement, at time.Time) []publishSpan {
	if !m.traces.On() {
		return nil
	}
	var spans []publishSpan
	for i, group := range groups {
		to := &messages[i]
		for _, a := range group {
			if !m.traces.Sampled(a.ref.EventID) {
				continue
			}
			span := m.traces.Begin(a.ref.EventID, "publish "+m.queueName(to.Queue), tracing.Producer, at, to.Trace)
			if to.Trace == "" {
				to.Trace = span.Traceparent()
			}
			m.describeMessage(span, to.Queue, "publish", "send")
			span.Number(tracing.MessagingBodySize, len(to.Body)).Number(tracing.MessageJobs, len(group)).
				Text(tracing.EventID, a.ref.EventID).Text(tracing.JobID, a.ref.JobID).Text(tracing.DestinationID, a.ref.Destination)
			if to.Delay > 0 {
				span.Number(tracing.DelayMS, int(to.Delay.Milliseconds()))
			}
			spans = append(spans, publishSpan{span, i})
		}
	}
	return spans
}

// endPublishing ends the spans of messages whose results these are.
func (m *Module) endPublishing(spans []publishSpan, problems []error) {
	for _, s := range spans {
		if problem := problems[s.message]; problem != nil {
			s.Fail(reasonOf(problem))
		}
		m.end(s.Span)
	}
}

// end ends a span now.
func (m *Module) end(s tracing.Span) {
	if s.Recording() {
		s.End(m.now())
	}
}

// processing begins the span of a claimed job: it lasts until its message is settled, and links
// to the span that published that.
func (m *Module) processing(c claimed, from *inboundMessage) tracing.Span {
	if !m.traces.Sampled(c.EventID) {
		return tracing.Span{}
	}
	link := ""
	if from != nil {
		link = from.Trace
	}
	span := m.traces.Begin(c.EventID, "process "+m.queueName(c.queue()), tracing.Consumer, c.at, link)
	m.describeMessage(span, c.queue(), "process", "process")
	span.Text(tracing.EventID, c.EventID).Text(tracing.JobID, c.ID).Text(tracing.JobTrigger, string(c.Trigger)).Number(tracing.AttemptNo, c.AttemptNo)
	if c.DestinationID != nil {
		span.Text(tracing.DestinationID, *c.DestinationID)
	}
	return span
}

// sending begins the span of a request to a destination.
func (m *Module) sending(a attempt, at time.Time) tracing.Span {
	span := a.span.Begin(http.MethodPost, tracing.Client, at)
	span.Text(tracing.HTTPMethod, http.MethodPost).Text(tracing.Source, a.event.Source).Text(tracing.Provider, a.event.Provider).
		Text(tracing.EventID, a.EventID).Text(tracing.DestinationID, a.destination.ID).Number(tracing.AttemptNo, a.AttemptNo)
	if a.AttemptNo > 1 {
		span.Number(tracing.HTTPResendCount, a.AttemptNo-1)
	}
	return span
}

// describeRequest sets what is known of a request: of its URL neither path nor query, which may
// hold a secret.
func describeRequest(span tracing.Span, req *http.Request) {
	if !span.Recording() {
		return
	}
	span.Text(tracing.URLScheme, req.URL.Scheme).Text(tracing.ServerAddress, req.URL.Hostname()).Number(tracing.HTTPBodySize, int(req.ContentLength))
	port, err := strconv.Atoi(req.URL.Port())
	switch {
	case err == nil:
	case req.URL.Scheme == "http":
		port = 80
	default:
		port = 443
	}
	span.Number(tracing.ServerPort, port)
}

// endSending ends the span of a request that was answered with r.
func (m *Module) endSending(span tracing.Span, r response, interrupted bool) {
	if !span.Recording() {
		return
	}
	if r.status != 0 {
		span.Number(tracing.HTTPStatus, r.status)
	}
	if kind := r.kind(); kind != nil && !interrupted {
		span.Fail(*kind)
	}
	if interrupted {
		span.Fail("interrupted")
	}
	m.end(span)
}

// traceparent returns what a destination that takes part in traces is sent; "" for others.
func (m *Module) traceparent(a attempt, span tracing.Span) string {
	switch {
	case !a.destination.TracePropagation:
		return ""
	case span.Recording():
		return span.Traceparent()
	}
	return m.traces.Traceparent(a.EventID)
}

// recording begins the span of an outcome that is stored.
func (m *Module) recording(c claimed, at time.Time) tracing.Span {
	return c.span.Begin("record", tracing.Client, at).Text(tracing.DBSystem, m.traces.Database()).Text(tracing.DBOperation, "COMMIT")
}

// describeMessage sets what the conventions say of a message.
func (m *Module) describeMessage(span tracing.Span, queue broker.Queue, operation, kind string) {
	name := m.queueName(queue)
	span.Text(tracing.MessagingSystem, m.traces.Broker()).Text(tracing.MessagingOperation, operation).Text(tracing.MessagingOperationType, kind).
		Text(tracing.MessagingDestination, name)
	if m.traces.Broker() == tracing.RabbitMQ {
		span.Text(tracing.MessagingRoutingKey, name)
	}
}

// queueName returns a queue's name at the broker.
func (m *Module) queueName(queue broker.Queue) string {
	if queue == broker.Replay {
		return m.cfg.Queues.Replay
	}
	return m.cfg.Queues.Process
}

// reasonOf returns the identifier of an error of ours, or internal.
func reasonOf(err error) string {
	if f := fault.As(err); f != nil {
		return f.Reason
	}
	return "internal"
}
