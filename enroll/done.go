package enroll

import (
	"context"
	"crypto/sha256"
	"net/http"
	"net/url"
	"regexp"
	"time"

	"go.uber.org/zap"
)

// redirectDone redirects the follower to a clean address, so that neither code nor state stay
// in the browser's history. The address holds a signed proof, valid for half an hour and
// for this browser: another person who opens it must not read that they are enrolled.
func (s *Service) redirectDone(w http.ResponseWriter, r *http.Request, a *account, st state, word Bound) {
	target := s.returns[st.ReturnTo]
	if target == "" || word != BoundNow && word != BoundAgain {
		proof := s.states.seal(state{
			Kind: kindDone, Account: markOf(a.AppID), ReturnTo: st.ReturnTo, Ticket: st.Ticket, Nonce: browserMark(r),
			ExpiresAt: time.Now().Add(stateLife),
		})
		target = a.base + "?" + url.Values{"done": {string(word)}, "p": {proof}}.Encode()
	}
	secure(w)
	http.Redirect(w, r, target, http.StatusSeeOther)
}

// netType is what changes in WeChat's User-Agent when a phone leaves its WLAN.
var netType = regexp.MustCompile(`NetType/\S*`)

// browserMark distinguishes a browser from most others by its User-Agent. WebViews lose
// cookies.
func browserMark(r *http.Request) [nonceSize]byte {
	sum := sha256.Sum256([]byte(netType.ReplaceAllString(r.UserAgent(), "")))
	return [nonceSize]byte(sum[:])
}

// showDone is the last page. It may be reloaded and returned to. Only with a valid proof
// it says that this person is enrolled; else its text is true for every reader.
func (s *Service) showDone(w http.ResponseWriter, r *http.Request, a *account, word Bound, q url.Values) {
	v := page{Status: http.StatusOK, Account: a.Name}
	ctx, cancel := context.WithTimeout(r.Context(), redisWait)
	defer cancel()
	st, err := s.states.openOf(q.Get("p"), a.AppID, kindDone)
	proved := err == nil && st.Nonce == browserMark(r)
	if proved {
		p, err := a.storedTicket(ctx, st.Ticket)
		if err != nil {
			s.showFailure(w, r, a, err)
			return
		}
		v.Link, v.User = s.returns[st.ReturnTo], maskUser(p.ticket.User)
		if p.status == ticketVoid {
			v.User, word = "", TicketSpent // unbound or erased since
		}
	}
	switch word { //nolint:exhaustive // the others are words of Bind, which no link asks for
	case BoundNow, BoundAgain, wordFollow:
		v.Name = pageEnrolled
		if proved && word == wordFollow {
			v.Name, v.QR = pageFollow, s.followCode(r, a)
		} else if proved {
			v.Name = pageBound
		}
	case TicketSpent:
		v.Name, v.Status, v.Wrong = pageSpent, http.StatusGone, "E-SPENT"
	case UserTaken:
		v.Name, v.Status, v.Wrong = pageTaken, http.StatusConflict, "E-TAKEN"
	case UserFull:
		v.Name, v.Status, v.Wrong = pageTaken, http.StatusConflict, "E-FULL"
	case wordMismatch:
		v.Name, v.Status, v.Wrong = pageMismatch, http.StatusForbidden, "E-PERSON"
	case wordSnapshot:
		v.Name, v.Status = pageSnapshot, http.StatusForbidden
		// WeChat loads the page again with its full service; from there the link
		// leads on.
		if v.Link = ""; q.Get("retry") != "" {
			v.Link = a.base + "?" + url.Values{"retry": {q.Get("retry")}}.Encode()
		}
	case wordBusy, wordConsent: // never sent here
		v.Name, v.Status = pageBusy, http.StatusServiceUnavailable
	default:
		v.Name, v.Status = pageMissing, http.StatusBadRequest
	}
	s.pages.show(w, r, v)
}

// followCode returns the picture of the code that leads to the account's page. Nil: there
// is none; the page then describes another way.
func (s *Service) followCode(r *http.Request, a *account) []byte {
	if r.Method == http.MethodHead {
		return nil
	}
	content, err := s.code(r.Context(), a, codeTerms{name: "follow", scene: sceneFollow, life: followCodeLife})
	if err != nil {
		s.log.warn("qr "+a.AppID, "WeChat gave no QR code", zap.String("account", a.AppID), zap.Error(err))
		return nil
	}
	picture, err := s.pictures.draw(content)
	if err != nil {
		s.log.warn("draw "+a.AppID, "a QR code could not be drawn", zap.String("account", a.AppID), zap.Error(err))
	}
	return picture
}
