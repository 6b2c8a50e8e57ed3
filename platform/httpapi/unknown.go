package httpapi

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"integration-gateway/platform/strictjson"
)

// refuseUnknown refuses parameters that the Spec does not list, and those given twice, of
// which only the first would count.
func (q *Query) refuseUnknown() {
	var known []string
	for _, p := range q.spec.Query {
		known = append(known, p.Name)
	}
	for _, name := range slices.Sorted(maps.Keys(q.values)) {
		switch {
		case !slices.Contains(known, name):
			q.fail(shownName(name), "%s", strictjson.DidYouMean("is not a parameter of this route", name, known))
		case len(q.values[name]) > 1:
			q.fail(name, "must be given once")
		}
	}
}

// shownName makes a name from a request fit for an answer.
func shownName(name string) string {
	const most = 100
	if name = strings.ToValidUTF8(name, "?"); !Printable(name) || name == "" || len(name) > most {
		return strconv.QuoteToASCII(name[:min(len(name), most)])
	}
	return name
}
