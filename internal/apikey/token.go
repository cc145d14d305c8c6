package apikey

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"regexp"
	"strconv"
	"time"
)

// A token of the gateway stands for a key for a while, where WeChat's clients have
// an access token: wxg_<key id>_<end in Unix seconds>_<mac>. Nothing of it is
// stored: the mac is keyed by the digest of the secret that it was fetched with,
// so that it ends when that secret does.
var tokenForm = regexp.MustCompile(`^wxg_([a-z0-9-]{1,110})_([0-9]{10})_([A-Za-z0-9.-]{24})$`)

// IssueToken returns a token of the key that has secret. The error wraps
// ErrUnknown.
func (k *Keyring) IssueToken(ctx context.Context, secret string, life time.Duration) (string, error) {
	key, err := k.Verify(ctx, secret)
	if err != nil {
		return "", err
	}
	end := strconv.FormatInt(time.Now().Add(life).Unix(), 10)
	return "wxg_" + key.ID + "_" + end + "_" + tokenMAC(digest(secret), key.ID, end), nil
}

func tokenMAC(sum, id, end string) string {
	raw, _ := hex.DecodeString(sum) // made by digest
	h := hmac.New(sha256.New, raw)
	_, _ = h.Write([]byte("wxg\n" + id + "\n" + end))
	return macText.EncodeToString(h.Sum(nil)[:18])
}

// macText has no underscore, which separates the parts of a token.
var macText = base64.NewEncoding( //nolint:gochecknoglobals // never changed
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-.").WithPadding(base64.NoPadding)

// VerifyToken returns the key of a token. The error wraps ErrUnknown, or is Redis'.
func (k *Keyring) VerifyToken(ctx context.Context, token string) (*Key, error) {
	m := tokenForm.FindStringSubmatch(token)
	if m == nil {
		return nil, ErrUnknown
	}
	id, end, mac := m[1], m[2], m[3]
	seconds, _ := strconv.ParseInt(end, 10, 64)
	if !time.Now().Before(time.Unix(seconds, 0)) {
		return nil, ErrUnknown
	}
	for sum, key := range k.static {
		if key.ID == id && hmac.Equal([]byte(tokenMAC(sum, id, end)), []byte(mac)) {
			return key, nil
		}
	}
	sum := digest(token)
	if key := k.cached(sum); key != nil {
		return key, nil
	}
	return k.find(ctx, id, sum, func(digest string) bool {
		return hmac.Equal([]byte(tokenMAC(digest, id, end)), []byte(mac))
	})
}
