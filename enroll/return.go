package enroll

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/internal/ticket"
	"github.com/wxnotify/wxnotify/wechat"
)

const (
	// exchangeWait is how long the one exchange of a code may take, everything
	// around it included. Who waits for its outcome waits as long.
	exchangeWait = 15 * time.Second
	// askWait bounds what is only nice to know: whether the follower follows.
	askWait = 3 * time.Second
	// pollEvery is how often a second request looks for the outcome of the first.
	pollEvery = 50 * time.Millisecond
	// maxAnswer bounds the body of an answer to the question, in bytes.
	maxAnswer = 4 << 10
	// weChatPages is where Account.AuthorizeURL is by default.
	weChatPages = "https://open.weixin.qq.com"
)

// What a way through WeChat may end in, beside the outcomes of Bind.
const (
	wordFollow   Bound = "follow" // bound, but does not follow the account
	wordMismatch Bound = "mismatch"
	wordSnapshot Bound = "snapshot"
	wordConsent  Bound = "consent" // the ticket requires consent, and the scope of the answer lacks it
	wordBusy     Bound = "busy"    // WeChat did not tell who it is
)

// returned holds the parameters of the redirect from WeChat's page, and the follower's
// answer to the confirmation page.
type returned struct {
	state, code string
	answer      string // empty: not asked yet
}

// The answers to the confirmation page.
const (
	answerYes = "yes"
	answerNo  = "no"
)

// oauthCallback is where WeChat's page sends the follower: redirect_uri (docs:
// 网页授权). The same address may be asked for twice, by a WebView that loads a
// page twice or a user who goes back: the code is exchanged once.
func (s *Service) oauthCallback(w http.ResponseWriter, r *http.Request, a *account) {
	if r.Method == http.MethodHead { // HEAD must not use up the code
		answer(w, http.StatusOK, "")
		return
	}
	q := r.URL.Query()
	s.resume(w, r, a, returned{state: q.Get("state"), code: q.Get("code")})
}

// postAnswer receives the form of the confirmation page. The signed state in the form
// replaces a cookie. Another site cannot send the form for a visitor, because it does not
// have the visitor's code.
func (s *Service) postAnswer(w http.ResponseWriter, r *http.Request, a *account) {
	r.Body = http.MaxBytesReader(w, r.Body, maxAnswer)
	if err := r.ParseForm(); err != nil {
		s.showRefusal(w, r, a, page{Name: pageInvalid, Status: http.StatusBadRequest, Wrong: "E-STATE", Link: a.base})
		return
	}
	f := r.PostForm
	s.resume(w, r, a, returned{state: f.Get("state"), code: f.Get("code"), answer: f.Get("answer")})
}

// resume continues after WeChat's page. It calls WeChat and writes to Redis only if the
// ticket can still be used and the follower has confirmed, where that is required.
func (s *Service) resume(w http.ResponseWriter, r *http.Request, a *account, v returned) {
	st, err := s.states.openOf(v.state, a.AppID, kindFirst, kindAgain)
	expired := errors.Is(err, errStateExpired)
	if err != nil && !expired {
		s.showRefusal(w, r, a, page{Name: pageInvalid, Status: http.StatusBadRequest, Wrong: "E-STATE", Link: a.base})
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), exchangeWait)
	defer cancel()
	p, err := a.storedTicket(ctx, st.Ticket)
	if err != nil {
		s.showFailure(w, r, a, err)
		return
	}
	if p.status == ticketVoid {
		s.refuseTicket(w, r, a, p)
		return
	}
	begun, word, err := s.outcome(ctx, a, st, v.code)
	switch {
	case begun || err != nil: // a repetition: the follower has confirmed before
	case p.status != ticketOpen:
		s.refuseTicket(w, r, a, p)
		return
	case expired:
		s.showRefusal(w, r, a, page{Name: pageInvalid, Status: http.StatusBadRequest, Wrong: "E-STATE", Link: s.retryLink(a, p, st.ReturnTo)})
		return
	case !plainCode(v.code):
		s.showRefusal(w, r, a, page{Name: pageInvalid, Status: http.StatusBadRequest, Wrong: "E-STATE", Link: s.retryLink(a, p, st.ReturnTo)})
		return
	case v.code == "", v.code == "authdeny", v.answer == answerNo: // WeChat does not document how a refusal comes back
		s.showRefusal(w, r, a, page{Name: pageRefused, Wrong: "E-REFUSED", Link: s.retryLink(a, p, st.ReturnTo)})
		return
	case p.ticket.AsksFirst() && v.answer != answerYes:
		s.askConfirmation(w, r, a, p, st, v)
		return
	}
	if err == nil && word == "" {
		word, err = s.exchangeOnce(ctx, a, st, v.code, func(ctx context.Context) (Bound, error) {
			return s.enrol(ctx, a, p.ticket, v.code)
		})
	}
	s.conclude(ctx, w, r, a, p, st, word, err)
}

