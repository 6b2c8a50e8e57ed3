package httpapi_test

import (
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

// list registers a route with every kind of parameter, and answers two rows of 45.
func list(h *house) {
	h.Routes().Public.GET("/list", func(c echo.Context) error {
		q := httpapi.QueryOf(c)
		q.Text("subject")
		q.Enum("status", "", "failed", "success")
		q.Bool("activeOnly")
		q.UUID("eventId")
		q.Time("from")
		order := q.Enum("sortBy", "receivedAt", "receivedAt", "createdAt", "status")
		if order == "status" {
			order = ""
		}
		page := q.Paging(order)
		if err := q.Err(); err != nil {
			return err
		}
		rows := database.List[string]{Items: []string{"a", "b"}, Total: 45}
		if order != "" {
			rows.Next = &database.Position{Value: database.TimeValue(time.Unix(1, 0)), ID: id.New()}
		}
		return httpapi.Paged(c, page, rows, strings.ToUpper)
	})
}

func TestIDsAreReadInLowerCase(t *testing.T) {
	h := setup(t, httpapi.Config{}, nil)
	h.Routes().Public.GET("/ids", func(c echo.Context) error {
		return httpapi.Data(c, http.StatusOK, httpapi.QueryOf(c).UUID("eventId"))
	})
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
		{"what nobody knows is ignored", "utm=1", ""},
		{"the first page", "page=1", ""},
		{"page zero", "page=0", "page"},
		{"a page below zero", "page=-1", "page"},
		{"half a page", "page=1.5", "page"},
		{"a page in words", "page=two", "page"},
		{"a page beyond all numbers", "page=99999999999999999999", "page"},
		{"as far as pages go", "page=50000", ""},
		{"one further", "page=50001", "page"},
		{"one a page", "pageSize=1", ""},
		{"none a page", "pageSize=0", "pageSize"},
		{"the largest page", "pageSize=100", ""},
		{"one more", "pageSize=101", "pageSize"},
		{"a billion, in science", "pageSize=1e9", "pageSize"},
		{"a size below zero", "pageSize=-5", "pageSize"},
		{"yesterday", "from=yesterday", "from"},
		{"a day without its time", "from=2026-01-31", "from"},
		{"a plus that became a blank", "from=2026-01-31T00:00:00+01:00", "from"},
		{"the 30th of February", "from=2026-02-30T00:00:00Z", "from"},
		{"the last moment", "from=9999-12-31T23:59:59Z", ""},
		{"beyond it, in UTC", "from=9999-12-31T23:59:59-01:00", "from"},
		{"no id", "eventId=42", "eventId"},
		{"an id in braces", "eventId={" + id.New() + "}", "eventId"},
		{"a status of somebody else", "status=done", "status"},
		{"a status in capitals", "status=FAILED", "status"},
		{"neither true nor false", "activeOnly=yes", "activeOnly"},
		{"a text of 4096 bytes", "subject=" + strings.Repeat("x", 4096), ""},
		{"one more byte", "subject=" + strings.Repeat("x", 4097), "subject"},
		{"a NUL", "subject=%00", "subject"},
		{"bytes that are no UTF-8", "subject=%ff", "subject"},
		{"an escape that is none", "subject=%zz", "query"},
		{"a semicolon", "a=1;page=2", "query"},
		{"an order there is not", "sortBy=payload", "sortBy"},
		{"a cursor of garbage", "cursor=garbage", "cursor"},
		{"a cursor that is base64 of nothing", "cursor=e30", "cursor"},
		{"a cursor together with a page", "cursor=e30&page=2", "cursor"},
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
	t.Run("every mistake is named at once", func(t *testing.T) {
		a := h.do(t, get("/api/v1/list?page=-1&pageSize=1e9&from=yesterday&eventId=42"))
		for _, field := range []string{"page", "pageSize", "from", "eventId"} {
			require.Contains(t, string(a.body.Error.Details), fmt.Sprintf(`"field":%q`, field))
		}
	})
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
	t.Run("the cursor leads on, and is no numbered page", func(t *testing.T) {
		a := h.do(t, get("/api/v1/list?"+next))
		require.Equal(t, http.StatusOK, a.status)
		require.Contains(t, string(a.body.Meta), `"page":null`)
	})
	t.Run("another order refuses it", func(t *testing.T) {
		a := h.do(t, get("/api/v1/list?sortBy=createdAt&"+next))
		require.Equal(t, http.StatusBadRequest, a.status)
		require.Contains(t, string(a.body.Error.Details), `"field":"cursor"`)
	})
	t.Run("without cursors it is null, never left out", func(t *testing.T) {
		a := h.do(t, get("/api/v1/list?sortBy=status"))
		require.JSONEq(t, `{"page":1,"pageSize":20,"total":45,"totalIsEstimate":false,"totalPages":3,"nextCursor":null}`, string(a.body.Meta))
	})
}

func TestAWholeListAndASingleThing(t *testing.T) {
	h := setup(t, httpapi.Config{}, nil)
	h.Routes().Public.GET("/all", func(c echo.Context) error { return httpapi.All(c, []string{"a", "b"}) })
	h.Routes().Public.GET("/none", func(c echo.Context) error { return httpapi.All[string](c, nil) })
	h.Routes().Public.GET("/one", func(c echo.Context) error { return httpapi.Data(c, http.StatusAccepted, "a") })
	require.JSONEq(t, `{"success":true,"data":["a","b"],"meta":{"total":2}}`, h.do(t, get("/api/v1/all")).text)
	require.JSONEq(t, `{"success":true,"data":[],"meta":{"total":0}}`, h.do(t, get("/api/v1/none")).text)
	one := h.do(t, get("/api/v1/one"))
	require.Equal(t, http.StatusAccepted, one.status)
	require.JSONEq(t, `{"success":true,"data":"a","meta":null}`, one.text)
}
