package provider

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // what Twilio signs with; HMAC-SHA1 is not broken
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"integration-gateway/platform/secret"
)

var _ = register(twilio)

// twilio signs the URL and the fields of a form, or, for JSON, a URL that holds the
// body's hash.
//
// https://www.twilio.com/docs/usage/webhooks/webhooks-security
func twilio() Spec {
	return Spec{
		Name:  "twilio",
		Title: "Twilio",
		Help: "X-Twilio-Signature is the HMAC-SHA1 of the URL and the form's fields, keyed with the account's auth token; for JSON the URL holds the body's hash. " +
			"The gateway answers with an empty TwiML document.",
		Guide: Guide{
			Docs: "https://www.twilio.com/docs/usage/webhooks/webhooks-security",
			Steps: []string{
				"In the Console open the phone number, messaging service or event sink, and enter <URL> as its webhook, exactly as the integration's publicUrl has it. Method: HTTP POST.",
				"Copy the Auth Token from the account's dashboard into the integration.",
			},
			Paste: "the account's Auth Token",
		},
		Verify:   twilioSignature{},
		SignsURL: true,
		Caveat: "A form's names and values are signed as one text without separators. Whoever captures a signed form can move the end of a name or value " +
			"to the start of the next, and the signature still matches.",
		ContentTypes:  []string{formType},
		Deduplication: Deduplication{WindowSeconds: 3600}, // the steps of a call may look alike
		Events: Mapping{
			ID: firstOf(twilioEventID, header("I-Twilio-Idempotency-Token")),
			// A CloudEvent's id is its source's own.
			Identity: when(field("specversion"), together(field("source"), twilioEventID)),
			Type:     firstOf(field("type"), twilioType, constant("webhook")),
			Subject:  firstOf(twilioSID, field("data.messageSid"), field("subject")),
			Time:     at(AnyTime, firstOf(field("time"), field("Timestamp"), field("TimestampMs"))),
			Items:    true, // Event Streams send arrays of CloudEvents
		},
		Acknowledge: func(Request) *Reply {
			return &Reply{Status: http.StatusOK, ContentType: "text/xml", Body: []byte("<Response/>")}
		},
		Samples: []Sample{
			{
				Type:        "message.delivered",
				ContentType: formType,
				Header:      map[string]string{"I-Twilio-Idempotency-Token": "$ID"},
				Body:        "AccountSid=AC00000000000000000000000000000000&ApiVersion=2010-04-01&From=%2B14155550100&To=%2B14155550101&MessageSid=SM$ID&MessageStatus=delivered&SmsSid=SM$ID&SmsStatus=delivered",
			},
			{
				Type: "com.twilio.messaging.message.delivered",
				Body: `[{"specversion":"1.0","type":"com.twilio.messaging.message.delivered","source":"/v1/Messages/SM$ID","id":"EZ$ID","time":"$NOW","data":{"messageSid":"SM$ID","messageStatus":"DELIVERED"}}]`,
			},
		},
	}
}

// twilioEventID finds the id of a CloudEvent, which the signature covers. A form's field of
// that name is somebody's own.
var twilioEventID = finder{where: "$.id", find: func(in input) token {
	if isForm(in.req.Header) {
		return token{}
	}
	return field("id").find(in)
}}

var (
	twilioSID = firstOf(field("MessageSid"), field("SmsSid"), field("CallSid"), field("ConversationSid"), field("RecordingSid"),
		field("TaskSid"), field("ReservationSid"), field("WorkerSid"), field("WorkflowSid"), field("WorkspaceSid"))
	twilioState = firstOf(field("MessageStatus"), field("SmsStatus"), field("CallStatus"), field("EventType"), field("RecordingStatus"))
)

// twilioType finds "message.delivered", "call.ringing" and the like.
var twilioType = finder{where: "the form's status", find: func(in input) token {
	for _, kind := range []struct{ sid, name string }{
		{"RecordingSid", "recording"}, {"CallSid", "call"}, {"MessageSid", "message"}, {"SmsSid", "message"}, {"ConversationSid", "conversation"},
	} {
		if field(kind.sid).find(in).text != "" {
			return joined(".", constant(kind.name), twilioState).find(in)
		}
	}
	return token{}
}}

