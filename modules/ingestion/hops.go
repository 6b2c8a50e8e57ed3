package ingestion

import (
	"net/http"
	"strconv"
	"strings"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/fault"
)

// maxHops is how many gateways a webhook may pass through: enough for regional, central and
// team gateways. A destination that leads back to its own source would otherwise turn every
// delivery into a new event, endlessly.
const maxHops = 5

// hopsOf reads how many gateways a webhook passed through. If a proxy has repeated the
// header, the highest value counts. The header proves nothing and needs no signature.
func hopsOf(header http.Header) (int, error) {
	most := 0
	for _, value := range header.Values(contract.HopsHeader) {
		hops, err := strconv.ParseUint(strings.TrimSpace(value), 10, 16)
		if err != nil {
			return 0, fault.Invalid.New("malformed_hops", "The header %s must be a number. Omit it: only gateways set it.",
				contract.HopsHeader).At(contract.HopsHeader)
		}
		most = max(most, int(hops))
	}
	if most >= maxHops {
		return 0, fault.Invalid.New("too_many_hops", "The webhook passed through %d gateways, and at most %d are allowed. A destination leads back to a source: point it elsewhere.",
			most, maxHops-1).At(contract.HopsHeader)
	}
	return most, nil
}
