package enroll

import (
	"net/http"
	"strings"
	"unicode"

	"go.uber.org/zap"
)

// callbackPath returns what stands behind /callback/. People type the address into
// the console: capitals, more slashes and blanks around it, also invisible ones that are
// copied along, do not matter, nor does a path before it that a proxy leaves there.
func callbackPath(path string) (appid string, ok bool) {
	segments := strings.Split(strings.TrimLeft(path, "/"), "/")
	for i, segment := range segments {
		if !strings.EqualFold(segment, "callback") {
			continue
		}
		appid = strings.TrimFunc(strings.Join(segments[i+1:], "/"), func(r rune) bool {
			return r == '/' || unicode.IsSpace(r) || unicode.Is(unicode.Cf, r)
		})
		if appid != "" || i == 0 { // not /enroll/{appid}/callback
			return appid, true
		}
	}
	return "", false
}

// calledAccount finds the account of a callback path; nil: there is none.
func (s *Service) calledAccount(appid string) *account {
	if a := s.accounts[appid]; a != nil {
		return a
	}
	for id, a := range s.accounts {
		if strings.EqualFold(id, appid) {
			return a
		}
	}
	return nil
}

// callback answers a call of a callback address.
func (s *Service) callback(w http.ResponseWriter, r *http.Request, a *account) {
	switch {
	case a == nil || a.inbox == nil:
		s.cfg.OnEvent(Event{Kind: KindRefused, Name: "path"})
		s.log.warn("path", "a callback address was called that is none of ours: compare the URL of 消息推送配置 with https://<your host>/callback/<appid>",
			zap.String("path", cut(r.URL.Path, 80)), zap.String("method", cut(r.Method, 16)))
		if !s.overLimit(w, r) {
			answer(w, http.StatusNotFound, "no callback is configured for this path")
		}
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		s.verify(w, r, a)
	case r.Method == http.MethodPost:
		s.receive(w, r, a)
	default:
		if !s.overLimit(w, r) {
			w.Header().Set("Allow", "GET, HEAD, POST")
			answer(w, http.StatusMethodNotAllowed, "this address takes GET and POST")
		}
	}
}

// cut shortens a client's text for the log.
func cut(text string, most int) string {
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}
