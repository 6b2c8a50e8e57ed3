package httpapi

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"

	"integration-gateway/platform/fault"
	"integration-gateway/platform/id"
)

// FuzzQuery: query parameters are within their limits, or are reported as mistakes.
func FuzzQuery(f *testing.F) {
	for _, query := range []string{
		"page=1&pageSize=100", "page=-1", "pageSize=1e9", "cursor=eyJ9", "page=10001&pageSize=100", "from=yesterday", "from=9999-12-31T23:59:59%2B14:00", "from=0000-01-01T00:00:00-14:00",
		"id=%00", "text=%ff", "text=%", "order=newest&order=oldest", "flag=TRUE", "page=1;pageSize=2", "=&&=", "cursor=a&page=1", "from=2026-01-05T09:00:00.123456789Z",
	} {
		f.Add(query)
	}
	spec := Spec{Query: PagedQuery(TextParam("text", ""), EnumParam("order", "", "newest", "oldest").Or("newest"), BoolParam("flag", ""),
		UUIDParam("id", ""), TimeParam("from", ""))}
	f.Fuzz(func(t *testing.T, query string) {
		q, err := ParseQuery(query, spec)
		if err != nil {
			require.Equal(t, fault.Invalid, fault.KindOf(err))
			for _, field := range fault.As(err).Fields {
				require.NotEmpty(t, field.Field)
				require.True(t, utf8.ValidString(field.Field) && utf8.ValidString(field.Message))
			}
			return
		}
		text, order, flag, one, at, paging := q.Text("text"), q.Enum("order"), q.Bool("flag"), q.UUID("id"), q.Time("from"), q.Paging()
		require.True(t, utf8.ValidString(text) && len(text) <= maxText && !strings.ContainsRune(text, 0))
		require.Contains(t, []string{"newest", "oldest"}, order)
		require.True(t, one == "" || id.Valid(one))
		require.True(t, at == nil || at.Year() >= 1 && at.Year() <= 9999 && at.Location() == time.UTC)
		require.True(t, paging.Size >= 1 && paging.Size <= MaxPageSize && paging.Number >= 1 && paging.Number*paging.Size <= maxOffset)
		require.True(t, !flag || strings.Contains(query, "flag"))
	})
}

// FuzzBody: a body is read, or refused as the client's error; echoed names are valid text.
func FuzzBody(f *testing.F) {
	for _, body := range []string{`{"name":"a","n":1}`, `{"nmae":1}`, `{"":1}`, `{"n":1e400}`, `{"a":{"b":"x"}}`, `[]`, `null`, "\xef\xbb\xbf{}", `{"name":"\ud800"}`, `{} {}`, `{"\u0000":1}`} {
		f.Add("application/json", "", body)
	}
	f.Add("application/json; charset=utf-16", "", "{}")
	f.Add("application/json", "gzip", "\x1f\x8b")
	e := echo.New()
	f.Fuzz(func(t *testing.T, kind, encoding, body string) {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		r.Header["Content-Type"], r.Header["Content-Encoding"] = []string{kind}, []string{encoding}
		type dest struct {
			Name string            `json:"name"`
			N    int               `json:"n"`
			A    map[string]string `json:"a"`
		}
		_, err := readJSON(e.NewContext(r, nil), Spec{Body: dest{}, BodyLimit: 1 << 10})
		if err == nil {
			return
		}
		require.Contains(t, []fault.Kind{fault.Invalid, fault.TooLarge, fault.UnsupportedMedia}, fault.KindOf(err), "%v", err)
		for _, field := range fault.As(err).Fields {
			require.NotEmpty(t, field.Field)
			require.NotEmpty(t, field.Message)
		}
	})
}
