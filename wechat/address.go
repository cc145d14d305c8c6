package wechat

import (
	"errors"
	"net/netip"
	"strings"
)

// RefusesAddress reports whether c says that the account's IP list does not have the
// address from which the call came. WeChat documents 40164 for any call and 61004
// for token calls (docs: IP 白名单); 45035 is in its table of codes. Calls of the
// same account from a listed address work.
func (c Code) RefusesAddress() bool {
	return c == CodeIPNotListed || c == codeClientIPNotRegistered || c == codeComponentIPNotRegistered
}

const (
	codeClientIPNotRegistered    Code = 45035
	codeComponentIPNotRegistered Code = 61004
)

// AddressRefusal returns the *Error in err's chain when it says that WeChat refuses
// the caller's address.
func AddressRefusal(err error) (*Error, bool) {
	e, ok := errors.AsType[*Error](err)
	if !ok || !e.Code.RefusesAddress() {
		return nil, false
	}
	return e, true
}

// IP is the caller's address as WeChat names it in the errmsg of an error for which
// Code.RefusesAddress holds, such as "invalid ip 1.2.3.4 ipv6 ::ffff:1.2.3.4, not in
// whitelist"; empty when it names none.
func (e *Error) IP() string {
	if !e.Code.RefusesAddress() {
		return ""
	}
	outside := func(r rune) bool {
		return !strings.ContainsRune("0123456789abcdefABCDEF.:", r)
	}
	for _, word := range strings.FieldsFunc(e.Msg, outside) {
		word = strings.TrimRight(word, ".")
		// "requestIP:1.2.3.4" and "1.2.3.4:" have colons that are not the address's.
		for _, text := range []string{strings.Trim(word, ":"), word} {
			if addr, err := netip.ParseAddr(text); err == nil {
				return addr.Unmap().String()
			}
		}
	}
	return ""
}
