package ingestion

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"sync"
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/provider"
)

// rowCost is the overhead of a request in quarantine besides its body, headers and URL: its
// row and index entries.
const rowCost = 512

var packers = sync.Pool{New: func() any {
	w, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // a valid level
	return w
}}

// pack compresses the body if that helps, and sets the request's stored size.
func (q *quarantined) pack() {
	if !q.Packed {
		w, _ := packers.Get().(*gzip.Writer)
		defer packers.Put(w)
		var packed bytes.Buffer
		w.Reset(&packed)
		_, _ = w.Write(q.Body) // a buffer never fails
		if _ = w.Close(); packed.Len() < len(q.Body) {
			q.Body, q.Packed = packed.Bytes(), true
		}
	}
	q.stored = int64(rowCost + len(q.Body) + len(q.Headers) + len(q.Digests) + len(q.URL))
}

// unpack decompresses the body.
func (q *quarantined) unpack() error {
	if !q.Packed {
		return nil
	}
	r, err := gzip.NewReader(bytes.NewReader(q.Body))
	if err != nil {
		return fmt.Errorf("unpack the request %s in quarantine: %w", q.ID, err)
	}
	body := make([]byte, 0, q.Size+1)
	buffer := bytes.NewBuffer(body)
	if _, err := io.Copy(buffer, io.LimitReader(r, q.Size+1)); err != nil {
		return fmt.Errorf("unpack the request %s in quarantine: %w", q.ID, err)
	}
	if int64(buffer.Len()) != q.Size {
		return fmt.Errorf("unpack the request %s in quarantine: it has %d bytes and not %d", q.ID, buffer.Len(), q.Size)
	}
	q.Body, q.Packed = buffer.Bytes(), false
	return nil
}

// again counts a repeat.
func (q *quarantined) again(at time.Time) {
	last := clock.At(at)
	q.Repeats++
	if q.LastReceivedAt == nil || q.LastReceivedAt.Before(at) {
		q.LastReceivedAt = &last
	}
}

// fingerprint is equal for repeats. It is keyed, so that nobody can use it to guess a body
// that was not stored.
func (m *Module) fingerprint(src *source, req provider.Request, reason string) string {
	body := sha256.Sum256(req.Body)
	all := sha256.Sum256([]byte(reason + "\x00" + proof(src, req) + "\x00" + string(body[:])))
	return m.d.Digester.Digest(hex.EncodeToString(all[:]))
}
