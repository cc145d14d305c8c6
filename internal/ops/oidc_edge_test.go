package ops_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/wxnotify/wxnotify/internal/ops"
	"github.com/wxnotify/wxnotify/wechat"
)

// Browsers drop tabs and line breaks from an address, so that "/\t/evil" is "//evil".
func TestOIDCLeadsToNoOtherHostAtTheRootEither(t *testing.T) {
	t.Parallel()
	for _, next := range []string{"/\t/evil.example/", "/\n/evil.example/", "\t//evil.example/", "//evil.example/", `/\evil.example/`, "/\x00/evil.example", "/\x7f/evil", "https://evil.example/"} {
		i := newIssuer(t)
		b := i.singleAt(t, "")
		b.client.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
			if strings.HasPrefix(r.URL.Path, "/auth") || r.URL.Path == "/oidc/callback" {
				return nil
			}
			return http.ErrUseLastResponse
		}
		r := b.open(t, "/oidc/login?next="+url.QueryEscape(next))
		if to := r.header.Get("Location"); to != "/console/" {
			t.Errorf("next %q leads to %q", next, to)
		}
	}
}

// An image on a page of another site must not lock an operator's address out.
func TestCallbacksThatNoLoginBeganLockNobodyOut(t *testing.T) {
	t.Parallel()
	b := newIssuer(t).single(t)
	for range 200 {
		if r := b.open(t, "/wx/oidc/callback?code=c&state=forged"); r.status != http.StatusUnauthorized {
			t.Fatalf("a callback that no login began: %d", r.status)
		}
	}
	if r := b.open(t, "/wx/oidc/login"); r.status != http.StatusOK {
		t.Errorf("a login: %d %s", r.status, r.body)
	}
}

func TestTheRedirectURLHasThePrefix(t *testing.T) {
	t.Parallel()
	for redirect, right := range map[string]bool{
		"https://ops/oidc/callback": false, "https://ops/other/oidc/callback": false, "https://ops/wx/oidc/callback": true,
		"https://ops/wx/oidc/callback?x=1": false, "ftp://localhost/wx/oidc/callback": false, "//localhost/wx/oidc/callback": false,
		"http://127.0.0.1:9090/wx/oidc/callback": true, "https:///wx/oidc/callback": false,
	} {
		_, err := ops.New(ops.Config{Redis: unreachable(t), Addr: "127.0.0.1:9090", Prefix: "/wx", OIDC: &ops.OIDC{
			Issuer: "https://sso", ClientID: "c", ClientSecret: wechat.NewSecret("s"), RedirectURL: redirect,
			Admit: func(map[string]any) (string, string) { return "", "" },
		}})
		if right != (err == nil) || err != nil && !strings.Contains(err.Error(), "/wx/oidc/callback") {
			t.Errorf("%s: %v", redirect, err)
		}
	}
}

func TestTheConsoleKnowsTheSubjectOfALoginByOIDC(t *testing.T) {
	t.Parallel()
	b := newIssuer(t).single(t)
	if r := b.open(t, "/wx/oidc/login?next=/wx/console/subject"); r.body != "7f3c" {
		t.Errorf("subject %q", r.body)
	}
}
