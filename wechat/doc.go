// Package wechat calls the server API of WeChat Official Accounts: template
// messages, what manages them, and the access token. It knows nothing of queues
// and needs the standard library only.
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
// # Share the token
//
// A [TokenSource] hands out the access token. [ReuseTokenSource] keeps it in one
// process; package tokenstore shares it through Redis.
package wechat

//go:generate go test -run ^TestErrorsDoc$ -update .
