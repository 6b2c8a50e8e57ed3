package provider

import (
	"fmt"
	"time"

	"integration-gateway/platform/fault"
)

// Options are what an integration says about its use of a provider.
type Options struct {
	// PublicURL is the webhook's URL as the provider has it, where the provider signs it.
	PublicURL string `json:"publicUrl,omitempty"`
	// ToleranceSeconds is how far a signed timestamp may be off, either way; nil for the
	// provider's default, 0 for any.
	ToleranceSeconds *int `json:"toleranceSeconds,omitempty"`
	// ConfirmSubscriptions lets the gateway open the page by which a provider's subscription
	// is confirmed (aws-sns); otherwise an operator opens it.
	ConfirmSubscriptions bool `json:"confirmSubscriptions,omitempty"`
	// Generic is the definition of a provider of one's own, for the provider generic.
	Generic *Definition `json:"generic,omitempty"`
}

// maxTolerance is the longest that a signed request may have been under way.
const maxTolerance = 30 * 24 * time.Hour

// Configure gives the provider of that name as an integration with these options uses
// it. Its errors are fault.Invalid and name the option.
func (r Registry) Configure(name string, o Options) (Spec, error) {
	s, ok := r.specs[name]
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
		return Spec{}, wrongOption("generic", "The provider %s has a definition of its own; only generic takes one.", name)
	}
	return s.with(o)
}

// with is the spec under options.
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
		}
		s.Tolerance = time.Duration(*t) * time.Second
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

// OptionsHelp lists the options that mean something to the provider.
func (s Spec) OptionsHelp() []OptionHelp {
	var list []OptionHelp
	if s.Name == genericName {
		list = append(list, OptionHelp{"generic", "The definition: how requests are proved, and where the event's id, type, subject and time stand."})
	}
	if s.SignsURL {
		list = append(list, OptionHelp{"publicUrl", "The webhook's URL exactly as the provider has it, which it signs; without it PUBLIC_BASE_URL and the path."})
	}
	if s.timed() {
		help := "How many seconds the signed time may be off, either way; without it any."
		if s.Tolerance > 0 {
			help = fmt.Sprintf("How many seconds the signed time may be off, either way; without it %d, and 0 for any.", int(s.Tolerance.Seconds()))
		}
		list = append(list, OptionHelp{"toleranceSeconds", help})
	}
	if s.Confirms {
		list = append(list, OptionHelp{"confirmSubscriptions", "true lets the gateway confirm subscriptions by itself; otherwise an operator opens the page named in the audit entry webhook.handshake."})
	}
	return list
}

// timed reports whether the provider's requests say when they were signed.
func (s Spec) timed() bool {
	if s.Tolerance > 0 {
		return true
	}
	v, ok := s.Verify.(interface{ timed() bool })
	return ok && v.timed()
}
