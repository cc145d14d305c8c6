package enroll

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/internal/ticket"
	"github.com/wxnotify/wxnotify/wechat"
)

const (
	// lookAgain is how often the page with a QR code asks whether it was scanned.
	lookAgain = 4 * time.Second
	// redisWait bounds what a page waits for Redis.
	redisWait = 3 * time.Second
)

// enrolling finds the account of an enrolment path.
func (s *Service) enrolling(next func(http.ResponseWriter, *http.Request, *account)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		a := s.accounts[r.PathValue("appid")]
		if a == nil || a.tickets == nil {
			s.pages.show(w, r, page{Name: pageNotFound, Status: http.StatusNotFound})
			return
		}
		next(w, r, a)
	}
}

// start opens a link: in WeChat it goes on to OAuth, elsewhere it shows a code
// to scan.
func (s *Service) start(w http.ResponseWriter, r *http.Request, a *account) {
	q := r.URL.Query()
	if word := q.Get("done"); word != "" {
		s.showDone(w, r, a, word, q.Get("r"))
		return
	}
	text := q.Get("ticket")
	if text == "" {
		s.pages.show(w, r, page{Name: pageMissing, Status: http.StatusBadRequest, Account: a.Name})
		return
	}
	t, err := a.tickets.Open(text, time.Now())
	if err != nil {
		s.turnAway(w, r, a, pageInvalid, http.StatusBadRequest, faultOf(err))
		return
	}
	returnTo := mark{}
	if to := q.Get("return_to"); to != "" {
		returnTo = markOf(to)
		if s.returns[returnTo] != to {
			s.turnAway(w, r, a, pageInvalid, http.StatusBadRequest, "E-RETURN")
			return
		}
	}
	ctx, cancel := context.WithTimeout(r.Context(), redisWait)
	defer cancel()
	if t.HandOff {
		if err := a.handOffs.CheckClaim(ctx, t.ID, q.Get("claim")); errors.Is(err, ticket.ErrMismatch) {
			s.turnAway(w, r, a, pageMismatch, http.StatusForbidden, "E-CLAIM")
			return
		} else if err != nil {
			s.fail(w, r, a, err)
			return
		}
	}
	used, err := a.park(ctx, parkedTicket{t, text, q.Get("claim")})
	if err != nil {
		s.fail(w, r, a, err)
		return
	}
	if inWeChat(r) {
		s.authorize(w, r, a, t, returnTo, false)
		return
	}
	s.showCode(w, r, a, t, used)
}

func faultOf(err error) string {
	if errors.Is(err, ticket.ErrExpired) {
		return "E-EXPIRED"
	}
	return "E-TICKET"
}

// parkedTicket is a ticket that was opened, and what it was opened with.
type parkedTicket struct {
	ticket      ticket.Ticket
	text, claim string
}

// park keeps the ticket under its ID, for the state or the QR code that names
// it, and reports whether it was used.
func (a *account) park(ctx context.Context, p parkedTicket) (used bool, err error) {
	key := a.keys.ticket(p.ticket.ID)
	var was *redis.StringCmd
	_, err = a.roster.rdb.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
		pipe.HSet(ctx, key, "s", p.text, "c", p.claim)
		pipe.PExpire(ctx, key, time.Until(p.ticket.ExpiresAt)+stateLife)
		was = pipe.HGet(ctx, key, "u")
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		return false, wrap(err, "keep the ticket")
	}
	return was.Val() != "", nil
}

// parked is the ticket that a state or a QR code names; nil when it is gone. One
// that expired on the way is good still.
func (a *account) parked(ctx context.Context, id ticket.ID) (*parkedTicket, error) {
	v, err := a.roster.rdb.HMGet(ctx, a.keys.ticket(id), "s", "c").Result()
	if err != nil {
		return nil, wrap(err, "read the ticket")
	}
	p := &parkedTicket{}
	p.text, _ = v[0].(string)
	p.claim, _ = v[1].(string)
	p.ticket, err = a.tickets.Open(p.text, time.Now())
	if err != nil && !errors.Is(err, ticket.ErrExpired) {
		return nil, nil //nolint:nilnil // documented: it is gone, or its key was changed
	}
	return p, nil
}

// authorize sends the follower to WeChat's page.
func (s *Service) authorize(w http.ResponseWriter, r *http.Request, a *account, t ticket.Ticket, returnTo mark, again bool) {
	scope := wechat.ScopeBase
	if t.UserInfo {
		scope = wechat.ScopeUserInfo
	}
	link, err := wechat.Authorize{
		URL: a.AuthorizeURL, AppID: a.AppID, RedirectURI: a.base + "/callback", Scope: scope,
		State: s.states.seal(state{
			Account: markOf(a.AppID), ReturnTo: returnTo, Ticket: t.ID, Again: again,
			ExpiresAt: time.Now().Add(stateLife),
		}),
	}.Link()
	if err != nil {
		s.fail(w, r, a, err)
		return
	}
	secure(w)
	http.Redirect(w, r, link, http.StatusFound)
}

