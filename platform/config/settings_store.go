package config

func databaseSettings(c *Config) section {
	return section{title: "Database and Redis", help: "See [PostgreSQL](deployment.md#postgresql) and [Redis](deployment.md#redis).", settings: []setting{
		{name: "DATABASE_URL", read: serverURL(&c.Database.URL, "postgres", "postgresql", "sqlite"), by: apart,
			unset: "the command does not start",
			help:  "The system of record: `postgres://user:password@host:5432/name`, or `sqlite://path` for a single process. For a failover, name all servers: `postgres://db1:5432,db2:5432/name`."},
		{name: "DATABASE_MAX_CONNECTIONS", fallback: "20", read: integer(&c.Database.MaxConnections, 2, 1000), by: apart,
			help: "The connections to PostgreSQL that one process may hold."},
		{name: "REDIS_URL", blank: true, read: serverURL(&c.RedisURL, "redis", "rediss", "unix"), by: apart,
			unset: "the database alone recognizes repeats and there are no limits per minute; `serve --work` keeps a cache in memory",
			help:  "The cache for repeats, rate limits and locks, such as `redis://host:6379/0`. Sentinels: `redis://s1:26379,s2:26379/0?master_name=NAME`. A cluster: `redis://n1:6379,n2:6379`."},
	}}
}

func queueSettings(c *Config) section {
	return section{title: "RabbitMQ", help: "See [RabbitMQ](deployment.md#rabbitmq).", settings: []setting{
		{name: "RABBITMQ_URL", blank: true, read: serverURL(&c.RabbitMQ.URL, "amqp", "amqps"), by: apart,
			unset: "the queue is in the process, which only `serve --work` allows",
			help:  "The message queue, such as `amqp://rabbitmq.internal:5672/`, with user and password in the URL. Of a cluster, name all nodes: `amqp://n1:5672,n2:5672/`."},
		{name: "RABBITMQ_PROCESS_QUEUE", fallback: "ig.events.process", read: queueName(&c.RabbitMQ.Process), by: running,
			help: "The queue of jobs to deliver."},
		{name: "RABBITMQ_RETRY_QUEUE", fallback: "ig.events.retry", read: queueName(&c.RabbitMQ.Retry), by: running,
			help: "The prefix of the delay queues in which retries wait."},
		{name: "RABBITMQ_REPLAY_QUEUE", fallback: "ig.events.replay", read: queueName(&c.RabbitMQ.Replay), by: running,
			help: "The queue of replay requests."},
		{name: "RABBITMQ_DEAD_QUEUE", fallback: "ig.events.dead", read: queueName(&c.RabbitMQ.Dead), by: running,
			help: "The queue of messages that cannot be parsed."},
		{name: "RABBITMQ_QUEUE_TYPE", fallback: "classic", read: oneOf(&c.RabbitMQ.QueueType, "classic", "quorum"), by: running,
			help: "The type of queues that the gateway creates: `classic` for a single RabbitMQ node, `quorum` for a cluster. Existing queues keep their type."},
	}}
}

func spoolSettings(c *Config) section {
	s := &c.RabbitMQ.Spool
	return section{title: "Spool", help: "Webhooks that arrive while the database is away wait in RabbitMQ. See [While PostgreSQL is away](webhook-flow.md#while-postgresql-is-away).", settings: []setting{
		{name: "SPOOL", fallback: "on", read: onOff(&s.On), by: running,
			help: "Whether webhooks are accepted into RabbitMQ while the database is away. `off` answers them with 503; what waits already is stored nevertheless. Without `RABBITMQ_URL` there is no spool."},
		{name: "RABBITMQ_SPOOL_QUEUE", read: queueName(&s.Queue), by: running,
			unset: "the name of `RABBITMQ_PROCESS_QUEUE` with `.spool` in place of `.process`: `ig.events.spool`",
			help:  "The queue of webhooks that wait for the database. Those that it does not accept are parked in the queue of this name and `.parked`."},
		{name: "SPOOL_MAX_BYTES", fallback: "1073741824", read: integer(&s.MaxBytes, 1<<20, 1<<40), by: running,
			help: "The bytes that the queue may hold; RabbitMQ keeps this bound. Beyond it, senders get 503. The default is 1 GiB. A queue that exists keeps the bound that it was created with."},
		{name: "SPOOL_MAX_AGE", fallback: "24h", blank: true, read: age(&s.MaxAge), by: running,
			help: "How long the oldest webhook may have waited before further ones get 503. An empty value or `0` sets no bound."},
	}}
}

func retentionSettings(c *Config) section {
	return section{title: "Retention", help: "An empty value or `0` keeps records forever. See [Retention](operations.md#retention).", settings: []setting{
		{name: "RETENTION_EVENTS", fallback: "90d", blank: true, read: age(&c.Retention.Events), by: "`serve`, `work`, `dev`, `partitions`",
			help: "How long finished events are kept, with everything that belongs to them, idempotency keys included. It must be at least `IDEMPOTENCY_TTL_SECONDS`; the default grows to that value."},
		// The trail outlives what it tells of: a year and a month, for whoever compares years.
		{name: "RETENTION_AUDIT", fallback: "400d", blank: true, read: age(&c.Retention.Audit), by: "`serve`, `work`, `dev`, `partitions`",
			help: "How long audit entries are kept."},
	}}
}

func checkSettings(c *Config) section {
	return section{title: "Consistency check", help: "See [gateway verify](operations.md#gateway-verify).", settings: []setting{
		{name: "VERIFY_EVERY", fallback: "24h", blank: true, read: age(&c.CheckEvery), by: running,
			help: "How often the check runs by itself, in one process at a time and with pauses. An empty value or `0` turns it off."},
	}}
}
