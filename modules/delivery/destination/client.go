package destination

import (
	"context"
	"net/http"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/egress"
)

// Client makes requests to destinations.
type Client struct {
	sender Sender
	tokens *tokens
}

// NewClient makes a client with no tokens yet.
func NewClient(sender Sender, now clock.Now) *Client {
	return &Client{sender, newTokens(sender, now)}
}

// Do sends req with the destination's credential. A token that it does not accept
// is not used again.
func (c *Client) Do(ctx context.Context, d *Destination, req *http.Request) (egress.Response, error) {
	switch d.auth.kind() {
	case authBasic:
		req.SetBasicAuth(d.auth.Username, d.auth.Password)
	case authBearer:
		req.Header.Set("Authorization", "Bearer "+d.auth.Token)
	case authOAuth:
		token, err := c.tokens.get(ctx, d)
		if err != nil {
			return egress.Response{}, TokenError{err}
		}
		token.SetAuthHeader(req)
		answer, err := c.sender.Do(req, d.trust())
		if err == nil && answer.Status == http.StatusUnauthorized {
			c.tokens.drop(ctx, d, token)
		}
		return answer, err
	}
	return c.sender.Do(req, d.trust())
}
