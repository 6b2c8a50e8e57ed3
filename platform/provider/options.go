package provider

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"time"

	"integration-gateway/platform/fault"
)

// Options are an integration's settings for its provider.
type Options struct {
	// PublicURL is the webhook's URL as entered at the provider, if the provider signs it.
	PublicURL string `json:"publicUrl,omitempty"`
	// ToleranceSeconds is how far a signed timestamp may be off, either way; nil for the
	// provider's default, 0 for any.
	ToleranceSeconds *int `json:"toleranceSeconds,omitempty"`
	// ConfirmSubscriptions lets the gateway open the page that confirms a subscription
	// (aws-sns); otherwise an operator opens it.
	ConfirmSubscriptions bool `json:"confirmSubscriptions,omitempty"`
	// Deduplication says which requests bring the same event again; nil for the provider's
	// own policy.
	Deduplication *Deduplication `json:"deduplication,omitempty"`
	// PossibleReplays is mark or quarantine: what becomes of a signed message that comes again
	// under another, unsigned id; "" for what is configured for all.
	PossibleReplays string `json:"possibleReplays,omitempty"`
	// DuplicateKeys is mark (the default), quarantine or ignore: what becomes of a body in which an
	// object has several members of one name.
	DuplicateKeys string `json:"duplicateKeys,omitempty"`
	// Schemas are JSON Schemas that events are checked against, each of one type, and one without a
	// type for all others.
	Schemas []EventSchema `json:"schemas,omitempty"`
	// Generic is the provider definition for the provider generic.
	Generic *Definition `json:"generic,omitempty"`
}

// maxTolerance bounds the tolerance for signed times.
const maxTolerance = 30 * 24 * time.Hour

// Configure returns the provider of that name under an integration's options. Its errors are
// fault.Invalid and name the option.
func (r Registry) Configure(name string, o Options) (Spec, error) {
	s, ok := r.all()[name]
	if !ok {
		return Spec{}, unknownProvider(name)
	}
	if name == genericName {
		if o.Generic == nil {
			return Spec{}, fault.Invalid.New("missing_option", "The provider generic needs a definition.").At("options.generic")
		}
		defined, err := o.Generic.spec(name, "options.generic")
		if err != nil {
			return Spec{}, err
		}
		defined.Title, defined.Help, defined.Guide, defined.Samples = s.Title, s.Help, s.Guide, s.Samples
		s = defined
	} else if o.Generic != nil {
		return Spec{}, wrongOption("generic", "The provider %s is already defined; only generic takes a definition.", name)
	}
	return s.with(o)
}

// WithPublicURL is the spec with the option publicUrl; "" for none.
func (s Spec) WithPublicURL(address string) (Spec, error) { return s.with(Options{PublicURL: address}) }

// KnowsURL reports whether the integration sets the URL that the provider signs.
func (s Spec) KnowsURL() bool { return s.options.PublicURL != "" }

// DuplicateKeys returns the integration's choice.
func (s Spec) DuplicateKeys() string { return cmp.Or(s.options.DuplicateKeys, MarkKeys) }

// What becomes of a body with duplicate keys.
const (
	MarkKeys       = "mark"
	QuarantineKeys = "quarantine"
	IgnoreKeys     = "ignore"
)

// What becomes of a possible replay.
const (
	MarkReplays       = "mark"
	QuarantineReplays = "quarantine"
)

// QuarantinesReplays reports whether the integration refuses possible replays and keeps them
// in quarantine; fallback is what is configured for all.
func (s Spec) QuarantinesReplays(fallback bool) bool {
	if s.options.PossibleReplays == "" {
		return fallback
	}
	return s.options.PossibleReplays == QuarantineReplays
}

