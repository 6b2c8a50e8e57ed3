package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/id"
	"integration-gateway/platform/testkit"
)

// randomEntry makes an entry of any kind: common or rare, of a new or an old entity or of
// none, with details of any form.
func randomEntry(chance *rand.Rand, entities []string) contract.AuditEntry {
	e := contract.AuditEntry{EntityType: contract.EntityNormalizedEvent, Actor: contract.ActorGateway}
	if e.Action = commonActions[chance.IntN(len(commonActions))]; chance.IntN(6) == 0 {
		e.Action = "event.retry_scheduled"
	}
	if e.EntityType = commonTypeOf(e.Action); chance.IntN(20) == 0 {
		e.EntityType = contract.EntityDestination
	}
	if chance.IntN(20) == 0 {
		e.Actor = contract.ActorCLI
	}
	if entity := entities[chance.IntN(len(entities))]; chance.IntN(20) > 0 {
		e.EntityID = &entity
	}
	details := []string{"", `{}`, `{"n":12345678901234567890}`, `{ "text" : "ü \u0000" }`, `{"half":"\ud800"}`, `{"quoted":"\"],[\"","more":[null,1]}`}
	e.Details = json.RawMessage(details[chance.IntN(len(details))])
	return e
}

// recordRandom records entries in calls of random sizes, some of them with bases of the past,
// and returns them as lists must show them, the newest first.
func (tr *trail) recordRandom(chance *rand.Rand, calls int) []entry {
	tr.t.Helper()
	made := noon
	base := func() string { made = made.Add(time.Second); return id.At(made) }
	var model []entry
	for range calls {
		entities := []string{id.At(made), id.At(made.Add(-59 * time.Second)), id.At(made.Add(-time.Hour)), id.At(made.Add(time.Minute)),
			"0f0e0d0c-0b0a-4908-8706-050403020100"}
		if len(model) > 0 && model[0].EntityID != nil {
			entities = append(entities, *model[0].EntityID)
		}
		entries := make([]contract.AuditEntry, []int{1, 1, 2, 3, 3, 5, 20, 20, placesPerBase, placesPerBase + 1, 2*placesPerBase + 5}[chance.IntN(11)])
		for i := range entries {
			entries[i] = randomEntry(chance, entities)
		}
		ids := []string{}
		require.NoError(tr.t, tr.db.InTx(tr.t.Context(), func(tx *database.Tx) error {
			return record(tr.t.Context(), tx, entries, func() string { ids = append(ids, base()); return ids[len(ids)-1] }, nil)
		}))
		for i, e := range entries {
			details, err := detailsText(e.Details)
			require.NoError(tr.t, err)
			model = append([]entry{{ID: placed(ids[i/placesPerBase], i%placesPerBase+1), EntityType: e.EntityType, EntityID: e.EntityID,
				Action: e.Action, Actor: e.Actor, Details: details}}, model...)
		}
	}
	return model
}

// plain removes what the model does not know.
func plain(entries []entry) []entry {
	entries = slices.Clone(entries)
	for i := range entries {
		entries[i].CreatedAt.Time = time.Time{}
	}
	return entries
}

// TestListsEqualAPlainModel records random entries and requires that each filter, page and
// cursor shows what one table of all entries would.
func TestListsEqualAPlainModel(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		seed := rand.Uint64()
		chance := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // a test
		tr := newTrail(t, db, testKey)
		model := tr.recordRandom(chance, 25)
		wants := []filter{{}, {entityID: id.At(noon)}, {actor: contract.ActorGateway}, {actor: contract.ActorGateway, action: "event.queued"}, {actor: "management-key"}, {actor: "nobody"}}
		for _, action := range append([]string{"event.retry_scheduled"}, commonActions...) {
			wants = append(wants, filter{action: action}, filter{entityType: contract.EntityNormalizedEvent, action: action})
		}
		for _, entityType := range []string{contract.EntityWebhookEvent, contract.EntityNormalizedEvent, contract.EntityDestination} {
			wants = append(wants, filter{entityType: entityType})
		}
		for range 6 {
			if e := model[chance.IntN(len(model))]; e.EntityID != nil {
				wants = append(wants, filter{entityID: *e.EntityID}, filter{entityID: *e.EntityID, action: e.Action}, filter{entityID: *e.EntityID, entityType: e.EntityType})
			}
		}
		for _, want := range wants {
			expected := []entry{}
			for _, e := range model {
				if want.matches(e) {
					expected = append(expected, e)
				}
			}
			size := []int{1, 7, 20, 100}[chance.IntN(4)]
			why := fmt.Sprintf("seed %d, %+v, pages of %d", seed, want, size)
			requirePages(t, db, want, size, expected, why)
		}
	})
}

