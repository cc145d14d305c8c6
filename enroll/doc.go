// Package enroll says who may be written to: it captures openids by OAuth and by
// QR code, keeps the roster of users and openids, and receives what WeChat
// pushes, receipts above all.
//
// # Let a user enrol
//
// The business makes a link for one of its users with producer.EnrollURL, or
// with Producer.HandOff when it knows something that must match. Opened in
// WeChat the link goes through WeChat's page (OAuth) and comes back with a code.
// A page then asks the follower to confirm the user, shown masked; after yes the code
// is exchanged for the openid. Elsewhere the link shows a QR code that holds the link or,
// if no confirmation is needed, one whose scene is the ticket. Either binds the openid to
// the user, once. Then a message may be addressed to the user.
//
//	link ─► start.go ─┬─ in WeChat ─► OAuth ─► return.go: yes, one exchange per code ─┐
//	                  └─ elsewhere ─► scene.go ─► scan ─► event ─► apply.go ─────────┴─► bind.go
//
// The cost of a link and of an account is bounded, see budget.go. Changes go to the audit
// trail and to Config.OnChange, see change.go.
//
// # Hear back
//
// WeChat pushes events to one address per account. limits.go bounds what each client
// address may ask, but never what WeChat signed. push.go authenticates a push, first
// by its query alone, writes it once (replay check, dedupe and the inbox in one
// script) and acknowledges it, also when it cannot be read; inbox.go hands it to apply.go, in any process, until it is
// applied. What followers say is forwarded to the business, whose passive reply
// goes back to them.
//
//	WeChat ─► push.go ─ one write ─► inbox.go ─► apply.go ─┬─ receipt ─► ledger
//	             └─► forward.go ─► the business            ├─ follow, unfollow ─► suppressions, roster
//	                                                       ├─ scan ─► roster
//	                                                       └─ revoke ─► erase.go
//
// # Run it
//
//	s, err := enroll.New(enroll.Config{PublicURL: base, Key: key, Accounts: accounts})
//	go s.Run(ctx)                        // applies what was received
//	server := http.Server{Handler: s.Handler()} // behind TLS
//
// Any number of processes may serve the same accounts.
//
// # What is kept
//
// The roster, without an end. Everything else has a TTL: tickets with their
// time, the outcome of a code with its state, the mark of a push after an hour.
// [Roster.Erase] forgets a person everywhere.
package enroll
