package httpapi

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"sync"

	"github.com/labstack/echo/v4"

	"integration-gateway/platform/fault"
)

// maxGzipRatio is the largest number of bytes that one byte of gzip can expand to.
const maxGzipRatio = 1032

var unpackers sync.Pool // of *gzip.Reader

// Unpack decompresses a gzip body that ReadBody has read. It returns the whole body, so that
// its memory is accounted for as long as the request is in progress. More than limit bytes
// is fault.TooLarge, invalid gzip is fault.Invalid. At most half as many large bodies as there
// are processors are decompressed at once, and the others wait. Bodies that are cheap to send
// therefore leave a processor to ordinary webhooks. If the queue is full or the wait takes too
// long, the error is fault.Unavailable.
//
// Unpack reads the limit again when a large body leaves the queue, because it may be lower by
// then. It calls spent with the number of decompressed bytes within the limit, also on an
// error, before the next large body has its turn.
func Unpack(c echo.Context, packed []byte, limit func() int64, spent func(produced int64, err error)) (body []byte, err error) {
	l, _ := c.Get(leaseKey).(*lease)
	defer l.unpacked()
	reader, _ := unpackers.Get().(*gzip.Reader)
	if reader == nil {
		reader = new(gzip.Reader)
	}
	defer unpackers.Put(reader)
	if err := reader.Reset(bytes.NewReader(packed)); err != nil {
		return nil, fault.Invalid.Wrap(err, "malformed_gzip", "The body is not gzip, although its content-encoding says so.").At("body")
	}
	body, err = unpack(c.Request().Context(), reader, announced(packed), limit, l)
	spent(int64(len(body)), err)
	if err != nil {
		return nil, err
	}
	return body, nil
}

// unpacksAtOnce is how many large bodies are decompressed at once.
func unpacksAtOnce(processors int) int64 { return int64(max(1, processors/2)) }

// unpack takes a slot to decompress a large body, once, until unpacked releases it.
func (l *lease) unpack(ctx context.Context) error {
	if l == nil || l.unpacks > 0 {
		return nil
	}
	if err := l.unpacking.acquire(ctx, l.network); err != nil {
		if fault.As(err).Reason == networkUnpacks {
			l.shareWarning.reached(l.network, "bodies waiting to be decompressed")
		}
		return err
	}
	l.unpacks++
	return nil
}

func (l *lease) unpacked() {
	if l != nil {
		l.unpacking.release(l.unpacks)
		l.unpacks = 0
	}
}

// announced returns the size in the gzip trailer, as far as it can be true.
func announced(packed []byte) int64 {
	if len(packed) < 4 {
		return 0
	}
	size := binary.LittleEndian.Uint32(packed[len(packed)-4:])
	return min(int64(size), maxGzipRatio*int64(len(packed)))
}

// On an error, unpack returns what it has decompressed so far.
func unpack(ctx context.Context, reader io.Reader, expected int64, limit func() int64, l *lease) ([]byte, error) {
	var body []byte
	most, large := limit(), false
	whole := max(expected, 1) + 1 // one more byte detects the end
	for size := min(whole, smallBody, most+1); ; size = min(max(whole, 2*size), most+1) {
		if !large && size > smallBody && most > smallBody {
			if err := l.unpack(ctx); err != nil {
				return body, err
			}
			large, most = true, limit()
			size = min(size, most+1)
		}
		if err := l.take(size - int64(cap(body))); err != nil {
			return body, err
		}
		body = append(make([]byte, 0, size), body...)
		for len(body) < cap(body) {
			n, err := reader.Read(body[len(body):cap(body)])
			body = body[:len(body)+n]
			switch {
			case int64(len(body)) > most:
				return body[:most], tooLarge(most)
			case errors.Is(err, io.EOF):
				return body, nil
			case err != nil:
				return body, broken(err)
			}
		}
	}
}
