package ingestion

import (
	"context"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/testkit"
)

// filtering is a scheduler whose filters take long for the events of one source.
type filtering struct {
	Scheduler
	slow           string
	entered, letGo chan struct{}
	scheduled      chan contract.NewEvent
}

func (f *filtering) Route(_ context.Context, events []contract.NewEvent) {
	if events[0].Source == f.slow {
		f.entered <- struct{}{}
		<-f.letGo
	}
	events[0].Answers = []contract.FilterAnswer{{DestinationID: "of " + events[0].Source, Wanted: true}}
}

func (f *filtering) Schedule(ctx context.Context, tx *database.Tx, events []contract.NewEvent) ([]contract.Scheduled, error) {
	for _, e := range events {
		f.scheduled <- e
	}
	return f.Scheduler.Schedule(ctx, tx, events)
}

// Filters were asked in the commit, so that those of one source that took seconds held up
// every other source, with 503 after some.
func TestSlowFiltersOfOneSourceDelayNoOther(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		f := &filtering{slow: "globex", entered: make(chan struct{}), letGo: make(chan struct{}), scheduled: make(chan contract.NewEvent, 10)}
		g := setup(t, db, func(_ *Config, d *Deps) { f.Scheduler, d.Scheduler = d.Scheduler, f })
		const slow = committers + spawnThreshold + 1 // more than there are commits at a time
		answers := make(chan int, slow)
		for range slow {
			go func() { answers <- g.do(globexRequest(globexBody("same"), globexSecret)).Status }()
			<-f.entered
		}
		require.Equal(t, http.StatusAccepted, g.do(acmeRequest(acmeBody("e1"))).Status)
		e := <-f.scheduled
		require.Equal(t, "acme", e.Source)
		require.Equal(t, []contract.FilterAnswer{{DestinationID: "of acme", Wanted: true}}, e.Answers, "the commit has what the filters said")
		close(f.letGo)
		for range slow {
			require.Contains(t, []int{http.StatusAccepted, http.StatusOK}, <-answers)
		}
	})
}
