package bulk

import (
	"context"
	"slices"
	"strings"
	"unicode/utf8"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/id"
	"integration-gateway/platform/secret"
)

const (
	defaultRate        = 100 // events a second
	maxRate            = 10_000
	defaultRequestedBy = "api-user"
	maxFilterText      = 500 // bytes
)

// order is a valid order of a replay.
type order struct {
	filter       filter
	integrations []string // that it is restricted to; nil for all
	destination  *string
	url          *string // where to in place of destinations
	signing      *secret.Value
	payload      string
	rate         int
	dryRun       bool
	reason       string
	requestedBy  string
	actor        string
}

// Mistakes returns every invalid field.
func (b body) Mistakes() []fault.Field {
	faults := b.selects()
	if b.Filter != nil {
		faults = append(faults, b.Filter.mistakes()...)
	}
	if b.Destination != nil && !id.Valid(strings.ToLower(*b.Destination)) {
		faults = append(faults, wrong("destination", "must be the UUID of a destination"))
	}
	if b.URL != nil && b.Destination != nil {
		faults = append(faults, wrong("url", "cannot be combined with destination; leave one of them out"))
	}
	if known := []string{contract.PayloadStored, contract.PayloadRenormalized}; b.Payload != nil && !slices.Contains(known, *b.Payload) {
		faults = append(faults, wrong("payload", "must be one of %s", strings.Join(known, ", ")))
	}
	if b.Rate != nil && (*b.Rate < 1 || *b.Rate > maxRate) {
		faults = append(faults, wrong("rate", "must be a whole number from 1 to %d: events a second", maxRate))
	}
	if b.Reason == nil && !isTrue(b.DryRun) {
		faults = append(faults, wrong("reason", "is required"))
	}
	faults = append(faults, lengths("reason", b.Reason, 5, 500)...)
	return append(faults, lengths("requestedBy", b.RequestedBy, 2, 120)...)
}

// selects reports whether the order says what to replay.
func (b body) selects() []fault.Field {
	empty := b.Filter == nil || *b.Filter == filterBody{} || !b.Filter.restricts()
	switch {
	case empty && !isTrue(b.All):
		return []fault.Field{wrong("filter", `is required; to replay every event, set "all": true instead`)}
	case !empty && isTrue(b.All):
		return []fault.Field{wrong("all", "cannot be combined with a filter; leave one of them out")}
	}
	return nil
}

// restricts reports whether the filter leaves anything out.
func (f filterBody) restricts() bool {
	f.OnlyFailed, f.OnlyNeverDelivered = yes(f.OnlyFailed), yes(f.OnlyNeverDelivered)
	return f != filterBody{}
}

// yes is a set flag, or nil.
func yes(flag *bool) *bool {
	if isTrue(flag) {
		return flag
	}
	return nil
}

func isTrue(flag *bool) bool { return flag != nil && *flag }

func (f filterBody) mistakes() (faults []fault.Field) {
	for _, text := range []struct {
		field string
		value *string
	}{{"source", f.Source}, {"eventType", f.EventType}, {"subject", f.Subject}} {
		if v := text.value; v != nil && (*v == "" || len(*v) > maxFilterText || !utf8.ValidString(*v) || strings.ContainsRune(*v, 0)) {
			faults = append(faults, wrong("filter."+text.field, "must be text of 1 to %d bytes, none of them NUL", maxFilterText))
		}
	}
	if known := []string{"pending", "processing", "processed", "retrying", "failed"}; f.Status != nil && !slices.Contains(known, *f.Status) {
		faults = append(faults, wrong("filter.status", "must be one of %s", strings.Join(known, ", ")))
	}
	if f.Destination != nil && !id.Valid(strings.ToLower(*f.Destination)) {
		faults = append(faults, wrong("filter.destination", "must be the UUID of a destination"))
	}
	faults = append(faults, window("filter.received", f.ReceivedFrom, f.ReceivedTo)...)
	return append(faults, window("filter.delivered", f.DeliveredFrom, f.DeliveredTo)...)
}

func window(name string, from, to *clock.Time) (faults []fault.Field) {
	for field, t := range map[string]*clock.Time{name + "From": from, name + "To": to} {
		if t != nil && (t.UTC().Year() < 1 || t.UTC().Year() > 9999) {
			faults = append(faults, wrong(field, "must be an RFC 3339 time such as 2026-01-31T00:00:00Z"))
		}
	}
	if from != nil && to != nil && to.Before(from.Time) {
		faults = append(faults, wrong(name+"To", "must not be before %sFrom", name))
	}
	return faults
}

// lengths checks a text that may be absent, without the space around it.
func lengths(field string, value *string, low, high int) []fault.Field {
	if value == nil {
		return nil
	}
	return httpapi.CheckText(field, strings.TrimSpace(*value), low, high)
}

