package enroll

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/internal/ticket"
	"github.com/wxnotify/wxnotify/wechat"
)

const (
	// refreshEvery is how often the page with a QR code asks whether it was scanned.
	refreshEvery = 4 * time.Second
	// redisWait bounds what a page waits for Redis.
	redisWait = 3 * time.Second
)

// withAccount finds the account of an enrolment path.
func (s *Service) withAccount(next func(http.ResponseWriter, *http.Request, *account)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		a := s.accounts[r.PathValue("appid")]
		if a == nil || a.tickets == nil {
			s.pages.show(w, r, page{Name: pageNotFound, Status: http.StatusNotFound})
			return
		}
		next(w, r, a)
	}
}

// openedLink is a genuine link that was opened.
type openedLink struct {
	openedTicket

	returnTo mark
	query    url.Values // the link's own parameters
}

// openLink opens a link: in WeChat it goes on to OAuth, elsewhere it shows a code
// to scan. HEAD, which previews of links send, costs nothing and writes nothing.
func (s *Service) openLink(w http.ResponseWriter, r *http.Request, a *account) {
	q := r.URL.Query()
	if word := q.Get("done"); word != "" {
		s.showDone(w, r, a, Bound(word), q)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), redisWait)
	defer cancel()
	var o openedLink
	var ok bool
	if text := q.Get("retry"); text != "" {
		o, ok = s.checkRetry(ctx, w, r, a, text)
	} else {
		o, ok = s.checkLink(ctx, w, r, a, q)
	}
	switch {
	case !ok: // answered already
	case inWeChat(r):
		s.authorize(ctx, w, r, a, o.openedTicket, o.returnTo, kindFirst)
	default:
		s.showCode(ctx, w, r, a, o)
	}
}

// checkLink checks a link; it answers one that is not genuine, and HEAD.
func (s *Service) checkLink(ctx context.Context, w http.ResponseWriter, r *http.Request, a *account, q url.Values) (openedLink, bool) {
	o := openedLink{query: url.Values{}}
	o.text = q.Get("ticket")
	if o.text == "" {
		s.pages.show(w, r, page{Name: pageMissing, Status: http.StatusBadRequest, Account: a.Name})
		return o, false
	}
	var err error
	if o.ticket, err = a.tickets.Open(o.text, time.Now()); err != nil {
		s.showRefusal(w, r, a, page{Name: pageInvalid, Status: http.StatusBadRequest, Wrong: faultOf(err)})
		return o, false
	}
	o.query.Set("ticket", o.text)
	if to := q.Get("return_to"); to != "" {
		o.returnTo = markOf(to)
		if s.returns[o.returnTo] != to {
			s.showRefusal(w, r, a, page{Name: pageInvalid, Status: http.StatusBadRequest, Wrong: "E-RETURN"})
			return o, false
		}
		o.query.Set("return_to", to)
	}
	if r.Method == http.MethodHead {
		answer(w, http.StatusOK, "")
		return o, false
	}
	if !o.ticket.HandOff {
		return o, true
	}
	o.query.Set("claim", q.Get("claim"))
	err = a.handOffs.CheckClaim(ctx, o.ticket.ID, q.Get("claim"))
	switch {
	case errors.Is(err, ticket.ErrMismatch):
		s.showRefusal(w, r, a, page{Name: pageMismatch, Status: http.StatusForbidden, Wrong: "E-CLAIM"})
	case err != nil:
		s.showFailure(w, r, a, err)
	}
	return o, err == nil
}

func faultOf(err error) string {
	if errors.Is(err, ticket.ErrExpired) {
		return "E-EXPIRED"
	}
	return "E-TICKET"
}

// checkRetry checks the link of a "try again" button. Its state proves that the ticket was
// opened before and that its claim was verified.
func (s *Service) checkRetry(ctx context.Context, w http.ResponseWriter, r *http.Request, a *account, text string) (openedLink, bool) {
	o := openedLink{query: url.Values{"retry": {text}}}
	st, err := s.states.openOf(text, a.AppID, kindRetry)
	if err != nil {
		s.showRefusal(w, r, a, page{Name: pageInvalid, Status: http.StatusBadRequest, Wrong: "E-STATE"})
		return o, false
	}
	if r.Method == http.MethodHead {
		answer(w, http.StatusOK, "")
		return o, false
	}
	o.returnTo = st.ReturnTo
	if o.openedTicket, err = a.storedTicket(ctx, st.Ticket); err != nil {
		s.showFailure(w, r, a, err)
		return o, false
	}
	if o.text == "" {
		s.refuseTicket(w, r, a, o.openedTicket)
	}
	return o, o.text != ""
}

// retryLink returns the address of a "try again" button, valid as long as the ticket. It
// holds no claim. Empty: the ticket is not stored any more.
func (s *Service) retryLink(a *account, p openedTicket, returnTo mark) string {
	if p.text == "" {
		return ""
	}
	return a.base + "?retry=" + s.states.seal(state{
		Kind: kindRetry, Account: markOf(a.AppID), ReturnTo: returnTo, Ticket: p.ticket.ID, ExpiresAt: p.ticket.ExpiresAt,
	})
}

