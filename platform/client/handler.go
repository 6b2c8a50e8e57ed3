package client

import (
	"context"
	"io"
	"net/http"
	"sync"
)

// ServedBy is a transport that has a handler of this process answer, without a network. The
// response's body streams, and the request's context reaches the handler.
func ServedBy(h http.Handler) http.RoundTripper { return handlerTransport{h} }

type handlerTransport struct{ handler http.Handler }

func (t handlerTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(r.Context())
	own := r.Clone(ctx)
	if own.Body == nil {
		own.Body = http.NoBody
	}
	read, write := io.Pipe()
	answer := &pipedAnswer{header: http.Header{}, body: write, begun: make(chan struct{})}
	go func() {
		t.handler.ServeHTTP(answer, own)
		answer.WriteHeader(http.StatusOK)
		_ = write.Close()
	}()
	select {
	case <-answer.begun:
	case <-r.Context().Done():
		cancel()
		_ = read.Close()
		return nil, r.Context().Err()
	}
	return &http.Response{
		StatusCode: answer.status, Status: http.StatusText(answer.status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: answer.sent, Body: cancelledBody{read, cancel}, ContentLength: -1, Request: r,
	}, nil
}

// pipedAnswer writes a response into a pipe.
type pipedAnswer struct {
	header http.Header
	body   *io.PipeWriter

	once   sync.Once
	begun  chan struct{} // closed once status and sent are set
	status int
	sent   http.Header // the header as it was then
}

func (w *pipedAnswer) Header() http.Header { return w.header }

func (w *pipedAnswer) WriteHeader(status int) {
	w.once.Do(func() {
		w.status, w.sent = status, w.header.Clone()
		close(w.begun)
	})
}

func (w *pipedAnswer) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(b)
}

// Flush does nothing: every write reaches the reader.
func (w *pipedAnswer) Flush() { w.WriteHeader(http.StatusOK) }

// cancelledBody ends its request when it is closed.
type cancelledBody struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (b cancelledBody) Close() error {
	err := b.ReadCloser.Close()
	b.cancel()
	return err
}
