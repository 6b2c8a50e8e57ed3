package demo

import "integration-gateway/platform/provider"

// The payloads have the form of their providers' documents, and invented content.

var payments = []provider.Sample{
	{Type: "payment_intent.succeeded", Body: `{"id":"evt_$ID","object":"event","api_version":"2025-03-31.basil","created":$UNIX,"type":"payment_intent.succeeded","livemode":false,"pending_webhooks":1,"request":{"id":"req_$SHA","idempotency_key":"$ID"},"data":{"object":{"id":"pi_$SHA","object":"payment_intent","amount":$CENTS,"amount_received":$CENTS,"currency":"eur","status":"succeeded","receipt_email":"$MAIL","metadata":{"order":"$NUMBER"}}}}`},
	{Type: "charge.refunded", Body: `{"id":"evt_$ID","object":"event","api_version":"2025-03-31.basil","created":$UNIX,"type":"charge.refunded","livemode":false,"data":{"object":{"id":"ch_$SHA","object":"charge","amount":$CENTS,"amount_refunded":$CENTS,"currency":"eur","refunded":true,"reason":"requested_by_customer","billing_details":{"name":"$NAME","email":"$MAIL"}}}}`},
	{Type: "customer.created", Body: `{"id":"evt_$ID","object":"event","api_version":"2025-03-31.basil","created":$UNIX,"type":"customer.created","livemode":false,"data":{"object":{"id":"cus_$WHO","object":"customer","name":"$NAME","email":"$MAIL","preferred_locales":["en","de"]}}}`},
	{Type: "invoice.payment_failed", Body: `{"id":"evt_$ID","object":"event","api_version":"2025-03-31.basil","created":$UNIX,"type":"invoice.payment_failed","livemode":false,"data":{"object":{"id":"in_$SHA","object":"invoice","customer":"cus_$WHO","amount_due":$CENTS,"currency":"eur","attempt_count":2,"last_finalization_error":null}}}`},
}

var storefront = []provider.Sample{
	shopify("orders/create", `{"id":$LONG,"admin_graphql_api_id":"gid://shopify/Order/$LONG","name":"#$NUMBER","created_at":"$NOW","email":"$MAIL","currency":"EUR","total_price":"$TOTAL","financial_status":"paid","customer":{"id":$WHO,"first_name":"$NAME"},"line_items":[{"sku":"MUG-11","title":"Mug, blue","quantity":2,"price":"11.90"},{"sku":"TEE-M","title":"T-shirt, M","quantity":1,"price":"24.00"}],"note":null}`),
	shopify("orders/paid", `{"id":$LONG,"admin_graphql_api_id":"gid://shopify/Order/$LONG","name":"#$NUMBER","created_at":"$NOW","email":"$MAIL","currency":"EUR","total_price":"$TOTAL","financial_status":"paid","gateway":"card"}`),
	shopify("orders/fulfilled", `{"id":$LONG,"admin_graphql_api_id":"gid://shopify/Order/$LONG","name":"#$NUMBER","created_at":"$NOW","fulfillment_status":"fulfilled","tracking":{"carrier":"Post","number":"RR$NUMBER"}}`),
	shopify("products/update", `{"id":$LONG,"admin_graphql_api_id":"gid://shopify/Product/$LONG","title":"Mug, blue","status":"active","variants":[{"sku":"MUG-11","price":"11.90","inventory_quantity":42}]}`),
	shopify("orders/create", `{"id":$LONG,"admin_graphql_api_id":"gid://shopify/Order/$LONG","name":"#$NUMBER","created_at":"$NOW","email":"$MAIL","currency":"EUR","total_price":"$TOTAL","tags":"`+oversold+`","line_items":[{"sku":"MUG-11","title":"Mug, blue","quantity":60,"price":"11.90"}]}`),
}

