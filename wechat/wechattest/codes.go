package wechattest

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/wxnotify/wxnotify/wechat"
)

// errText is WeChat's wording of an errcode, without the rid (wechat docs:
// 全局返回码).
//
//nolint:funlen // one line per errcode
func errText(code wechat.Code) string {
	switch code {
	case 0:
		return "ok"
	case -1:
		return "system error"
	case 40001:
		return "invalid credential, access_token is invalid or not latest"
	case 40002:
		return "invalid grant_type"
	case 40003:
		return "invalid openid"
	case 40013:
		return "invalid appid"
	case 40014:
		return "invalid access_token"
	case 40029:
		return "invalid code"
	case 40030:
		return "invalid refresh_token"
	case 40033:
		return "invalid charset. please check your request, if include \\uxxxx will create fail!"
	case 40035:
		return "invalid args"
	case 40036:
		return "invalid template_id size"
	case 40037:
		return "invalid template_id"
	case 40039:
		return "invalid url size"
	case 40125:
		return "invalid appsecret"
	case 40163:
		return "code been used"
	case 40165:
		return "invalid weapp pagepath"
	case 40166:
		return "invalid weapp appid"
	case 40241:
		return "The message is duplicate in 60 seconds"
	case 40243:
		return "AppSecret is frozen"
	case 40246:
		return "invalid keyword name"
	case 40247:
		return "need category template id"
	case 40249:
		return "this template msg has been blocked for illegal content"
	default:
		return errTextHigh(code)
	}
}

func errTextHigh(code wechat.Code) string {
	switch code {
	case 41001:
		return "access_token missing"
	case 41002:
		return "appid missing"
	case 41004:
		return "appsecret missing"
	case 41008:
		return "missing code"
	case 41009:
		return "missing openid"
	case 42001:
		return "access_token expired"
	case 42002:
		return "refresh_token expired"
	case 42003:
		return "oauth_code expired"
	default:
		return errTextRefused(code)
	}
}

func errTextRefused(code wechat.Code) string {
	switch code {
	case 43001:
		return "require GET method"
	case 43002:
		return "require POST method"
	case 43004:
		return "require subscribe"
	case 43019:
		return "require remove blacklist"
	case 43100:
		return "change template too frequently"
	case 43101:
		return "user refuse to accept the msg"
	case 43116:
		return "This template_id is banned"
	case 43117:
		return "Sending messages to this openid too frequently,please try later"
	case 44002:
		return "empty post data"
	case 45002:
		return "content size out of limit"
	case 45009:
		return "reach max api daily quota limit"
	case 45011:
		return "api minute-quota reach limit, must slower, retry next minute"
	case 45026:
		return "template num exceeds limit"
	case 45029:
		return "qrcode count out of limit"
	case 47001:
		return "data format error"
	case 47002:
		return "do NOT use json unicode encode (\\uxxxx\\uxxxx), please use utf8 encoded text instead!"
	default:
		return errTextTop(code)
	}
}

func errTextTop(code wechat.Code) string {
	switch code {
	case 47003:
		return "argument invalid!"
	case 48001:
		return "api unauthorized"
	case 48004:
		return "api forbidden for irregularities, view detail on mp.weixin.qq.com"
	case 48006:
		return "forbid to clear quota because of reaching the limit"
	case 50002:
		return "user limited"
	case 50004:
		return "forbid token use"
	case 50007:
		return "account frozen"
	case 76001:
		return "rid not found"
	case 76003:
		return "rid does not belong to this account"
	case 76021:
		return "cgi_path not found, please check"
	case 89503:
		return "this ip call need admin confirm, please wait admin confirm"
	case 89506:
		return "admin refused this ip, please try after 24 hours"
	case 89507:
		return "admin refused this ip, please try after 1 hour"
	default:
		return "error " + strconv.Itoa(int(code))
	}
}

// newRID makes a request id: three groups of eight hex digits, the first of
// them the time, as seen in WeChat's errmsg.
func newRID(now time.Time) string {
	var b [12]byte
	binary.BigEndian.PutUint32(b[:], uint32(now.Unix())) //nolint:gosec // the wire has 32 bits
	binary.BigEndian.PutUint64(b[4:], rand.Uint64())
	return fmt.Sprintf("%x-%x-%x", b[:4], b[4:8], b[8:])
}
