package follow

import (
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/contract"
)

// kinds empties a client's buffer.
func (c *client) kinds() (list []string) {
	for len(c.messages) > 0 {
		list = append(list, (<-c.messages).kind)
	}
	return list
}

func TestAClientOfASampleIsToldOnceAPollThatThereWasMore(t *testing.T) {
	f := setup(t, Config{})
	sampled, all := &client{messages: make(chan *message, 100), most: 2, left: 2}, &client{messages: make(chan *message, 100)}
	p := &poller{m: f.m, seen: map[string]bool{}}
	f.m.poller, f.m.clients = p, map[*client]bool{sampled: true, all: true}
	of := func(n int) (list []*message) {
		for range n {
			list = append(list, &message{kind: kindStatus})
		}
		return list
	}
	for range 2 {
		p.begin()
		p.publish(of(2))
		require.Equal(t, []string{kindStatus, kindStatus}, sampled.kinds(), "all of them")
		p.publish(of(1))
		p.publish(of(3))
		require.Equal(t, []string{kindMore}, sampled.kinds())
		require.Len(t, all.kinds(), 6, "who did not ask for a sample gets all")
	}
	p.publish([]*message{{position: "1"}})
	require.Equal(t, []string{""}, sampled.kinds(), "positions are no messages")
}

func TestASampleReadsTheNewestRowsAlone(t *testing.T) {
	f := setup(t, Config{})
	const many = 200
	var rows []contract.TrailRow
	for range many {
		rows = append(rows, contract.TrailRow{ID: f.commit(0, "event.failed", "acme")})
	}
	sampled := &client{messages: make(chan *message, many), most: 3, left: 3}
	p := &poller{m: f.m, seen: map[string]bool{}}
	f.m.poller, f.m.clients = p, map[*client]bool{sampled: true}
	require.NoError(t, p.show(t.Context(), rows))
	require.Equal(t, kindMore, (<-sampled.messages).kind)
	for _, r := range rows[many-3:] {
		require.Equal(t, r.ID, (<-sampled.messages).id)
	}
	require.Empty(t, sampled.messages)
	require.Len(t, p.seen, many, "what was left out is not shown later")

	p.begin()
	whole := &client{messages: make(chan *message, many)}
	f.m.clients[whole] = true
	clear(p.seen)
	require.NoError(t, p.show(t.Context(), rows))
	require.Len(t, whole.kinds(), many, "unless somebody follows all")
}

func TestASampleIsAskedForInTheRequest(t *testing.T) {
	f := setup(t, Config{})
	c := f.follow(managementKey, "", "?perSecond=1000")
	require.Equal(t, f.commit(0, "event.failed", "acme"), c.entry())
	for _, wrong := range []string{"0", "1", "1001", "all"} {
		answer, _ := f.request(managementKey, "", "?perSecond="+wrong)
		require.Equal(t, 400, answer.StatusCode, wrong)
	}
	require.Equal(t, 0, f.m.perPoll(0))
	f.m.cfg.Every = 500_000_000
	require.Equal(t, []int{1, 10, 500}, []int{f.m.perPoll(2), f.m.perPoll(20), f.m.perPoll(1000)})
}
