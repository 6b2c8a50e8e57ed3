package delivery

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestADeliverySaysHowManyGatewaysItCameThrough(t *testing.T) {
	for mode, hops := range map[string]int{"canonical": 0, "raw": 3} {
		t.Run(mode, func(t *testing.T) {
			eachHarness(t, func(h *harness) {
				h.add(config(t, `{"url":"`+h.receiver.URL+`","mode":"`+mode+`"}`))
				event := h.accept()
				h.events.mu.Lock()
				e, o := h.events.payloads[event], h.events.originals[event]
				e.Hops, o.Headers = hops, []byte(`{"x-gateway-hops":["3"]}`) // the header as it came
				h.events.payloads[event], h.events.originals[event] = e, o
				h.events.mu.Unlock()
				h.run()
				got, _ := h.receives(event)
				require.Equal(t, []string{map[string]string{"canonical": "1", "raw": "4"}[mode]}, got.Header.Values("X-Gateway-Hops"))
			})
		})
	}
}
