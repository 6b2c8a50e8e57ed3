package httpapi_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"

	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/id"
)

// list registers a route with every kind of parameter, and answers with two rows of 45.
func list(h *testServer) {
	h.Routes().Public.GET("/list", func(c echo.Context) error {
		q := httpapi.QueryOf(c)
		page, order := q.Paging(), orderOf(q)
		rows := database.List[string]{Items: []string{"a", "b"}, Total: 45}
		if order != "" {
			rows.Next = &database.Position{Value: database.TimeValue(time.Unix(1, 0)), ID: id.New()}
		}
		return httpapi.Paged(c, page, rows, strings.ToUpper)
	}, listSpec)
}

var listSpec = httpapi.Spec{
	Query: httpapi.PagedQuery(
		httpapi.TextParam("subject", ""), httpapi.EnumParam("status", "", "failed", "success"), httpapi.BoolParam("activeOnly", ""),
		httpapi.UUIDParam("eventId", ""), httpapi.TimeParam("from", ""), httpapi.IntParam("httpStatus", "", 100, 999),
		httpapi.EnumParam("sortBy", "", "receivedAt", "createdAt", "status").Or("receivedAt"),
	),
	Order: orderOf,
}

func orderOf(q *httpapi.Query) string {
	if by := q.Enum("sortBy"); by != "status" {
		return by
	}
	return ""
}

func TestIDsAreReadInLowerCase(t *testing.T) {
	h := setup(t, httpapi.Config{}, nil)
	h.Routes().Public.GET("/ids", func(c echo.Context) error {
		return httpapi.Data(c, http.StatusOK, httpapi.QueryOf(c).UUID("eventId"))
	}, listSpec)
	const stored = "01a20d24-0436-7363-8e95-fced3099e609" // SQLite compares ids as texts
	require.JSONEq(t, `"`+stored+`"`, string(h.do(t, get("/api/v1/ids?eventId="+strings.ToUpper(stored))).body.Data))
}

func TestQuery(t *testing.T) {
	h := setup(t, httpapi.Config{}, nil)
	list(h)
	for _, c := range []struct {
		name, query string
		field       string // the one that is refused, "" when all is well
	}{
		{"nothing", "", ""},
		{"empty is absent", "page=&pageSize=&status=&from=&eventId=&cursor=&activeOnly=", ""},
		{"everything", "page=2&pageSize=50&status=failed&activeOnly=true&subject=50%25&from=2026-01-31T00:00:00%2B01:00&eventId=" + id.New(), ""},
		{"an unknown parameter", "utm=1", "utm"},
		{"an unknown parameter without a value", "utm", "utm"},
		{"an unknown parameter without a name", "=1", `""`},
		{"an unknown parameter that is no text", "%ff%00=1", `"?\x00"`},
		{"a parameter twice", "status=failed&status=success", "status"},
		{"a whole number", "httpStatus=503", ""},
		{"a number below the range", "httpStatus=99", "httpStatus"},
		{"a number above the range", "httpStatus=1000", "httpStatus"},
		{"a number in words", "httpStatus=many", "httpStatus"},
		{"the first page", "page=1", ""},
		{"page zero", "page=0", "page"},
		{"a page below zero", "page=-1", "page"},
		{"half a page", "page=1.5", "page"},
		{"a page in words", "page=two", "page"},
		{"a page above all integers", "page=99999999999999999999", "page"},
		{"the last allowed page", "page=50000", ""},
		{"one further", "page=50001", "page"},
		{"one a page", "pageSize=1", ""},
		{"none a page", "pageSize=0", "pageSize"},
		{"the largest page", "pageSize=100", ""},
		{"one more", "pageSize=101", "pageSize"},
		{"a billion in scientific notation", "pageSize=1e9", "pageSize"},
		{"a size below zero", "pageSize=-5", "pageSize"},
		{"yesterday", "from=yesterday", "from"},
		{"a day without its time", "from=2026-01-31", "from"},
		{"a plus that became a blank", "from=2026-01-31T00:00:00+01:00", "from"},
		{"the 30th of February", "from=2026-02-30T00:00:00Z", "from"},
		{"the last moment", "from=9999-12-31T23:59:59Z", ""},
		{"beyond it, in UTC", "from=9999-12-31T23:59:59-01:00", "from"},
		{"an invalid id", "eventId=42", "eventId"},
		{"an id in braces", "eventId={" + id.New() + "}", "eventId"},
		{"an unknown status", "status=done", "status"},
		{"a status in capitals", "status=FAILED", "status"},
		{"neither true nor false", "activeOnly=yes", "activeOnly"},
		{"a text of 4096 bytes", "subject=" + strings.Repeat("x", 4096), ""},
		{"one more byte", "subject=" + strings.Repeat("x", 4097), "subject"},
		{"a NUL", "subject=%00", "subject"},
		{"bytes that are not UTF-8", "subject=%ff", "subject"},
		{"an invalid escape", "subject=%zz", "query"},
		{"a semicolon", "a=1;page=2", "query"},
		{"an unknown order", "sortBy=payload", "sortBy"},
		{"a cursor of garbage", "cursor=garbage", "cursor"},
		{"a cursor without content", "cursor=e30", "cursor"},
		{"a cursor together with a page", "cursor=e30&page=2", "cursor"},
		{"a cursor whose time has an offset that PostgreSQL refuses", "cursor=" + timeCursor("2026-01-31T00:00:00+23:59"), "cursor"},
		{"a cursor whose time is beyond the calendar", "cursor=" + timeCursor("0000-01-01T00:00:00Z"), "cursor"},
		{"a cursor with a time", "cursor=" + timeCursor("2026-01-31T00:00:00.123456Z"), ""},
		{"a cursor for an order that has none", "cursor=e30&sortBy=status", "cursor"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := h.do(t, get("/api/v1/list?"+c.query))
			if c.field == "" {
				require.Equal(t, http.StatusOK, a.status, a.text)
				return
			}
			require.Equal(t, http.StatusBadRequest, a.status)
			require.Equal(t, "VALIDATION_ERROR", a.body.Error.Code)
			var fields []fault.Field
			require.NoError(t, json.Unmarshal(a.body.Error.Details, &fields))
			require.Len(t, fields, 1, a.text)
			require.Equal(t, c.field, fields[0].Field)
			require.Contains(t, a.body.Error.Message, c.field)
		})
	}
	t.Run("all mistakes are reported at once", func(t *testing.T) {
		a := h.do(t, get("/api/v1/list?page=-1&pageSize=1e9&from=yesterday&eventId=42"))
		for _, field := range []string{"page", "pageSize", "from", "eventId"} {
			require.Contains(t, string(a.body.Error.Details), fmt.Sprintf(`"field":%q`, field))
		}
	})
}

