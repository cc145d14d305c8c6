package producer

import (
	"context"
	"fmt"
	"time"

	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/wechat"
)

// Query says which messages Search returns. A message must match each field that is set.
type Query struct {
	To         string      // openid
	User       string      // your own user id, as the message named it
	TemplateID string      // WeChat's template id
	States     []State     // any of them; empty: all
	Errcode    wechat.Code // of the last attempt; 0: any
	Since      time.Time   // enqueued at or after; zero: any time
	Until      time.Time   // enqueued before; zero: any time
	Limit      int         // of a page, at most 1000. Zero: 50
	Cursor     string      // Page.Next of the page before; empty: the newest
}

// Page is one answer of Search.
type Page struct {
	Messages []*Status
	// Next is the cursor of the next page; empty: this was the last. A page may have
	// fewer messages than the limit, or none, and still a Next.
	Next string
}

// ErrCursor says that Query.Cursor is none that Search gave out: begin without one.
var ErrCursor = ledger.ErrCursor

// Search returns messages, the newest first, as long as their records are kept
// (Config.Keep after their end). A call takes less than a second: of very many messages
// a page may end early and has a Next. The error wraps ErrCursor, or is Redis'.
func (p *Producer) Search(ctx context.Context, q Query, views ...View) (Page, error) {
	var v view
	for _, set := range views {
		set(&v)
	}
	found, err := p.ledger.Find(ctx, ledger.Query{
		To: q.To, User: q.User, Template: q.TemplateID, States: q.States, Errcode: q.Errcode,
		Since: q.Since, Until: q.Until, Limit: q.Limit, Cursor: q.Cursor,
	})
	if err != nil {
		return Page{}, fmt.Errorf("producer: search: %w", err)
	}
	page := Page{Messages: make([]*Status, len(found.Records)), Next: found.Next}
	for i, r := range found.Records {
		page.Messages[i] = p.statusOf(r, v)
	}
	return page, nil
}
