// Package worker takes jobs, decides, sends and records.
//
// # Run one
//
// A [Worker] sends for any number of accounts; each has its own sender, gate,
// ledger and servers, so that one's trouble is not another's.
//
//	w, err := worker.New(worker.Config{
//		Redis:    rdb,
//		Accounts: []worker.Account{{AppID: appid, Sender: client, Gate: gate, Quota: client}},
//		Logger:   logger,
//	})
//	…
//	err = w.Run(ctx) // cancelling ctx drains; nil after a clean drain
//
// # The way of a message
//
// Read the files in this order. handler.go leads a task through its steps:
// parse, permit, one read of the record, too late?, outside the replay window?,
// send. verdict.go says what an answer means ([Judge], a pure function),
// backoff.go how long to wait. record.go writes the end before the task is
// completed. learn.go applies what an answer says about others: pause.go closes
// the account's gate, breaker.go tells an outage, template.go holds a template
// back, alarm.go finds the account's trouble behind the recipients'.
// supervisor.go keeps the count of the quota true.
//
// # What a permit is spent on
//
// Every call that may have reached WeChat spends its permit, whatever came
// back: accepted, refused (43004, 40001, 45009 …), -1, HTTP 5xx or 4xx, or lost
// after the request was written. A permit goes back when surely nothing
// arrived: no connection, no token, a message that had ended, was suppressed or
// too late. A replay with another token is one more call and takes one more
// permit. A failed probe keeps its permit, so that the next probe waits.
//
// # What counts as an attempt
//
// A failure that says something about this message. What concerns the account
// (quota, rate, account, token, an outage) closes the gate and costs none; nor
// does a crash or a stop. What ended without a known outcome is sent again
// under the same client_msg_id within [Policy].ReplayWindow, and is unknown
// after that unless the message said at least once.
package worker
