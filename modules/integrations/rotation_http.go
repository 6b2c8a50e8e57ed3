package integrations

import (
	"fmt"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/provider"
	"integration-gateway/platform/secret"
)

// longestOverlap bounds how long replaced secrets stay valid, in seconds: a hundred years.
const longestOverlap = 100 * 365 * 24 * 3600

// rotationBody is a secret that replaces the others of its purpose.
type rotationBody struct {
	Value            secret.Value     `json:"value" api:"required"`
	Purpose          provider.Purpose `json:"purpose"`
	Note             string           `json:"note"`
	ExpireOldSeconds *int64           `json:"expireOldSeconds"` // how long the others stay valid; null: unchanged
}

// Mistakes returns every invalid field.
func (b *rotationBody) Mistakes() []fault.Field {
	if s := b.ExpireOldSeconds; s != nil && (*s < 0 || *s > longestOverlap) {
		return []fault.Field{{Field: "expireOldSeconds", Message: fmt.Sprintf("must be a whole number from 0 to %d, or null", longestOverlap)}}
	}
	return nil
}

// rotated names the new secret and those of its purpose that verify until they expire.
type rotated struct {
	ID  string   `json:"id"`
	Old []string `json:"old"`

	Warning *string `json:"warning"` // of a short token
}

var rotateSecretSpec = httpapi.Spec{
	Summary: "Adds a secret and lets the others of its purpose expire, in one step.",
	Body:    rotationBody{}, BodyName: "SecretRotation", BodyLimit: maxManagementBody,
	Answers: []httpapi.Answer{httpapi.Returns(http.StatusCreated, "RotatedSecret", rotated{})}, Errors: conflict,
	Example: `{"value":"a-secret-of-eight-bytes-or-more","note":"since May","expireOldSeconds":86400}`,
}

func (m *Module) postRotation(c echo.Context) error {
	body := httpapi.BodyOf[rotationBody](c)
	var expireOld *time.Duration
	if body.ExpireOldSeconds != nil {
		span := time.Duration(*body.ExpireOldSeconds) * time.Second
		expireOld = &span
	}
	var answer rotated
	err := m.change(c, func(tx *database.Tx) (err error) {
		s := SecretConfig{Value: body.Value, Purpose: body.Purpose, Note: body.Note}
		answer.ID, answer.Old, err = m.RotateSecret(c.Request().Context(), tx, httpapi.ID(c), s, expireOld)
		return err
	})
	if err != nil {
		return err
	}
	answer.Old = httpapi.OrEmpty(answer.Old)
	if text := provider.ShortToken(body.Value); text != "" {
		answer.Warning = &text
	}
	return httpapi.Data(c, http.StatusCreated, answer)
}