const (
	twilioHeader = "X-Twilio-Signature"
	twilioHash   = "bodySHA256"
)

// twilioSignature is Twilio's signature scheme.
type twilioSignature struct{}

// Verify checks the signature with every auth token, over the URL with and without its port:
// Twilio's servers differ.
func (twilioSignature) Verify(req Request, secrets []Secret) (Match, error) {
	value, err := credential(req.Header, twilioHeader)
	if err != nil {
		return Match{}, err
	}
	sum, err := Base64.decode(value)
	if err != nil || len(sum) != sha1.Size {
		return Match{}, refuse(MalformedSignature, "%s holds no well-formed signature", twilioHeader)
	}
	fields, err := twilioFields(req)
	if err != nil {
		return Match{}, err
	}
	addresses := twilioURLs(req.URL)
	signed := ""
	match, err := matchAny(secrets, func(key secret.Value) bool {
		matched := false
		for _, address := range addresses {
			if hmac.Equal(twilioSum(key, address, fields), sum) {
				matched, signed = true, address
			}
		}
		return matched
	})
	if err == nil {
		match.Message = append([]byte(signed), fields...)
	}
	return match, err
}

// SignRequest signs the request. For a JSON body it adds the hash to the URL.
func (twilioSignature) SignRequest(req *Request, key secret.Value) error {
	if !isForm(req.Header) {
		sum := sha256.Sum256(req.Body)
		separator := "?"
		if strings.Contains(req.URL, "?") {
			separator = "&"
		}
		req.URL += separator + twilioHash + "=" + hex.EncodeToString(sum[:])
	}
	fields, err := twilioFields(*req)
	if err != nil {
		return err
	}
	req.Header.Set(twilioHeader, Base64.encode(twilioSum(key, req.URL, fields)))
	return nil
}

// twilioFields returns the part of the signed message after the URL: a form's names and
// values, ordered by name. For other bodies it is empty, and the URL must hold the hash.
func twilioFields(req Request) ([]byte, error) {
	if !isForm(req.Header) {
		_, query, _ := strings.Cut(req.URL, "?")
		values, err := url.ParseQuery(query)
		sum := sha256.Sum256(req.Body)
		if sent := values[twilioHash]; err != nil || len(sent) != 1 || !strings.EqualFold(sent[0], hex.EncodeToString(sum[:])) {
			return nil, refuse(NoMatch, "the body's hash is not that of %s in the URL", twilioHash)
		}
		return nil, nil
	}
	fields, err := parseForm(req.Body)
	if err != nil {
		return nil, refuse(MalformedSignature, "the body is not a form of at most %d fields, and its fields are signed", maxFields)
	}
	slices.SortFunc(fields, func(a, b formField) int {
		if a.name != b.name {
			return strings.Compare(a.name, b.name)
		}
		return strings.Compare(a.value, b.value)
	})
	signed := make([]byte, 0, len(req.Body)) // escapes are longer than the characters they encode
	for _, f := range slices.Compact(fields) {
		signed = append(append(signed, f.name...), f.value...)
	}
	return signed, nil
}

// twilioURLs returns an address with its port and without.
func twilioURLs(address string) []string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return []string{address}
	}
	scheme, rest, _ := strings.Cut(address, "://")
	rest = strings.TrimPrefix(rest, u.Host)
	if port := u.Port(); port != "" {
		return []string{address, scheme + "://" + strings.TrimSuffix(u.Host, ":"+port) + rest}
	}
	port := ":443"
	if u.Scheme == "http" {
		port = ":80"
	}
	return []string{address, scheme + "://" + u.Host + port + rest}
}

func twilioSum(key secret.Value, address string, fields []byte) []byte {
	mac := hmac.New(sha1.New, []byte(key.Reveal()))
	mac.Write([]byte(address))
	mac.Write(fields)
	return mac.Sum(nil)
}

func (twilioSignature) headers() []string { return []string{twilioHeader} }
