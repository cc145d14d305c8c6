// Package ops is the operators' listener: pages for admins, metrics for
// Prometheus, and health checks for a supervisor. It changes nothing.
//
// # What it serves
//
//	/            queues, accounts and problems on one page (Chinese or English)
//	/healthz     200 while the process answers; open
//	/readyz      200 when every Check passes, 503 otherwise; open, causes for admins only
//	/metrics     Prometheus; behind the login when there is one (basic_auth in the scrape config)
//	/asynqmon/   asynq's own pages, masked and read-only
//
// # Access
//
// A loopback address needs no login; for any other address New returns an error
// unless a login is configured. Without a login the Host header must name the
// loopback or one of Config.Hosts: otherwise a page on the Internet could reach
// the listener through a DNS name that resolves to 127.0.0.1.
//
// # Masking
//
// Payloads, results, errors and task IDs are masked before they reach a page:
// openids, phone numbers, credentials and message values are shortened. A task
// whose ID contains personal data is listed under its masked ID.
//
// # Why asynqmon is read-only
//
// asynqmon archives, runs and deletes all tasks of a queue in one script, which
// stops Redis for seconds, and does not update the ledger. Admins act with
// `wxnotify queues`, `wxnotify dead` and `wxnotify cancel` instead.
package ops
