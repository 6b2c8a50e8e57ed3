// Package openapi describes the API: it makes the OpenAPI document, the reference page and
// the generated parts of docs/api-overview.md from the routes that the server has.
package openapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
)

// apiVersion is the version of the contract, as in its base path.
const apiVersion = "1"

const description = `Success is {"success":true,"data":…,"meta":…}, an error {"success":false,"error":{"code","message","details"}}. ` +
	`Absent values are null. Times are RFC 3339 in UTC. Unknown parameters and fields are refused, with all mistakes of a request at once.`

const jsonType = "application/json"

// Document returns the OpenAPI 3.1 document of these routes, in a stable form.
func Document(routes []httpapi.Route) []byte {
	text, err := json.Marshal(describe(routes).document) // maps are sorted by their keys
	if err != nil {
		panic("openapi: " + err.Error()) // every part is text, a number or a map
	}
	var indented bytes.Buffer
	_ = json.Indent(&indented, text, "", "  ") // it was just written
	indented.WriteByte('\n')
	return indented.Bytes()
}

type described struct {
	*schemas
	document schema
}

func describe(routes []httpapi.Route) *described {
	d := &described{schemas: &schemas{names: map[reflect.Type]string{}, components: schema{}, types: map[string]reflect.Type{}}}
	for _, r := range routes {
		if r.Spec.Body != nil && r.Spec.BodyName != "" {
			d.names[reflect.TypeOf(r.Spec.Body)] = r.Spec.BodyName
		}
		for name, value := range r.Spec.Names {
			d.names[reflect.TypeOf(value)] = name
		}
		for _, a := range r.Spec.Answers {
			if a.Name != "" && a.Data != nil {
				d.names[a.Data] = a.Name
			}
		}
	}
	d.components["Error"] = errorSchema()
	d.components["ListMeta"], d.components["PageMeta"] = d.object(reflect.TypeFor[httpapi.Total](), false), d.object(reflect.TypeFor[httpapi.Meta](), false)
	paths := schema{}
	for _, r := range routes {
		path := templated(r.Path)
		item, known := paths[path].(schema)
		if !known {
			item = schema{}
			paths[path] = item
		}
		item[strings.ToLower(r.Method)] = d.operation(r)
	}
	d.document = schema{
		"openapi": "3.1.0",
		"info":    schema{"title": "Integration gateway", "version": apiVersion, "description": description},
		"servers": []any{schema{"url": "/"}},
		"paths":   paths,
		"components": schema{
			"schemas":   d.components,
			"responses": errorResponses(),
			"securitySchemes": schema{
				"managementKey": schema{"type": "apiKey", "in": "header", "name": strings.ToLower(httpapi.HeaderManagementKey)},
				"bearer":        schema{"type": "http", "scheme": "bearer", "description": "A token of OIDC_ISSUER, if it is set."},
			},
		},
	}
	return d
}

// templated writes a path as OpenAPI does.
func templated(path string) string {
	segments := strings.Split(path, "/")
	for i, segment := range segments {
		if name, is := strings.CutPrefix(segment, ":"); is {
			segments[i] = "{" + name + "}"
		}
	}
	return strings.Join(segments, "/")
}

// operationID names an operation, such as getEventsByIdStatus.
func operationID(r httpapi.Route) string {
	var b strings.Builder
	b.WriteString(strings.ToLower(r.Method))
	path := strings.TrimPrefix(r.Path, httpapi.Base)
	if path == r.Path {
		b.WriteString("Root")
	}
	for segment := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
		if name, is := strings.CutPrefix(segment, ":"); is {
			segment = "by-" + name
		}
		for word := range strings.FieldsFuncSeq(segment, func(c rune) bool { return c == '-' || c == '.' }) {
			b.WriteString(title(word))
		}
	}
	return b.String()
}

func (d *described) operation(r httpapi.Route) schema {
	tag, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(r.Path, httpapi.Base), "/"), "/")
	o := schema{
		"operationId": operationID(r), "summary": r.Spec.Summary, "tags": []string{tag},
		"security": []any{}, "responses": d.responses(r),
	}
	if r.Role > 0 {
		o["security"] = []any{schema{"managementKey": []string{}}, schema{"bearer": []string{}}}
		o["x-role"], o["x-restricted-credentials"] = r.Role.String(), r.Scoped
	}
	if parameters := d.parameters(r); len(parameters) > 0 {
		o["parameters"] = parameters
	}
	if body := d.body(r); body != nil {
		o["requestBody"] = body
	}
	return o
}

func (d *described) parameters(r httpapi.Route) []any {
	var list []any
	for _, p := range r.PathParams() {
		list = append(list, schema{"name": p.Name, "in": "path", "required": true, "schema": parameterSchema(p)})
	}
	for _, p := range r.Spec.Query {
		list = append(list, schema{"name": p.Name, "in": "query", "description": p.Doc, "allowEmptyValue": true, "schema": parameterSchema(p)})
	}
	return list
}

