package job

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
)

// maxClientMsgID is our own limit. WeChat documents neither the length nor the
// characters of client_msg_id; 32 of [A-Za-z0-9_-] are known to be accepted.
const maxClientMsgID = 32

// hashSize is the bytes of a fingerprint.
const hashSize = 8

// ClientMsgID returns the client_msg_id for a message ID: the ID itself if it is
// 1 to 32 characters of [A-Za-z0-9_-], otherwise a hash of it in that form. It
// depends on the ID alone, so every attempt of every process sends the same.
func ClientMsgID(id string) string {
	if len(id) > 0 && len(id) <= maxClientMsgID && plain(id) {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	return base64.RawURLEncoding.EncodeToString(sum[:maxClientMsgID*6/8])
}

func plain(text string) bool {
	for i := range len(text) {
		switch c := text[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}

// Hash returns a 64-bit fingerprint of a body as 11 characters. Enqueue uses it
// to tell a repeated call from a reused ID.
func Hash(body []byte) string { return hash(nil, body) }

func hash(prefix, body []byte) string {
	h := sha256.New()
	h.Write(prefix)
	h.Write(body)
	var sum [sha256.Size]byte
	return base64.RawURLEncoding.EncodeToString(h.Sum(sum[:0])[:hashSize])
}

// WithRecipient returns the body of a message addressed to a user with the openid
// added as its first field. The rest is copied unchanged; body is not modified.
func WithRecipient(body []byte, openid string) []byte {
	quoted, err := json.Marshal(openid)
	if err != nil { // cannot happen: a string always encodes
		quoted = []byte(`""`)
	}
	out := make([]byte, 0, len(body)+len(quoted)+len(`"touser":,`))
	out = append(out, `{"touser":`...)
	out = append(out, quoted...)
	rest := body
	if len(rest) > 0 {
		rest = rest[1:]
	}
	if !emptyObject(rest) {
		out = append(out, ',')
	}
	return append(out, rest...)
}

// emptyObject reports whether rest, the text after an opening brace, has no field.
func emptyObject(rest []byte) bool {
	for _, c := range rest {
		switch c {
		case ' ', '\t', '\r', '\n':
		default:
			return c == '}'
		}
	}
	return true
}
