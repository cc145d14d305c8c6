// Package ops is the operators' listener: pages for admins, metrics for
// Prometheus, and health checks for a supervisor. It changes nothing; the console, which
// package console serves below /console/, does.
//
// # What it serves
//
//	/            leads to the console
//	/healthz     200 while the process answers; open
//	/readyz      200 when every Check passes and the clock is right, 503 otherwise;
//	             warnings of Redis' persistence, eviction and memory; open, causes and
//	             accounts for admins only
//	/metrics     Prometheus; behind the login when there is one (basic_auth in the scrape config)
//	/console/    Config.Console, behind the login; requests that change something from
//	             this origin only
//	/asynqmon/   asynq's own pages, masked and read-only
//
// # Access
//
// A loopback address needs no login; for any other address New returns an error
// unless a login is configured. Without a login the Host header must name the
// loopback or one of Config.Hosts: otherwise a page on the Internet could reach
// the listener through a DNS name that resolves to 127.0.0.1.
//
// Behind a proxy: Config.Hosts are the names by which it is reached, Config.Prefix is
// the path, and the proxy must ask for a login where this listener does not.
//
// An address that fails to log in five times in a minute waits until the minute ends,
// and after a hundred failures in all so do all addresses. A login that was correct
// within the last hour, from wherever, is never refused, and each use prolongs the
// hour; an address that logged in within the hour may fail 60 times a minute.
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
// stops Redis for seconds, and does not update the ledger. Admins act in the console, or
// with `wxnotify queues`, `wxnotify dead` and `wxnotify cancel`.
package ops
