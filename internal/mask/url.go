package mask

import (
	"errors"
	"net/url"
)

// URL shows scheme and host of an address: the rest may name a person or hold a secret.
func URL(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return "…"
	}
	return u.Scheme + "://" + u.Host + "/…"
}

// WithoutURL returns the cause of an error of net/http, which has the whole address of the
// call: tokens, signatures and openids are in its query.
func WithoutURL(err error) error {
	for {
		u, ok := errors.AsType[*url.Error](err)
		if !ok {
			return err
		}
		err = u.Err
	}
}