func parameterSchema(p httpapi.Param) schema {
	of := schema{"type": "string"}
	switch p.Kind {
	case httpapi.KindEnum:
		of["enum"] = p.Allowed
	case httpapi.KindBool:
		return schema{"type": "boolean", "default": false}
	case httpapi.KindUUID:
		of["format"] = "uuid"
	case httpapi.KindTime:
		of["format"] = "date-time"
	case httpapi.KindInt:
		of = schema{"type": "integer", "minimum": p.Low, "maximum": p.High}
	}
	if p.Default != "" {
		of["default"] = p.Default
		if p.Kind == httpapi.KindInt {
			of["default"] = json.Number(p.Default)
		}
	}
	return of
}

func (d *described) body(r httpapi.Route) schema {
	switch {
	case r.Spec.Raw && r.Spec.Example != "":
		return schema{"required": true, "content": schema{"*/*": schema{"schema": schema{}, "example": json.RawMessage(r.Spec.Example)}}}
	case r.Spec.Raw || r.Spec.Body == nil:
		return nil
	}
	of := d.component(reflect.TypeOf(r.Spec.Body), true)
	var example any = json.RawMessage(r.Spec.Example)
	if r.Spec.Example == "" {
		example = d.sample(of, "", true)
	}
	return schema{"required": !r.Spec.OptionalBody, "content": schema{jsonType: schema{"schema": of, "example": example}}}
}

func (d *described) responses(r httpapi.Route) schema {
	all := schema{}
	for _, kind := range errorsOf(r) {
		all[fmt.Sprint(httpapi.StatusOf(kind))] = schema{"$ref": "#/components/responses/" + responseName(kind)}
	}
	if r.Spec.OwnAnswers {
		maps.Copy(all, ownAnswers())
	}
	for _, a := range r.Spec.Answers {
		answer := schema{"description": a.When}
		if a.When == "" {
			answer["description"] = http.StatusText(a.Status)
		}
		switch a.Shape {
		case httpapi.Empty:
		case httpapi.Other:
			answer["content"] = schema{r.Spec.Media: schema{"schema": schema{}}}
		default:
			of := d.envelope(a)
			media := schema{"schema": of, "example": d.sample(of, "", false)}
			answer["content"] = schema{jsonType: media}
			if r.Spec.OwnAnswers {
				answer["content"] = orOwn(of, media)
			}
		}
		all[fmt.Sprint(a.Status)] = answer
	}
	return all
}

// ownAnswers describes the answers that only a provider's definition gives, and those to refused
// requests, in whose place it may.
func ownAnswers() schema {
	const definition = "as the provider's definition says"
	anything := schema{"*/*": schema{"schema": schema{}}}
	all := schema{"2XX": schema{"description": definition, "content": anything}, "4XX": schema{"description": definition, "content": anything}}
	for name, response := range errorResponses() {
		for _, kind := range []fault.Kind{fault.Invalid, fault.Unauthorized} {
			if responseName(kind) == name {
				of, _ := response.(schema)
				media, _ := of["content"].(schema)[jsonType].(schema)
				all[fmt.Sprint(httpapi.StatusOf(kind))] = schema{"description": fmt.Sprint(of["description"], " Or ", definition, "."), "content": orOwn(media["schema"], media)}
			}
		}
	}
	return all
}

// orOwn adds that an answer may be the provider's own, in any format.
func orOwn(of any, media schema) schema {
	own := schema{"type": "object", "not": schema{"required": []string{"success"}}}
	media["schema"] = schema{"anyOf": []any{of, own}}
	return schema{jsonType: media, "*/*": schema{"schema": schema{}}}
}

// envelope is the schema of a successful answer.
func (d *described) envelope(a httpapi.Answer) schema {
	data, meta := d.of(a.Data, false), schema{"type": "null"}
	switch a.Shape {
	case httpapi.Whole:
		data, meta = schema{"type": "array", "items": data}, schema{"$ref": "#/components/schemas/ListMeta"}
	case httpapi.Page:
		data, meta = schema{"type": "array", "items": data}, schema{"$ref": "#/components/schemas/PageMeta"}
	}
	return schema{"type": "object", "required": []string{"data", "meta", "success"}, "properties": schema{
		"success": schema{"type": "boolean", "const": true}, "data": data, "meta": meta}}
}

// errorsOf returns the errors that a route may answer with.
func errorsOf(r httpapi.Route) []fault.Kind {
	kinds := append([]fault.Kind{fault.Internal, fault.Unavailable}, r.Spec.Errors...)
	if !r.Spec.Raw {
		kinds = append(kinds, fault.Invalid)
		if r.Method != http.MethodGet {
			kinds = append(kinds, fault.TooLarge, fault.UnsupportedMedia)
		}
		if len(r.PathParams()) > 0 {
			kinds = append(kinds, fault.NotFound)
		}
	}
	if r.Role > 0 {
		kinds = append(kinds, fault.Unauthorized, fault.Forbidden)
	}
	if r.Role > 0 {
		kinds = append(kinds, fault.RateLimited) // without a valid credential
	}
	return slices.DeleteFunc(kinds, func(kind fault.Kind) bool {
		return slices.ContainsFunc(r.Spec.Answers, func(a httpapi.Answer) bool { return a.Status == httpapi.StatusOf(kind) })
	})
}
