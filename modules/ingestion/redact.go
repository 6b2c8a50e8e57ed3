package ingestion

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"integration-gateway/modules/ingestion/provider"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
)

// What is stored of a body.
const (
	bodyExact    = "exact"    // byte for byte
	bodyRedacted = "redacted" // without what its integration redacts
	bodyErased   = "erased"   // no longer, and neither are the headers
)

// redactionBroken is the reason of a refusal that is the operator's mistake.
const redactionBroken = "redaction_broken"

// kept is what is stored of a verified request.
type kept struct {
	headers  []byte
	body     []byte
	redacted bool
	events   []draft
}

func (k kept) bodyState() string {
	if k.redacted {
		return bodyRedacted
	}
	return bodyExact
}

// kept leaves out what the integration redacts. Keys are made of the request as it came,
// so that a repeat is known by them. A fault.Unavailable says that the redaction reaches
// what names the event, so that it must be mended first.
func (s *source) kept(req provider.Request, events []provider.Event) (kept, error) {
	drafts := drafts(s, events, req.Body)
	if s.redaction.None() {
		return kept{headers: storedHeaders(req.Header, s), body: req.Body, events: drafts}, nil
	}
	clean, read := s.redaction.Of(req)
	left, err := s.spec.Kept(clean, events)
	if err == nil && !read {
		err = errors.New("cannot read the body")
	}
	if err != nil {
		err = fmt.Errorf("the redaction of integration %s %w", s.integrationID, err)
		return kept{}, fault.Unavailable.Wrap(err, redactionBroken, "This source cannot take this webhook until its operator mends its settings.").
			After(brokenPause).Because("%s", err)
	}
	for i := range drafts {
		drafts[i].Event = left[i]
	}
	return kept{headers: redactedHeaders(req.Header, s, clean), body: clean.Body, redacted: clean.Changed, events: drafts}, nil
}

// parseRedaction reads an integration's JSON paths.
func parseRedaction(paths []string) (all provider.Redaction, err error) {
	for i, path := range paths {
		one, err := provider.ParseRedactPath(path)
		if err != nil {
			return all, fmt.Errorf("redact[%d] %w", i, err)
		}
		all = all.And(one)
	}
	return all, nil
}

// readRedact reads what the column holds.
func readRedact(text string) (paths []string, err error) {
	if err := json.Unmarshal([]byte(text), &paths); err != nil {
		return nil, fmt.Errorf("read the redaction: %w", err)
	}
	return paths, nil
}

// checkRedact finds paths that cannot be, and those that reach what names an event of spec,
// which is nil where it is wrong itself.
func checkRedact(spec *provider.Spec, paths []string, wrong *mistakes) {
	if len(paths) > provider.MaxRedactPaths {
		wrong.add("redact", "must be at most %d paths", provider.MaxRedactPaths)
		return
	}
	for i, path := range paths {
		field := fmt.Sprintf("redact[%d]", i)
		one, err := provider.ParseRedactPath(path)
		if err == nil && spec != nil {
			err = spec.CheckRedaction(one)
		}
		if err != nil {
			wrong.add(field, "%s", err)
		}
	}
}

// rawBesideRedaction is why an integration that redacts has no destination in raw mode.
const rawBesideRedaction = "the mode raw sends the provider's own body, and this integration keeps none, since it redacts"

// checkRawMode finds new destinations of an integration that redacts that would be sent
// what it does not keep.
func checkRawMode(path string, redacts bool, c contract.DestinationConfig, wrong *mistakes) {
	if redacts && c.Mode != nil && *c.Mode == contract.ModeRaw {
		wrong.add(path+"mode", "cannot be raw: %s; choose the mode canonical, or take the paths in redact away", rawBesideRedaction)
	}
}

// checkRedactChange finds what is wrong with the redaction of an integration once it is
// changed: with its paths under its options, and beside its destinations.
func (m *Module) checkRedactChange(ctx context.Context, tx *database.Tx, i integrationRow, c IntegrationChange, wrong *mistakes) error {
	if c.Redact == nil && c.Options == nil {
		return nil
	}
	if c.Redact != nil {
		text, _ := json.Marshal(c.Redact) // strings always marshal
		i.Redact = string(text)
	}
	if c.Options != nil {
		text, err := json.Marshal(c.Options)
		if err != nil {
			return fmt.Errorf("write the options: %w", err)
		}
		i.Options = string(text)
	}
	paths, err := readRedact(i.Redact)
	if err != nil {
		return err
	}
	checkRedact(i.spec(m.d.Providers), paths, wrong)
	if len(paths) == 0 {
		return nil
	}
	raw, err := m.d.Destinations.RawDestinations(ctx, tx, i.ID)
	if len(raw) > 0 {
		wrong.add("redact", "cannot be while the destination %s is in raw mode: %s; change its mode to canonical first, or remove it", raw[0], rawBesideRedaction)
	}
	return err
}

// redacts reports whether the row's integration redacts anything. What nobody can read
// counts as such.
func (r integrationRow) redacts() bool {
	paths, err := readRedact(r.Redact)
	return err != nil || len(paths) > 0
}

// shownRedact are the paths, or null where the column holds what nobody can read.
func (r integrationRow) shownRedact() []string {
	paths, err := readRedact(r.Redact)
	if err != nil {
		return nil
	}
	return orEmpty(slices.Clone(paths))
}
