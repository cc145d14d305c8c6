package producer

import (
	"github.com/wxnotify/wxnotify/internal/fault"
	"github.com/wxnotify/wxnotify/wechat"
)

// CheckUser checks your own id of a user: 1 to 128 bytes of printable UTF-8 without spaces
// and braces, and neither "." nor "..". The error is a *wechat.InvalidError with the path user.
func CheckUser(user string) error {
	if user != "" && usable(user) {
		return nil
	}
	return &wechat.InvalidError{Faults: []wechat.Fault{fault.New("user", fault.UserInvalid)}}
}
