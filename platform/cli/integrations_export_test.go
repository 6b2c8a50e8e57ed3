package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// everySetting has each setting that an integration can have, with texts that YAML would take
// for something else.
const everySetting = `
integrations:
  - source: own
    provider: generic
    name: "no"
    isActive: false
    rateLimitPerMinute: 10
    maxBodyBytes: 1048577
    redact: [$.a, "$['yes']"]
    secrets: [env:ACME_SECRET]
    options:
      toleranceSeconds: 0
      deduplication: {by: body, windowSeconds: 300}
      generic:
        scheme: hmac
        forms: true
        signature: {header: X-Own-Signature, prefix: "sha256=", separator: ",", hash: sha512, encoding: base64, key: text, over: "{id}.{timestamp}.{body}", idHeader: X-Own-Id}
        timestamp: {header: X-Own-Time, unit: rfc3339, toleranceSeconds: 60}
        event: {id: "header:X-Own-Id", type: "text:0x1F", subject: $.data.id, time: $.at, timeUnit: any, items: true}
        challenge: {parameter: hub.challenge, token: hub.verify_token}
        deduplication: {by: places, places: [$.id, "header:X-B"]}
    destinations:
      - url: https://a.example/in?a=b&c=%20
        isActive: false
        mode: canonical
        filter: "eventType == '2026-01-01' ||\n  has(data.x) && data.x != '# not a comment'  \n"
        transform: "{'id': data.id, 'text': 'null: ~ # \u00e9 \u2028'}"
        headers: {x-team: "env:TEAM_KEY"}
        auth: {type: bearer, token: "env:TEAM_KEY"}
        policy: {timeoutMs: 1500, maxAttempts: 3, concurrency: 2, ratePerSecond: 5, retryBaseMs: 1000, retryCapMs: 60000}
  - source: items
    provider: generic
    secrets: [env:ACME_SECRET]
    options:
      generic:
        scheme: hmac
        signature: {header: X-Own-Signature, separator: ",", prefix: "v1=", over: "{timestamp}.{body}"}
        timestamp: {item: "t="}
        event: {type: $.type}
    destinations: [{url: "https://a.example/raw", mode: raw}]
  - source: ways
    provider: generic
    secrets: [env:ACME_SECRET]
    options:
      generic:
        unsigned: "The token authenticates no body."
        methods: [POST, PUT]
        anyOf:
          - {scheme: hmac, signature: {at: ["header:X-Own-Old", "header:X-Own-New"], after: "="}}
          - {scheme: token, signature: {header: X-Own-Token}}
        bodies: [multipart, xml]
        probes: true
        minSecretBytes: 6
        answer: {status: 200, contentType: application/json, body: '["no"]', duplicate: {status: 208}, refused: {status: 403}}
        handshakes:
          - {name: own.check, method: POST, when: [{place: $.type, is: check}], answer: {body: "{$.text}"}}
          - {name: own.hello, unsigned: true, when: [{place: $.hello}], store: {secret: $.key, purpose: signing}, answer: {body: "yes", headers: {X-Own-Hello: "0"}}}
        event:
          id: {firstOf: [$.id, "header:X-Own-Id"], match: "^[a-z]+"}
          type: {join: [$.kind, $.action], with: "."}
          subject: {at: $.message.data, decode: base64, json: $.order, if: $.message}
    destinations: [{url: "https://b.example/in"}]
  - source: both
    provider: generic
    secrets: [env:ACME_SECRET]
    options:
      generic:
        allOf:
          - {scheme: hmac, signature: {header: X-Own-Signature}}
          - {scheme: token, signature: {header: X-Own-Token}}
          - {scheme: addresses, addresses: [192.0.2.0/24, "2001:db8::1"]}
          - {scheme: certificate, certificates: ["cn:hooks.example.com"]}
          - scheme: jwt
            signature: {header: Authorization, prefix: "Bearer "}
            timestamp: {toleranceSeconds: 60}
            nonce: jti
            jwt:
              keysFrom: https://issuer.example/keys
              algorithms: [ES256]
              issuers: [https://issuer.example]
              audiences: ["{url}"]
              claims: [{claim: email_verified, is: "true"}]
              bodyHash: sha256
              secretIs: email
        event: {type: $.type}
    destinations: [{url: "https://b.example/in"}]
  - source: topics
    provider: aws-sns
    secrets: ["env:TOPIC"]
    options: {confirmSubscriptions: true}
    destinations: [{url: "https://b.example/in"}]
  - source: urls
    provider: square
    secrets: [env:ACME_SECRET]
    options: {publicUrl: "https://hooks.example.com/a?b=c"}
    destinations: [{url: "https://b.example/in"}]
  - source: hub
    provider: github
    secrets: [env:ACME_SECRET]
    options:
      possibleReplays: quarantine
      duplicateKeys: quarantine
      schemas:
        - {eventType: push, onMismatch: quarantine, schema: {type: object, required: [ref], properties: {ref: {type: string}, size: {maximum: 12345678901234567890}, gone: {const: null}}}}
        - {schema: true}
    destinations: [{url: "https://b.example/in"}]
`

