package bulk

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
)

func (m *Replays) pause(c echo.Context) error {
	return m.operate(c, "paused", paused, queued, running)
}

func (m *Replays) resume(c echo.Context) error {
	return m.operate(c, "resumed", running, paused)
}

func (m *Replays) cancel(c echo.Context) error {
	return m.operate(c, "cancelled", cancelled, queued, running, paused)
}

// changeSQL takes the lease from its holder, whose page then does not commit.
const changeSQL = `
UPDATE replays
SET    status = $1, updated_at = $2, next_at = $2, lease_token = NULL, lease_until = NULL
WHERE  id = $3 AND status = $4`

// operate changes a replay's status on behalf of an operator, and audits it. The same order
// twice is no conflict.
func (m *Replays) operate(c echo.Context, what, to string, from ...string) error {
	ctx, replayID := c.Request().Context(), httpapi.ID(c)
	if _, err := m.Visible(ctx, replayID); err != nil {
		return err
	}
	var r replay
	err := m.d.DB.InTx(ctx, func(tx *database.Tx) error {
		if err := tx.Get(ctx, &r, selectSQL+" WHERE id = $1"+tx.Dialect.ForUpdate, replayID); err != nil {
			return fmt.Errorf("lock replay %s: %w", replayID, err)
		}
		switch {
		case r.Status == to:
			return nil
		case !slices.Contains(from, r.Status):
			return fault.Conflict.New("wrong_status", "The replay is %s; only one that is %s can be %s.", r.Status, strings.Join(from, " or "), what)
		}
		if _, err := tx.Exec(ctx, changeSQL, to, tx.Now, replayID, r.Status); err != nil {
			return fmt.Errorf("change replay %s: %w", replayID, err)
		}
		r.Status = to
		return m.d.Audit.Record(ctx, tx, []contract.AuditEntry{entry(r, what, httpapi.Actor(ctx))})
	})
	if err != nil {
		return err
	}
	if r, err = m.Visible(ctx, replayID); err != nil {
		return err
	}
	return httpapi.Data(c, http.StatusOK, viewOf(r))
}
