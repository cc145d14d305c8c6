package gateway

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/wxnotify/wxnotify/internal/apikey"
	"github.com/wxnotify/wxnotify/wechat"
)

// tokenRequest is what both token calls are asked with.
type tokenRequest struct {
	GrantType    string `json:"grant_type"`
	AppID        string `json:"appid"`
	Secret       string `json:"secret"`
	ForceRefresh bool   `json:"force_refresh"` // has no effect: a token of ours is never refused before its end
}

type tokenAnswer struct {
	AccessToken string `json:"access_token"`
	ExpiresIn   int64  `json:"expires_in"` // seconds
}

// serveToken answers GET /cgi-bin/token and POST /cgi-bin/stable_token: the secret
// is an API key. Its token is ours, or, with the scope token, the account's own.
func (q *request) serveToken() error {
	in, err := q.tokenRequest()
	if err != nil {
		return err
	}
	if in.GrantType != "client_credential" {
		return refuse(40002, "invalid grant_type: client_credential")
	}
	key, err := q.verifySecret(in.Secret)
	if err != nil {
		return err
	}
	if err := q.admit(key); err != nil {
		return err
	}
	if in.AppID != key.Account {
		return refuse(wechat.CodeInvalidAppID, "invalid appid: the API key belongs to "+key.Account)
	}
	if key.May(apikey.Token) && key.Kind == apikey.Live {
		token, err := q.up.Tokens.Token(q.r.Context())
		if err != nil {
			return err
		}
		q.answer(tokenAnswer{token.Value.Reveal(), max(1, int64(time.Until(token.ExpiresAt).Seconds()))})
		return nil
	}
	token, err := q.g.keys.IssueToken(q.r.Context(), in.Secret, tokenLife)
	if err != nil {
		return err
	}
	q.answer(tokenAnswer{token, int64(tokenLife.Seconds())})
	return nil
}

func (q *request) tokenRequest() (in tokenRequest, err error) {
	switch {
	case q.path == tokenPath && q.r.Method == http.MethodGet:
		return tokenRequest{GrantType: q.query.Get("grant_type"), AppID: q.query.Get("appid"), Secret: q.query.Get("secret")}, nil
	case q.path == stablePath && q.r.Method == http.MethodPost:
		body, err := q.body()
		if err != nil {
			return in, err
		}
		if json.Unmarshal(body, &in) != nil {
			return in, refuse(47001, "data format error: send a JSON object")
		}
		return in, nil
	case q.path == tokenPath:
		return in, refuse(43001, "require GET method")
	}
	return in, refuse(43002, "require POST method")
}

// verifySecret takes an API key where WeChat's AppSecret stands.
func (q *request) verifySecret(secret string) (*apikey.Key, error) {
	client := q.g.cfg.ClientIP(q.r)
	if wait := q.g.keys.Blocked(client, secret); wait > 0 {
		return nil, refuse(wechat.CodeRate, "api minute-quota reach limit: too many calls with a wrong secret came from this address")
	}
	if secret == "" {
		return nil, refuse(41004, "appsecret missing: send an API key of the scope gateway")
	}
	key, err := q.g.keys.Verify(q.r.Context(), secret)
	if errors.Is(err, apikey.ErrUnknown) {
		q.g.keys.Failed(client)
		return nil, refuse(wechat.CodeInvalidSecret, "invalid appsecret: send an API key of the scope gateway, as `wxnotify api keys create` prints it")
	}
	return key, err
}