// showCode is the page for a browser outside WeChat.
func (s *Service) showCode(w http.ResponseWriter, r *http.Request, a *account, t ticket.Ticket, used bool) {
	waiting := r.URL.Query().Get("wait") != ""
	switch {
	case used && waiting: // the code on this very page was scanned
		s.pages.show(w, r, page{Name: pageBound, Status: http.StatusOK, Account: a.Name})
		return
	case used:
		s.turnAway(w, r, a, pageSpent, http.StatusGone, "E-SPENT")
		return
	}
	if !waiting {
		q := r.URL.Query()
		q.Set("wait", "1")
		secure(w)
		http.Redirect(w, r, a.base+"?"+q.Encode(), http.StatusFound)
		return
	}
	v := page{Name: pageScan, Status: http.StatusOK, Account: a.Name, Refresh: lookAgain}
	var err error
	if v.QR, err = s.code(r.Context(), a, t.ID.String(), scenePrefix+t.ID.String(), time.Until(t.ExpiresAt)); err != nil {
		s.log.warn("qr "+a.AppID, "WeChat gave no QR code", zap.String("account", a.AppID), zap.Error(err))
		v = page{Name: pageBusy, Status: http.StatusServiceUnavailable, Account: a.Name, Refresh: 2 * lookAgain, Wrong: "E-QR"}
	}
	s.pages.show(w, r, v)
}

// showDone is the clean page after the way through WeChat: it may be reloaded
// and gone back to.
func (s *Service) showDone(w http.ResponseWriter, r *http.Request, a *account, word, returnMark string) {
	v := page{Status: http.StatusOK, Account: a.Name}
	for m, address := range s.returns {
		if m.String() == returnMark {
			v.Link = address
		}
	}
	switch Bound(word) {
	case BoundNow, BoundAgain:
		v.Name = pageBound
	case wordFollow:
		v.Name = pageFollow
		var err error
		if v.QR, err = s.code(r.Context(), a, "follow", sceneFollow, followCodeLife); err != nil {
			s.log.warn("qr "+a.AppID, "WeChat gave no QR code", zap.String("account", a.AppID), zap.Error(err))
		}
	case Spent:
		v.Name, v.Status, v.Wrong = pageSpent, http.StatusGone, "E-SPENT"
	case Full:
		v.Name, v.Status, v.Wrong = pageSpent, http.StatusGone, "E-FULL"
	case wordMismatch:
		v.Name, v.Status, v.Wrong = pageMismatch, http.StatusForbidden, "E-PERSON"
	case wordSnapshot:
		v.Name, v.Status = pageSnapshot, http.StatusForbidden
		// WeChat loads the page again with its full service; from there the link
		// leads on.
		q := r.URL.Query()
		q.Del("done")
		if v.Link = ""; q.Get("ticket") != "" {
			v.Link = a.base + "?" + q.Encode()
		}
	case wordBusy: // never sent here
		v.Name, v.Status = pageBusy, http.StatusServiceUnavailable
	default:
		v.Name, v.Status = pageMissing, http.StatusBadRequest
	}
	s.pages.show(w, r, v)
}

// turnAway shows why nothing was bound.
func (s *Service) turnAway(w http.ResponseWriter, r *http.Request, a *account, name pageName, status int, wrong string) {
	s.cfg.OnEvent(Event{Account: a.AppID, Kind: KindEnrolled, Name: wrong})
	s.pages.show(w, r, page{Name: name, Status: status, Account: a.Name, Wrong: wrong})
}

// fail is our own trouble: the follower may try again.
func (s *Service) fail(w http.ResponseWriter, r *http.Request, a *account, err error) {
	s.log.warn("fail "+a.AppID, "a follower could not enrol", zap.String("account", a.AppID), zap.Error(err))
	s.pages.show(w, r, page{Name: pageError, Status: http.StatusServiceUnavailable, Account: a.Name, Wrong: "E-SERVER"})
}

// retryLink leads back to where the follower came from; empty: it is not known.
func (a *account) retryLink(p *parkedTicket, returnTo string) string {
	if p == nil {
		return ""
	}
	q := url.Values{"ticket": {p.text}}
	if p.claim != "" {
		q.Set("claim", p.claim)
	}
	if returnTo != "" {
		q.Set("return_to", returnTo)
	}
	return a.base + "?" + q.Encode()
}
