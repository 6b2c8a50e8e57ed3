package integrations

import (
	"net/http"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
)

// createdIntegration is a new integration with its destinations' secrets, shown only here.
type createdIntegration struct {
	Integration
	SigningSecrets []contract.NewDestination `json:"signingSecrets"`
}

var openJobsParam = httpapi.EnumParam("openJobs", "what happens to deliveries that wait",
	string(contract.FinishJobs), string(contract.CancelJobs)).Or(string(contract.FinishJobs))

// integrationAnswer is the answer to most changes: the integration as it is then.
var integrationAnswer = []httpapi.Answer{httpapi.Returns(http.StatusOK, "", Integration{})}

var conflict = []fault.Kind{fault.Conflict}

var (
	providersSpec = httpapi.Spec{
		Summary: "The providers by name, and how to set each up.",
		Answers: []httpapi.Answer{httpapi.ReturnsAll("Provider", providerView{})},
	}
	integrationsSpec = httpapi.Spec{
		Summary: "The integrations, by source; never a secret.",
		Query: append([]httpapi.Param{
			httpapi.TextParam("provider", "those of this provider"),
			httpapi.TextParam("source", "the one with this source"),
			httpapi.BoolParam("activeOnly", "only active ones"),
			httpapi.BoolParam("archived", "also those that were removed"),
		}, httpapi.Between("created")...),
		Answers: []httpapi.Answer{httpapi.ReturnsAll("", Integration{})},
	}
	createSpec = httpapi.Spec{
		Summary: "Creates a source with its secrets and destinations, all or nothing.",
		Body:    IntegrationConfig{}, BodyName: "NewIntegration", BodyLimit: maxManagementBody,
		Answers: []httpapi.Answer{httpapi.Returns(http.StatusCreated, "CreatedIntegration", createdIntegration{})},
		Errors:  conflict,
		Example: `{"source":"acme-eu","provider":"acme","name":"Acme Europe","secrets":["a-secret-of-eight-bytes-or-more"],` +
			`"destinations":[{"url":"https://orders.example.com/hooks"}],"redact":["$.data.customer.email"],"rateLimitPerMinute":600}`,
	}
	integrationSpec = httpapi.Spec{
		Summary: "One integration, also when it was removed.",
		Answers: integrationAnswer,
	}
	changeSpec = httpapi.Spec{
		Summary: "Changes what the body gives.",
		Body:    IntegrationChange{}, BodyName: "IntegrationChange", BodyLimit: maxManagementBody,
		Answers: integrationAnswer, Errors: conflict,
		Example: `{"isActive":false,"rateLimitPerMinute":null}`,
	}
	archiveSpec = httpapi.Spec{
		Summary: "Archives an integration: nothing new is accepted, its history stays.",
		Query:   []httpapi.Param{openJobsParam},
		Answers: integrationAnswer, Errors: conflict,
	}
	secretsSpec = httpapi.Spec{
		Summary: "What is known of an integration's secrets; never a value.",
		Query:   httpapi.Between("created"),
		Answers: []httpapi.Answer{httpapi.ReturnsAll("Secret", SecretInfo{})},
	}
	addSecretSpec = httpapi.Spec{
		Summary: "Adds a secret; every active one verifies.",
		Body:    SecretConfig{}, BodyName: "NewSecret", BodyLimit: maxManagementBody,
		Answers: []httpapi.Answer{httpapi.Returns(http.StatusCreated, "Secret", SecretInfo{})}, Errors: conflict,
		Example: `{"value":"a-secret-of-eight-bytes-or-more","note":"since May"}`,
	}
	changeSecretSpec = httpapi.Spec{
		Summary: "Changes a secret's note, expiry or whether it is active; to activate a pending one confirms it.",
		Body:    SecretChange{}, BodyName: "SecretChange", BodyLimit: maxManagementBody,
		Answers: []httpapi.Answer{httpapi.Returns(http.StatusOK, "Secret", SecretInfo{})}, Errors: conflict,
		Example: `{"isActive":false}`,
	}
	removeSecretSpec = httpapi.Spec{
		Summary: "Removes a secret for good.",
		Query:   []httpapi.Param{httpapi.BoolParam("force", "also the last one that verifies")},
		Answers: integrationAnswer, Errors: conflict,
	}
	addDestinationSpec = httpapi.Spec{
		Summary: "Adds a destination; its signing secret is shown only in this answer.",
		Body:    contract.DestinationConfig{}, BodyName: "DestinationConfig", BodyLimit: maxManagementBody,
		Answers: []httpapi.Answer{httpapi.Returns(http.StatusCreated, "NewDestination", contract.NewDestination{})}, Errors: conflict,
		Example: `{"url":"https://orders.example.com/hooks","filter":"event.type == \"order.created\""}`,
	}
	changeDestinationSpec = httpapi.Spec{
		Summary: "Changes what the body gives of a destination; headers, auth and tls as a whole.",
		Body:    contract.DestinationConfig{}, BodyName: "DestinationConfig", BodyLimit: maxManagementBody,
		Answers: integrationAnswer, Errors: conflict,
		Example: `{"isActive":false}`,
	}
	removeDestinationSpec = httpapi.Spec{
		Summary: "Removes a destination.",
		Query:   []httpapi.Param{openJobsParam},
		Answers: integrationAnswer, Errors: conflict,
	}
	rotateSpec = httpapi.Spec{
		Summary: "Gives a destination a new signing secret, shown only in this answer; for a day the old one signs too.",
		Answers: []httpapi.Answer{httpapi.Returns(http.StatusOK, "NewDestination", contract.NewDestination{})}, Errors: conflict,
	}
)
