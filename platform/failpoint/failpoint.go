// Package failpoint names the points at which the fault suite kills, stops or hangs a
// process. In the ordinary build Hit does nothing, and the compiler removes it. With the
// build tag failpoint, GATEWAY_FAILPOINT selects points and actions.
package failpoint

// The failpoints, in the order in which an event passes them.
const (
	BeforeCommit  = "before-commit"  // a group of webhooks is written, but not committed
	AfterCommit   = "after-commit"   // it is committed, but not answered
	BeforePublish = "before-publish" // jobs are stored, but their messages are not published
	AfterPublish  = "after-publish"  // the messages are confirmed, but the jobs not marked as published
	AfterClaim    = "after-claim"    // jobs are claimed, but not sent
	AfterPost     = "after-post"     // the destination has answered, but nothing is recorded
	AfterRecord   = "after-record"   // the outcome is committed, but the message not acknowledged
	BeforeAck     = "before-ack"     // all of a message's jobs are handled

	BeforeReplayPage = "before-replay-page" // a page of a bulk replay is written, but not committed
	AfterReplayPage  = "after-replay-page"  // it is committed, but the next one not begun
)
