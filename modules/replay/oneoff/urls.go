package oneoff

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/secret"
	"integration-gateway/platform/standardwebhooks"
)

// The bytes of a signing secret's key, by the specification of Standard Webhooks.
const (
	shortestKey = 24
	longestKey  = 64
)

// Check returns what is wrong with the fields url and signingSecret of an order; without a url
// there must be no secret.
func (s *Sender) Check(address *string, signing *secret.Value) []fault.Field {
	wrong := func(field, message string) []fault.Field { return []fault.Field{{Field: field, Message: message}} }
	switch {
	case address == nil && signing != nil:
		return wrong("signingSecret", "belongs to url; give both or neither")
	case address == nil:
		return nil
	}
	faults := s.d.Deliveries.CheckURL("url", *address)
	if signing == nil {
		return append(faults, wrong("signingSecret", "is required with url: whsec_ and the base64 of 24 to 64 random bytes, which the receiver verifies with")...)
	}
	encoded, prefixed := strings.CutPrefix(signing.Reveal(), standardwebhooks.SecretPrefix)
	key, err := base64.StdEncoding.DecodeString(encoded)
	if !prefixed || err != nil || len(key) < shortestKey || len(key) > longestKey {
		return append(faults, wrong("signingSecret", "must be whsec_ and the base64 of 24 to 64 random bytes")...)
	}
	return faults
}

// Host is the part of a URL that the audit trail may hold: the rest may be a credential; "" for none.
func Host(text *string) string {
	if text == nil {
		return ""
	}
	u, err := url.Parse(*text)
	if err != nil {
		return ""
	}
	return u.Host
}

func place(urlID string) secret.Place {
	return secret.Place{Table: "replay_urls", Column: "signing_secret", Row: urlID}
}

const insertURLSQL = `
INSERT INTO replay_urls (id, url, signing_secret) VALUES ($1, $2, $3)`

// Add stores the URL of a bulk replay or a request, under its id.
func (s *Sender) Add(ctx context.Context, tx *database.Tx, urlID, address string, signing secret.Value) error {
	sealed, err := s.d.Sealer.Seal(place(urlID), signing)
	if err != nil {
		return fmt.Errorf("encrypt the signing secret: %w", err)
	}
	if _, err := tx.Exec(ctx, insertURLSQL, urlID, address, sealed); err != nil {
		return fmt.Errorf("store the URL of a replay: %w", err)
	}
	return nil
}

const eraseSecretsSQL = `
UPDATE replay_urls SET signing_secret = NULL WHERE id IN (SELECT id FROM v) AND signing_secret IS NOT NULL`

// Close erases the signing secrets of URLs to which nothing is left to send. Ids without a URL
// are no error.
func (s *Sender) Close(ctx context.Context, tx *database.Tx, urlIDs []string) error {
	if len(urlIDs) == 0 {
		return nil
	}
	if _, err := tx.ExecRows(ctx, database.IDs(urlIDs), eraseSecretsSQL); err != nil {
		return fmt.Errorf("erase the signing secrets of replays: %w", err)
	}
	return nil
}

// openURL is a URL to which something may be due.
type openURL struct {
	ID     string `db:"id"`
	URL    string `db:"url"`
	Secret string `db:"signing_secret"`
}

const selectOpenURLsSQL = `
SELECT id, url, signing_secret
FROM   replay_urls
WHERE  signing_secret IS NOT NULL AND id > $1
ORDER  BY id
LIMIT  $2`

// SealedRows returns the sealed secrets of URLs after an id.
func (s *Sender) SealedRows(ctx context.Context, after string, limit int) ([]contract.SealedRow, error) {
	var rows []openURL
	if err := s.d.DB.Select(ctx, &rows, selectOpenURLsSQL, after, limit); err != nil {
		return nil, fmt.Errorf("read the URLs of replays: %w", err)
	}
	list := make([]contract.SealedRow, len(rows))
	for i := range rows {
		list[i] = contract.SealedRow{ID: rows[i].ID, Of: "replay " + rows[i].ID, InUse: true, Texts: []*string{&rows[i].Secret}, Places: []secret.Place{place(rows[i].ID)}}
	}
	return list, nil
}

const replaceSealedSQL = `
UPDATE replay_urls
SET    signing_secret = v.signing_after
FROM   v
WHERE  replay_urls.id = v.id AND replay_urls.signing_secret = v.signing_before`

// ReplaceSealed replaces the sealed secrets that are unchanged.
func (s *Sender) ReplaceSealed(ctx context.Context, tx *database.Tx, rows []contract.Resealed) (int64, error) {
	v := database.NewRows("id uuid", "signing_before text", "signing_after text")
	for _, r := range rows {
		v.Add(r.ID, r.Before[0], r.After[0])
	}
	return tx.ExecRows(ctx, v, replaceSealedSQL)
}
