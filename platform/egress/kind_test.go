package egress

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestKindOf(t *testing.T) {
	dial := func(err error) error { return fmt.Errorf("send: %w", &net.OpError{Op: "dial", Net: "tcp", Err: err}) }
	for name, c := range map[string]struct {
		err  error
		want Kind
	}{
		"a refusal":                      {dial(Private), KindRefused},
		"the proxy, though it timed out": {fmt.Errorf("send: %w", &ProxyError{Err: os.ErrDeadlineExceeded}), KindProxy},
		"no such name":                   {dial(&net.DNSError{IsNotFound: true}), KindDNS},
		"a silent name server":           {dial(&net.DNSError{IsTimeout: true}), KindDNS},
		"a deadline":                     {fmt.Errorf("send: %w", context.DeadlineExceeded), KindTimeout},
		"a connection that timed out":    {dial(os.ErrDeadlineExceeded), KindTimeout},
		"a certificate":                  {fmt.Errorf("send: %w", &tls.CertificateVerificationError{Err: errors.New("x509: no")}), KindTLS},
		"no TLS at all":                  {tls.RecordHeaderError{}, KindTLS},
		"an alert of the other side":     {&net.OpError{Op: "remote error", Err: errors.New("tls: bad certificate")}, KindTLS},
		"no listener":                    {dial(os.NewSyscallError("connect", syscall.ECONNREFUSED)), KindNoListener},
		"no route to the host":           {dial(os.NewSyscallError("connect", syscall.EHOSTUNREACH)), KindUnreachable},
		"no route to the network":        {dial(os.NewSyscallError("connect", syscall.ENETUNREACH)), KindUnreachable},
		"closed connection":              {fmt.Errorf("send: %w", io.EOF), KindLost},
		"a reset":                        {&net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}, KindLost},
		"no HTTP":                        {errors.New("malformed HTTP response"), KindProtocol},
		"anything else":                  {errors.New("the moon is full"), KindOther},
	} {
		require.Equal(t, c.want, KindOf(c.err), name)
	}
}

// The library's real errors, which the table above only assumes.
func TestKindsOfRealFailures(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	nobody := closed.Addr().String()
	require.NoError(t, closed.Close())
	silent, err := net.Listen("tcp", "127.0.0.1:0") // only the kernel accepts
	require.NoError(t, err)
	t.Cleanup(func() { _ = silent.Close() })
	hangsUp := serve(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	u, err := url.Parse(hangsUp)
	require.NoError(t, err)
	for name, c := range map[string]struct {
		to   string
		want Kind
	}{
		"no listener":       {"http://" + nobody, KindNoListener},
		"no response":       {"http://" + silent.Addr().String(), KindTimeout},
		"no handshake":      {"https://" + silent.Addr().String(), KindTimeout},
		"closed connection": {hangsUp, KindLost},
		"no TLS":            {"https://" + u.Host, KindTLS},
		"an overlong name":  {"http://" + strings.Repeat("a", 64) + ".invalid", KindDNS},
		"private":           {"http://10.0.0.1", KindRefused},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.to, http.NoBody)
			require.NoError(t, err)
			_, err = localClient(t, Config{}).Do(req, nil)
			require.Error(t, err)
			require.Equal(t, c.want, KindOf(err), "%v", err)
		})
	}
}
