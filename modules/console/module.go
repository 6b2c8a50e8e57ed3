// Package console is the operator's console: pages at /console. It owns console_sessions, the
// templates and the assets. It reads and changes nothing else by itself: each page asks the API
// in this process as the holder of the key or token that signed in, and so shows and does what
// that holder may.
package console

import (
	"context"
	"log/slog"
	"net/http"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/secret"
)

// Root is the path of the console.
const Root = "/console"

// Config holds the console's settings.
type Config struct {
	ManagementKey secret.Value // the configured key, with which one may sign in too
	PublicBaseURL string       // as senders see the gateway; "" if unknown
	Version       string
}

// Keys is what the console needs of the module that owns keys.
type Keys interface {
	// KeyID returns the id of a live key, to which a session is bound.
	KeyID(ctx context.Context, key string) (string, error)
	// CallerOf returns the holder of a key; fault.Unauthorized once it is revoked or expired.
	CallerOf(ctx context.Context, keyID string) (httpapi.Caller, error)
}

// Auditor records audit entries in the transaction of the change that they describe.
type Auditor interface {
	Record(ctx context.Context, tx *database.Tx, entries []contract.AuditEntry) error
}

// Deps is everything the console needs from the outside.
type Deps struct {
	DB     *database.DB
	Log    *slog.Logger
	Now    clock.Now
	Keys   Keys
	Audit  Auditor
	Issuer Issuer // nil if people sign in by keys alone
}

// Module serves the console.
type Module struct {
	cfg    Config
	d      Deps
	server *httpapi.Server // where the pages are, and the API
	assets assets
	pages  templates
	links  links
	feeds  feeds
}

// New wires the module; it starts nothing. It panics where a template or asset is broken, which
// no setting can cause.
func New(cfg Config, d Deps) *Module {
	m := &Module{cfg: cfg, d: d, assets: readAssets()}
	m.pages = m.parse()
	return m
}

// Routes registers the pages. They call the API that the same server has.
func (m *Module) Routes(s *httpapi.Server) {
	m.server = s
	m.openRoutes(s)
	get := func(path string, h screen) { s.Page(http.MethodGet, Root+path, m.signedIn(h)) }
	post := func(path string, h screen) { s.Page(http.MethodPost, Root+path, m.signedIn(h)) }
	post("/sign-out", m.signOut)
	get("", m.overview)
	get("/search", m.search)
	get("/search/words", m.wordsFor)
	get("/stream", m.stream)
	get("/e/:id", m.find)
	get("/events", m.events)
	post("/events/replay", m.replaySelected)
	get("/events/:id", m.event)
	get("/events/:id/body", m.body)
	get("/events/:id/erase", m.eraseForm)
	post("/events/:id/:action", m.actOnEvent)
	get("/dead-letters", m.deadLetters)
	post("/dead-letters/requeue", m.requeueGroup)
	post("/dead-letters/resolve", m.resolveGroup)
	post("/dead-letters/:id/:action", m.actOnDeadLetter)
	get("/quarantine", m.quarantine)
	get("/quarantine/:id", m.quarantined)
	post("/quarantine/release", m.releaseAll)
	post("/quarantine/:id/:action", m.actOnQuarantined)
	get("/destinations", m.destinations)
	get("/destinations/:id", m.destination)
	post("/destinations/:id/:action", m.actOnDestination)
	get("/replays", m.replays)
	get("/replays/new", m.newReplay)
	post("/replays/new", m.startReplay)
	get("/replays/:id", m.replay)
	post("/replays/:id/:action", m.actOnReplay)
	m.controlRoutes(get, post)
	get("/*", m.noSuchPage)
}

// controlRoutes registers the pages of what is set up, and of the gateway itself.
func (m *Module) controlRoutes(get, post func(path string, h screen)) {
	get("/integrations", m.integrations)
	get("/integrations/new", m.newIntegration)
	post("/integrations/new", m.makeIntegration)
	get("/integrations/:id", m.integration)
	get("/integrations/:id/first", m.firstWebhook)
	get("/integrations/:id/mapping", m.mapping)
	post("/integrations/:id/mapping", m.changeMapping)
	post("/integrations/:id/:action", m.actOnIntegration)
	post("/integrations/:id/secrets/:secret/:action", m.actOnSecret)
	get("/alerts", m.alerts)
	post("/alerts/test", m.testAlerts)
	post("/alerts/:id/:action", m.actOnAlert)
	post("/alerts/conditions/:condition/:action", m.actOnCondition)
	get("/audit", m.auditTrail)
	get("/keys", m.keys)
	post("/keys", m.makeKey)
	post("/keys/:id/revoke", m.revokeKey)
	get("/system", m.system)
	get("/system/settings", m.settings)
}

// openRoutes registers the pages that need no session.
func (m *Module) openRoutes(s *httpapi.Server) {
	s.Page(http.MethodGet, Root+"/assets/:name", m.asset)
	s.Page(http.MethodGet, Root+"/sign-in", m.open(m.signInForm))
	s.Page(http.MethodPost, Root+"/sign-in", m.open(m.signIn))
	s.Page(http.MethodGet, Root+"/sign-in/issuer", m.open(m.goToIssuer))
	s.Page(http.MethodGet, callbackPath, m.open(m.comeBack))
	s.Page(http.MethodPost, Root+"/preferences", m.open(m.setPreferences))
}
