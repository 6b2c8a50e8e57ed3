package contract

import (
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/secret"
)

// DestinationConfig says where an integration's events are sent and how. In a new
// destination nil means the default; in a change it keeps the value. Headers, Auth and TLS
// are replaced as a whole.
type DestinationConfig struct {
	URL       *string            `json:"url"`
	Mode      *DestinationMode   `json:"mode" api:"enum=canonical|raw"`
	Filter    *string            `json:"filter"`    // a CEL expression that selects the events to send; "" for all
	Transform *string            `json:"transform"` // a CEL expression that returns the body; "" for the canonical event
	Headers   map[string]string  `json:"headers"`   // sent with each request; their values are write-only
	Auth      *DestinationAuth   `json:"auth"`
	TLS       *DestinationTLS    `json:"tls"`
	Policy    *DestinationPolicy `json:"policy"`
	IsActive  *bool              `json:"isActive"`

	TracePropagation *bool `json:"tracePropagation"` // sends the event's traceparent, so that its receiver continues the trace; false by default
}

// DestinationMode says what is sent to a destination.
type DestinationMode string

// The modes of a destination.
const (
	ModeCanonical DestinationMode = "canonical" // the canonical event, or the result of Transform
	ModeRaw       DestinationMode = "raw"       // the provider's body byte for byte, with the provider's own headers
)

// DestinationAuth is the credential that a destination requires. It is write-only.
type DestinationAuth struct {
	Type         string       `json:"type" api:"enum=none|basic|bearer|oauth2"` // none, basic, bearer or oauth2 (client credentials, RFC 6749 section 4.4)
	Username     string       `json:"username"`
	Password     secret.Value `json:"password"`
	Token        secret.Value `json:"token"`
	TokenURL     string       `json:"tokenUrl"`
	ClientID     string       `json:"clientId"`
	ClientSecret secret.Value `json:"clientSecret"`
	Scopes       []string     `json:"scopes"`
}

// DestinationTLS holds the TLS settings of a destination whose certificates are not the
// public ones. Each is one or more PEM blocks; an empty one removes the setting.
type DestinationTLS struct {
	CACertificate     string       `json:"caCertificate"`     // trusted authorities, instead of the machine's
	ClientCertificate string       `json:"clientCertificate"` // the client certificate, with its intermediate certificates
	ClientKey         secret.Value `json:"clientKey"`         // of the client certificate; write-only
}

// DestinationTLSInfo is what the API shows of the TLS settings.
type DestinationTLSInfo struct {
	CACertificates    []CertificateInfo `json:"caCertificates"`
	ClientCertificate *CertificateInfo  `json:"clientCertificate"`
	Warnings          []string          `json:"warnings"` // certificates that expire within a month, or have expired
}

// CertificateInfo describes a certificate.
type CertificateInfo struct {
	Subject   string     `json:"subject"`
	ExpiresAt clock.Time `json:"expiresAt"`
}

// DestinationPolicy overrides the gateway's defaults for one destination. In a change, 0
// restores the default.
type DestinationPolicy struct {
	TimeoutMS     *int `json:"timeoutMs"`     // of one attempt
	MaxAttempts   *int `json:"maxAttempts"`   // in total, including the first
	RetryBaseMS   *int `json:"retryBaseMs"`   // wait after the first failure; doubles
	RetryCapMS    *int `json:"retryCapMs"`    // longest wait
	Concurrency   *int `json:"concurrency"`   // concurrent attempts, of all workers together
	RatePerSecond *int `json:"ratePerSecond"` // attempts started per second, by all workers together
}

// OpenJobs says what happens to the open deliveries of a removed destination.
type OpenJobs string

// The options for open jobs.
const (
	FinishJobs OpenJobs = "finish" // they are delivered, with retries, including those parked for an inactive destination or integration
	CancelJobs OpenJobs = "cancel" // they end as failed; attempts in progress are completed
)

// Destination is a destination as the API shows it, without write-only values.
type Destination struct {
	ID            string
	IntegrationID string
	URL           string
	IsActive      bool
	Pause         *DestinationPause // nil for an active one, or one that was never active
	Mode          DestinationMode
	Filter        string   // "" for all events
	Transform     string   // "" for the canonical event
	Headers       []string // only the names, sorted
	Auth          string   // only the type; none without a credential
	TLS           *DestinationTLSInfo
	Policy        DestinationPolicy

	TracePropagation bool

	Breaker   string // closed, open or half_open
	CreatedAt time.Time
	UpdatedAt time.Time
}

// DestinationPause says since when a destination is inactive, and why.
type DestinationPause struct {
	Since  clock.Time  `json:"since"`
	By     *string     `json:"by"`     // the credential that paused it
	Reason *string     `json:"reason"` // as it was given; null for none
	Until  *clock.Time `json:"until"`  // then it is resumed by itself; null for no end
}

// PauseOrder asks for a pause.
type PauseOrder struct {
	Until  *clock.Time `json:"until"`                    // in the future, and within 30 days
	Reason *string     `json:"reason" api:"chars=2-500"` // in the audit trail too
}

// NewDestination is a created destination, with its signing secret, which is shown only
// once.
type NewDestination struct {
	ID            string `json:"id"`
	SigningSecret string `json:"signingSecret"`
}

// DestinationTest asks for one request to a destination that is no delivery.
type DestinationTest struct {
	IntegrationID, DestinationID string
	Source, Provider             string // of the integration
	EventID                      string // of a stored event whose content is sent; "" for Payload
	EventType                    string // of Payload
	Payload                      []byte // a canonical event
}

// DestinationTested is the result of a DestinationTest.
type DestinationTested struct {
	DestinationID string            `json:"destinationId"`
	EventID       string            `json:"eventId"`   // that was sent, in webhook-id too: no event has it
	Received      bool              `json:"received"`  // the answer would end a delivery: 2xx
	Wanted        bool              `json:"wanted"`    // whether the destination's filter selects such an event
	Status        *int              `json:"status"`    // null if there was no answer
	Error         *string           `json:"error"`     // why it was not received
	ErrorKind     *string           `json:"errorKind"` // as of attempts
	DurationMS    int64             `json:"durationMs"`
	Headers       map[string]string `json:"headers"` // of the answer, an excerpt
	Body          string            `json:"body"`    // of the answer, its beginning
	SentAt        clock.Time        `json:"sentAt"`
}

// DestinationProbe is the result of asking for a probe.
type DestinationProbe struct {
	DestinationID string     `json:"destinationId"`
	Breaker       string     `json:"breaker" api:"enum=open|half_open"`
	ProbeAt       clock.Time `json:"probeAt"` // from then on the next job that waits is sent
}
