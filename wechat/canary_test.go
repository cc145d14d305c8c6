package wechat_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/wxnotify/wxnotify/wechat"
)

// allTexts prints err and its chain with the usual verbs.
func allTexts(err error) []string {
	if err == nil {
		return nil
	}
	var b bytes.Buffer
	slog.New(slog.NewJSONHandler(&b, nil)).Error("x", "err", err)
	texts := []string{
		err.Error(), fmt.Sprintf("%v %+v %#v %q", err, err, err, err), b.String(),
	}
	switch e := err.(type) { //nolint:errorlint // it walks the chain itself
	case interface{ Unwrap() error }:
		texts = append(texts, allTexts(e.Unwrap())...)
	case interface{ Unwrap() []error }:
		for _, each := range e.Unwrap() {
			texts = append(texts, allTexts(each)...)
		}
	}
	return texts
}

// Every call fails in every way, also with answers that quote the request.
func TestTok14NoErrorHasASecret(t *testing.T) {
	t.Parallel()
	echo := func(form string) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, r *http.Request) {
			unescaped, _ := url.QueryUnescape(r.URL.RawQuery)
			body, _ := io.ReadAll(r.Body)
			words := strings.NewReplacer(`"`, "'", `\`, "").Replace(r.URL.RequestURI() + " " + unescaped + " " + string(body))
			_, _ = fmt.Fprintf(w, form, words, canaryOpenID, canaryToken, canarySecret)
		}
	}
	ways := map[string]func(http.ResponseWriter, *http.Request){
		"errmsg echoes":  echo(`{"errcode":40003,"errmsg":"%s openid %s token %s secret %s"}`),
		"rid echoes":     echo(`{"errcode":40001,"errmsg":"rid: %s hint: [%s] access_token=%s appsecret: %s"}`),
		"garbage echoes": echo(`%s %s %s %s`),
		"status echoes": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusBadGateway)
			_, _ = io.WriteString(w, r.URL.RequestURI())
		},
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere?"+r.URL.RawQuery, http.StatusFound)
		},
		"malformed answer echoes": func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_, _ = io.WriteString(conn, canaryToken+" "+canarySecret+" is no HTTP\r\n\r\n")
				_ = conn.Close()
			}
		},
		"cut": func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_ = conn.Close()
			}
		},
	}
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlatform(t, func(_ int, w http.ResponseWriter, r *http.Request) { way(w, r) })
			for call, err := range everyCall(t, p) {
				if err == nil {
					t.Errorf("%s: no error", call)
				}
				noCanary(t, err)
			}
		})
	}
	t.Run("refused connection", func(t *testing.T) {
		t.Parallel()
		p := answers(t, answerOK)
		p.Close()
		for call, err := range everyCall(t, p) {
			if err == nil || wechat.Ambiguous(err) {
				t.Errorf("%s: %v", call, err)
			}
			noCanary(t, err)
		}
	})
}

func everyCall(t *testing.T, p *platform) map[string]error {
	t.Helper()
	c, f := newClient(t, p, newSource()), newFetcher(t, p)
	ctx := t.Context()
	errs := make(map[string]error)
	_, errs["send"] = c.SendTemplate(ctx, orderPaid())
	_, errs["quota"] = c.Quota(ctx, wechat.SendPath)
	_, errs["rid"] = c.RequestByRID(ctx, "61725984-6126f6f9-040f19c4")
	_, errs["templates"] = c.Templates(ctx)
	_, errs["user"] = c.UserInfo(ctx, canaryOpenID)
	_, errs["users"] = c.UserInfos(ctx, []string{"o1", canaryOpenID})
	_, errs["followers"] = c.Followers(ctx, canaryOpenID)
	_, errs["change openids"] = c.ChangeOpenIDs(ctx, "wx0123456789abcde0", []string{"o1", canaryOpenID})
	_, errs["classic"] = f.FetchClassic(ctx)
	_, errs["stable"] = f.FetchStable(ctx, true)
	_, errs["qr"] = c.CreateQR(ctx, canaryScene, time.Minute)
	o := newOAuth(t, p)
	user := wechat.UserToken{AccessToken: wechat.NewSecret(canaryUserToken), OpenID: canaryOpenID}
	_, errs["exchange"] = o.Exchange(ctx, wechat.NewSecret(canaryCode))
	_, errs["refresh"] = o.Refresh(ctx, wechat.NewSecret(canaryRefresh))
	_, errs["profile"] = o.Profile(ctx, user)
	errs["check"] = o.Check(ctx, user)
	return errs
}

func TestClientPrintsNoSecret(t *testing.T) {
	t.Parallel()
	cfg := wechat.Config{AppID: "wx1", AppSecret: wechat.NewSecret(canarySecret)}
	f, err := wechat.NewTokenFetcher(cfg)
	must(t, err)
	c, err := wechat.NewClient(cfg, wechat.StaticToken(canaryToken))
	must(t, err)
	for _, value := range []any{cfg, &cfg, f, *f, c, wechat.StaticToken(canaryToken), errors.New("x")} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			if text := fmt.Sprintf(verb, value); strings.Contains(text, "canary") {
				t.Errorf("%s of %T prints a secret: %s", verb, value, text)
			}
		}
	}
}