var engineering = []provider.Sample{
	github("push", `{"ref":"refs/heads/main","before":"0000000","after":"$SHA","repository":{"id":186853002,"full_name":"$REPO"},"pusher":{"name":"$NAME","email":"$MAIL"},"commits":[{"id":"$SHA","message":"$TITLE","author":{"name":"$NAME"}}]}`),
	github("pull_request", `{"action":"opened","number":$NUMBER,"pull_request":{"id":$LONG,"title":"$TITLE","state":"open","draft":false,"additions":41,"deletions":7},"repository":{"id":186853002,"full_name":"$REPO"},"sender":{"login":"$MAIL"}}`),
	github("workflow_run", `{"action":"completed","workflow_run":{"id":$LONG,"name":"ci","conclusion":"success","run_number":$NUMBER,"head_sha":"$SHA"},"repository":{"id":186853002,"full_name":"$REPO"},"sender":{"login":"$MAIL"}}`),
}

var support = []provider.Sample{
	{Type: "zen:event-type:ticket.created", Body: `{"account_id":22129848,"detail":{"id":"$NUMBER","subject":"Where is my order?","priority":"normal","status":"new","requester_id":"$WHO"},"event":{},"id":"$ID","subject":"zen:ticket:$NUMBER","time":"$NOW","type":"zen:event-type:ticket.created","zendesk_event_version":"2022-06-20"}`},
	{Type: "zen:event-type:ticket.status_changed", Body: `{"account_id":22129848,"detail":{"id":"$NUMBER","status":"solved","requester_id":"$WHO"},"event":{"current":"SOLVED","previous":"OPEN"},"id":"$ID","subject":"zen:ticket:$NUMBER","time":"$NOW","type":"zen:event-type:ticket.status_changed","zendesk_event_version":"2022-06-20"}`},
	{Type: "zen:event-type:user.created", Body: `{"account_id":22129848,"detail":{"id":"$WHO","email":"$MAIL","name":"$NAME","role":"end-user"},"event":{},"id":"$ID","subject":"zen:user:$WHO","time":"$NOW","type":"zen:event-type:user.created","zendesk_event_version":"2022-06-20"}`},
	{Type: "zen:event-type:user.deleted", Body: `{"account_id":22129848,"detail":{"id":"$WHO","email":"$MAIL","state":"` + closed + `"},"event":{},"id":"$ID","subject":"zen:user:$WHO","time":"$NOW","type":"zen:event-type:user.deleted","zendesk_event_version":"2022-06-20"}`},
}

var workspace = []provider.Sample{
	{Type: "app_mention", Body: `{"token":"verification","team_id":"T123ABC456","api_app_id":"A123ABC456","event":{"type":"app_mention","user":"U$WHO","text":"<@U0LAN0Z89> deploy $REPO","ts":"$UNIX.000016","channel":"C123ABC456","event_ts":"$UNIX000016"},"type":"event_callback","event_id":"Ev$ID","event_time":$UNIX}`},
	{Type: "reaction_added", Body: `{"token":"verification","team_id":"T123ABC456","api_app_id":"A123ABC456","event":{"type":"reaction_added","user":"U$WHO","reaction":"tada","item":{"type":"message","channel":"C123ABC456","ts":"$UNIX.000016"},"event_ts":"$UNIX000016"},"type":"event_callback","event_id":"Ev$ID","event_time":$UNIX}`},
}

func shopify(topic, body string) provider.Sample {
	return provider.Sample{Type: topic, Body: body, Header: map[string]string{"X-Shopify-Topic": topic, "X-Shopify-Event-Id": "$ID", "X-Shopify-Webhook-Id": "$ID",
		"X-Shopify-Shop-Domain": "mugs-and-more.myshopify.com", "X-Shopify-API-Version": "2025-04", "X-Shopify-Triggered-At": "$NOW"}}
}

func github(event, body string) provider.Sample {
	return provider.Sample{Type: event, Body: body, Header: map[string]string{"X-GitHub-Event": event, "X-GitHub-Delivery": "$ID"}}
}