func TestAMistypedParameterGetsTheNearestName(t *testing.T) {
	h := setup(t, httpapi.Config{}, nil)
	list(h)
	a := h.do(t, get("/api/v1/list?state=failed&utm=1&form=x"))
	require.Equal(t, http.StatusBadRequest, a.status)
	require.JSONEq(t, `[{"field":"form","message":"is not a parameter of this route; did you mean from?"},
		{"field":"state","message":"is not a parameter of this route; did you mean status?"},
		{"field":"utm","message":"is not a parameter of this route"}]`, string(a.body.Error.Details))
	require.Equal(t, "form is not a parameter of this route; did you mean from?; state is not a parameter of this route; did you mean status?; "+
		"utm is not a parameter of this route.", a.body.Error.Message)
}

// timeCursor returns a cursor of the list's order with an invented value.
func timeCursor(value string) string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"o":"receivedAt","v":%q,"i":%q}`, value, id.New()))
}

func TestPaging(t *testing.T) {
	h := setup(t, httpapi.Config{}, nil)
	list(h)
	var meta struct{ NextCursor string }
	t.Run("a page by its number", func(t *testing.T) {
		a := h.do(t, get("/api/v1/list?page=2"))
		require.Equal(t, `["A","B"]`, string(a.body.Data))
		require.NoError(t, json.Unmarshal(a.body.Meta, &meta))
		require.JSONEq(t, fmt.Sprintf(`{"page":2,"pageSize":20,"total":45,"totalIsEstimate":false,"totalPages":3,"nextCursor":%q}`, meta.NextCursor), string(a.body.Meta))
		require.NotEmpty(t, meta.NextCursor)
	})
	next := "cursor=" + url.QueryEscape(meta.NextCursor)
	t.Run("the cursor leads to the next page, without a number", func(t *testing.T) {
		a := h.do(t, get("/api/v1/list?"+next))
		require.Equal(t, http.StatusOK, a.status)
		require.Contains(t, string(a.body.Meta), `"page":null`)
	})
	t.Run("another order refuses it", func(t *testing.T) {
		a := h.do(t, get("/api/v1/list?sortBy=createdAt&"+next))
		require.Equal(t, http.StatusBadRequest, a.status)
		require.Contains(t, string(a.body.Error.Details), `"field":"cursor"`)
	})
	t.Run("without cursors it is null, never omitted", func(t *testing.T) {
		a := h.do(t, get("/api/v1/list?sortBy=status"))
		require.JSONEq(t, `{"page":1,"pageSize":20,"total":45,"totalIsEstimate":false,"totalPages":3,"nextCursor":null}`, string(a.body.Meta))
	})
}

func TestAWholeListAndASingleThing(t *testing.T) {
	h := setup(t, httpapi.Config{}, nil)
	h.Routes().Public.GET("/all", func(c echo.Context) error { return httpapi.All(c, []string{"a", "b"}) }, httpapi.Spec{Raw: true})
	h.Routes().Public.GET("/none", func(c echo.Context) error { return httpapi.All[string](c, nil) }, httpapi.Spec{Raw: true})
	h.Routes().Public.GET("/one", func(c echo.Context) error { return httpapi.Data(c, http.StatusAccepted, "a") }, httpapi.Spec{Raw: true})
	require.JSONEq(t, `{"success":true,"data":["a","b"],"meta":{"total":2}}`, h.do(t, get("/api/v1/all")).text)
	require.JSONEq(t, `{"success":true,"data":[],"meta":{"total":0}}`, h.do(t, get("/api/v1/none")).text)
	one := h.do(t, get("/api/v1/one"))
	require.Equal(t, http.StatusAccepted, one.status)
	require.JSONEq(t, `{"success":true,"data":"a","meta":null}`, one.text)
}
