package wechattest_test

import (
	"testing"

	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

// WeChat's pages disagree on which calls check the IP list: the simulator does either.
func TestIPListIsCheckedOnTokenCallsOrOnAll(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		check       wechattest.IPCheck
		refusal     wechat.Code
		token, call wechat.Code
	}{
		"token calls":           {wechattest.IPCheckTokens, 0, 40164, 0},
		"token calls, by 61004": {wechattest.IPCheckTokens, 61004, 61004, 0},
		"all calls":             {wechattest.IPCheckAll, 0, 40164, 40164},
		"all calls, by 45035":   {wechattest.IPCheckAll, 45035, 45035, 45035},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := wechattest.New(wechattest.Config{Accounts: []wechattest.AccountConfig{{
				AppID: wechattest.AppID, AllowedIPs: []string{"203.0.113.0/28", "2001:db8::1"}, IPCheck: tt.check, IPRefusal: tt.refusal,
			}}})
			t.Cleanup(p.Close)
			cfg := wechat.Config{AppID: wechattest.AppID, AppSecret: wechat.NewSecret(wechattest.AppSecret), BaseURL: p.BaseURL()}
			fetch := func(ip string) (wechat.Token, error) {
				cfg.HTTPClient = p.ClientFrom(ip)
				fetcher, err := wechat.NewTokenFetcher(cfg)
				must(t, err)
				return fetcher.FetchStable(t.Context(), false)
			}
			if _, err := fetch("2001:db8::1"); err != nil {
				t.Errorf("from a listed address: %v", err)
			}
			token, err := fetch("203.0.113.7")
			if err != nil {
				t.Fatalf("from a listed range: %v", err)
			}
			_, err = fetch("198.51.100.9")
			refusal, ok := wechat.AddressRefusal(err)
			if !ok || refusal.Code != tt.token || refusal.IP() != "198.51.100.9" {
				t.Errorf("token from an address not listed: %v, want %d that names it", err, tt.token)
			}
			for ip, want := range map[string]wechat.Code{"203.0.113.7": 0, "198.51.100.9": tt.call} {
				cfg.HTTPClient = p.ClientFrom(ip)
				client, err := wechat.NewClient(cfg, wechat.StaticToken(token.Value.Reveal()))
				must(t, err)
				_, err = client.Quota(t.Context(), wechat.SendPath)
				if code, _ := wechat.CodeOf(err); code != want || want == 0 && err != nil {
					t.Errorf("a call from %s: %v, want errcode %d", ip, err, want)
				}
			}
		})
	}
}
