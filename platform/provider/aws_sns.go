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
// It signs for every topic of every customer, so the integration's secret is the topic's ARN.
//
// https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html
func awsSNS() Spec {
	return Spec{
		Name:  snsName,
		Title: "Amazon SNS",
		Help: "The body's Signature is an RSA signature of its members by a key whose certificate is downloaded from sns.<region>.amazonaws.com and cached. " +
			"SNS signs for every customer, so the integration's secret is the ARN of the topic. Leave raw message delivery off: raw messages are not signed.",
		Guide: Guide{
			Docs: "https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html",
			Steps: []string{
				"Copy the topic's ARN into the integration as its secret.",
				"In the SNS console open the topic, then Create subscription. Protocol: HTTPS. Endpoint: <URL>. Leave raw message delivery off.",
				"With the option confirmSubscriptions the gateway confirms the subscription. Without it, open the SubscribeURL that the audit entry webhook.handshake shows.",
			},
			Paste: "the topic's ARN (arn:aws:sns:<region>:<account>:<name>)",
		},
		Verify:       snsSignature{},
		Tolerance:    24 * time.Hour, // from publishing; SNS retries for hours
		Unsigned:     "The signature covers only Message, MessageId, Subject, Timestamp, TopicArn, Type and, for confirmations, SubscribeURL and Token.",
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
	// The URLs of Amazon's certificates and subscription confirmations. A region looks like
	// eu-central-1 or us-gov-west-1: other names below amazonaws.com are not the service's.
	snsCertificate = regexp.MustCompile(`^https://sns\.` + awsRegion + `\.amazonaws\.com(\.cn)?/SimpleNotificationService-[0-9a-f]{1,64}\.pem$`)
	snsPage        = regexp.MustCompile(`^https://sns\.` + awsRegion + `\.amazonaws\.com(\.cn)?/\?Action=ConfirmSubscription&`)
	snsARN         = regexp.MustCompile(`^arn:aws[a-z-]*:sns:` + awsRegion + `:\d{12}:[A-Za-z0-9_.-]+$`)
)

const awsRegion = `[a-z]{2,4}(-[a-z]+){1,2}-[0-9]{1,2}`

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

// snsSigned lists the signed members, in order; absent members are omitted.
var snsSigned = map[string][]string{
	snsNotification: {"Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"},
	snsSubscribe:    {"Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"},
	snsUnsubscribe:  {"Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"},
}

// snsRead lists the members that are read before a message is verified.
var snsRead = []string{
	"Message", "MessageId", "Subject", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type", "Signature", "SignatureVersion", "SigningCertURL",
}

// snsSignature is Amazon's signature scheme.
type snsSignature struct{}

// Verify finds the secret that equals the message's topic, and then checks the signature with
// Amazon's certificate.
func (snsSignature) Verify(req Request, secrets []Secret) (Match, error) {
	body, err := members(req.Body, snsRead...)
	if err != nil {
		return Match{}, refuse(MissingSignature, "the body, which should hold the signature, is not a JSON object")
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
		return Match{}, refuse(MalformedSignature, "$.Timestamp, $.SignatureVersion or $.Type is not one of SNS's")
	}
	match.SignedAt = at
	return match, certified(req, at, snsCertificate, text("SigningCertURL"), hash, snsMessage(body, names), signature)
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
