// Package wechat speaks with WeChat for Official Accounts: it calls the server
// API for template messages, what manages them, the access token, QR codes and
// web authorization, and it opens what WeChat's server pushes. It knows nothing
// of queues and needs the standard library only.
//
// # Send a message
//
//	fetcher, err := wechat.NewTokenFetcher(cfg)
//	client, err := wechat.NewClient(cfg, wechat.ReuseTokenSource(fetcher.FetchStable))
//	if err := message.Validate(); err != nil { … } // all faults at once
//	msgid, err := client.SendTemplate(ctx, message)
//
// A [Client] makes one HTTP call for each call of a method. The one thing it
// repeats is a call whose token WeChat refused: once, with another token, and
// the very same bytes.
//
// # Read the error
//
// [KindOf] says what an answer of WeChat means to a sender, [CodeOf] which one
// it was, [Ambiguous] whether WeChat may have accepted the message all the same.
// The types are [*Error] for an answer with an errcode, [*TransportError] for no
// answer, [*TokenError] when there was no token, [*TokenRefusedError] when two
// were refused, and [*InvalidError] for a message refused before WeChat saw it.
// No error text holds a secret, a token or a whole openid. docs/errors.md is
// generated from this package's tables.
//
// # Open what WeChat pushes
//
// A [Callback] is our half of an account's server configuration. It serves no
// HTTP: give it the query and the body.
//
//	callback, err := wechat.NewCallback(wechat.CallbackConfig{AppID: …, Mode: wechat.CallbackSecure, Tokens: …, AESKeys: …})
//	echo, err := callback.Echo(r.URL.Query())       // GET: the console's question
//	push, err := callback.Open(r.URL.Query(), body) // POST: push.Event, verified
//	answer, err := callback.Seal(push, reply)       // or just "success"
//
// The mode is pinned, Tokens and keys rotate with an overlap, and old queries are
// refused with a [*CallbackError]. What must happen once is remembered by the
// caller: Push.Nonce names the query, Event.DedupeKey the event.
//
// # Ask who a user is
//
// [Authorize] makes the link of the page, an [OAuth] exchanges the code that
// comes back. A code is good once: after any error, start again.
//
//	link, err := wechat.Authorize{AppID: …, RedirectURI: …, State: …}.Link()
//	user, err := oauth.Exchange(ctx, wechat.NewSecret(code))
//	if user.Snapshot { … } // nobody: never bind it
//
// Or let the user scan: [Client.CreateQR] makes a code whose scene comes back as
// Event.Scene.
//
// # Share the token
//
// A [TokenSource] hands out the access token. [ReuseTokenSource] keeps it in one
// process; package tokenstore shares it through Redis.
package wechat

//go:generate go test -run ^TestErrorsDoc$ -update .
