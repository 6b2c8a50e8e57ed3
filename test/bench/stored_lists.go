package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"integration-gateway/platform/clock"
)

// listQuery is a list to measure. middle says that the page is from the middle, by cursor.
type listQuery struct {
	path   string
	middle bool
}

// lists returns the lists of what every event leaves, with each documented filter and
// order: with a common value and, if possible, a rare one.
func lists() []listQuery {
	var all []listQuery
	for _, of := range []struct {
		path    string
		filters []string
	}{
		{"events", []string{
			"eventType=order.7", "source=acme", "provider=acme", "provider=github", "externalEventId=stored-5000", "correlationId=stored-5000",
			"subject=ord_", "subject=ord_5000", "subject=nobody", "status=processed", "status=failed", "status=retrying",
			"from=MIDDLE", "to=MIDDLE", "receivedFrom=MIDDLE", "receivedTo=MIDDLE",
			"sortOrder=asc", "sortBy=createdAt", "sortBy=occurredAt", "sortBy=status", "sortBy=status&sortOrder=asc",
		}},
		{"deliveries", []string{"status=success", "status=failed", "errorKind=http_status", "errorKind=dns", "eventId=EVENT", "destinationId=DESTINATION"}},
		{"audit-entries", []string{"action=event.queued", "action=integration.created", "entityType=webhook_event", "entityType=integration", "entityId=EVENT"}},
		{"dead-letters", []string{
			"kind=exhausted", "kind=refused", "status=open", "status=resolved", "source=acme", "source=globex", "provider=acme", "provider=github",
			"eventType=order.10", "eventType=order.lost", "eventId=EVENT", "destinationId=DESTINATION", "from=MIDDLE", "to=MIDDLE",
		}},
		{"replay-requests", []string{"eventId=EVENT", "status=completed", "status=failed", "status=queued"}},
	} {
		all = append(all, listQuery{path: of.path + "?pageSize=20"}, listQuery{path: of.path + "?pageSize=20", middle: true})
		for _, filter := range of.filters {
			all = append(all, listQuery{path: of.path + "?pageSize=20&" + filter})
		}
	}
	return all
}

func (l listQuery) String() string {
	if l.middle {
		return "/" + l.path + ", from the middle by cursor"
	}
	return "/" + l.path
}

// pageTime is how long requests of one page took. Where the machine disturbs a few of them, the median says what the page costs.
type pageTime struct{ p50, p95 time.Duration }

func (t pageTime) String() string { return millis(t.p50) + " / " + millis(t.p95) + " ms" }

// timeList requests a page many times.
func (g *gateway) timeList(ctx context.Context, l listQuery, names *strings.Replacer, stored int) (t pageTime, err error) {
	path := names.Replace(l.path)
	if l.middle {
		_, before, err := g.page(ctx, fmt.Sprintf("%s&page=%d", strings.Replace(l.path, "pageSize=20", "pageSize=100", 1), stored/200))
		if err != nil {
			return t, err
		}
		path += "&cursor=" + url.QueryEscape(before.Meta.NextCursor)
	}
	var all []time.Duration
	for begun := clock.System(); len(all) < listRequests && clock.System().Sub(begun) < listTime; {
		took, _, err := g.page(ctx, path)
		if err != nil {
			return t, err
		}
		all = append(all, took)
	}
	slices.Sort(all)
	return pageTime{all[len(all)/2], all[len(all)*95/100]}, nil
}

// listPage is the part of a page that the benchmark reads.
type listPage struct {
	Data []struct {
		ID            string `json:"id"`
		OccurredAt    string `json:"occurredAt"`
		DestinationID string `json:"destinationId"`
	} `json:"data"`
	Meta struct {
		NextCursor string `json:"nextCursor"`
	} `json:"meta"`
}

func (g *gateway) page(ctx context.Context, path string) (took time.Duration, p listPage, err error) {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+g.addr+"/api/v1/"+path, nil)
	if err != nil {
		return 0, p, err
	}
	req.Header.Set("X-Internal-Api-Key", managementKey)
	from := clock.System()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, p, err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	took = clock.System().Sub(from)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("GET %s: %d %s", path, res.StatusCode, text)
	}
	if err == nil {
		err = json.Unmarshal(text, &p)
	}
	return took, p, err
}
