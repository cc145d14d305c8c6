package enroll

import (
	"context"
	_ "embed"
	"errors"
	"net/http"
	"net/url"
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
	// glance is how often a second request looks for the outcome of the first.
	glance = 50 * time.Millisecond
)

// What a way through WeChat may end in, beside the outcomes of Bind.
const (
	wordFollow   Bound = "follow" // bound, but does not follow the account
	wordMismatch Bound = "mismatch"
	wordSnapshot Bound = "snapshot"
	wordBusy     Bound = "busy" // WeChat did not tell who it is
)

//go:embed lua/once.lua
var onceLua string

var onceScript = redis.NewScript(onceLua)

// comeBack is where WeChat's page sends the follower: redirect_uri (docs:
// 网页授权). The same address may be asked for twice, by a WebView that loads a
// page twice or a user who goes back: the code is exchanged once.
func (s *Service) comeBack(w http.ResponseWriter, r *http.Request, a *account) {
	if r.Method == http.MethodHead { // HEAD must not use up the code
		answer(w, http.StatusOK, "")
		return
	}
	q := r.URL.Query()
	st, err := s.states.open(q.Get("state"), a.AppID, time.Now())
	if err != nil && !errors.Is(err, errStateExpired) {
		s.cfg.OnEvent(Event{Account: a.AppID, Kind: KindEnrolled, Name: "E-STATE"})
		s.pages.show(w, r, page{Name: pageInvalid, Status: http.StatusBadRequest, Account: a.Name, Wrong: "E-STATE", Link: a.base})
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), exchangeWait)
	defer cancel()
	p, lost := a.parked(ctx, st.Ticket)
	retry := a.retryLink(p, s.returns[st.ReturnTo])
	switch {
	case lost != nil:
		s.fail(w, r, a, lost)
		return
	case err != nil:
		s.retryPage(w, r, a, page{Name: pageInvalid, Status: http.StatusBadRequest, Wrong: "E-STATE", Link: retry})
		return
	case p == nil:
		s.turnAway(w, r, a, pageInvalid, http.StatusBadRequest, "E-TICKET")
		return
	case q.Get("code") == "": // the follower said no; how WeChat tells is not documented
		s.retryPage(w, r, a, page{Name: pageRefused, Status: http.StatusOK, Wrong: "E-REFUSED", Link: retry})
		return
	}
	word, err := s.once(ctx, a, st, q.Get("code"), func(ctx context.Context) (Bound, error) {
		return s.enrol(ctx, a, p.ticket, q.Get("code"))
	})
	switch {
	case errors.Is(err, errState): // the state came back with another code
		s.retryPage(w, r, a, page{Name: pageInvalid, Status: http.StatusBadRequest, Wrong: "E-STATE", Link: retry})
	case err != nil:
		s.fail(w, r, a, err)
	case word == wordBusy && !st.Again:
		// A code is never tried twice: a new one is asked for, once.
		s.authorize(w, r, a, p.ticket, st.ReturnTo, true)
	case word == wordBusy:
		s.retryPage(w, r, a, page{Name: pageBusy, Status: http.StatusServiceUnavailable, Wrong: "E-WECHAT", Link: retry})
	case word == wordSnapshot:
		secure(w)
		http.Redirect(w, r, retry+"&done="+string(word), http.StatusSeeOther)
	default:
		s.finish(w, r, a, word, st.ReturnTo)
	}
}

func (s *Service) retryPage(w http.ResponseWriter, r *http.Request, a *account, v page) {
	s.cfg.OnEvent(Event{Account: a.AppID, Kind: KindEnrolled, Name: v.Wrong})
	v.Account = a.Name
	s.pages.show(w, r, v)
}

// finish sends the follower to a clean address, so that neither code nor state
// stay in the browser's history.
func (s *Service) finish(w http.ResponseWriter, r *http.Request, a *account, word Bound, returnTo mark) {
	target := s.returns[returnTo]
	if target == "" || word != BoundNow && word != BoundAgain {
		q := url.Values{"done": {string(word)}}
		if target != "" {
			q.Set("r", returnTo.String())
		}
		target = a.base + "?" + q.Encode()
	}
	secure(w)
	http.Redirect(w, r, target, http.StatusSeeOther)
}

// once does enrol for the first request that brings this state and code, and
// tells the others, in whatever process, what came of it. The error is errState
// when the state was used with another code.
func (s *Service) once(ctx context.Context, a *account, st state, code string, enrol func(context.Context) (Bound, error)) (Bound, error) {
	key, mine := a.keys.once(st.Nonce), fingerprint(code)
	said, err := onceScript.Run(ctx, s.cfg.Redis, []string{key}, mine, (2 * exchangeWait).Milliseconds()).Text()
	if err != nil {
		return "", wrap(err, "note the code")
	}
	if said == "" {
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
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), redisWait) // whatever the exchange took
		defer cancel()
		return word, wrap(s.cfg.Redis.Set(ctx, key, mine+" "+string(word), keep).Err(), "note the outcome")
	}
	tick := time.NewTicker(glance)
	defer tick.Stop()
	for {
		whose, word, done := strings.Cut(said, " ")
		switch {
		case whose != mine:
			return "", errState
		case done:
			return Bound(word), nil
		}
		select {
		case <-ctx.Done():
			return wordBusy, nil
		case <-tick.C:
		}
		if said, err = s.cfg.Redis.Get(ctx, key).Result(); errors.Is(err, redis.Nil) {
			return wordBusy, nil // the first one's process has gone
		} else if err != nil {
			return "", wrap(err, "read the outcome")
		}
	}
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
	if token.UnionID == "" && t.UserInfo {
		profile, err := a.OAuth.Profile(ctx, token)
		if err != nil && t.HandOff {
			return "", err
		}
		token.UnionID = profile.UnionID
	}
	b := Binding{User: t.User, OpenID: token.OpenID, UnionID: token.UnionID, How: ByOAuth}
	_ = s.askFollows(ctx, a, &b) // logged; the openid is what counts
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
	word, err := a.roster.Bind(ctx, b, &t)
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
