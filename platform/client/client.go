// Package client speaks the gateway's HTTP API. It holds no state but a connection: every
// call has a deadline, and only what reads is tried again.
package client

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"integration-gateway/platform/clock"
)

// Base is the path of the API below the gateway's address.
const Base = "/api/v1"

const (
	headerKey         = "X-Internal-Api-Key"
	headerCorrelation = "X-Correlation-Id"

	defaultTimeout = 30 * time.Second
	readTries      = 3
	longestWait    = 5 * time.Second // between two tries
	maxAnswer      = 64 << 20
)

// Options say where the API is.
type Options struct {
	URL       string            // of the gateway, with or without /api/v1
	Key       string            // a management key; "" sends none
	Token     TokenSource       // in place of a key; nil sends none
	Transport http.RoundTripper // nil for the network
	Timeout   time.Duration     // of one try; 30 s
	UserAgent string
}

// TokenSource returns a bearer token that is valid now. It is asked before each request.
type TokenSource func(ctx context.Context) (string, error)

// Client is a connection to one gateway. It is safe for concurrent use.
type Client struct {
	base    string
	o       Options
	http    *http.Client
	timeout time.Duration
}

// New makes a client; it connects to nothing. Its error is about the URL.
func New(o Options) (*Client, error) {
	u, err := url.Parse(strings.TrimRight(o.URL, "/"))
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("must be an address such as https://gateway.example.com")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("must have no credentials, query or fragment")
	}
	u.Path = strings.TrimSuffix(u.Path, Base) + Base
	follow := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse } // the key stays with its gateway
	return &Client{base: u.String(), o: o, timeout: cmp.Or(o.Timeout, defaultTimeout),
		http: &http.Client{Transport: o.Transport, CheckRedirect: follow}}, nil
}

// URL is the API's address, with its base path.
func (c *Client) URL() string { return c.base }

// envelope is the form of all answers.
type envelope struct {
	Data  json.RawMessage `json:"data"`
	Meta  Meta            `json:"meta"`
	Error *struct {
		Code    string  `json:"code"`
		Message string  `json:"message"`
		Details []Field `json:"details"`
	} `json:"error"`
}

// Meta describes a list.
type Meta struct {
	Total           int     `json:"total"`
	TotalIsEstimate bool    `json:"totalIsEstimate"`
	NextCursor      *string `json:"nextCursor"`
}

// Get reads the data at a path below the base into out, which may be nil. A 503 is tried
// again.
func (c *Client) Get(ctx context.Context, path string, query url.Values, out any) (Meta, error) {
	for try := 1; ; try++ {
		meta, err := c.call(ctx, http.MethodGet, path, query, nil, out)
		var answered *Error
		if try == readTries || !errors.As(err, &answered) || answered.Status != http.StatusServiceUnavailable {
			return meta, err
		}
		if !clock.Sleep(ctx, min(max(answered.RetryAfter, 200*time.Millisecond), longestWait)) {
			return meta, err
		}
	}
}

// Post sends body as JSON, once, and reads the data of the answer into out, which may be nil.
func (c *Client) Post(ctx context.Context, path string, body, out any) error {
	_, err := c.call(ctx, http.MethodPost, path, nil, body, out)
	return err
}

// Put is Post for what replaces.
func (c *Client) Put(ctx context.Context, path string, body, out any) error {
	_, err := c.call(ctx, http.MethodPut, path, nil, body, out)
	return err
}

// Patch is Post for changes.
func (c *Client) Patch(ctx context.Context, path string, body, out any) error {
	_, err := c.call(ctx, http.MethodPatch, path, nil, body, out)
	return err
}

// Delete removes what is at a path, once.
func (c *Client) Delete(ctx context.Context, path string, query url.Values, out any) error {
	_, err := c.call(ctx, http.MethodDelete, path, query, nil, out)
	return err
}

func (c *Client) call(ctx context.Context, method, path string, query url.Values, body, out any) (Meta, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	res, err := c.send(ctx, method, path, query, body, nil)
	if err != nil {
		return Meta{}, err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return Meta{}, c.unreachable(err)
	}
	if res.StatusCode == http.StatusNoContent && out == nil {
		return Meta{}, nil
	}
	var answer envelope
	if err := json.Unmarshal(text, &answer); err != nil || res.StatusCode >= 300 {
		return Meta{}, failure(res, answer)
	}
	if out == nil {
		return answer.Meta, nil
	}
	decoder := json.NewDecoder(bytes.NewReader(answer.Data))
	decoder.UseNumber()
	if err := decoder.Decode(out); err != nil {
		return Meta{}, fmt.Errorf("the answer of %s %s has another form than expected: %w", method, path, err)
	}
	return answer.Meta, nil
}

// send sends one request. The response's body must be closed.
func (c *Client) send(ctx context.Context, method, path string, query url.Values, body any, header http.Header) (*http.Response, error) {
	target := c.base + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	var reader io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("write the request: %w", err)
		}
		reader = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, target, reader)
	if err != nil {
		return nil, fmt.Errorf("make the request: %w", err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if err := c.identify(ctx, req); err != nil {
		return nil, err
	}
	if c.o.UserAgent != "" {
		req.Header.Set("User-Agent", c.o.UserAgent)
	}
	res, err := c.http.Do(req) //nolint:bodyclose // the caller closes it
	if err != nil {
		return nil, c.unreachable(err)
	}
	return res, nil
}

// identify adds the credential.
func (c *Client) identify(ctx context.Context, req *http.Request) error {
	if c.o.Token != nil {
		token, err := c.o.Token(ctx)
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+token)
		return nil
	}
	if c.o.Key != "" {
		req.Header.Set(headerKey, c.o.Key)
	}
	return nil
}

// failure is the error of an answer that is none of success.
func failure(res *http.Response, answer envelope) *Error {
	e := &Error{Status: res.StatusCode, RequestID: res.Header.Get(headerCorrelation)}
	if seconds, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil {
		e.RetryAfter = time.Duration(seconds) * time.Second
	}
	if answer.Error == nil {
		e.Message = fmt.Sprintf("what answered (%d) is no gateway; check the address", res.StatusCode)
		return e
	}
	e.Code, e.Message, e.Fields = answer.Error.Code, answer.Error.Message, answer.Error.Details
	return e
}
