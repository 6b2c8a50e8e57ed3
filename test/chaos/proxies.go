package main

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// proxies stand between the gateway and the servers, to be the network that fails.
type proxies struct {
	servers *servers
	each    map[string]*toxiproxy.Proxy
	cut     map[string]bool
}

func newProxies(s *servers) (*proxies, error) {
	p := &proxies{servers: s, each: map[string]*toxiproxy.Proxy{}, cut: map[string]bool{}}
	api := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	for _, server := range everyServer {
		u, err := url.Parse(s.urls[server])
		if err != nil {
			return nil, fmt.Errorf("the URL of %s: %w", server, err)
		}
		p.each[server] = toxiproxy.NewProxy(api, server, "127.0.0.1:0", u.Host)
		if err := p.each[server].Start(); err != nil {
			return nil, fmt.Errorf("a proxy for %s: %w", server, err)
		}
	}
	return p, nil
}

// through is a server's URL by way of its proxy.
func (p *proxies) through(server, direct string) string {
	u, err := url.Parse(direct)
	if err != nil {
		return direct
	}
	_, port, _ := net.SplitHostPort(p.each[server].Listen)
	u.Host = net.JoinHostPort("127.0.0.1", port)
	return u.String()
}

// poison adds a toxic, in both directions, as https://github.com/Shopify/toxiproxy
// describes it.
func (p *proxies) poison(server, toxic, attributes string) error {
	for _, stream := range []string{"upstream", "downstream"} {
		text := fmt.Sprintf(`{"name":"%s-%s","type":%q,"stream":%q,"attributes":%s}`, toxic, stream, toxic, stream, attributes)
		if _, err := p.each[server].Toxics.AddToxicJson(strings.NewReader(text)); err != nil {
			return fmt.Errorf("make the network to %s fail: %w", server, err)
		}
	}
	return nil
}

// sever closes every connection, and refuses new ones until reset.
func (p *proxies) sever(server string) {
	p.each[server].Stop()
	p.cut[server] = true
}

// reset makes the network whole.
func (p *proxies) reset(ctx context.Context) error {
	for server, proxy := range p.each {
		proxy.Toxics.ResetToxics(ctx)
		if !p.cut[server] {
			continue
		}
		if err := proxy.Start(); err != nil {
			return fmt.Errorf("bring back the network to %s: %w", server, err)
		}
		p.cut[server] = false
	}
	return nil
}