// requirePages walks a list by cursor and visits some pages by number.
func requirePages(t *testing.T, db *database.DB, want filter, size int, expected []entry, why string) {
	t.Helper()
	walked := []entry{}
	page := database.Page{Number: 1, Size: size}
	for {
		list, err := readEntries(t.Context(), db, slog.New(slog.DiscardHandler), want, page)
		require.NoError(t, err, why)
		require.Equal(t, len(expected), list.Total, why)
		require.False(t, list.Estimated, why)
		walked = append(walked, plain(list.Items)...)
		if list.Next == nil || len(walked) > 4*size && len(walked) < len(expected)-4*size {
			require.True(t, list.Next != nil || len(walked) == len(expected), why)
			break
		}
		require.Len(t, list.Items, size, why)
		page = database.Page{Size: size, After: list.Next}
	}
	require.Equal(t, expected[:len(walked)], walked, why)
	last := (len(expected) + size - 1) / size
	for _, number := range []int{2, last/2 + 1, last, last + 1} {
		list, err := readEntries(t.Context(), db, slog.New(slog.DiscardHandler), want, database.Page{Number: max(number, 1), Size: size})
		require.NoError(t, err, why)
		from := min((max(number, 1)-1)*size, len(expected))
		require.Equal(t, expected[from:min(from+size, len(expected))], plain(list.Items), "page %d, %s", number, why)
		require.Equal(t, len(expected), list.Total, why)
		require.Equal(t, from+size < len(expected), list.Next != nil, why)
	}
}

// TestTheTrailOfGroupsIsExportedSealedAndProved requires that export, view and proof have
// every entry once.
func TestTheTrailOfGroupsIsExportedSealedAndProved(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		tr := newTrail(t, db, testKey)
		model := tr.recordRandom(rand.New(rand.NewPCG(rand.Uint64(), 2)), 30) //nolint:gosec // a test
		require.Equal(t, Proof{Holds: true, Waiting: len(model)}, tr.prove(ProofConfig{}))
		tr.seal(time.Hour)
		p := tr.prove(ProofConfig{})
		require.Equal(t, Proof{Holds: true, Seals: p.Seals, Entries: len(model), Head: p.Head}, p)
		require.Equal(t, len(model), tr.prove(ProofConfig{RetainedFrom: noon.Add(time.Hour)}).Entries)

		slices.Reverse(model)
		var out bytes.Buffer
		n, err := tr.Export(t.Context(), &out)
		require.NoError(t, err)
		require.Equal(t, len(model), n)
		var shown []entry
		require.NoError(t, db.Select(t.Context(), &shown,
			`SELECT id, entity_type, entity_id, action, actor, details, created_at FROM audit_trail ORDER BY id`))
		require.Len(t, shown, len(model))
		for i, line := range strings.Split(strings.TrimSpace(out.String()), "\n") {
			var e exported
			require.NoError(t, json.Unmarshal([]byte(withoutTime(line)), &e), line)
			require.Equal(t, model[i].ID, e.ID)
			require.JSONEq(t, model[i].Details, string(e.Details))
			require.NotNil(t, e.Seal)
			require.JSONEq(t, model[i].Details, shown[i].Details)
			shown[i].Details = model[i].Details
			require.Equal(t, model[i], plain(shown[i : i+1])[0])
		}
	})
}

// withoutTime removes the time, which only the gateway writes in this form.
func withoutTime(line string) string {
	before, _, _ := strings.Cut(line, `,"createdAt"`)
	return before + "}"
}

