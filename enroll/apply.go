package enroll

import (
	"context"
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/internal/events"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/wechat"
)

const (
	// sweepEvery is how often messages without a receipt are looked for.
	sweepEvery = time.Minute
	sweepBatch = 1000
)

// apply does what an event asks for. It may come twice and does the same then.
func (s *Service) apply(ctx context.Context, a *account, e entry) error {
	switch e.Name {
	case wechat.EventTemplateFinished:
		return s.settle(ctx, a, e)
	case wechat.EventSubscribe, wechat.EventScan:
		return s.follows(ctx, a, e)
	case wechat.EventUnsubscribe:
		return s.unfollows(ctx, a, e)
	case wechat.EventAuthorizationRevoked:
		return s.erase(ctx, a, e.Subject, whyRevoked)
	case wechat.EventAuthorizationCancelled:
		return s.erase(ctx, a, e.Subject, whyCancelled)
	}
	return nil // of a newer version that shares the inbox: acknowledged, and nothing to be done
}

// settle gives a receipt to its message. One that names no message that we know
// is tried again: the answer to the send may not be recorded yet.
func (s *Service) settle(ctx context.Context, a *account, e entry) error {
	settled, err := a.Roster.records.Receipt(ctx, e.receipt())
	if err == nil && settled == nil {
		if e.Tries == 0 {
			return errLater
		}
		settled, err = a.Roster.records.Match(ctx, e.receipt())
	}
	switch {
	case err != nil:
		return fmt.Errorf("enroll: settle: %w", err)
	case settled == nil: // another system's message
		s.cfg.OnEvent(Event{Account: a.AppID, Kind: KindUnmatched})
		return nil
	case settled.Resend != nil:
		existing, err := queue.Put(ctx, a.Roster.rdb, a.AppID, settled.Class,
			queue.Item{ID: settled.ID, Payload: settled.Resend.Payload, ProcessAt: settled.Resend.After})
		if err != nil {
			return fmt.Errorf("enroll: send again: %w", err)
		}
		if existing[0] == "active" {
			return errLater // the receipt was faster than the completion of the first task
		}
	}
	if e.Tries <= 1 { // later ones only forward it
		s.cfg.OnEvent(Event{Account: a.AppID, Kind: KindSettled, Name: string(settled.State)})
	}
	if settled.Now {
		s.ended(a.AppID, &settled.Record)
	}
	return s.forwardReceipt(ctx, a, e, settled)
}

// follows lifts what a follow proves wrong, and binds by the scene of a code.
func (s *Service) follows(ctx context.Context, a *account, e entry) error {
	if err := s.applyFollow(ctx, a, e, true); err != nil {
		return err
	}
	id, ours := ticketOfScene(e.Scene)
	if !ours || a.tickets == nil {
		return nil
	}
	p, err := a.storedTicket(ctx, id)
	if err != nil {
		return err
	}
	switch {
	case p.status == ticketVoid: // scanned after its time, or unbound since
		s.cfg.OnEvent(Event{Account: a.AppID, Kind: KindEnrolled, Name: "E-EXPIRED"})
		return nil
	case !boundByScan(p.ticket): // not a code that we made
		s.cfg.OnEvent(Event{Account: a.AppID, Kind: KindEnrolled, Name: "E-CONFIRM"})
		return nil
	}
	b := Binding{User: p.ticket.User, OpenID: e.OpenID, How: ByQR}
	followed := true
	b.Follows = &followed
	word, err := s.bind(ctx, a, b, p.ticket)
	if err == nil {
		s.cfg.OnEvent(Event{Account: a.AppID, Kind: KindEnrolled, Name: string(word)})
	}
	return err
}

// unfollows suppresses the openid at once: what is queued for it then ends
// without a call.
func (s *Service) unfollows(ctx context.Context, a *account, e entry) error {
	return s.applyFollow(ctx, a, e, false)
}

