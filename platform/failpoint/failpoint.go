// Package failpoint names the moments at which the fault suite ends, stops or hangs a
// process. The ordinary build has none of it: Hit does nothing there, and the compiler
// leaves it out. With the build tag failpoint, GATEWAY_FAILPOINT says what happens where.
package failpoint

// The names of the moments, in the order in which an event passes them.
const (
	BeforeCommit  = "before-commit"  // a group of webhooks is written and not committed
	AfterCommit   = "after-commit"   // it is committed, and nobody was answered
	BeforePublish = "before-publish" // jobs are stored, and no message stands for them
	AfterPublish  = "after-publish"  // the messages are safe, and the jobs not marked as published
	AfterClaim    = "after-claim"    // jobs are claimed and not sent
	AfterPost     = "after-post"     // the destination has answered, and nothing is recorded
	AfterRecord   = "after-record"   // the outcome is committed, and its message not acknowledged
	BeforeAck     = "before-ack"     // all of a message's jobs are dealt with
)
