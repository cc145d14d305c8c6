// Package console is where operators see what wxnotify does, find out why a message did
// not arrive, and act. It is served below /console/ of the operators' listener, which
// checks the login and the origin of a request; see package ops.
//
// # Pages
//
//	/console/              each account: gate, quota and its forecast, queues, workers, token
//	/console/messages      find messages
//	/console/message       one message's story, why it waits, its card, what can be done
//	/console/shared/…      a message's page by a link that needs no login
//	/console/dead          dead letters: one, or all with an errcode
//	/console/suppressions  recipients that must not be written to
//	/console/roster        users and their openids: find, unbind, erase
//	/console/templates     the account's templates, as WeChat tells them
//	/console/webhooks      webhooks with their latest attempts: enable
//	/console/keys          keys of the HTTP API
//	/console/approvals     what waits for a second person
//	/console/runs          what runs in the background, with its progress
//	/console/audit         who changed what
//
// They need no script. With script the overview and the progress of runs are live by
// server-sent events (/console/live).
//
// # Acting
//
// A change is a POST. The first one answers with a page that says what will be changed
// and how many; the second one, which has the field confirm, changes it. Every change is
// written to the account's audit trail before it is made, and to the log.
//
// # Personal data
//
// Openids, users and values of messages are masked on every page. What a page must know
// to act, such as an openid, it holds sealed: encrypted under a key of this process. So
// links hold no personal data either, and those of an earlier process do not work.
package console
