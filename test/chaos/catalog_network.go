package main

import (
	"context"
	"errors"
	"time"
)

// networkScenarios put Shopify's toxiproxy between the gateway and its servers.
func networkScenarios() []scenario {
	list := []scenario{{name: "network-slow", about: "every server has a latency of 200 ms for six seconds", proxied: true,
		inject: withToxic(6*time.Second, "latency", `{"latency":100,"jitter":10}`, everyServer...)}}
	for _, server := range everyServer {
		list = append(list,
			scenario{name: "network-reset-" + server, about: "connections to " + server + " are reset repeatedly for four seconds",
				proxied: true, accepts: server != postgres, duplicates: server == postgres,
				inject: withToxic(4*time.Second, "reset_peer", `{"timeout":300}`, server)},
			scenario{name: "network-cut-" + server, about: "the network to " + server + " is cut for five seconds",
				proxied: true, accepts: server != postgres, refuses: server == postgres, duplicates: server == postgres,
				inject: withCut(5*time.Second, server)},
			scenario{name: "network-hung-" + server, about: "the network to " + server + " swallows everything for fifteen seconds",
				proxied: true, accepts: server != postgres, refuses: server == postgres, duplicates: server == postgres,
				inject: withToxic(15*time.Second, "timeout", `{"timeout":0}`, server)},
		)
	}
	return list
}

func withToxic(d time.Duration, toxic, attributes string, list ...string) func(context.Context, *run) error {
	return func(ctx context.Context, r *run) error {
		r.faultBegan()
		defer r.faultEnded()
		for _, server := range list {
			if err := r.proxies.addToxic(server, toxic, attributes); err != nil {
				return err
			}
		}
		return errors.Join(sustain(ctx, d), r.proxies.reset(context.WithoutCancel(ctx)))
	}
}

func withCut(d time.Duration, server string) func(context.Context, *run) error {
	return func(ctx context.Context, r *run) error {
		r.faultBegan()
		defer r.faultEnded()
		r.proxies.cutServer(server)
		return errors.Join(sustain(ctx, d), r.proxies.reset(context.WithoutCancel(ctx)))
	}
}
