package id

// An event that a request without a correlation id brings gets an id that differs from the
// request's generated one in the last digit alone, so that one is stored for both.
const (
	eventDigit       = "0"
	correlationDigit = "2"
)

// CorrelationSQL is the correlation id of an event e: the stored one, or what OfEvent returns.
const CorrelationSQL = `COALESCE(e.correlation_id, substr(CAST(e.id AS text), 1, 35) || '` + correlationDigit + `')`

// NewCorrelation makes a correlation id, from which the id of an event can be made.
func NewCorrelation() string { return New()[:35] + correlationDigit }

// NewEvent makes the id of an event.
func NewEvent() string { return New()[:35] + eventDigit }

// EventOf returns the id of the event that a generated correlation id belongs to, or "" if
// NewCorrelation cannot have made it.
func EventOf(correlationID string) string {
	if !Valid(correlationID) || correlationID[35:] != correlationDigit {
		return ""
	}
	return correlationID[:35] + eventDigit
}

// OfEvent returns the correlation id from which EventOf makes this event's id.
func OfEvent(eventID string) string { return eventID[:35] + correlationDigit }
