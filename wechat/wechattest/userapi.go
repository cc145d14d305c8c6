package wechattest

import (
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
	"time"
)

// userPage is how many openids one answer of user/get has at most.
const userPage = 10_000

// userInfo is one user as user/info answers since 2021-12-27: without name and
// picture, and for a non-follower the openid only.
type userInfo struct {
	Subscribe     int     `json:"subscribe"`
	OpenID        string  `json:"openid"`
	UnionID       string  `json:"unionid,omitempty"`
	Language      *string `json:"language,omitempty"`
	SubscribeTime int64   `json:"subscribe_time,omitempty"`
	Remark        *string `json:"remark,omitempty"`
	GroupID       *int    `json:"groupid,omitempty"`
	TagIDs        *[]int  `json:"tagid_list,omitempty"`
	Scene         string  `json:"subscribe_scene,omitempty"`
	QRScene       *int64  `json:"qr_scene,omitempty"`
	QRSceneText   *string `json:"qr_scene_str,omitempty"`
}

// serveUserInfo is GET /cgi-bin/user/info.
func serveUserInfo(c *call) answer {
	q := c.query()
	if q.Get("openid") == "" {
		return refuse(41009)
	}
	defer c.p.locked()()
	u, ok := c.account.userInfo(q.Get("openid"), q.Get("lang"))
	if !ok {
		return refuse(40003)
	}
	return object(u)
}

// serveUserBatch is POST /cgi-bin/user/info/batchget, 100 users at most.
func serveUserBatch(c *call) answer {
	var in struct {
		Users []struct {
			OpenID string `json:"openid"`
			Lang   string `json:"lang"`
		} `json:"user_list"`
	}
	if code := c.decode(&in); code != 0 {
		return refuse(code)
	}
	if len(in.Users) == 0 || len(in.Users) > 100 {
		return refuse(40035)
	}
	defer c.p.locked()()
	list := make([]userInfo, 0, len(in.Users))
	for _, user := range in.Users {
		u, ok := c.account.userInfo(user.OpenID, user.Lang)
		if !ok {
			return refuse(40003)
		}
		list = append(list, u)
	}
	return object(map[string][]userInfo{"user_info_list": list})
}

// userInfo describes openid, or returns false when it is not valid for this
// account. The lock is held.
func (a *Account) userInfo(openid, lang string) (userInfo, bool) {
	if !a.owns(openid) {
		return userInfo{}, false
	}
	u := userInfo{OpenID: openid, UnionID: a.unionID(openid)}
	if !a.follows(openid) {
		return u, true
	}
	f := a.follower(openid) // user/get lists it from now on
	if lang == "" {
		lang = "zh_CN"
	}
	number, _ := strconv.ParseInt(f.qrScene, 10, 64) // 0 for a text scene
	text := f.qrScene
	if number != 0 {
		text = ""
	}
	u.Subscribe, u.SubscribeTime, u.Language, u.Scene = 1, f.since.Unix(), &lang, f.scene
	u.Remark, u.GroupID, u.TagIDs = new(string), new(int), &[]int{}
	u.QRScene, u.QRSceneText = &number, &text
	return u, true
}

// owns reports whether openid is well-formed and of this account.
func (a *Account) owns(openid string) bool {
	return validOpenID(openid) && strings.HasPrefix(openid, a.cfg.OpenIDPrefix)
}

// unionID is the same for openids that differ in the accounts' OpenIDPrefix only.
// Empty unless Config.UnionIDs.
func (a *Account) unionID(openid string) string {
	if !a.p.cfg.UnionIDs {
		return ""
	}
	sum := sha256.Sum256([]byte(openid[min(len(a.cfg.OpenIDPrefix), len(openid)):]))
	return "oU" + base64.RawURLEncoding.EncodeToString(sum[:])[:26]
}

// serveUserGet is GET /cgi-bin/user/get: the followers that a call, a message or a
// method of Account has named, in the order of their first mention.
func serveUserGet(c *call) answer {
	next := c.query().Get("next_openid")
	defer c.p.locked()()
	for i := range c.p.chats.list {
		if seen := &c.p.chats.list[i]; seen.AppID == c.account.cfg.AppID {
			c.account.follower(seen.OpenID)
		}
	}
	known := c.account.roster
	after := slices.Index(known, next) + 1 // one who has left since marks the place as well
	if next != "" && after == 0 {
		return refuse(40003)
	}
	var all []string
	total := 0
	for i, openid := range known {
		if c.account.follows(openid) {
			total++
			if i >= after {
				all = append(all, openid)
			}
		}
	}
	all = all[:min(len(all), userPage)]
	type data struct {
		OpenID []string `json:"openid"`
	}
	out := struct {
		Total int    `json:"total"`
		Count int    `json:"count"`
		Data  *data  `json:"data,omitempty"` // missing on an empty page
		Next  string `json:"next_openid"`
	}{Total: total, Count: len(all)}
	if len(all) > 0 {
		out.Data, out.Next = &data{all}, all[len(all)-1]
	}
	return object(out)
}

// The limits of qrcode/create (docs: 生成带参数的二维码).
const (
	qrDefaultSeconds = 60
	qrMaxSeconds     = 2_592_000
	qrMaxLimitID     = 100_000
	qrMaxText        = 64
)

// serveQRCode is POST /cgi-bin/qrcode/create.
func serveQRCode(c *call) answer {
	var in struct {
		Seconds int64  `json:"expire_seconds"`
		Action  string `json:"action_name"`
		Info    struct {
			Scene struct {
				ID   int64  `json:"scene_id"`
				Text string `json:"scene_str"`
			} `json:"scene"`
		} `json:"action_info"`
	}
	if code := c.decode(&in); code != 0 {
		return refuse(code)
	}
	id, text := in.Info.Scene.ID, in.Info.Scene.Text
	valid := map[string]bool{
		"QR_SCENE":           id > 0 && id < 1<<32,
		"QR_LIMIT_SCENE":     id > 0 && id <= qrMaxLimitID,
		"QR_STR_SCENE":       text != "" && len(text) <= qrMaxText,
		"QR_LIMIT_STR_SCENE": text != "" && len(text) <= qrMaxText,
	}
	if !valid[in.Action] || in.Seconds < 0 || in.Seconds > qrMaxSeconds {
		return refuse(40035)
	}
	q := QRCode{Ticket: newTicket(), Scene: text}
	if in.Action == "QR_SCENE" || in.Action == "QR_LIMIT_SCENE" {
		q.Scene = strconv.FormatInt(id, 10)
	}
	if in.Action == "QR_SCENE" || in.Action == "QR_STR_SCENE" {
		if in.Seconds == 0 {
			in.Seconds = qrDefaultSeconds
		}
		q.Expires = c.now.Add(time.Duration(in.Seconds) * time.Second)
	}
	defer c.p.locked()()
	c.account.qrcodes = append(c.account.qrcodes, q)
	return object(struct {
		Ticket  string `json:"ticket"`
		Seconds int64  `json:"expire_seconds,omitempty"`
		URL     string `json:"url"`
	}{q.Ticket, in.Seconds, q.URL()})
}
