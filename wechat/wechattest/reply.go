package wechattest

import (
	"encoding/json"
	"strconv"
)

// encode writes an answer as WeChat does: errors carry a rid in errmsg.
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
	rid := newRID(c.now)
	separator := " rid: "
	if a.code == 40163 { // the tail is not the same everywhere
		separator = ", rid: "
	}
	quoted, _ := json.Marshal(text + separator + rid) // a string always encodes
	body := append([]byte(`{"errcode":`), strconv.Itoa(int(a.code))...)
	body = append(body, `,"errmsg":`...)
	body = append(body, quoted...)
	body = append(body, '}')
	c.note(rid, body)
	return body
}

// object answers a success with v as JSON.
func object(v any) answer {
	body, err := json.Marshal(v)
	if err != nil {
		panic("wechattest: answer does not encode: " + err.Error())
	}
	return answer{body: body}
}