// plainCode reports whether a text may be a code of WeChat's, which has 32 letters,
// digits, - and _. It accepts the empty text, which is a refusal.
func plainCode(code string) bool {
	const most = 512
	return len(code) <= most && !strings.ContainsFunc(code, func(c rune) bool { return c <= ' ' || c > '~' })
}

// askConfirmation shows the confirmation page: for which user, yes or no. Before the answer nothing
// is bound or stored, and WeChat is not called.
func (s *Service) askConfirmation(w http.ResponseWriter, r *http.Request, a *account, p openedTicket, st state, v returned) {
	s.pages.show(w, r, page{
		Name: pageConfirm, Account: a.Name, User: maskUser(p.ticket.User),
		Form: &pageForm{State: v.state, Code: v.code, LeadsTo: []string{cmp.Or(a.AuthorizeURL, weChatPages), s.returns[st.ReturnTo]}},
	})
}

// conclude answers with the outcome of an exchange.
func (s *Service) conclude(ctx context.Context, w http.ResponseWriter, r *http.Request, a *account, p openedTicket, st state, word Bound, err error) {
	retry := s.retryLink(a, p, st.ReturnTo)
	var late *waitError
	var shut *ticketError
	switch {
	case errors.Is(err, errState): // the state came back with another code
		s.showRefusal(w, r, a, page{Name: pageInvalid, Status: http.StatusBadRequest, Wrong: "E-STATE", Link: retry})
	case errors.As(err, &shut):
		p.status = shut.status
		s.refuseTicket(w, r, a, p)
	case errors.As(err, &late):
		s.log.warn("crowd "+a.AppID, "followers are asked to wait: more enrol at once than the account's limit",
			zap.String("account", a.AppID), zap.Int("exchanges_per_minute", exchangesPerMinute))
		w.Header().Set("Retry-After", strconv.Itoa(seconds(late.left)))
		s.showRefusal(w, r, a, page{Name: pageTooMany, Wrong: "E-WAIT", Link: retry, Wait: late.left})
	case err != nil:
		s.showFailure(w, r, a, err)
	case word == wordBusy && st.Kind == kindFirst:
		// A code is never tried twice: a new one is asked for, once.
		s.authorize(ctx, w, r, a, p, st.ReturnTo, kindAgain)
	case word == wordBusy:
		s.showRefusal(w, r, a, page{Name: pageBusy, Wrong: "E-WECHAT", Link: retry})
	case word == wordConsent:
		s.showRefusal(w, r, a, page{Name: pageRefused, Wrong: "E-CONSENT", Link: retry})
	case word == wordSnapshot:
		secure(w)
		http.Redirect(w, r, retry+"&done="+string(word), http.StatusSeeOther)
	default:
		s.redirectDone(w, r, a, st, word)
	}
}

// outcome reports whether a request with this state and code has begun before, and what
// came of it; empty: it is under way. The error is errState when the state was used with
// another code.
func (s *Service) outcome(ctx context.Context, a *account, st state, code string) (begun bool, word Bound, err error) {
	reply, err := a.Roster.rdb.Get(ctx, a.keys.once(st.Nonce)).Result()
	if errors.Is(err, redis.Nil) {
		return false, "", nil
	}
	if err != nil {
		return false, "", wrap(err, "read the outcome")
	}
	whose, word, _ := readOutcome(reply)
	if whose != fingerprint(code) {
		return true, "", errState
	}
	return true, word, nil
}

// readOutcome reads what is noted of a state: the fingerprint of its code, and what came of
// the exchange once it is done. The request that exchanges is named behind a dot.
func readOutcome(text string) (whose string, word Bound, done bool) {
	head, outcome, done := strings.Cut(text, " ")
	whose, _, _ = strings.Cut(head, ".")
	return whose, Bound(outcome), done
}

