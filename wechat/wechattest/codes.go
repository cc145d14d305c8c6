package wechattest

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/wxnotify/wxnotify/wechat"
)

// errText is WeChat's errmsg for code, without the rid (docs: 全局返回码).
func errText(code wechat.Code) string {
	if code == wechat.CodeInvalidArgument {
		return "argument invalid!" // the key at fault follows when it is known
	}
	if text := code.Says(); text != "" {
		return text
	}
	return "error " + strconv.Itoa(int(code))
}

// newRID makes a request id: three groups of eight hex digits, the first of
// which is the time, as in WeChat's errmsg.
func newRID(now time.Time) string {
	var b [12]byte
	binary.BigEndian.PutUint32(b[:], uint32(now.Unix())) //nolint:gosec // the wire has 32 bits
	binary.BigEndian.PutUint64(b[4:], rand.Uint64())
	return fmt.Sprintf("%x-%x-%x", b[:4], b[4:8], b[8:])
}

// encode writes an answer as WeChat does: the errmsg of an error ends with a rid.
func (c *call) encode(a answer) []byte {
	if a.code == 0 {
		if a.body != nil {
			return a.body
		}
		return []byte(`{"errcode":0,"errmsg":"ok"}`)
	}
	text := a.text
	if text == "" {
		text = errText(a.code)
	}
	separator := " rid: "
	if a.code == wechat.CodeUsedCode { // WeChat writes this one with a comma
		separator = ", rid: "
	}
	rid := newRID(c.now)
	body := object(struct {
		Errcode wechat.Code `json:"errcode"`
		Errmsg  string      `json:"errmsg"`
	}{a.code, text + separator + rid}).body
	c.recordRID(rid, body)
	return body
}

// object is a success with v as JSON.
func object(v any) answer {
	body, err := json.Marshal(v)
	if err != nil {
		panic("wechattest: encode the answer: " + err.Error())
	}
	return answer{body: body}
}
