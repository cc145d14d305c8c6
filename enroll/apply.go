package enroll

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/internal/broker"
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
		return s.erase(ctx, a, e.Subject, WhyRevoked)
	case wechat.EventAuthorizationCancelled:
		return s.erase(ctx, a, e.Subject, WhyCancelled)
	}
	return nil // of a newer version that shares the inbox: acknowledged, and nothing to be done
}

// settle gives a receipt to its message. One that names no message that we know
// gets a second look: the answer to the send may not be recorded yet.
func (s *Service) settle(ctx context.Context, a *account, e entry) error {
	settled, err := a.Receipts.Receipt(ctx, e.receipt())
	if err == nil && settled == nil {
		if e.Looks == 0 {
			return errLater
		}
		settled, err = a.Receipts.Match(ctx, e.receipt())
	}
	switch {
	case err != nil:
		return fmt.Errorf("enroll: settle: %w", err)
	case settled == nil: // another system's message
		s.cfg.OnEvent(Event{Account: a.AppID, Kind: KindUnmatched})
		return nil
	case settled.Resend != nil && a.Resender != nil:
		err := a.Resender.Resend(ctx, settled)
		if errors.Is(err, broker.ErrActive) {
			return errLater // the receipt was faster than the end of the first attempt
		}
		if err != nil {
			return fmt.Errorf("enroll: send again: %w", err)
		}
	}
	s.cfg.OnEvent(Event{Account: a.AppID, Kind: KindSettled, Name: string(settled.State)})
	return nil
}

// follows lifts what a follow proves wrong, and binds by the scene of a code.
func (s *Service) follows(ctx context.Context, a *account, e entry) error {
	latest, err := a.roster.latest(ctx, e.OpenID, e.At)
	if err != nil {
		return err
	}
	if latest {
		if _, err := a.Followers.Subscribed(ctx, e.OpenID); err != nil {
			return fmt.Errorf("enroll: subscribe: %w", err)
		}
		if err := a.roster.Follow(ctx, e.OpenID, true); err != nil {
			return err
		}
	}
	id, ours := ticketOfScene(e.Scene)
	if !ours || a.tickets == nil {
		return nil
	}
	t, _, err := a.parked(ctx, id)
	if err != nil {
		return err
	}
	if t == nil { // scanned after its time
		s.cfg.OnEvent(Event{Account: a.AppID, Kind: KindEnrolled, Name: "E-EXPIRED"})
		return nil
	}
	followed := true
	b := Binding{User: t.User, OpenID: e.OpenID, How: ByQR, Follows: &followed}
	if t.HandOff || t.UserInfo {
		s.askFollows(ctx, a, &b) // for the unionid
		b.Follows = &followed
	}
	word, err := s.bind(ctx, a, b, *t)
	if err == nil {
		s.cfg.OnEvent(Event{Account: a.AppID, Kind: KindEnrolled, Name: string(word)})
	}
	return err
}

// unfollows suppresses the openid at once: what is queued for it then ends
// without a call.
func (s *Service) unfollows(ctx context.Context, a *account, e entry) error {
	latest, err := a.roster.latest(ctx, e.OpenID, e.At)
	if err != nil || !latest {
		return err
	}
	if a.EraseUnsubscribed {
		return s.erase(ctx, a, e.OpenID, WhyUnsubscribed)
	}
	if err := a.Followers.Unsubscribed(ctx, e.OpenID); err != nil {
		return fmt.Errorf("enroll: unsubscribe: %w", err)
	}
	return a.roster.Follow(ctx, e.OpenID, false)
}

// erase forgets the person that the event names; the one who sent it is not
// asked (docs: 用户授权信息撤回).
func (s *Service) erase(ctx context.Context, a *account, openid, why string) error {
	if openid == "" {
		s.log.warn("erase "+a.AppID, "an event asks to erase a person but names none", zap.String("account", a.AppID), zap.String("why", why))
		return nil
	}
	found, err := a.Eraser.Erase(ctx, Person{OpenID: openid}, why)
	if err != nil {
		return err
	}
	s.cfg.OnEvent(Event{Account: a.AppID, Kind: KindErased, Name: why})
	s.cfg.Logger.Info("a follower's data was erased", zap.String("account", a.AppID), zap.String("why", why),
		zap.String("openid", wechat.MaskOpenID(openid)), zap.Int("bindings", found.Bindings), zap.Int("messages", found.Messages))
	return nil
}

// sweep ends the wait for receipts that did not come within a day.
func (s *Service) sweep(ctx context.Context, a *account) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	if err := a.Eraser.Finish(ctx); err != nil {
		s.log.warn("erase "+a.AppID, "an erasure that was cut off could not be finished", zap.String("account", a.AppID), zap.Error(err))
	}
	for {
		n, err := a.Receipts.Sweep(ctx, sweepBatch)
		switch {
		case err != nil && ctx.Err() == nil:
			s.log.warn("sweep "+a.AppID, "missing receipts could not be counted: Redis fails", zap.Error(err))
		case n > 0:
			s.cfg.OnEvent(Event{Account: a.AppID, Kind: KindMissing, Count: n})
			s.log.warn("missing "+a.AppID, "accepted messages got no receipt within a day; is the server configuration still in force?",
				zap.String("account", a.AppID), zap.Int("messages", n))
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
