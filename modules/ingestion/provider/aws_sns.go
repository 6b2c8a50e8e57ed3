package provider

import (
	"crypto"
	"errors"
	"net/http"
	"regexp"
	"strings"
	"time"

	"integration-gateway/platform/secret"
)

var _ = register(awsSNS)

const snsName = "aws-sns"

// awsSNS signs some members of the body with a key whose certificate Amazon publishes.
// It signs for every topic of every customer, so that the integration's secret is the
// topic's ARN.
//
// https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html
func awsSNS() Spec {
	return Spec{
		Name:  snsName,
		Title: "Amazon SNS",
		Help: "The body's Signature is an RSA signature of its members by a key whose certificate is fetched from sns.<region>.amazonaws.com and kept. " +
			"SNS signs for everybody, so that the integration's secret is the ARN of the topic. Leave raw message delivery off: raw messages are not signed.",
		Guide: Guide{
			Docs: "https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html",
			Steps: []string{
				"Copy the topic's ARN into the integration as its secret.",
				"In the SNS console open the topic, then Create subscription. Protocol: HTTPS. Endpoint: <URL>. Leave raw message delivery off.",
				"With the option confirmSubscriptions the gateway confirms the subscription by itself. Without it, open the SubscribeURL that the audit entry webhook.handshake shows.",
			},
			Paste: "the topic's ARN (arn:aws:sns:<region>:<account>:<name>)",
		},
		Verify:       snsSignature{},
		Tolerance:    24 * time.Hour, // of publishing; SNS tries for hours
		Unsigned:     "The signature is over Message, MessageId, Subject, Timestamp, TopicArn, Type and, while confirming, SubscribeURL and Token; over no other member.",
		ContentTypes: []string{"text/plain"},
		Public:       true,
		CheckSecret:  snsTopic,
		Events: Mapping{
			ID: field("MessageId"), Type: field("Type"), Subject: firstOf(field("Subject"), field("TopicArn")), Time: at(RFC3339, field("Timestamp")),
		},
		Handshake: snsHandshake,
		Confirms:  true,
	}
}

var (
	// Where Amazon publishes its certificates, and where subscriptions are confirmed.
	snsCertificate = regexp.MustCompile(`^https://sns\.[a-z0-9-]+\.amazonaws\.com(\.cn)?/SimpleNotificationService-[0-9a-f]{1,64}\.pem$`)
	snsPage        = regexp.MustCompile(`^https://sns\.[a-z0-9-]+\.amazonaws\.com(\.cn)?/\?Action=ConfirmSubscription&`)
	snsARN         = regexp.MustCompile(`^arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:[A-Za-z0-9_.-]+$`)
)

func snsTopic(v secret.Value) error {
	if !snsARN.MatchString(v.Reveal()) {
		return errNoTopic
	}
	return nil
}

var errNoTopic = errors.New("it must be the ARN of a topic, such as arn:aws:sns:eu-central-1:123456789012:orders")

// The types of messages.
const (
	snsNotification = "Notification"
	snsSubscribe    = "SubscriptionConfirmation"
	snsUnsubscribe  = "UnsubscribeConfirmation"
)

// snsSigned are the members that are signed, in their order; those that are not there
// are left out.
var snsSigned = map[string][]string{
	snsNotification: {"Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"},
	snsSubscribe:    {"Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"},
	snsUnsubscribe:  {"Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"},
}

// snsSignature is Amazon's own scheme.
type snsSignature struct{}

// Verify finds the secret that is the message's topic, and then holds the signature
// against Amazon's certificate.
func (snsSignature) Verify(req Request, secrets []Secret) (Match, error) {
	body, err := parseObject(req.Body)
	if err != nil {
		return Match{}, refuse(MissingSignature, "the body, which should hold the signature, is no JSON object")
	}
	text := func(name string) string { return body.identifier(name).text }
	topic := text("TopicArn")
	match, err := matchAny(secrets, func(arn secret.Value) bool { return arn.Equal(topic) })
	if err != nil {
		return Match{}, refuse(NoMatch, "none of %d secrets is the topic's ARN", len(secrets))
	}
	signature, err := Base64.decode(text("Signature"))
	at, ok := RFC3339.parse(text("Timestamp"))
	hash := map[string]crypto.Hash{"1": crypto.SHA1, "2": crypto.SHA256}[text("SignatureVersion")]
	names := snsSigned[text("Type")]
	switch {
	case err != nil || len(signature) == 0:
		return Match{}, refuse(MissingSignature, "no well-formed signature at $.Signature")
	case !ok || hash == 0 || names == nil:
		return Match{}, refuse(MalformedSignature, "$.Timestamp, $.SignatureVersion or $.Type is none of SNS's")
	}
	match.SignedAt = at
	return match, certified(req, snsCertificate, text("SigningCertURL"), hash, snsMessage(body, names), signature)
}

func snsMessage(body object, names []string) []byte {
	var b strings.Builder
	for _, name := range names {
		if value := body.identifier(name); !value.absent() {
			b.WriteString(name + "\n" + value.text + "\n")
		}
	}
	return []byte(b.String())
}

// snsHandshake answers the messages about the subscription itself.
func snsHandshake(req Request) *Reply {
	body, err := parseObject(req.Body)
	if err != nil {
		return nil
	}
	reply := &Reply{Status: http.StatusOK, What: body.identifier("Type").text}
	switch reply.What {
	case snsSubscribe:
		if page := body.identifier("SubscribeURL").text; snsPage.MatchString(page) {
			reply.Open = page
		}
		return reply
	case snsUnsubscribe:
		return reply
	}
	return nil
}
