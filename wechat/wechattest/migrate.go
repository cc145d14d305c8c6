package wechattest

import (
	"crypto/sha256"
	"encoding/base64"
	"time"
)

// convertFor is how long openids are converted after a migration (docs: 帐号迁移).
const convertFor = 15 * 24 * time.Hour

// migration is a previous account whose followers the account took over.
type migration struct {
	from *Account
	at   time.Time
}

// MigrateFrom moves the followers of the account from to this one, as WeChat does when
// an account moves to another subject (帐号迁移): they do not follow from any more, and
// have a new openid here, which changeopenid tells for 15 days. There are no events.
// It panics when from is not on the platform.
func (a *Account) MigrateFrom(from string) {
	previous := a.p.Account(from)
	defer a.p.locked()()
	m := &migration{from: previous, at: time.Now()}
	a.migration = m
	for i := range a.p.chats.list {
		if seen := &a.p.chats.list[i]; seen.AppID == from {
			previous.follower(seen.OpenID)
		}
	}
	moved := map[string]string{}
	for _, openid := range previous.roster {
		if previous.follows(openid) && previous.owns(openid) {
			moved[openid] = a.movedOpenID(openid)
		}
	}
	for old := range moved {
		previous.follower(old).follows = false
	}
	for _, old := range previous.roster {
		if now := moved[old]; now != "" {
			f := a.follower(now)
			f.follows, f.since, f.scene = true, m.at, "ADD_SCENE_ACCOUNT_MIGRATION"
		}
	}
	a.moved = moved
}

// movedOpenID is the openid here of a follower of the previous account.
func (a *Account) movedOpenID(old string) string {
	sum := sha256.Sum256([]byte(a.cfg.AppID + " " + old))
	return (a.cfg.OpenIDPrefix + "oM" + base64.RawURLEncoding.EncodeToString(sum[:]))[:28]
}

// serveChangeOpenID is POST /cgi-bin/changeopenid, 100 openids at most.
func serveChangeOpenID(c *call) answer {
	var in struct {
		From    string   `json:"from_appid"`
		OpenIDs []string `json:"openid_list"`
	}
	if code := c.decode(&in); code != 0 {
		return refuse(code)
	}
	if len(in.OpenIDs) == 0 || len(in.OpenIDs) > 100 {
		return refuse(40035)
	}
	defer c.p.locked()()
	m := c.account.migration
	if m == nil || m.from.cfg.AppID != in.From || c.now.Sub(m.at) > convertFor {
		return refuse(63178)
	}
	type result struct {
		Old     string `json:"ori_openid"`
		New     string `json:"new_openid,omitempty"`
		Message string `json:"err_msg"`
	}
	list := make([]result, 0, len(in.OpenIDs))
	for _, openid := range in.OpenIDs {
		r := result{Old: openid, New: c.account.moved[openid], Message: "ok"}
		if r.New == "" {
			r.Message = "ori_openid error"
		}
		list = append(list, r)
	}
	return object(struct {
		Code    int      `json:"errcode"`
		Message string   `json:"errmsg"`
		Results []result `json:"result_list"`
	}{0, "ok", list})
}
