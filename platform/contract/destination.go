package contract

import (
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/secret"
)

// DestinationConfig is where an integration's events go and how. In a new destination
// nil stands for the default; in a change it leaves the value as it is. Headers, Auth and
// TLS are replaced as a whole.
type DestinationConfig struct {
	URL       *string            `json:"url"`
	Mode      *DestinationMode   `json:"mode"`
	Filter    *string            `json:"filter"`    // a CEL expression that says which events go there; "" for all
	Transform *string            `json:"transform"` // a CEL expression that gives the body; "" for the canonical event
	Headers   map[string]string  `json:"headers"`   // sent with each request; their values are write-only
	Auth      *DestinationAuth   `json:"auth"`
	TLS       *DestinationTLS    `json:"tls"`
	Policy    *DestinationPolicy `json:"policy"`
	IsActive  *bool              `json:"isActive"`
}

// DestinationMode says what a destination is sent.
type DestinationMode string

// The modes of a destination.
const (
	ModeCanonical DestinationMode = "canonical" // the canonical event, or what Transform makes of it
	ModeRaw       DestinationMode = "raw"       // the provider's body byte for byte, with the provider's own headers
)

// DestinationAuth is the credential that a destination asks for. It is write-only.
type DestinationAuth struct {
	Type         string       `json:"type"` // none, basic, bearer or oauth2 (client credentials, RFC 6749 section 4.4)
	Username     string       `json:"username"`
	Password     secret.Value `json:"password"`
	Token        secret.Value `json:"token"`
	TokenURL     string       `json:"tokenUrl"`
	ClientID     string       `json:"clientId"`
	ClientSecret secret.Value `json:"clientSecret"`
	Scopes       []string     `json:"scopes"`
}

// DestinationTLS is what a destination asks for beside a certificate of a well-known
// authority. Each is one or more blocks of PEM; empty ones take it away.
type DestinationTLS struct {
	CACertificate     string       `json:"caCertificate"`     // the authorities that its certificate may be of, in place of the machine's
	ClientCertificate string       `json:"clientCertificate"` // what is shown to it, with the certificates between it and the authority
	ClientKey         secret.Value `json:"clientKey"`         // of the first of these; write-only
}

// DestinationTLSInfo is what is shown of it.
type DestinationTLSInfo struct {
	CACertificates    []CertificateInfo `json:"caCertificates"`
	ClientCertificate *CertificateInfo  `json:"clientCertificate"`
	Warnings          []string          `json:"warnings"` // what ends within a month, or has ended
}

// CertificateInfo names a certificate.
type CertificateInfo struct {
	Subject   string     `json:"subject"`
	ExpiresAt clock.Time `json:"expiresAt"`
}

// DestinationPolicy overrides the gateway's defaults for one destination. In a change, 0
// takes the default again.
type DestinationPolicy struct {
	TimeoutMS     *int `json:"timeoutMs"`     // of one attempt
	MaxAttempts   *int `json:"maxAttempts"`   // in all, the first included
	RetryBaseMS   *int `json:"retryBaseMs"`   // wait after the first failure; doubles
	RetryCapMS    *int `json:"retryCapMs"`    // longest wait
	Concurrency   *int `json:"concurrency"`   // attempts under way in one process
	RatePerSecond *int `json:"ratePerSecond"` // attempts started per second in one process
}

// OpenJobs says what becomes of the deliveries that wait for a destination which is
// removed.
type OpenJobs string

// What becomes of open jobs.
const (
	FinishJobs OpenJobs = "finish" // they are made, retries included, also those that waited for an inactive destination or integration
	CancelJobs OpenJobs = "cancel" // they end as failed; what is under way ends by itself
)

// Destination is a destination as it is shown, without what is write-only.
type Destination struct {
	ID            string
	IntegrationID string
	URL           string
	IsActive      bool
	Mode          DestinationMode
	Filter        string   // "" for all events
	Transform     string   // "" for the canonical event
	Headers       []string // the names alone, sorted
	Auth          string   // the type alone; none without a credential
	TLS           *DestinationTLSInfo
	Policy        DestinationPolicy
	Breaker       string // closed, open or half_open
	CreatedAt     time.Time
	UpdatedAt     time.Time
}

// NewDestination is a destination that was made, with the signing secret that is shown
// this once.
type NewDestination struct {
	ID            string `json:"id"`
	SigningSecret string `json:"signingSecret"`
}