// with applies options to the spec.
func (s Spec) with(o Options) (Spec, error) {
	if o.PublicURL != "" && !validURL(o.PublicURL) {
		return Spec{}, wrongOption("publicUrl", "It must be an address such as https://hooks.example.com/api/v1/webhooks/%s.", s.Name)
	}
	if t := o.ToleranceSeconds; t != nil {
		switch {
		case *t < 0 || time.Duration(*t) > maxTolerance/time.Second:
			return Spec{}, wrongOption("toleranceSeconds", "It must be from 0, which is for any, to %d.", maxTolerance/time.Second)
		case s.Tolerance == 0 && !s.timed():
			return Spec{}, wrongOption("toleranceSeconds", "The requests of %s have no signed time.", s.Name)
		case *t == 0 && s.nonce:
			return Spec{}, wrongOption("toleranceSeconds", "It must be above 0: %s has a nonce, which is remembered for as long as a request is accepted.", s.Name)
		}
		s.Tolerance = time.Duration(*t) * time.Second
	}
	if o.Deduplication != nil {
		var err error
		if s, err = s.deduplicate(*o.Deduplication, "options.deduplication"); err != nil {
			return Spec{}, err
		}
	}
	switch o.PossibleReplays {
	case "":
	case MarkReplays, QuarantineReplays:
		if !s.IDUnsigned() {
			return Spec{}, wrongOption("possibleReplays", "%s signs the ids of its events, or sends them in the signed body.", s.Title)
		}
	default:
		return Spec{}, wrongOption("possibleReplays", "%q is unknown; write mark or quarantine.", o.PossibleReplays)
	}
	if o.DuplicateKeys != "" && !slices.Contains([]string{MarkKeys, QuarantineKeys, IgnoreKeys}, o.DuplicateKeys) {
		return Spec{}, wrongOption("duplicateKeys", "%q is unknown; write mark, quarantine or ignore.", o.DuplicateKeys)
	}
	var err error
	if s.schemas, err = compileSchemas(o.Schemas); err != nil {
		return Spec{}, err
	}
	if o.ConfirmSubscriptions && !s.Confirms {
		return Spec{}, wrongOption("confirmSubscriptions", "The provider %s has no subscriptions to confirm.", s.Name)
	}
	s.options = o
	if o.ConfirmSubscriptions {
		answer := s.Handshake
		s.Handshake = func(req Request) *Reply {
			reply := answer(req)
			if reply != nil {
				reply.Visit = reply.Open != ""
			}
			return reply
		}
	}
	return s, nil
}

func wrongOption(name, format string, args ...any) error {
	return fault.Invalid.New("wrong_option", format, args...).At("options." + name)
}

// OptionHelp describes one option of a provider.
type OptionHelp struct {
	Name string `json:"name"`
	Help string `json:"help"`
}

// OptionsHelp lists the options that apply to the provider.
func (s Spec) OptionsHelp() []OptionHelp {
	var list []OptionHelp
	if s.Name == genericName {
		list = append(list, OptionHelp{"generic", "The definition: how requests are authenticated, and where to find the event's id, type, subject and time."})
	}
	if s.SignsURL {
		list = append(list, OptionHelp{"publicUrl", "The webhook's URL exactly as entered at the provider, which signs it. The default is PUBLIC_BASE_URL and the path. Production requires one of the two."})
	}
	if s.timed() {
		help := "How many seconds the signed time may be off, in either direction. By default any."
		if s.Tolerance > 0 {
			help = fmt.Sprintf("How many seconds the signed time may be off, in either direction. The default is %d; 0 accepts any.", int(s.Tolerance.Seconds()))
		}
		list = append(list, OptionHelp{"toleranceSeconds", help})
	}
	list = append(list, s.deduplicationHelp())
	if s.IDUnsigned() {
		list = append(list, OptionHelp{"possibleReplays", "What becomes of a signed message that comes again under another, unsigned id: mark or quarantine. The default is POSSIBLE_REPLAY_ACTION."})
	}
	list = append(list, OptionHelp{"duplicateKeys", "What becomes of a body in which an object has several members of one name, which some parsers read by the first and others by the last: mark (the default), quarantine or ignore."})
	list = append(list, OptionHelp{"schemas", "JSON Schemas that the data of events is checked against, by type; see [schemas](#schemas)."})
	if s.Confirms {
		list = append(list, OptionHelp{"confirmSubscriptions", "true lets the gateway confirm subscriptions. Otherwise an operator opens the page named in the audit entry webhook.handshake."})
	}
	return list
}

// timed reports whether the provider's requests have a signed time.
func (s Spec) timed() bool {
	return s.Tolerance > 0 || timedVerifier(s.Verify)
}

// validURL reports whether text is an absolute web address.
func validURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil && u.Fragment == ""
}
