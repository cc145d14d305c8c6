// Package ops is the operators' listener: what admins look at and act with, what
// Prometheus reads, and what a supervisor asks.
//
// # What it serves
//
//	/            queues, accounts and what is wrong, on one page (Chinese or English)
//	/healthz     200 while the process answers; open
//	/readyz      200 when every Check passes, 503 otherwise; open, causes for admins only
//	/metrics     Prometheus; behind the login when there is one (basic_auth in the scrape config)
//	/asynqmon/   the queues' console, masked and guarded
//
// # Who may come in
//
// A loopback address needs no login; any other address has to have one, or New
// refuses. Without a login the Host header must name the loopback (or one of
// Config.Hosts), so that a page on the Internet cannot reach the listener by
// pointing its own name at 127.0.0.1. Every change must prove that it comes from
// a page of this very listener: see sameOrigin.
//
// # What is kept from sight
//
// Payloads, results, errors and task IDs pass through one mask: openids, phone
// numbers, credentials and message values are shortened before they reach a
// page. A task ID that had to be masked is replaced by a sealed alias, so that
// an admin can still act on the task.
//
// # What is refused
//
// Archiving all tasks, and running or deleting more than 10 000 at once: asynq
// does each in one script that stops Redis for seconds, and archiving leaves the
// data of all but the last 10 000 tasks behind for good.
package ops
