package intake

import (
	"crypto/sha256"
	"encoding/base64"

	"github.com/wxnotify/wxnotify/wechat"
)

// ContentID is the ID of a message that was handed in without one. It is made from
// the recipient (the openid or user) and the message, so that handing in the same
// file again repeats it and nothing is sent twice. The other terms do not matter.
// Two messages that a follower would see alike have the same ID.
func (r *Request) ContentID() (string, error) {
	body, err := wechat.MarshalBody(r.Message.Message)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	if r.Terms.User != "" {
		h.Write([]byte("user:" + r.Terms.User + "\n"))
	}
	h.Write(body)
	// 22 letters: with the prefix it is a client_msg_id as it is.
	return "body-" + base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:16]), nil
}
