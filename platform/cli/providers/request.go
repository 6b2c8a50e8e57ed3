package providers

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"integration-gateway/platform/provider"
	"integration-gateway/platform/provider/webtoken"
)

// recording is a request, and the secret that it was signed with if it is known.
type recording struct {
	request provider.Request
	secret  string
}

// readRequest reads a file with a request.
func readRequest(path string, now time.Time) (recording, error) {
	text, err := os.ReadFile(path) //nolint:gosec // the file that the user names
	if err != nil {
		return recording{}, err
	}
	if filepath.Ext(path) == ".json" {
		return readRecording(path, text)
	}
	return readHTTP(path, text, now)
}

// readRecording reads a recording of the tests: the request's parts, and its body in a file
// beside it.
func readRecording(path string, text []byte) (recording, error) {
	var r struct {
		Method, URL, Secret string
		ReceivedAt          time.Time
		Headers             map[string]string
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return recording{}, fmt.Errorf("%s is not a recording: %w", path, err)
	}
	body, err := os.ReadFile(strings.TrimSuffix(path, ".json") + ".body")
	if err != nil {
		return recording{}, err
	}
	req := provider.Request{Method: http.MethodPost, URL: r.URL, Header: http.Header{}, Body: body, ReceivedAt: r.ReceivedAt}
	if r.Method != "" {
		req.Method = r.Method
	}
	for name, value := range r.Headers {
		req.Header.Set(name, value)
	}
	return recording{req, r.Secret}, nil
}

// keySet reads an issuer's keys from a file: nothing is downloaded.
func keySet(path string) (func(url, keyID string) ([]jose.JSONWebKey, error), error) {
	text, err := os.ReadFile(path) //nolint:gosec // the file that the user names
	if err != nil {
		return nil, err
	}
	keys, err := webtoken.ReadSet(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return func(string, string) ([]jose.JSONWebKey, error) { return keys, nil }, nil
}

// readHTTP reads a request as it is sent. The body is what follows the empty line; Content-Length
// may be one less: editors end the last line.
func readHTTP(path string, text []byte, now time.Time) (recording, error) {
	head, body, found := bytes.Cut(text, []byte("\r\n\r\n"))
	if !found {
		head, body, found = bytes.Cut(text, []byte("\n\n"))
	}
	if !found {
		return recording{}, fmt.Errorf("%s has no empty line between the headers and the body", path)
	}
	reader := textproto.NewReader(bufio.NewReader(bytes.NewReader(append(bytes.Clone(head), "\r\n\r\n"...))))
	line, err := reader.ReadLine()
	method, target, http1 := splitLine(line)
	if err != nil || !http1 {
		return recording{}, fmt.Errorf("%s does not begin with a line such as POST /api/v1/webhooks/initech HTTP/1.1", path)
	}
	header, err := reader.ReadMIMEHeader()
	if err != nil {
		return recording{}, fmt.Errorf("%s has a header that cannot be read: %w", path, err)
	}
	if header.Get("Content-Length") == fmt.Sprint(len(body)-1) {
		body = bytes.TrimSuffix(body, []byte("\n"))
	}
	req := provider.Request{Method: method, URL: target, Header: http.Header(header), Body: body, ReceivedAt: now}
	if strings.HasPrefix(target, "/") {
		req.URL = "https://" + header.Get("Host") + target
	}
	if at, err := http.ParseTime(header.Get("Date")); err == nil {
		req.ReceivedAt = at
	}
	return recording{request: req}, nil
}

func splitLine(line string) (method, target string, ok bool) {
	parts := strings.Split(line, " ")
	if len(parts) != 3 || !strings.HasPrefix(parts[2], "HTTP/") {
		return "", "", false
	}
	return parts[0], parts[1], true
}
