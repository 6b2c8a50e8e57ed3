package provider

import "crypto/sha256"

var _ = register(shopify)

// shopify signs the raw body. One event may be sent under several topics, so its id is unique
// only together with the topic.
//
// https://shopify.dev/docs/apps/build/webhooks/subscribe/https
func shopify() Spec {
	return Spec{
		Name:  "shopify",
		Title: "Shopify",
		Help: "X-Shopify-Hmac-SHA256 is the HMAC-SHA256 of the body, keyed with the app's client secret. " +
			"Shopify waits 5 seconds, tries 8 times in 4 hours, and then removes a subscription that an app made.",
		Guide: Guide{
			Docs: "https://shopify.dev/docs/apps/build/webhooks/subscribe/https",
			Steps: []string{
				"For an app: subscribe to the topics in shopify.app.toml or by the API, with <URL> as the address; the secret is the app's client secret.",
				"For a shop alone: open Settings, then Notifications, then Webhooks, then Create webhook with <URL> and JSON; the secret stands below the list.",
			},
			Paste: "the app's client secret, or the secret shown under Settings, Notifications, Webhooks",
		},
		Verify: HMAC{Hash: sha256.New, Signed: Signed{Header: "X-Shopify-Hmac-Sha256", Encoding: Base64}},
		Events: Mapping{
			ID:   firstOf(joined(":", header("X-Shopify-Event-Id"), header("X-Shopify-Topic")), header("X-Shopify-Webhook-Id")),
			Type: header("X-Shopify-Topic"),
			Subject: firstOf(field("admin_graphql_api_id"), field("id"), field("customer.id"), field("fulfillment_order.id"),
				field("collection_listing.collection_id"), field("product_listing.product_id"), field("token"), field("shop_id")),
			Time: at(AnyTime, firstOf(header("X-Shopify-Triggered-At"), field("updated_at"), field("created_at"))),
		},
		Samples: []Sample{
			{
				Type:   "orders/create",
				Header: shopifyHeaders("orders/create"),
				Body:   `{"id":820982911946154508,"admin_graphql_api_id":"gid://shopify/Order/820982911946154508","email":"jon@example.com","total_price":"254.98","currency":"USD"}`,
			},
			{
				Type:   "products/update",
				Header: shopifyHeaders("products/update"),
				Body:   `{"id":788032119674292922,"admin_graphql_api_id":"gid://shopify/Product/788032119674292922","title":"Example T-Shirt","status":"active"}`,
			},
		},
	}
}

func shopifyHeaders(topic string) map[string]string {
	return map[string]string{
		"X-Shopify-Topic": topic, "X-Shopify-Event-Id": "$ID", "X-Shopify-Webhook-Id": "wh-$ID",
		"X-Shopify-Shop-Domain": "example.myshopify.com", "X-Shopify-Triggered-At": "$NOW",
	}
}