// authorize redirects the follower to WeChat's page if the ticket's budget allows it.
func (s *Service) authorize(ctx context.Context, w http.ResponseWriter, r *http.Request, a *account, p openedTicket, returnTo mark, kind stateKind) {
	status, err := a.issueState(ctx, p)
	if err != nil {
		s.showFailure(w, r, a, err)
		return
	}
	if p.status = status; status != ticketOpen {
		s.refuseTicket(w, r, a, p)
		return
	}
	scope := wechat.ScopeBase
	if p.ticket.UserInfo {
		scope = wechat.ScopeUserInfo
	}
	link, err := wechat.Authorize{
		URL: a.AuthorizeURL, AppID: a.AppID, RedirectURI: a.base + "/callback", Scope: scope,
		State: s.states.seal(state{
			Kind: kind, Account: markOf(a.AppID), ReturnTo: returnTo, Ticket: p.ticket.ID, ExpiresAt: time.Now().Add(stateLife),
		}),
	}.Link()
	if err != nil {
		s.showFailure(w, r, a, err)
		return
	}
	secure(w)
	http.Redirect(w, r, link, http.StatusFound)
}

// showCode is the page for a browser outside WeChat.
func (s *Service) showCode(ctx context.Context, w http.ResponseWriter, r *http.Request, a *account, o openedLink) {
	var err error
	if o.status, err = a.statusOf(ctx, o.ticket.ID); err != nil {
		s.showFailure(w, r, a, err)
		return
	}
	if o.status != ticketOpen {
		s.refuseTicket(w, r, a, o.openedTicket)
		return
	}
	v := page{Name: pageScan, Status: http.StatusOK, Account: a.Name, User: maskUser(o.ticket.User), Refresh: refreshEvery}
	if v.QR, err = s.pictures.draw(s.scanned(r.Context(), a, o)); err != nil {
		s.log.warn("draw "+a.AppID, "a QR code could not be drawn", zap.String("account", a.AppID), zap.Error(err))
	}
	s.pages.show(w, r, v)
}

// scanned returns the content of the QR code on the page. Scanning a parametric code
// binds and follows the account, without a question: it is used only for tickets that
// need no question. Other codes hold the link, which opens in WeChat.
func (s *Service) scanned(ctx context.Context, a *account, o openedLink) string {
	if boundByScan(o.ticket) {
		content, err := s.code(ctx, a, codeTerms{
			name: o.ticket.ID.String(), scene: scenePrefix + o.ticket.ID.String(), life: time.Until(o.ticket.ExpiresAt), against: &o.openedTicket,
		})
		if err == nil {
			return content
		}
		s.log.warn("qr "+a.AppID, "WeChat gave no QR code, the page shows one with the link", zap.String("account", a.AppID), zap.Error(err))
	}
	return a.base + "?" + o.query.Encode()
}

// boundByScan reports whether scanning a code may bind without a page: the ticket needs
// neither confirmation nor consent.
func boundByScan(t ticket.Ticket) bool { return !t.AsksFirst() && !t.UserInfo }

// refuseTicket shows why a ticket cannot be used. A used one may be opened by the person
// who enrolled with it or by another person. Finding out would cost a call to WeChat, so
// the text is true for both.
func (s *Service) refuseTicket(w http.ResponseWriter, r *http.Request, a *account, p openedTicket) {
	switch p.status {
	case ticketUsed:
		s.cfg.OnEvent(Event{Account: a.AppID, Kind: KindEnrolled, Name: "E-SPENT"})
		s.pages.show(w, r, page{Name: pageEnrolled, Account: a.Name, User: maskUser(p.ticket.User)})
	case ticketOverBudget:
		s.showRefusal(w, r, a, page{Name: pageInvalid, Status: http.StatusGone, Wrong: "E-LIMIT"})
	case ticketVoid, ticketOpen:
		s.showRefusal(w, r, a, page{Name: pageSpent, Wrong: "E-SPENT"})
	}
}

// showRefusal shows why nothing was bound.
func (s *Service) showRefusal(w http.ResponseWriter, r *http.Request, a *account, v page) {
	s.cfg.OnEvent(Event{Account: a.AppID, Kind: KindEnrolled, Name: v.Wrong})
	v.Account = a.Name
	s.pages.show(w, r, v)
}

// showFailure shows a fault of ours: the follower may try again.
func (s *Service) showFailure(w http.ResponseWriter, r *http.Request, a *account, err error) {
	s.log.warn("fail "+a.AppID, "a follower could not enrol", zap.String("account", a.AppID), zap.Error(err))
	s.pages.show(w, r, page{Name: pageError, Status: http.StatusServiceUnavailable, Account: a.Name, Wrong: "E-SERVER"})
}
