package tracing

// The attributes of spans after OpenTelemetry's semantic conventions.
// A test compares them with the package of the conventions, which would make the program larger.
// https://opentelemetry.io/docs/specs/semconv/
const (
	HTTPMethod      = "http.request.method"
	HTTPRoute       = "http.route"
	HTTPStatus      = "http.response.status_code"
	HTTPResendCount = "http.request.resend_count"
	HTTPBodySize    = "http.request.body.size"
	URLScheme       = "url.scheme"
	URLPath         = "url.path"
	ServerAddress   = "server.address"
	ServerPort      = "server.port"
	ErrorType       = "error.type"

	MessagingSystem        = "messaging.system"
	MessagingOperation     = "messaging.operation.name"
	MessagingOperationType = "messaging.operation.type"
	MessagingDestination   = "messaging.destination.name"
	MessagingRoutingKey    = "messaging.rabbitmq.destination.routing_key"
	MessagingBodySize      = "messaging.message.body.size"

	DBSystem    = "db.system.name"
	DBOperation = "db.operation.name"
	DBBatchSize = "db.operation.batch.size"
)

// The gateway's own attributes. They hold ids and names that its API shows, and nothing that a
// sender or a destination has written.
const (
	EventID       = "gateway.event.id"
	Source        = "gateway.source"
	Provider      = "gateway.provider"
	Outcome       = "gateway.outcome"
	Reason        = "gateway.reason" // of a refusal, as the audit trail has it
	CorrelationID = "gateway.correlation_id"
	DestinationID = "gateway.destination.id"
	JobID         = "gateway.job.id"
	JobTrigger    = "gateway.job.trigger"
	AttemptNo     = "gateway.attempt"
	MessageJobs   = "gateway.message.jobs"
	DelayMS       = "gateway.message.delay_ms"
)

// The names of the systems that the gateway uses.
const (
	PostgreSQL = "postgresql"
	SQLite     = "sqlite"
	RabbitMQ   = "rabbitmq"
	InProcess  = "in_process" // a queue within this process
)

// schema is the version of the conventions.
const schema = "https://opentelemetry.io/schemas/1.43.0"

// The attributes of the resource, which is this process.
const (
	ServiceName       = "service.name"
	ServiceVersion    = "service.version"
	ServiceInstanceID = "service.instance.id"
	Role              = "gateway.role"

	sdkName     = "telemetry.sdk.name"
	sdkLanguage = "telemetry.sdk.language"
	sdkVersion  = "telemetry.sdk.version"
)
