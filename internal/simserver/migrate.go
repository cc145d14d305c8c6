package simserver

import (
	"errors"

	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

type migrateIn struct {
	target
	From string `json:"from"`
}

// migrate moves the followers of the account From to the target.
func (s server) migrate(a *wechattest.Account, in migrateIn) (any, error) {
	if in.From == a.AppID() {
		return nil, errors.New("from is the account itself; name the previous account's appid")
	}
	if _, err := s.account(in.From); err != nil || in.From == "" {
		return nil, errors.New("from is not on this platform; name the previous account's appid")
	}
	a.MigrateFrom(in.From)
	return nil, nil
}