// exchangeOnce does enrol for the first request that brings this state and code, and
// returns its outcome to the others, in all processes. The error is errState when the
// state was used with another code, *ticketError when the ticket cannot be used, and
// *waitError when the account's limit per minute is reached.
func (s *Service) exchangeOnce(ctx context.Context, a *account, st state, code string, enrol func(context.Context) (Bound, error)) (Bound, error) {
	key, mine := a.keys.once(st.Nonce), fingerprint(code)
	keys := []string{key, a.keys.ticket(st.Ticket), a.keys.used("x")}
	reply, err := onceScript.Run(ctx, a.Roster.rdb, keys,
		mine, randomName(), (2 * exchangeWait).Milliseconds(), mostExchanges, exchangesPerMinute, time.Minute.Milliseconds()).Text()
	if err != nil {
		return "", wrap(err, "note the code")
	}
	if reply == "" {
		return s.exchange(ctx, a, st, mine, enrol)
	}
	if why, denied := strings.CutPrefix(reply, "! "); denied {
		return "", denial(why)
	}
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		whose, word, done := readOutcome(reply)
		switch {
		case whose != mine:
			return "", errState
		case done:
			return word, nil
		}
		select {
		case <-ctx.Done():
			return wordBusy, nil
		case <-tick.C:
		}
		if reply, err = a.Roster.rdb.Get(ctx, key).Result(); errors.Is(err, redis.Nil) {
			return wordBusy, nil // the first one's process has gone
		} else if err != nil {
			return "", wrap(err, "read the outcome")
		}
	}
}

// denial converts the reason why once.lua allowed no exchange.
func denial(why string) error {
	text, waits := strings.CutPrefix(why, "wait ")
	if !waits {
		return &ticketError{ticketStatus(why)}
	}
	ms, _ := strconv.ParseInt(text, 10, 64)
	return &waitError{time.Duration(max(ms, 1)) * time.Millisecond}
}

// exchange calls enrol and stores its outcome for half an hour.
func (s *Service) exchange(ctx context.Context, a *account, st state, mine string, enrol func(context.Context) (Bound, error)) (Bound, error) {
	// A browser that hangs up must not stop it: the code is used up.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), exchangeWait)
	defer cancel()
	word, err := enrol(ctx)
	if err != nil {
		word = wordBusy
		s.log.warn("enrol "+a.AppID, "a follower could not enrol", zap.String("account", a.AppID), zap.Error(err))
	}
	s.cfg.OnEvent(Event{Account: a.AppID, Kind: KindEnrolled, Name: string(word)})
	keep := max(time.Until(st.ExpiresAt), 0) + time.Minute
	ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), redisWait) // a new timeout: the exchange may have used up the first
	defer cancel()
	return word, wrap(a.Roster.rdb.Set(ctx, a.keys.once(st.Nonce), mine+" "+string(word), keep).Err(), "note the outcome")
}

// enrol exchanges the code and binds whom it names. What WeChat tells beyond the
// openid is welcome but not waited for, unless the ticket asks for the person.
func (s *Service) enrol(ctx context.Context, a *account, t ticket.Ticket, code string) (Bound, error) {
	token, err := a.OAuth.Exchange(ctx, wechat.NewSecret(code))
	if err != nil {
		return "", err
	}
	if token.Snapshot {
		return wordSnapshot, nil // a made-up person of a page in quick look
	}
	// The scope in the address of WeChat's page can be changed by the visitor. What the
	// follower agreed to is in the answer of the exchange.
	if t.UserInfo && !slices.Contains(strings.Split(token.Scope, ","), wechat.ScopeUserInfo) {
		return wordConsent, nil
	}
	if token.UnionID == "" && t.UserInfo {
		profile, err := a.OAuth.Profile(ctx, token)
		if err != nil && t.HandOff {
			return "", err
		}
		token.UnionID = profile.UnionID
	}
	b := Binding{User: t.User, OpenID: token.OpenID, UnionID: token.UnionID, How: ByOAuth}
	_ = s.askFollows(ctx, a, &b) // logged; the next event tells
	return s.bind(ctx, a, b, t)
}

// bind compares the person and writes the binding.
func (s *Service) bind(ctx context.Context, a *account, b Binding, t ticket.Ticket) (Bound, error) {
	if t.HandOff {
		err := a.handOffs.CheckUnionID(ctx, t.ID, b.UnionID)
		if errors.Is(err, ticket.ErrMismatch) {
			return wordMismatch, nil
		}
		if err != nil {
			return "", err
		}
	}
	word, err := a.Roster.Bind(ctx, b, &t)
	if err != nil {
		return "", err
	}
	if (word == BoundNow || word == BoundAgain) && b.Follows != nil && !*b.Follows {
		return wordFollow, nil
	}
	return word, nil
}

// askFollows asks whether the openid follows, and for its unionid; without an
// answer b stays as it is.
func (s *Service) askFollows(ctx context.Context, a *account, b *Binding) error {
	ctx, cancel := context.WithTimeout(ctx, askWait)
	defer cancel()
	info, err := a.Platform.UserInfo(ctx, b.OpenID)
	if err != nil {
		s.log.warn("userinfo "+a.AppID, "WeChat did not tell whether a follower follows", zap.String("account", a.AppID), zap.Error(err))
		return err
	}
	b.Follows = &info.Subscribed
	if b.UnionID == "" {
		b.UnionID = info.UnionID
	}
	return nil
}
