package job

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
)

// maxClientMsgID is our own bound: WeChat documents neither length nor charset
// of client_msg_id, and 32 of [A-Za-z0-9_-] is what is known to be taken.
const maxClientMsgID = 32

// ClientMsgID is the client_msg_id of a message ID: the ID itself when it is at
// most 32 of [A-Za-z0-9_-], else a hash of it in that form. It depends on the ID
// alone, so every attempt of every process says the same.
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

// Hash is a 64-bit fingerprint of a body, in short text form, that tells a
// repeated Enqueue from a reused ID.
func Hash(body []byte) string { return hash(nil, body) }

func hash(prefix, body []byte) string {
	h := sha256.New()
	h.Write(prefix)
	h.Write(body)
	var sum [sha256.Size]byte
	return base64.RawURLEncoding.EncodeToString(h.Sum(sum[:0])[:8])
}

// WithRecipient writes the openid into the body of a message that was addressed
// to a user. Nothing else of the body changes, and body itself stays as it is.
func WithRecipient(body []byte, openid string) []byte {
	out := make([]byte, 0, len(body)+len(openid)+len(`"touser":"",`))
	out = append(out, `{"touser":`...)
	out = appendString(out, openid)
	rest := body
	if len(rest) > 0 {
		rest = rest[1:]
	}
	if !emptyObject(rest) {
		out = append(out, ',')
	}
	return append(out, rest...)
}

func appendString(out []byte, text string) []byte {
	if plain(text) {
		out = append(out, '"')
		out = append(out, text...)
		return append(out, '"')
	}
	quoted, err := json.Marshal(text)
	if err != nil { // a string always encodes
		return append(out, `""`...)
	}
	return append(out, quoted...)
}

// emptyObject reports whether rest, what follows an opening brace, closes it
// at once.
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
