package server

import (
	"context"
	"errors"

	"golang.org/x/sync/errgroup"

	"github.com/wxnotify/wxnotify/enroll"
	"github.com/wxnotify/wxnotify/internal/events"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/webhook"
	"github.com/wxnotify/wxnotify/internal/wiring"
	"github.com/wxnotify/wxnotify/ratelimit"
)

var _ events.Gate = (*ratelimit.Gate)(nil)

// watchEvents writes the events that no script writes, of each account.
func (v *service) watchEvents(ctx context.Context, group *errgroup.Group) {
	c, log := v.config, v.server.log
	for _, a := range v.accounts {
		watch := events.Watch{
			Gate: a.Gate, Records: a.Ledger, Keep: c.Redis.EventsKeep, Max: c.Redis.EventsMax, Log: log,
		}
		group.Go(func() error {
			watch.Run(ctx)
			return nil
		})
	}
}

// rosterChanged writes the event of a binding or an unbinding.
func rosterChanged(accounts []*wiring.Account) func(context.Context, enroll.Change) error {
	records := map[string]*ledger.Ledger{}
	for _, a := range accounts {
		records[a.AppID] = a.Ledger
	}
	return func(ctx context.Context, c enroll.Change) error {
		kind := events.UserBound
		if c.Kind == enroll.ChangeUnbound {
			kind = events.UserUnbound
		}
		return events.Publish(ctx, records[c.Account], kind, events.Person{User: c.User, OpenID: c.OpenID, Previous: c.Previous, How: c.How})
	}
}

// deliverEvents delivers the events of each account to its webhooks.
func (v *service) deliverEvents(ctx context.Context, group *errgroup.Group) {
	for _, a := range v.accounts {
		group.Go(func() error {
			err := webhook.NewService(a.Webhooks, a.Events(), v.server.log).Run(ctx)
			if errors.Is(err, context.Canceled) {
				return nil
			}
			return err
		})
	}
}
