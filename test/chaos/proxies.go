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

// proxies simulate network failures between the gateway and the servers.
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
			return nil, fmt.Errorf("start a proxy for %s: %w", server, err)
		}
	}
	return p, nil
}

// via returns a server's URL through its proxy.
func (p *proxies) via(server, direct string) string {
	u, err := url.Parse(direct)
	if err != nil {
		return direct
	}
	_, port, _ := net.SplitHostPort(p.each[server].Listen)
	u.Host = net.JoinHostPort("127.0.0.1", port)
	return u.String()
}

// addToxic adds a toxic in both directions, see https://github.com/Shopify/toxiproxy.
func (p *proxies) addToxic(server, toxic, attributes string) error {
	for _, stream := range []string{"upstream", "downstream"} {
		text := fmt.Sprintf(`{"name":"%s-%s","type":%q,"stream":%q,"attributes":%s}`, toxic, stream, toxic, stream, attributes)
		if _, err := p.each[server].Toxics.AddToxicJson(strings.NewReader(text)); err != nil {
			return fmt.Errorf("make the network to %s fail: %w", server, err)
		}
	}
	return nil
}

// cutServer closes every connection, and refuses new ones until reset.
func (p *proxies) cutServer(server string) {
	p.each[server].Stop()
	p.cut[server] = true
}

// reset repairs the network.
func (p *proxies) reset(ctx context.Context) error {
	for server, proxy := range p.each {
		proxy.Toxics.ResetToxics(ctx)
		if !p.cut[server] {
			continue
		}
		if err := proxy.Start(); err != nil {
			return fmt.Errorf("repair the network to %s: %w", server, err)
		}
		p.cut[server] = false
	}
	return nil
}
