package producer

import (
	"strings"

	"github.com/wxnotify/wxnotify/internal/fault"
	"github.com/wxnotify/wxnotify/wechat"
)

// CheckUser checks your own id of a user: 1 to 128 bytes of printable UTF-8 without spaces
// and braces, and neither "." nor "..". The error is a *wechat.InvalidError with the path user.
func CheckUser(user string) error {
	if f := userFault(user); f != nil {
		return &wechat.InvalidError{Faults: []wechat.Fault{*f}}
	}
	return nil
}

// userFault says what is wrong with a user's id; nil: nothing is. A masked one, which was
// copied from a page, would be taken for another user.
func userFault(user string) *wechat.Fault {
	var f wechat.Fault
	switch {
	case strings.Contains(user, "…"):
		f = wechat.NewFault("user", fault.UserInvalid, "is masked, as lists and pages show it: give the whole one, which your own system has", "是打码后的用户标识：请给出你自己系统中的完整标识")
	case user == "" || !usable(user):
		f = fault.New("user", fault.UserInvalid)
	default:
		return nil
	}
	return &f
}