// notExported are settings that nobody can read back.
var notExported = []string{"secrets", "headers", "auth", "tls"}

func TestAnExportHasEverySetting(t *testing.T) {
	description, err := filepath.Abs(filepath.Join("..", "..", "docs", "openapi.json"))
	require.NoError(t, err)
	records(t)
	t.Setenv("ACME_SECRET", "secret-from-the-environment")
	t.Setenv("TEAM_KEY", "key-of-the-team")
	t.Setenv("TOPIC", "arn:aws:sns:eu-west-1:123456789012:orders")
	apply := func(text, flags string) string {
		t.Helper()
		require.NoError(t, os.WriteFile("i.yaml", []byte(text), 0o600))
		return runOK(t, "integrations apply -f i.yaml "+flags)
	}
	const nothing = "nothing to do: everything matches the file\n"
	require.Contains(t, apply(everySetting, "--yes"), "applied 7 changes")
	require.Equal(t, nothing, apply(everySetting, "--yes"))
	exported := runOK(t, "integrations export")
	require.Equal(t, nothing, apply(exported, "--yes"), "an export is read back without a difference:\n%s", exported)

	var file any
	require.NoError(t, yaml.Unmarshal([]byte(exported), &file))
	written := map[string]bool{}
	names(file, written)
	for name, where := range settings(t, description) {
		require.True(t, written[name], "%s of %s is not in the export, or not in everySetting", name, where)
	}

	// In an empty gateway the export makes the same, with its secrets added.
	again := regexp.MustCompile(`(?m)^( *)provider: (?:generic|square|github)$`).ReplaceAllString(exported, "$0\n${1}secrets: [env:ACME_SECRET]")
	again = regexp.MustCompile(`(?m)^( *)provider: aws-sns$`).ReplaceAllString(again, "$0\n${1}secrets: [env:TOPIC]")
	t.Setenv("DATABASE_URL", "sqlite://other/gateway.db")
	for _, line := range []string{"migrate up", "seed"} {
		runOK(t, line)
	}
	require.Contains(t, apply(again, "--yes"), "+ own: integration of generic")
	require.Equal(t, nothing, apply(exported, "--yes"))
	comments := regexp.MustCompile(`(?m)^ *#.*\n|# .*\n`) // about credentials, which the other gateway has not
	require.Equal(t, comments.ReplaceAllString(exported, ""), comments.ReplaceAllString(runOK(t, "integrations export"), ""))
}

// names collects the names of all fields.
func names(value any, into map[string]bool) {
	switch value := value.(type) {
	case map[string]any:
		for name, below := range value {
			into[name] = true
			names(below, into)
		}
	case []any:
		for _, below := range value {
			names(below, into)
		}
	}
}

// settings are the names of what the API's description allows for a new integration, by the
// type that has them.
func settings(t *testing.T, path string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	var document struct {
		Components struct {
			Schemas map[string]struct {
				Properties map[string]json.RawMessage `json:"properties"`
			} `json:"schemas"`
		} `json:"components"`
	}
	require.NoError(t, json.Unmarshal(text, &document))
	found, seen := map[string]string{}, map[string]bool{}
	var walk func(name string)
	walk = func(name string) {
		if seen[name] {
			return
		}
		seen[name] = true
		for field, schema := range document.Components.Schemas[name].Properties {
			if slices.Contains(notExported, field) {
				continue
			}
			found[field] = name
			for _, part := range strings.Split(string(schema), "#/components/schemas/")[1:] {
				below, _, _ := strings.Cut(part, `"`)
				walk(below)
			}
		}
	}
	walk("NewIntegration")
	require.Greater(t, len(found), 30)
	return found
}
