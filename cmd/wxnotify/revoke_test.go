package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/tokenstore"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

// TestTokenRevokeTellsEachStep in virtual time: the two forced refreshes are 31 s apart.
func TestTokenRevokeTellsEachStep(t *testing.T) {
	t.Parallel()
	for _, output := range []string{"text", "json"} {
		t.Run(output, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				_, rdb := redistest.Mini(t)
				p := wechattest.New(wechattest.Config{})
				t.Cleanup(p.Close)
				fetcher, err := wechat.NewTokenFetcher(wechat.Config{
					AppID: wechattest.AppID, AppSecret: wechat.NewSecret(wechattest.AppSecret), BaseURL: p.BaseURL(), HTTPClient: p.Client(),
				})
				if err != nil {
					t.Fatal(err)
				}
				tokens, err := tokenstore.New(rdb, fetcher, tokenstore.Config{AppID: wechattest.AppID})
				if err != nil {
					t.Fatal(err)
				}
				leaked, err := tokens.Token(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				var out, errOut bytes.Buffer
				a := &app{environment: environment{Stdout: &out, Stderr: &errOut}, output: output}
				if err := a.revokeToken(t.Context(), wechattest.AppID, tokens); err != nil {
					t.Fatal(err)
				}
				for _, want := range []string{"forced refresh 1 of 2: done", "waiting 31s", "forced refresh 2 of 2: done", "2 of 20 forced refreshes today"} {
					if !strings.Contains(errOut.String(), want) {
						t.Errorf("not told: %q\n%s", want, &errOut)
					}
				}
				if strings.Contains(out.String()+errOut.String(), leaked.Value.Reveal()) {
					t.Error("the token is printed")
				}
				if output == "text" {
					if !strings.HasPrefix(out.String(), "revoked: ") {
						t.Errorf("stdout %q", &out)
					}
					return
				}
				var view struct {
					Account     string `json:"account"`
					Fingerprint string `json:"fingerprint"`
					ForcedToday int    `json:"forced_today"`
				}
				if err := json.Unmarshal(out.Bytes(), &view); err != nil || view.Account != wechattest.AppID || view.Fingerprint == "" || view.ForcedToday != 2 {
					t.Errorf("stdout %q: %v", &out, err)
				}
			})
		})
	}
}

func TestTokenRevokeAsksFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t, redistest.Start(t).URL())
	for _, stdin := range []string{"", "y\n", "no\n", "yes please\n"} {
		r := runProcess(t, w.env, strings.NewReader(stdin), "token", "revoke")
		if r.code != exitUsage || !strings.Contains(r.stderr, "nothing was done") || !strings.Contains(r.stderr, "--yes") {
			t.Errorf("answered %q: exit %d, %s", stdin, r.code, r.stderr)
		}
	}
	if r := inProcess(t, w.env, "token", "-o", "json"); !strings.Contains(r.stdout, `"forced_today": 0`) {
		t.Errorf("a token was forced: %s", r.stdout)
	}
	r := inProcess(t, w.with("WXNOTIFY_TOKEN_MODE", "classic"), "token", "revoke", "--yes")
	if r.code != exitUsage || !strings.Contains(r.stderr, "WXNOTIFY_TOKEN_MODE") || !strings.Contains(r.stderr, "reset the AppSecret") {
		t.Errorf("classic mode: exit %d, %s", r.code, r.stderr)
	}
}

func TestErrorsOfTokenRevokeSayWhatToDo(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		steps []tokenstore.RevokeStep
		err   error
		want  string
	}{
		"budget":      {nil, tokenstore.ErrForcedRefreshes, "00:00 UTC+8"},
		"half done":   {[]tokenstore.RevokeStep{{Refresh: 1, Of: 2, Fingerprint: "ab12"}}, errors.New("no answer"), "only one of two"},
		"not started": {nil, errors.New("no answer"), "no answer"},
	} {
		a := &app{environment: environment{Stdout: &bytes.Buffer{}, Stderr: &bytes.Buffer{}}}
		err := a.revokeToken(t.Context(), "wx1", revokes{c.steps, c.err})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// revokes makes these steps, then fails.
type revokes struct {
	steps []tokenstore.RevokeStep
	err   error
}

func (r revokes) Revoke(_ context.Context, step func(tokenstore.RevokeStep)) error {
	for _, s := range r.steps {
		step(s)
	}
	return r.err
}
