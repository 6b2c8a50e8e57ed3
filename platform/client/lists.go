package client

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
)

// maxPage is the largest page of the API.
const maxPage = 100

// Page is a part of a list. Its items are as the API gave them.
type Page struct {
	Items []json.RawMessage
	Meta
}

// List reads at most limit items of a list by its cursors; 0 reads all of them. pages is
// called for each page, so that no list has to fit into memory; its error ends the reading.
func (c *Client) List(ctx context.Context, path string, query url.Values, limit int, pages func(Page) error) (Meta, error) {
	query = cloned(query)
	for read := 0; ; {
		size := maxPage
		if limit > 0 {
			size = min(size, limit-read)
		}
		query.Set("pageSize", strconv.Itoa(size))
		var p Page
		meta, err := c.Get(ctx, path, query, &p.Items)
		if err != nil {
			return meta, err
		}
		p.Meta = meta
		if err := pages(p); err != nil {
			return meta, err
		}
		read += len(p.Items)
		if meta.NextCursor == nil || len(p.Items) == 0 || limit > 0 && read >= limit {
			return meta, nil
		}
		query.Set("cursor", *meta.NextCursor)
	}
}

// Whole reads a list that is not paged.
func (c *Client) Whole(ctx context.Context, path string, query url.Values) ([]json.RawMessage, error) {
	var items []json.RawMessage
	_, err := c.Get(ctx, path, query, &items)
	return items, err
}

func cloned(query url.Values) url.Values {
	own := url.Values{}
	for name, values := range query {
		own[name] = append([]string(nil), values...)
	}
	return own
}

// Health reads the gateway's health, also where it is not well.
func (c *Client) Health(ctx context.Context) (json.RawMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	res, err := c.send(ctx, http.MethodGet, "/health", nil, nil, nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return nil, c.unreachable(err)
	}
	var answer envelope
	if err := json.Unmarshal(text, &answer); err != nil || answer.Data == nil {
		return nil, failure(res, answer)
	}
	return answer.Data, nil
}
