package access

import (
	"net/http"
	"slices"
	"time"

	"github.com/labstack/echo/v4"

	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
)

// bodyLimit is far above the longest valid body, in bytes.
const bodyLimit = 32 << 10

// keyBody describes a new key.
type keyBody struct {
	Name      string     `json:"name" api:"required,minLength=1,maxLength=64"`
	Role      string     `json:"role" api:"required,enum=viewer|operator|admin"`
	Sources   []string   `json:"sources" api:"nullable"`
	ExpiresAt *time.Time `json:"expiresAt"`
}

// createdKey is a new key, which is shown only here.
type createdKey struct {
	Key
	Text string `json:"key"`
}

var (
	postSpec = httpapi.Spec{
		Summary: "Makes a management key, which is shown only in this answer.",
		Body:    keyBody{}, BodyName: "NewKey", BodyLimit: bodyLimit,
		Answers: []httpapi.Answer{httpapi.Returns(http.StatusCreated, "CreatedKey", createdKey{})},
		Errors:  []fault.Kind{fault.Conflict},
	}
	listSpec = httpapi.Spec{
		Summary: "All management keys, the revoked ones too, oldest first.",
		Query:   httpapi.Between("created"),
		Answers: []httpapi.Answer{httpapi.ReturnsAll("", Key{})},
	}
	deleteSpec = httpapi.Spec{
		Summary: "Revokes a management key.",
		Answers: []httpapi.Answer{httpapi.Returns(http.StatusOK, "", Key{})},
	}
)

func (m *Module) post(c echo.Context) error {
	body := httpapi.BodyOf[keyBody](c)
	k, text, err := m.Create(c.Request().Context(), NewKey(body))
	if err != nil {
		return err
	}
	return httpapi.Data(c, http.StatusCreated, createdKey{k, text.Reveal()})
}

func (m *Module) list(c echo.Context) error {
	keys, err := m.Keys(c.Request().Context())
	if err != nil {
		return err
	}
	q := httpapi.QueryOf(c)
	return httpapi.All(c, slices.DeleteFunc(keys, func(k Key) bool { return !q.Within("created", k.CreatedAt.Time) }))
}

func (m *Module) delete(c echo.Context) error {
	k, err := m.Revoke(c.Request().Context(), httpapi.ID(c))
	if err != nil {
		return err
	}
	return httpapi.Data(c, http.StatusOK, k)
}
