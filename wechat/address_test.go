package wechat_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/wxnotify/wxnotify/wechat"
)

func TestAddressRefusalNamesTheAddress(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		code wechat.Code
		msg  string
		ip   string
	}{
		{40164, "invalid ip 1.2.3.4 ipv6 ::ffff:1.2.3.4, not in whitelist", "1.2.3.4"},
		{40164, "invalid ip 1.2.3.9: not in whitelist.", "1.2.3.9"},
		{40164, "invalid ip 240e:3a1::1f, not in whitelist", "240e:3a1::1f"},
		{40164, "invalid ip ::1, not in whitelist", "::1"},
		{40164, "invalid ip ::ffff:5.6.7.8, not in whitelist", "5.6.7.8"},
		{61004, "access clientip is not registered, requestIP:203.0.113.7", "203.0.113.7"},
		{61004, "access clientip is not registered request ip: 203.0.113.7", "203.0.113.7"},
		{45035, "access clientip is not registered, not in ip-white-list", ""},
		{40164, "not in whitelist", ""},
		{48001, "api unauthorized 1.2.3.4", ""},
	} {
		e := &wechat.Error{Op: wechat.SendPath, Code: tt.code, Msg: tt.msg}
		if got := e.IP(); got != tt.ip {
			t.Errorf("%d %q: address %q, want %q", tt.code, tt.msg, got, tt.ip)
		}
		if tt.ip != "" && !strings.Contains(e.Remedy(), tt.ip) {
			t.Errorf("%d %q: the remedy %q does not name %s", tt.code, tt.msg, e.Remedy(), tt.ip)
		}
		refusal, ok := wechat.AddressRefusal(fmt.Errorf("get a token: %w", &wechat.TokenError{Err: e}))
		if want := tt.code != 48001; ok != want || ok && refusal != e {
			t.Errorf("%d: AddressRefusal %v, %v", tt.code, refusal, ok)
		}
	}
	if _, ok := wechat.AddressRefusal(errors.New("no answer")); ok {
		t.Error("an error without errcode refuses no address")
	}
}
