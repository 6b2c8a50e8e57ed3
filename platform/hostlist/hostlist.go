// Package hostlist reads URLs that name several servers.
package hostlist

import "strings"

// URLs returns one URL for each host of a list such as amqp://u:p@a:5672,b:5672/vhost, in
// its order. All else is the same in each. A text without a list is returned as it is.
func URLs(text string) []string {
	scheme, rest, _ := strings.Cut(text, "://")
	end := strings.IndexAny(rest+"/", "/?#")
	at := strings.LastIndexByte(rest[:end], '@') + 1
	if !strings.Contains(rest[at:end], ",") {
		return []string{text}
	}
	var urls []string
	for host := range strings.SplitSeq(rest[at:end], ",") {
		urls = append(urls, scheme+"://"+rest[:at]+host+rest[end:])
	}
	return urls
}
