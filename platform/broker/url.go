package broker

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"
)

// urlParameters are the supported URL parameters. The client library also knows
// connection_timeout, but ignores it with a custom dialer, and ignores all others.
// https://www.rabbitmq.com/docs/uri-query-parameters
var urlParameters = []string{"auth_mechanism", "cacertfile", "certfile", "channel_max", "heartbeat", "keyfile", "server_name_indication"}

// checkURL finds what the client library would refuse or misread. Its errors quote only
// names of parameters, since a URL contains a password.
func checkURL(text string) error {
	malformed := errors.New("the URL is not of the form amqp://user:password@host:port/vhost")
	u, err := url.Parse(text)
	if err != nil {
		return malformed
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return malformed
	}
	for name := range query {
		if !slices.Contains(urlParameters, name) {
			return fmt.Errorf("the URL has a parameter %q, which has no effect; supported are %s", name, strings.Join(urlParameters, ", "))
		}
	}
	for _, name := range []string{"heartbeat", "channel_max"} {
		if !query.Has(name) {
			continue
		}
		alone := url.URL{Scheme: "amqp", Host: "h", RawQuery: url.Values{name: query[name]}.Encode()}
		if _, err := amqp.ParseURI(alone.String()); err != nil {
			return fmt.Errorf("the URL's %s must be a whole number from 0 to 65535", name)
		}
	}
	if strings.Contains(u.Host, ",") {
		return errors.New("the URL names several hosts; name one")
	}
	if _, err := amqp.ParseURI(text); err != nil {
		return malformed
	}
	return nil
}
