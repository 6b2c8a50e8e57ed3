package contract

// OpenJobs says what becomes of the deliveries that wait when nothing new is to come.
type OpenJobs string

// What can become of open jobs.
const (
	OpenJobsFinish OpenJobs = "finish" // they are delivered as if nothing had happened
	OpenJobsCancel OpenJobs = "cancel" // they end as failed; a replay can still send them
)

// EntityIntegration is the entity type of audit entries about an integration and its
// secrets.
const EntityIntegration = "integration"
