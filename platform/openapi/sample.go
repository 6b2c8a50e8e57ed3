package openapi

import (
	"slices"
	"strings"
)

// samples are values for fields of these names, so that examples look like what is answered.
var samples = map[string]any{ //nolint:gosec // no credentials
	"source": "acme", "provider": "acme", "name": "Acme", "title": "Acme", "eventType": "order.created", "subject": "ord_1", "externalEventId": "evt_1001",
	"idempotencyKey": "acme:evt_1001", "correlationId": "83624be1-2d85-4de2-8fe2-5b748d99b286", "sourceIp": "203.0.113.9",
	"url": "https://orders.example.com/hooks", "callbackUrl": "https://orders.example.com/hooks", "queueName": "ig.events.process", "queue": "process",
	"errorMessage": "the destination answered HTTP 500", "lastError": "the destination answered HTTP 500", "errorKind": "http_status", "refusal": nil,
	"httpStatus": 500, "responseBody": "{}", "durationMs": 41, "attemptNo": 1, "processingAttempts": 1, "requestedBy": "api-user", "actor": "management-key",
	"reason": "receiver was down", "detail": "none of 1 secrets matched", "entityType": "normalized_event", "action": "event.processed",
	"signingSecret": "whsec_…", "key": "igk_Zk3v9Q…", "prefix": "igk_Zk3v9Q", "createdBy": "management-key",
	"rawBody": "e30=", "body": "e30=", "version": "v0.1.0", "host": "worker-2", "method": "POST", "page": 1, "pageSize": 20, "total": 1, "totalPages": 1,
	"nextCursor": nil, "totalIsEstimate": false, "openJobs": "finish", "size": 131, "requests": 1, "matched": 1, "jobs": 1, "status": "ok",
}

const (
	sampleID   = "01a20d22-776d-7693-b3eb-b9fe0a44c93d"
	sampleTime = "2026-11-24T10:38:12.333281Z"
)

// sample makes an example of a schema. In input it holds only what is required.
func (d *described) sample(of schema, name string, input bool) any {
	if ref, is := of["$ref"].(string); is {
		of = d.components[strings.TrimPrefix(ref, "#/components/schemas/")].(schema)
	}
	if choices, is := of["anyOf"].([]any); is {
		return d.sample(choices[0].(schema), name, input)
	}
	if value, is := of["const"]; is {
		return value
	}
	if allowed, is := of["enum"].([]any); is {
		return allowed[0]
	}
	value, known := samples[name]
	switch typeOf(of) {
	case "object":
		return d.sampleObject(of, input)
	case "array":
		return []any{d.sample(of["items"].(schema), strings.TrimSuffix(name, "s"), input)}
	case "null":
		return nil
	case "boolean":
		return name == "isActive" || name == "signatureValid" || name == "received"
	case "integer", "number":
		if _, is := value.(int); is || value == nil && known && nullableType(of) {
			return value
		}
		return 0
	case "string":
		return sampleText(of, value, known)
	}
	return schema{"id": "ord_1"}
}

func (d *described) sampleObject(of schema, input bool) any {
	properties, _ := of["properties"].(schema)
	required, _ := of["required"].([]string)
	o := schema{}
	for field, f := range properties {
		if !input || slices.Contains(required, field) {
			o[field] = d.sample(f.(schema), field, input)
		}
	}
	return o
}

func sampleText(of schema, value any, known bool) any {
	text, isText := value.(string)
	switch {
	case of["format"] == "uuid":
		return sampleID
	case of["format"] == "date-time":
		return sampleTime
	case isText:
		return text
	case known && nullableType(of):
		return nil
	case of["contentEncoding"] == "base64":
		return "e30="
	}
	return "text"
}

// typeOf returns a schema's type other than null.
func typeOf(of schema) string {
	if types, is := of["type"].([]string); is {
		return types[0]
	}
	text, _ := of["type"].(string)
	return text
}

func nullableType(of schema) bool {
	types, _ := of["type"].([]string)
	return slices.Contains(types, "null")
}
