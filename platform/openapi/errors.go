package openapi

import (
	"net/http"
	"strings"

	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
)

// failures are the errors that an answer can be, in the order of their statuses.
var failures = []struct {
	kind        fault.Kind
	description string
}{
	{fault.Invalid, "The input is wrong; the details name every mistake."},
	{fault.Unauthorized, "There is no valid credential."},
	{fault.Forbidden, "The credential's role or sources do not suffice; the message says what is needed."},
	{fault.NotFound, "There is none, or none that the credential may see."},
	{fault.MethodNotAllowed, "The path does not allow this method; Allow names those it does."},
	{fault.Conflict, "The present state does not allow it."},
	{fault.TooLarge, "The body is over its limit."},
	{fault.UnsupportedMedia, "The body's content type or encoding is not accepted."},
	{fault.RateLimited, "Too many requests; Retry-After says when to try again."},
	{fault.Internal, "A fault of the gateway; its log has it under the correlation id."},
	{fault.Unavailable, "A dependency does not answer, or too much is in flight; Retry-After says when to try again."},
}

// responseName is the name of an error's response, such as NotFound.
func responseName(kind fault.Kind) string {
	return strings.ReplaceAll(http.StatusText(httpapi.StatusOf(kind)), " ", "")
}

func errorResponses() schema {
	all := schema{}
	for _, f := range failures {
		all[responseName(f.kind)] = schema{
			"description": f.description,
			"content": schema{jsonType: schema{
				"schema":  schema{"$ref": "#/components/schemas/Error"},
				"example": schema{"success": false, "error": schema{"code": httpapi.CodeOf(f.kind), "message": f.description, "details": nil}},
			}},
		}
	}
	return all
}

func errorSchema() schema {
	var codes []string
	for _, f := range failures {
		codes = append(codes, httpapi.CodeOf(f.kind))
	}
	text := schema{"type": "string"}
	detail := schema{"type": "object", "required": []string{"field", "message"}, "properties": schema{"field": text, "message": text}}
	return schema{"type": "object", "required": []string{"error", "success"}, "properties": schema{
		"success": schema{"type": "boolean", "const": false},
		"error": schema{"type": "object", "required": []string{"code", "details", "message"}, "properties": schema{
			"code": schema{"type": "string", "enum": codes}, "message": text, "details": schema{"type": []string{"array", "null"}, "items": detail}}},
	}}
}