// applyFollow writes whether a follower follows, as the latest event says. Another
// event of the same follower may be applied beside this one: a process that finds, after
// its own effect, that a later one was heard, has that one's effect follow.
func (s *Service) applyFollow(ctx context.Context, a *account, e entry, follows bool) error {
	latest, err := a.Roster.noteFollowEvent(ctx, e, follows)
	if latest == orderUnknown {
		e.Late = false
		latest, err = a.Roster.noteFollowEvent(ctx, e, s.followsNow(ctx, a, e.OpenID))
	}
	for err == nil {
		if err = s.writeFollows(ctx, a, e.OpenID, strings.HasSuffix(latest, " 1")); err != nil {
			return err
		}
		newest := ""
		if newest, err = a.Roster.latestFollowEvent(ctx, e.OpenID); newest == latest || newest == "" {
			return err
		}
		latest = newest
	}
	return err
}

// followsNow asks WeChat what the events of one second do not tell. In doubt it says
// that the person follows: WeChat refuses a message to one who does not, which
// suppresses them, while a follower who is suppressed gets none until they follow anew.
func (s *Service) followsNow(ctx context.Context, a *account, openid string) bool {
	b := Binding{OpenID: openid}
	return a.Platform == nil || s.askFollows(ctx, a, &b) != nil || *b.Follows
}

func (s *Service) writeFollows(ctx context.Context, a *account, openid string, follows bool) error {
	switch {
	case follows:
		if _, err := a.Roster.records.Subscribed(ctx, openid); err != nil {
			return fmt.Errorf("enroll: subscribe: %w", err)
		}
	case a.Roster.cfg.EraseUnsubscribed:
		return s.erase(ctx, a, openid, whyUnsubscribed)
	default:
		if err := a.Roster.records.Unsubscribed(ctx, openid); err != nil {
			return fmt.Errorf("enroll: unsubscribe: %w", err)
		}
	}
	if err := a.Roster.Follow(ctx, openid, follows); err != nil {
		return err
	}
	kind := events.UserUnfollowed
	if follows {
		kind = events.UserFollowed
	}
	return events.Publish(ctx, a.Roster.records, kind, events.Person{OpenID: openid})
}

// erase takes the person that the event names off the roster and notes it; the
// one who sent the event is not asked (docs: 用户授权信息撤回). The search for what
// else is kept takes its time, beside the inbox: see erasures.
func (s *Service) erase(ctx context.Context, a *account, openid, why string) error {
	if openid == "" {
		s.log.warn("erase "+a.AppID, "an event asks to erase a person but names none", zap.String("account", a.AppID), zap.String("reason", why))
		return nil
	}
	if _, _, err := a.Roster.beginErasure(ctx, Person{OpenID: openid}, why); err != nil {
		return err
	}
	select {
	case a.erasing <- struct{}{}:
	default: // woken already
	}
	return nil
}

// erasures carries out what erase noted, this process' and what others did not
// live to end.
func (s *Service) erasures(ctx context.Context, a *account) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		found, err := a.Roster.finishErasures(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			s.log.warn("erase "+a.AppID, "an erasure is not finished and is tried again in a minute", zap.String("account", a.AppID), zap.Error(err))
		case found.people > 0:
			s.cfg.OnEvent(Event{Account: a.AppID, Kind: KindErased, Count: found.people})
			for _, m := range found.ended {
				s.ended(a.AppID, &ledger.Record{ID: m.ID, Class: m.Class, State: m.State, Reason: ledger.ReasonErased})
			}
			s.cfg.Logger.Info("followers' data were erased", zap.String("account", a.AppID),
				zap.Int("people", found.people), zap.Int("messages", found.messages))
		}
		select {
		case <-ctx.Done():
			return
		case <-a.erasing:
		case <-tick.C:
		}
	}
}

// sweep ends the wait for receipts that did not come within a day.
func (s *Service) sweep(ctx context.Context, a *account) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		missing, err := a.Roster.records.Sweep(ctx, sweepBatch)
		n := len(missing)
		switch {
		case err != nil && ctx.Err() == nil:
			s.log.warn("sweep "+a.AppID, "missing receipts could not be counted: Redis fails", zap.Error(err))
		case n > 0:
			s.cfg.OnEvent(Event{Account: a.AppID, Kind: KindMissing, Count: n})
			s.log.warn("missing "+a.AppID, "accepted messages got no receipt within a day; is the server configuration still in force?",
				zap.String("account", a.AppID), zap.Int("messages", n))
			for _, r := range missing {
				if r != nil && !r.EndedAt.IsZero() {
					s.ended(a.AppID, r)
				}
			}
		}
		if n == sweepBatch && err == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
