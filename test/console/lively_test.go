package console

import (
	"fmt"
	"net/http"
)

// lively fills a gateway with what a day leaves: several sources, failures, a breaker, dead
// letters, quarantine and a replay. It returns the ids of events by what became of them.
func lively(g *gateway) map[string]string {
	g.t.Helper()
	g.source("shop-eu", "Shop Europe", "/orders", "/warehouse")
	g.source("billing", "Billing", "/invoices")
	g.source("newsletter", "Newsletter", "/mail")
	g.source("quiet", "Not yet connected", "/quiet")
	g.call(http.MethodPost, "/api-keys", map[string]any{"name": "ada", "role": "operator"}, nil)
	g.call(http.MethodPost, "/api-keys", map[string]any{"name": "shop-support", "role": "viewer", "sources": []string{"shop-eu"}, "expiresAt": "2099-01-01T00:00:00Z"}, nil)
	ids := map[string]string{}
	types := []string{"order.created", "order.paid", "order.shipped", "order.cancelled"}
	people := []string{"ada", "grace", "edsger", "barbara", "donald"}
	for i := range 24 {
		ids["delivered"] = g.send("shop-eu", webhook{ID: fmt.Sprintf("evt_shop_%04d", 1000+i), Type: types[i%len(types)], Subject: fmt.Sprintf("ord_%d", 700+i),
			Data: map[string]any{"id": fmt.Sprintf("ord_%d", 700+i), "total": "19.90", "customer": map[string]any{"name": people[i%len(people)], "vip": i%3 == 0}, "items": []int{1, 2, 3}}})
	}
	for i := range 9 {
		g.send("billing", webhook{ID: fmt.Sprintf("in_%04d", 40+i), Type: "invoice.paid", Subject: fmt.Sprintf("inv_%d", 40+i), Correlation: "batch-2026-11"})
	}
	g.ends(ids["delivered"], "processed")
	g.fail("/warehouse", true)
	g.fail("/mail", true)
	var failing []string
	for i := range 4 {
		ids["failed"] = g.send("shop-eu", webhook{ID: fmt.Sprintf("evt_shop_%04d", 2000+i), Type: "order.created", Subject: fmt.Sprintf("ord_%d", 900+i),
			Data: map[string]any{"id": fmt.Sprintf("ord_%d", 900+i), "total": "249.00", "big": 1, "customer": map[string]any{"name": "linus"}}})
		failing = append(failing, ids["failed"])
	}
	for i := range 12 {
		g.send("newsletter", webhook{ID: fmt.Sprintf("mail_%02d", i), Type: "contact.subscribed", Subject: people[i%len(people)] + "@example.com"})
	}
	for _, id := range failing {
		g.ends(id, "failed")
	}
	g.fail("/warehouse", false)
	for i := range 5 {
		g.send("billing", webhook{ID: fmt.Sprintf("forged_%d", i), Type: "invoice.paid", Subject: "inv_1", Forged: true})
	}
	g.send("shop-eu", webhook{ID: "evt_shop_forged", Type: "order.created", Subject: "ord_1", Forged: true})
	g.until("the quarantine is stored", func() bool {
		var kept []struct{}
		g.call(http.MethodGet, "/quarantine", nil, &kept)
		return len(kept) == 6
	})
	var replay struct {
		ID string `json:"id"`
	}
	g.call(http.MethodPost, "/replays", map[string]any{"filter": map[string]any{"source": "billing"}, "reason": "the ledger lost its last hour", "requestedBy": "ada"}, &replay)
	ids["replay"] = replay.ID
	return ids
}
