package broker

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"

	"integration-gateway/platform/hostlist"
)

// urlParameters are the supported URL parameters. The client library also knows
// connection_timeout, but ignores it with a custom dialer, and ignores all others.
// https://www.rabbitmq.com/docs/uri-query-parameters
var urlParameters = []string{"auth_mechanism", "cacertfile", "certfile", "channel_max", "heartbeat", "keyfile", "server_name_indication"}

// checkURLs checks each URL of a list of hosts.
func checkURLs(text string) error {
	urls := hostlist.URLs(text)
	for _, one := range urls {
		if err := checkURL(one, len(urls) > 1); err != nil {
			return err
		}
	}
	return nil
}

// checkURL finds what the client library would refuse or misread. Its errors quote only
// names of parameters, since a URL contains a password.
func checkURL(text string, oneOfList bool) error {
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
	if oneOfList && u.Hostname() == "" { // the library would take localhost
		return errors.New("the URL has an empty host between commas; write amqp://user:password@host1:5672,host2:5672/vhost")
	}
	if _, err := amqp.ParseURI(text); err != nil {
		return malformed
	}
	return nil
}
