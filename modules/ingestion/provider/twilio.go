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
		Verify:       twilioSignature{},
		SignsURL:     true,
		ContentTypes: []string{formType},
		Events: Mapping{
			ID:         firstOf(header("I-Twilio-Idempotency-Token"), field("id")),
			IDOptional: true, // a call's SID and status are the same for each of its steps
			Type:       firstOf(field("type"), twilioType, constant("webhook")),
			Subject:    firstOf(twilioSID, field("data.messageSid"), field("subject")),
			Time:       at(RFC3339, field("time")),
			Items:      true, // Event Streams send arrays of CloudEvents
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

var (
	twilioSID   = firstOf(field("MessageSid"), field("SmsSid"), field("CallSid"), field("ConversationSid"), field("RecordingSid"))
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

// twilioSignature is Twilio's own scheme.
type twilioSignature struct{}

// Verify holds the signature against every auth token, over the URL with and without
// its port: Twilio's servers differ in that.
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
	return matchAny(secrets, func(key secret.Value) bool {
		matched := false
		for _, address := range twilioURLs(req.URL) {
			matched = hmac.Equal(twilioSum(key, address+fields), sum) || matched
		}
		return matched
	})
}

// SignRequest signs the request; to the URL of a JSON body it adds the hash.
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
	req.Header.Set(twilioHeader, Base64.encode(twilioSum(key, req.URL+fields)))
	return nil
}

// twilioFields is what is signed behind the URL: a form's names and values in the order
// of the names. For a body that is no form it is nothing, and the URL must hold the hash.
func twilioFields(req Request) (string, error) {
	if !isForm(req.Header) {
		_, query, _ := strings.Cut(req.URL, "?")
		values, err := url.ParseQuery(query)
		sum := sha256.Sum256(req.Body)
		if sent := values[twilioHash]; err != nil || len(sent) != 1 || !strings.EqualFold(sent[0], hex.EncodeToString(sum[:])) {
			return "", refuse(NoMatch, "the body's hash is not that of %s in the URL", twilioHash)
		}
		return "", nil
	}
	fields, err := parseForm(req.Body)
	if err != nil {
		return "", refuse(MalformedSignature, "the body, whose fields are signed, is no form")
	}
	slices.SortFunc(fields, func(a, b formField) int {
		if a.name != b.name {
			return strings.Compare(a.name, b.name)
		}
		return strings.Compare(a.value, b.value)
	})
	var b strings.Builder
	for _, f := range slices.Compact(fields) {
		b.WriteString(f.name)
		b.WriteString(f.value)
	}
	return b.String(), nil
}

// twilioURLs are the spellings of an address with its port and without.
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

func twilioSum(key secret.Value, message string) []byte {
	mac := hmac.New(sha1.New, []byte(key.Reveal()))
	mac.Write([]byte(message))
	return mac.Sum(nil)
}

func (twilioSignature) headers() []string { return []string{twilioHeader} }
