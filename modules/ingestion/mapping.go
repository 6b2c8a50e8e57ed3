package ingestion

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/provider"
)

// MappingPreview shows what other options would make of an event.
type MappingPreview struct {
	Stored  Mapped  `json:"stored"` // as it was made when it was received
	Mapped  *Mapped `json:"mapped"` // null with a problem
	Changed bool    `json:"changed"`
	Problem *string `json:"problem"` // why these options make no event of it
}

// Mapped is a canonical event and what was found for its fields.
type Mapped struct {
	ExternalEventID *string         `json:"externalEventId"`
	EventType       string          `json:"eventType"`
	Subject         *string         `json:"subject"`
	OccurredAt      string          `json:"occurredAt"`
	Payload         json.RawMessage `json:"payload" api:"object"`
}

func mappedOf(payload []byte) Mapped {
	m := Mapped{Payload: bytes.ToValidUTF8(payload, []byte(string(utf8.RuneError)))}
	_ = json.Unmarshal(m.Payload, &m) // written by the provider's mapping
	return m
}

// PreviewMapping returns what the options make of an event's webhook, and stores nothing.
func (m *Module) PreviewMapping(ctx context.Context, eventID string, o provider.Options) (MappingPreview, error) {
	var p MappingPreview
	e, err := m.event(ctx, eventID)
	if err != nil {
		return p, err
	}
	src, err := m.d.Sources.SourceWith(ctx, e.Source, o)
	if err != nil {
		return p, err
	}
	list, err := m.renormalize(ctx, []string{eventID}, func(context.Context, string) (*provider.Source, error) { return src, nil })
	if err != nil {
		return p, err
	}
	if len(list) == 0 {
		return p, fault.Conflict.New("event_erased", "The event %s is erased, so that nothing can be made of it.", eventID)
	}
	p.Stored = mappedOf(list[0].Stored)
	if problem := list[0].Problem; problem != nil {
		text := problem.Error()
		p.Problem = &text
		return p, nil
	}
	now := mappedOf(list[0].Payload)
	p.Mapped, p.Changed = &now, !bytes.Equal(list[0].Stored, list[0].Payload)
	return p, nil
}

// mappingBody holds the options of an integration as they would be.
type mappingBody struct {
	Options *provider.Options `json:"options" api:"required"`
}

// Mistakes returns every invalid field.
func (b mappingBody) Mistakes() (wrong []fault.Field) {
	if b.Options == nil {
		wrong = append(wrong, fault.Field{Field: "options", Message: "is required"})
	}
	return wrong
}

// maxMapping bounds the options of a preview, which are as long as those of an integration.
const maxMapping = 1 << 20

var mappingSpec = httpapi.Spec{
	Summary: "Shows what other options of its integration, such as another mapping, would make of an event; changes nothing.",
	Body:    mappingBody{}, BodyName: "Mapping", BodyLimit: maxMapping,
	Answers: []httpapi.Answer{httpapi.Returns(http.StatusOK, "MappingPreview", MappingPreview{})},
	Names:   map[string]any{"MappedEvent": Mapped{}},
	Errors:  []fault.Kind{fault.Conflict},
	Example: `{"options":{"generic":{"scheme":"token","signature":{"header":"X-Token"},"event":{"type":"$.type","subject":"$.customer.name"}}}}`,
}

func (m *Module) previewMapping(c echo.Context) error {
	p, err := m.PreviewMapping(c.Request().Context(), httpapi.ID(c), *httpapi.BodyOf[mappingBody](c).Options)
	if err != nil {
		return err
	}
	return httpapi.Data(c, http.StatusOK, p)
}