// resolve makes an order of a body without mistakes, within what ctx's credential may see.
func (m *Replays) resolve(ctx context.Context, b body) (order, error) {
	o := order{url: b.URL, signing: b.SigningSecret, payload: contract.PayloadStored, rate: defaultRate, dryRun: isTrue(b.DryRun), requestedBy: defaultRequestedBy, actor: httpapi.Actor(ctx)}
	if b.Filter != nil {
		o.filter = filter(b.Filter.tidy())
	}
	if b.Rate != nil {
		o.rate = *b.Rate
	}
	if b.Payload != nil {
		o.payload = *b.Payload
	}
	if b.Reason != nil {
		o.reason = strings.TrimSpace(*b.Reason)
	}
	if b.RequestedBy != nil {
		o.requestedBy = strings.TrimSpace(*b.RequestedBy)
	}
	o.destination = lower(b.Destination)
	if scope := httpapi.ScopeOf(ctx); scope != nil {
		o.integrations = append([]string{}, scope.Integrations...)
	}
	if o.url != nil { // whoever may not add destinations may not send events elsewhere either
		if err := httpapi.Needs(ctx, httpapi.Admin, "A replay to a URL"); err != nil {
			return o, err
		}
	}
	faults := m.d.URLs.Check(o.url, o.signing)
	if err := m.restrict(ctx, &o, &faults); err != nil {
		return o, err
	}
	if len(faults) > 0 {
		return o, httpapi.Invalid(faults)
	}
	return o, nil
}

// tidy returns the filter as it is stored and shown.
func (f filterBody) tidy() filterBody {
	f.Destination, f.OnlyFailed, f.OnlyNeverDelivered = lower(f.Destination), yes(f.OnlyFailed), yes(f.OnlyNeverDelivered)
	for _, t := range []**clock.Time{&f.ReceivedFrom, &f.ReceivedTo, &f.DeliveredFrom, &f.DeliveredTo} {
		if *t != nil {
			at := clock.At((*t).Time)
			*t = &at
		}
	}
	return f
}

func lower(text *string) *string {
	if text == nil {
		return nil
	}
	l := strings.ToLower(*text)
	return &l
}

// restrict narrows the order to the integrations of its source and destinations. What the
// credential may not see is unknown to it.
func (m *Replays) restrict(ctx context.Context, o *order, faults *[]fault.Field) error {
	narrow := func(field, what, integrationID string) {
		switch {
		case integrationID == "" || o.integrations != nil && !slices.Contains(o.integrations, integrationID) && !m.sees(ctx, integrationID):
			*faults = append(*faults, wrong(field, "names no %s that there is", what))
		case o.integrations != nil && !slices.Contains(o.integrations, integrationID):
			*faults = append(*faults, wrong(field, "is of another source than the rest of the order"))
		default:
			o.integrations = []string{integrationID}
		}
	}
	if source := given(o.filter.Source); source != "" {
		ids, err := m.d.Sources.IntegrationsOf(ctx, []string{source})
		if err != nil {
			return err
		}
		narrow("filter.source", "source", ids[source])
	}
	for _, d := range []struct {
		field string
		id    *string
	}{{"filter.destination", o.filter.Destination}, {"destination", o.destination}} {
		if d.id == nil {
			continue
		}
		integrationID, removed, err := m.d.Deliveries.ReplayDestination(ctx, *d.id)
		if err != nil {
			return err
		}
		narrow(d.field, "destination", integrationID)
		if where := d.field == "destination" || o.destination == nil && o.url == nil; removed && where && integrationID != "" {
			*faults = append(*faults, wrong(d.field, "was removed; name in destination where its events are to go"))
		}
	}
	return nil
}

// sees reports whether ctx's credential may see an integration.
func (m *Replays) sees(ctx context.Context, integrationID string) bool {
	scope := httpapi.ScopeOf(ctx)
	return scope == nil || slices.Contains(scope.Integrations, integrationID)
}

// create stores the order and audits it in one transaction.
func (m *Replays) create(ctx context.Context, o order) (r replay, err error) {
	err = m.d.DB.InTx(ctx, func(tx *database.Tx) error {
		now := clock.At(tx.Now)
		r = replay{ID: id.New(), Status: queued, Filter: o.filter, DestinationID: o.destination, URL: o.url, Payload: o.payload, Rate: o.rate,
			RequestedBy: o.requestedBy, Reason: o.reason, Actor: o.actor, UpTo: now, NextAt: now, CreatedAt: now, UpdatedAt: now}
		start := startOf(o.filter)
		r.AfterAt, r.AfterID = clock.At(start.At), start.EventID
		if err := insert(ctx, tx, r, o.integrations); err != nil {
			return err
		}
		if o.url != nil {
			if err := m.d.URLs.Add(ctx, tx, r.ID, *o.url, *o.signing); err != nil {
				return err
			}
		}
		return m.d.Audit.Record(ctx, tx, []contract.AuditEntry{entry(r, "ordered", r.Actor)})
	})
	return r, err
}