func TestTamperingWithAGroupIsFound(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		tr := newTrail(t, db, testKey)
		add := func(after time.Duration) string {
			base := id.At(noon.Add(after))
			webhook, event := id.At(noon.Add(after)), id.At(noon.Add(after))
			require.NoError(t, db.InTx(t.Context(), func(tx *database.Tx) error {
				return record(t.Context(), tx, []contract.AuditEntry{
					{EntityType: contract.EntityWebhookEvent, EntityID: &webhook, Action: "webhook.received", Actor: contract.ActorGateway},
					{EntityType: contract.EntityNormalizedEvent, EntityID: &event, Action: "event.queued", Actor: contract.ActorGateway},
				}, func() string { return base }, nil)
			}))
			return baseOf(base)
		}
		sealed := add(0)
		tr.seal(time.Minute)
		add(2 * time.Minute)
		tr.seal(20 * time.Minute)
		add(21 * time.Minute)
		tr.seal(40 * time.Minute)
		require.Equal(t, 6, tr.prove(ProofConfig{}).Entries)
		for column, value := range map[string]any{"received": 2, "normalized": 1, "queued": 0, "processed": 1, "entities": []byte("12345678"),
			"created_at": noon.Add(time.Hour), "entries": `[]`} {
			var was []group
			require.NoError(t, db.SelectRows(t.Context(), &was, database.IDs([]string{sealed}), selectGroupsSQL))
			tr.exec(`UPDATE audit_groups SET `+column+` = $2 WHERE id = $1`, sealed, value)
			require.Equal(t, []any{int64(1), sealed, breakChanged}, brokenAt(tr.prove(ProofConfig{})), column)
			tr.exec(`DELETE FROM audit_groups WHERE id = $1`, sealed)
			require.Equal(t, []any{int64(1), sealed, breakDeleted}, brokenAt(tr.prove(ProofConfig{})), column)
			require.Equal(t, 2, tr.prove(ProofConfig{RetainedFrom: noon.Add(time.Second)}).Removed)
			require.NoError(t, db.InTx(t.Context(), func(tx *database.Tx) error {
				rows := newGroupRows()
				g := was[0]
				rows.Add(g.ID, g.Received, g.Normalized, g.Queued, g.Processed, g.Entities, g.CreatedAt.Time, g.Entries)
				return tx.Insert(t.Context(), "audit_groups", rows)
			}))
			require.True(t, tr.prove(ProofConfig{}).Holds, "it is restored")
		}
		tr.exec(`INSERT INTO audit_entries (id, entity_type, action, actor, details, created_at) VALUES ($1, 'x', 'y', 'z', '{}', $2)`, sealed, noon)
		require.Equal(t, []any{int64(1), sealed, breakInserted}, brokenAt(tr.prove(ProofConfig{})), "a row with a group's id")
		tr.exec(`DELETE FROM audit_entries WHERE id = $1`, sealed)
		inserted := add(time.Second)
		require.Equal(t, []any{int64(2), inserted, breakInserted}, brokenAt(tr.prove(ProofConfig{})))
	})
}

func brokenAt(p Proof) []any {
	if p.Broken == nil {
		return nil
	}
	return []any{p.Broken.Seal, p.Broken.EntryID, p.Broken.Kind}
}

// A total above database.CountedAtMost is an estimate, also where groups have the entries.
func TestATotalOfManyEntriesInGroupsIsEstimated(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		entity := id.New()
		entries := make([]contract.AuditEntry, database.CountedAtMost+1)
		for i := range entries {
			entries[i] = contract.AuditEntry{EntityType: contract.EntityNormalizedEvent, EntityID: &entity, Action: "event.queued", Actor: contract.ActorGateway}
		}
		m := newModule(db, func() time.Time { return noon }, Config{})
		for _, n := range []int{database.CountedAtMost, 1} {
			require.NoError(t, db.InTx(t.Context(), func(tx *database.Tx) error { return m.Record(t.Context(), tx, entries[:n]) }))
			for _, want := range []filter{{}, {action: "event.queued"}} {
				list, err := readEntries(t.Context(), db, slog.New(slog.DiscardHandler), want, database.Page{Number: 1, Size: 20})
				require.NoError(t, err)
				require.Equal(t, n == 1, list.Estimated)
				require.GreaterOrEqual(t, list.Total, database.CountedAtMost)
				if n > 1 {
					require.Equal(t, n, list.Total)
				}
			}
		}
	})
}

// TestIdsFollowTheDatabasesClock: entries of a machine whose clock is wrong lie where the next seal
// looks for them.
func TestIdsFollowTheDatabasesClock(t *testing.T) {
	for _, wrong := range []time.Duration{-time.Hour, -2 * time.Minute, 2 * time.Minute, time.Hour} {
		now := clock.System().Add(wrong)
		next := basesAt(now)
		first, second := next(), next()
		require.Less(t, first, second)
		require.Less(t, id.Time(second).Sub(now).Abs(), time.Second, "%s", wrong)
	}
	now := clock.System()
	require.Less(t, id.Time(basesAt(now)()).Sub(now).Abs(), clocksApart)
}
