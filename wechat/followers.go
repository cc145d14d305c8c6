package wechat

import (
	"context"
	"fmt"
	"net/url"
)

// MaxBatch is how many openids one call of UserInfos or ChangeOpenIDs takes.
const MaxBatch = 100

// userAnswer is a user as user/info and user/info/batchget answer.
type userAnswer struct {
	Subscribe      *looseInt   `json:"subscribe"`
	OpenID         looseString `json:"openid"`
	UnionID        looseString `json:"unionid"`
	Language       looseString `json:"language"`
	SubscribeTime  looseInt    `json:"subscribe_time"`
	SubscribeScene looseString `json:"subscribe_scene"`
	Remark         looseString `json:"remark"`
	GroupID        looseInt    `json:"groupid"`
	TagIDs         []looseInt  `json:"tagid_list"`
	QRScene        looseInt    `json:"qr_scene"`
	QRSceneText    looseString `json:"qr_scene_str"`
}

// info requires Subscribe.
func (a *userAnswer) info() UserInfo {
	info := UserInfo{
		Subscribed:     *a.Subscribe != 0,
		OpenID:         string(a.OpenID),
		UnionID:        string(a.UnionID),
		Language:       string(a.Language),
		SubscribedAt:   unixTime(a.SubscribeTime),
		SubscribeScene: string(a.SubscribeScene),
		Remark:         string(a.Remark),
		GroupID:        int64(a.GroupID),
		QRScene:        int64(a.QRScene),
		QRSceneText:    string(a.QRSceneText),
	}
	for _, id := range a.TagIDs {
		info.TagIDs = append(info.TagIDs, int64(id))
	}
	return info
}

// UserInfos calls POST /cgi-bin/user/info/batchget (docs: 批量获取用户基本信息) for 1 to
// MaxBatch openids. The answer may be in another order and may lack openids. Whether
// one openid of another account fails the whole call with CodeInvalidOpenID (40003) is
// not documented: a caller then asks for parts.
func (c *Client) UserInfos(ctx context.Context, openids []string) ([]UserInfo, error) {
	const op = "/cgi-bin/user/info/batchget"
	if err := checkBatch(op, openids); err != nil {
		return nil, err
	}
	type user struct {
		OpenID string `json:"openid"`
		Lang   string `json:"lang"`
	}
	request := struct {
		Users []user `json:"user_list"`
	}{}
	for _, openid := range openids {
		request.Users = append(request.Users, user{openid, "zh_CN"})
	}
	var answer struct {
		status
		Users *[]userAnswer `json:"user_info_list"`
	}
	if err := c.postOpenIDs(ctx, op, openids, request, &answer); err != nil {
		return nil, err
	}
	if answer.Users == nil {
		return nil, unreadable(op, "the answer has no user_info_list")
	}
	out := make([]UserInfo, 0, len(*answer.Users))
	for _, u := range *answer.Users {
		if u.Subscribe == nil {
			return nil, unreadable(op, "a user of the answer has no subscribe")
		}
		out = append(out, u.info())
	}
	return out, nil
}

// FollowerPage is a part of the list of followers.
type FollowerPage struct {
	Total   int64    // followers of the account
	OpenIDs []string // at most 10 000; none after the last page
	Next    string   // of the call for the next page; empty: there is none
}

// Followers calls GET /cgi-bin/user/get (docs: 获取用户列表): up to 10 000 followers
// after the openid next. An empty next begins the list. WeChat allows 500 calls a day.
func (c *Client) Followers(ctx context.Context, next string) (FollowerPage, error) {
	const op = "/cgi-bin/user/get"
	var answer struct {
		status
		Total *looseInt `json:"total"`
		Data  struct {
			OpenIDs []string `json:"openid"`
		} `json:"data"` // may be missing on an empty page
		Next looseString `json:"next_openid"`
	}
	k := call{op: op, query: url.Values{"next_openid": {next}}, secrets: []string{next}}
	if err := c.do(ctx, k, &answer); err != nil {
		return FollowerPage{}, err
	}
	if answer.Total == nil {
		return FollowerPage{}, unreadable(op, "the answer has no total")
	}
	page := FollowerPage{Total: int64(*answer.Total), OpenIDs: answer.Data.OpenIDs, Next: string(answer.Next)}
	if len(page.OpenIDs) == 0 || page.Next == next {
		page.Next = ""
	}
	return page, nil
}

// ChangedOpenID is what an openid of the previous account became.
type ChangedOpenID struct {
	Old string
	New string // empty: it was not converted
	// Message is WeChat's reason, such as "ori_openid error"; "ok" where it was converted.
	Message string
}

// ChangeOpenIDs calls POST /cgi-bin/changeopenid (docs: 帐号迁移, 转换 openid) with the
// token of the new account, for 1 to MaxBatch openids of the account from: its appid, or
// its original id (gh_…). WeChat converts them within 15 days after a migration.
// The answer may be in another order and may lack openids.
func (c *Client) ChangeOpenIDs(ctx context.Context, from string, openids []string) ([]ChangedOpenID, error) {
	const op = "/cgi-bin/changeopenid"
	if err := checkBatch(op, openids); err != nil {
		return nil, err
	}
	request := struct {
		From    string   `json:"from_appid"`
		OpenIDs []string `json:"openid_list"`
	}{from, openids}
	var answer struct {
		status
		Results *[]struct {
			Old     looseString `json:"ori_openid"`
			New     looseString `json:"new_openid"`
			Message looseString `json:"err_msg"`
		} `json:"result_list"`
	}
	if err := c.postOpenIDs(ctx, op, openids, request, &answer); err != nil {
		return nil, err
	}
	if answer.Results == nil {
		return nil, unreadable(op, "the answer has no result_list")
	}
	out := make([]ChangedOpenID, 0, len(*answer.Results))
	for _, r := range *answer.Results {
		out = append(out, ChangedOpenID{Old: string(r.Old), New: string(r.New), Message: string(r.Message)})
	}
	return out, nil
}

func checkBatch(op string, openids []string) error {
	if len(openids) == 0 || len(openids) > MaxBatch {
		return fmt.Errorf("wechat: %s takes 1 to %d openids, not %d", op, MaxBatch, len(openids))
	}
	return nil
}

// postOpenIDs makes a POST whose errors have none of the openids.
func (c *Client) postOpenIDs(ctx context.Context, op string, openids []string, request any, a answer) error {
	body, err := marshalRaw(request)
	if err != nil {
		return err
	}
	return c.do(ctx, call{op: op, body: body, secrets: openids}, a)
}
