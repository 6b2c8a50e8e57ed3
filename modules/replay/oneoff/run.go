package oneoff

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/failpoint"
	"integration-gateway/platform/id"
	"integration-gateway/platform/secret"
)

const (
	roundTimeout  = 15 * time.Second
	recordTimeout = 15 * time.Second
	mostURLs      = 1000 // that a process looks at
)

// due is a claimed request.
type due struct {
	ID           string `db:"id"`
	EventID      string `db:"normalized_event_id"`
	Renormalized bool   `db:"renormalized"`
	Attempts     int    `db:"attempts"` // before this one

	url    openURL
	secret secret.Value
	token  string
	until  time.Time // when the claim expires
}

// sending is what this process has under way.
type sending struct {
	mu    sync.Mutex
	byURL map[string]int
	all   int
	sends sync.WaitGroup
	freed chan struct{}
}

// Run sends what is due until ctx ends, and then finishes what is under way.
func (s *Sender) Run(ctx context.Context) error {
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	under := &sending{byURL: map[string]int{}, freed: make(chan struct{}, 1)}
	failing := false
	for ctx.Err() == nil {
		err := s.round(ctx, life, under)
		if err != nil && !failing && ctx.Err() == nil {
			s.d.Log.WarnContext(ctx, "sending replays to URLs failed; will retry", "error", err)
		}
		failing = err != nil
		under.wait(ctx, s.cfg.Look, failing)
	}
	stop := time.AfterFunc(s.cfg.Grace, end)
	defer stop.Stop()
	under.sends.Wait()
	return nil
}

// wait returns after a while, or once attempts have ended, unless the round failed.
func (u *sending) wait(ctx context.Context, d time.Duration, failed bool) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	freed := u.freed
	if failed {
		freed = nil
	}
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-freed:
	}
}

// room returns how many more attempts may begin to a URL. Few are not worth a query.
func (u *sending) room(urlID string, perURL, all int) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	n := min(perURL-u.byURL[urlID], all-u.all)
	if n < perURL/2 && u.byURL[urlID] > 0 {
		return 0
	}
	return n
}

func (u *sending) begin(urlID string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.byURL[urlID]++
	u.all++
	u.sends.Add(1)
}

func (u *sending) end(urlID string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.byURL[urlID]--; u.byURL[urlID] == 0 {
		delete(u.byURL, urlID)
	}
	u.all--
	u.sends.Done()
	select {
	case u.freed <- struct{}{}:
	default:
	}
}

// round claims what is due and begins to send it.
func (s *Sender) round(ctx, life context.Context, under *sending) error {
	ctx, cancel := context.WithTimeout(ctx, roundTimeout)
	defer cancel()
	var open []openURL
	if err := s.d.DB.Select(ctx, &open, selectOpenURLsSQL, id.Floor(time.UnixMilli(0)), mostURLs); err != nil {
		return fmt.Errorf("look for URLs: %w", err)
	}
	var errs []error
	for _, u := range open {
		n := under.room(u.ID, s.cfg.PerURL, s.cfg.All)
		if n <= 0 {
			continue
		}
		signing, err := s.d.Sealer.Open(place(u.ID), u.Secret)
		if err != nil {
			errs = append(errs, fmt.Errorf("open the signing secret of replay %s: %w", u.ID, err))
			continue
		}
		claimed, err := s.claim(ctx, u, n)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, d := range claimed {
			d.secret = signing
			under.begin(u.ID)
			go func() {
				defer under.end(u.ID)
				s.send(life, d)
			}()
		}
	}
	return errors.Join(errs...)
}

const claimSQL = `
UPDATE replay_requests
SET    claim_token = $1, due_at = $2
WHERE  id IN (SELECT id FROM replay_requests
              WHERE  url_id = $3 AND status = 'dispatched' AND due_at <= $4
              ORDER  BY due_at, id
              LIMIT  $5%s)
RETURNING id, normalized_event_id, renormalized, attempts`

func (s *Sender) claim(ctx context.Context, u openURL, n int) (list []due, err error) {
	token, until := id.New(), time.Time{}
	err = s.d.DB.InTx(ctx, func(tx *database.Tx) error {
		list, until = nil, tx.Now.Add(s.cfg.Claim)
		return tx.Select(ctx, &list, fmt.Sprintf(claimSQL, tx.Dialect.SkipLocked), token, until, u.ID, tx.Now, n)
	})
	if err != nil {
		return nil, fmt.Errorf("claim requests of replay %s: %w", u.ID, err)
	}
	for i := range list {
		list[i].url, list[i].token, list[i].until = u, token, until
	}
	return list, nil
}

// send makes an attempt and records it. An attempt without a result is due again at once.
func (s *Sender) send(life context.Context, d due) {
	sent, err := s.d.Deliveries.SendOnce(life, contract.SendOnce{EventID: d.EventID, URL: d.url.URL, Secret: d.secret,
		Renormalized: d.Renormalized, Attempt: d.Attempts + 1})
	failpoint.Hit(failpoint.AfterPost)
	r := result{due: d, sent: sent, unsent: err != nil}
	if err != nil && life.Err() == nil {
		s.d.Log.WarnContext(life, "could not send a replay to its URL; will retry", "event_id", d.EventID, "error", err)
	}
	for {
		_, err := s.results.Do(context.WithoutCancel(life), r)
		if err == nil {
			return
		}
		// Until the claim expires nobody else has the request.
		if !s.d.Now().Before(d.until) || !clock.Sleep(life, s.cfg.Look) {
			s.d.Log.WarnContext(life, "could not store the outcome of a replay; it will be sent again", "event_id", d.EventID, "error", err)
			return
		}
	}
}
