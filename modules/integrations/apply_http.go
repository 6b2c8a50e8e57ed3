package integrations

import (
	"net/http"
	"slices"

	"github.com/labstack/echo/v4"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/provider"
)

// DescribedIntegration is IntegrationConfig where what is absent of an existing integration
// stays unchanged.
type DescribedIntegration struct {
	Source       string                       `json:"source" api:"required"`
	Provider     string                       `json:"provider"`
	Name         string                       `json:"name"`
	Secrets      []SecretConfig               `json:"secrets"`
	Destinations []contract.DestinationConfig `json:"destinations"`
	Options      *provider.Options            `json:"options"`
	Redact       []string                     `json:"redact"`
	IsActive     *bool                        `json:"isActive"`
	Limits
}

// applyBody describes integrations. Expected is the plan that was confirmed: where it is no
// longer what would be done, nothing is.
type applyBody struct {
	Integrations []DescribedIntegration `json:"integrations" api:"required"`
	DryRun       bool                   `json:"dryRun"`
	Expected     []string               `json:"expected" api:"nullable"`
}

func (b *applyBody) Mistakes() []fault.Field {
	if len(b.Integrations) == 0 {
		return []fault.Field{{Field: "integrations", Message: "must be a list with at least one integration"}}
	}
	return nil
}

// appliedPlan is what an application did, or would do.
type appliedPlan struct {
	Applied bool   `json:"applied"`
	Steps   []Step `json:"steps"`
}

var applySpec = httpapi.Spec{
	Summary: "Makes integrations as they are described: all of it, or nothing.",
	Body:    applyBody{}, BodyName: "DescribedIntegrations", BodyLimit: maxManagementBody,
	Answers: []httpapi.Answer{httpapi.Returns(http.StatusOK, "AppliedPlan", appliedPlan{})}, Errors: conflict,
	Example: `{"integrations":[{"source":"acme-eu","provider":"acme","destinations":[{"url":"https://orders.example.com/hooks"}]}],"dryRun":true}`,
}

func (m *Module) postApply(c echo.Context) error {
	body := httpapi.BodyOf[applyBody](c)
	list := make([]IntegrationConfig, len(body.Integrations))
	for i, d := range body.Integrations {
		list[i] = IntegrationConfig(d)
	}
	answer := appliedPlan{Applied: !body.DryRun}
	err := m.change(c, func(tx *database.Tx) (err error) {
		ctx := c.Request().Context()
		if answer.Steps, err = m.Plan(ctx, tx, list); err != nil || body.DryRun {
			return err
		}
		if body.Expected != nil && !slices.EqualFunc(answer.Steps, body.Expected, func(s Step, text string) bool { return s.String() == text }) {
			return fault.Conflict.New("plan_changed", "The integrations changed meanwhile, so the plan is outdated and nothing was done: plan again.")
		}
		return m.Apply(ctx, tx, answer.Steps)
	})
	if err != nil {
		return err
	}
	answer.Steps = httpapi.OrEmpty(answer.Steps)
	return httpapi.Data(c, http.StatusOK, answer)
}
