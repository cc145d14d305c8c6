package api_test

import (
	"strings"
	"testing"

	"github.com/wxnotify/wxnotify/internal/api"
	"github.com/wxnotify/wxnotify/internal/apikey"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

// A part that is missing is named when the program starts, not by a panic of a call.
func TestNewNamesTheMissingPart(t *testing.T) {
	t.Parallel()
	_, rdb := redistest.Mini(t)
	keys, err := apikey.NewKeyring(rdb, []string{wechattest.AppID}, "")
	must(t, err)
	whole := newAccount(t, rdb, wechattest.AppID)
	for name, drop := range map[string]func(*api.Account){
		"Producer": func(a *api.Account) { a.Producer = nil }, "Roster": func(a *api.Account) { a.Roster = nil },
		"Gate": func(a *api.Account) { a.Gate = nil }, "Ledger": func(a *api.Account) { a.Ledger = nil },
		"Webhooks": func(a *api.Account) { a.Webhooks = nil }, "Events": func(a *api.Account) { a.Events = nil },
	} {
		a := whole
		drop(&a)
		if _, err := api.New(api.Config{Redis: rdb, Keys: keys, Accounts: []api.Account{a}}); err == nil || !strings.Contains(err.Error(), name+" is required") {
			t.Errorf("without %s: %v", name, err)
		}
	}
	if _, err := api.New(api.Config{Redis: rdb, Keys: keys, Accounts: []api.Account{whole}}); err != nil {
		t.Error(err)
	}
}
