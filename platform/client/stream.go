package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/fault"
)

const (
	maxLine      = 4 << 20          // of a stream
	streamSilent = 90 * time.Second // the gateway sends a comment more often than this
	firstRetry   = time.Second
	lastRetry    = 15 * time.Second
)

// Message is one message of a stream.
type Message struct {
	ID, Event string
	Data      []byte
}

// Stream reads server-sent events at a path until ctx ends or handle returns an error. After
// an interruption it resumes behind the last message, as long as the gateway answers again;
// waiting is called before each new try, with what happened. The first connection is tried
// once.
func (c *Client) Stream(ctx context.Context, path string, query url.Values, last string, handle func(Message) error, waiting func(error)) error {
	wait, connected := firstRetry, false
	for {
		err := c.streamOnce(ctx, path, query, &last, func() { wait, connected = firstRetry, true }, handle)
		var stopped *handled
		var answered *Error
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.As(err, &stopped):
			return stopped.error
		case !connected, fault.Is(err, fault.Unauthorized), errors.As(err, &answered) && answered.Status < 500 && answered.Status != http.StatusTooManyRequests:
			return err
		}
		waiting(err)
		if !clock.Sleep(ctx, wait) {
			return nil
		}
		wait = min(2*wait, lastRetry)
	}
}

// handled is an error of the function that handles messages.
type handled struct{ error }

func (c *Client) streamOnce(ctx context.Context, path string, query url.Values, last *string, open func(), handle func(Message) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	silence := time.AfterFunc(streamSilent, cancel)
	defer silence.Stop()
	header := http.Header{"Accept": {"text/event-stream"}}
	if *last != "" {
		header.Set("Last-Event-ID", *last)
	}
	res, err := c.send(ctx, http.MethodGet, path, query, nil, header)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return failureOf(res)
	}
	open()
	err = readMessages(res.Body, func() { silence.Reset(streamSilent) }, func(m Message) error {
		if err := handle(m); err != nil {
			return &handled{err}
		}
		if m.ID != "" {
			*last = m.ID
		}
		return nil
	})
	var stopped *handled
	if errors.As(err, &stopped) {
		return err
	}
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	return c.unreachable(err)
}

// readMessages reads the text/event-stream format. alive is called for every line.
// https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
func readMessages(body io.Reader, alive func(), handle func(Message) error) error {
	lines := bufio.NewScanner(body)
	lines.Buffer(make([]byte, 0, 64<<10), maxLine)
	var m Message
	var data []string
	for lines.Scan() {
		alive()
		line := lines.Text()
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "" && data == nil:
			m = Message{ID: m.ID}
		case line == "":
			m.Data = []byte(strings.Join(data, "\n"))
			if err := handle(m); err != nil {
				return err
			}
			m, data = Message{ID: m.ID}, nil
		case name == "data":
			data = append(data, value)
		case name == "id" && !strings.Contains(value, "\x00"):
			m.ID = value
		case name == "event":
			m.Event = value
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read the stream: %w", err)
	}
	return nil
}

func failureOf(res *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	var answer envelope
	_ = json.Unmarshal(text, &answer) // failure reports what is no answer of a gateway
	return failure(res, answer)
}
