package job

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/wxnotify/wxnotify/internal/seal"
)

// A sealed envelope has version 2, so that a worker of a version that knows no sealing
// leaves it to others. It is one line that names the key and the fingerprint of
// the content, and then the sealed text of the whole envelope in clear:
//
//	{"v":2,"key":"0a1b2c3d","h":"pZ3k…"}
//	(nonce, ciphertext and tag, as bytes)
//
// Account, ID and the line are authenticated with the text.
const (
	sealedHead = `{"v":2,"key":"`
	sealedHash = `","h":"`
	sealedTail = `"}`
)

// SealedError reports an envelope that is sealed, to a reader that has no keys.
type SealedError struct{ Key string }

func (e *SealedError) Error() string { return "the message is sealed with key " + e.Key }

// Codec writes and reads the envelopes of one account.
type Codec struct {
	account string
	keys    *seal.Keyring
}

// NewCodec of an account. keys nil: it writes in clear, and opens none that is sealed.
func NewCodec(account string, keys *seal.Keyring) Codec { return Codec{account, keys} }

// Account is the appid.
func (c Codec) Account() string { return c.account }

// Keys are those of NewCodec.
func (c Codec) Keys() *seal.Keyring { return c.keys }

// Encode writes the envelope and returns its fingerprint with it, as Parse's has it. It
// is sealed when there is a key; the fingerprint is then keyed, so that it confirms no
// guess of the content.
func (c Codec) Encode(e Envelope) (payload []byte, hash string, err error) {
	payload, err = Encode(e)
	if err != nil || !c.keys.Seals() {
		return payload, e.Hash(), err
	}
	hash = e.Fingerprint
	if hash == "" {
		hash = c.hash(c.keys.Current(), e)
	}
	return c.seal(e.ID, hash, payload), hash, nil
}

// Parse reads the payload of the task with this ID. Beside the errors of the function
// Parse, the error wraps *seal.UnknownKeyError when another process may be able to open
// it, and ErrMalformed with seal.ErrChanged when it was changed or is of another
// message.
func (c Codec) Parse(id string, payload []byte) (Envelope, error) {
	s, ok := parseSealed(payload)
	if !ok {
		return Parse(payload)
	}
	plain, err := c.open(id, s)
	if err != nil {
		return Envelope{}, err
	}
	e, err := Parse(plain)
	e.Fingerprint = s.hash
	return e, err
}

// Reseal returns the payload sealed with the key that seals, or nil when it is already.
// The fingerprint stays, since the message's record has it. It reads no more of the
// envelope than it must, so that it keeps what a newer version wrote. The errors are
// those of Parse.
func (c Codec) Reseal(id string, payload []byte) ([]byte, error) {
	s, ok := parseSealed(payload)
	if ok && s.key == c.keys.Current() {
		return nil, nil
	}
	if ok {
		plain, err := c.open(id, s)
		if err != nil {
			return nil, err
		}
		return c.seal(id, s.hash, plain), nil
	}
	e, err := Parse(payload)
	if err != nil {
		return nil, err
	}
	return c.seal(id, e.Hash(), payload), nil
}

// SameContent reports whether a fingerprint that Encode made of an earlier message,
// with any key of these or in clear, is that of e.
func (c Codec) SameContent(e Envelope, hash string) bool {
	if e.Hash() == hash {
		return true
	}
	for _, key := range c.keys.IDs() {
		if c.hash(key, e) == hash {
			return true
		}
	}
	return false
}

// SealedWith is the ID of the key that a payload is sealed with; empty for one in clear.
func SealedWith(payload []byte) string {
	s, _ := parseSealed(payload)
	return s.key
}

func (c Codec) hash(key string, e Envelope) string {
	sum := c.keys.Digest(key, []byte("content\x00"+c.account+"\x00"+e.contentPrefix()), e.Body)
	return base64.RawURLEncoding.EncodeToString(sum[:hashSize])
}

func (c Codec) seal(id, hash string, plain []byte) []byte {
	key := c.keys.Current()
	out := make([]byte, 0, len(sealedHead)+len(key)+len(sealedHash)+len(hash)+len(sealedTail)+1+len(plain)+seal.Overhead)
	out = append(append(append(append(append(out, sealedHead...), key...), sealedHash...), hash...), sealedTail...)
	context := c.context(id, out)
	return c.keys.Seal(append(out, '\n'), plain, context)
}

func (c Codec) open(id string, s sealed) ([]byte, error) {
	plain, err := c.keys.Open(s.key, s.text, c.context(id, s.line))
	if errors.Is(err, seal.ErrChanged) {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return plain, err
}

// context is what a sealed envelope is bound to.
func (c Codec) context(id string, line []byte) []byte {
	out := make([]byte, 0, len("envelope")+3+len(c.account)+len(id)+len(line))
	out = append(append(append(out, "envelope\x00"...), c.account...), 0)
	return append(append(append(out, id...), 0), line...)
}

// sealed is a sealed envelope.
type sealed struct {
	key, hash  string
	line, text []byte
}

// parseSealed reads the form that Codec.seal writes, and no other JSON.
func parseSealed(payload []byte) (s sealed, ok bool) {
	line, text, found := bytes.Cut(payload, []byte{'\n'})
	rest, isSealed := bytes.CutPrefix(line, []byte(sealedHead))
	if !found || !isSealed {
		return s, false
	}
	key, rest, hasKey := bytes.Cut(rest, []byte(sealedHash))
	hash, isWhole := bytes.CutSuffix(rest, []byte(sealedTail))
	if !hasKey || !isWhole {
		return s, false
	}
	return sealed{key: string(key), hash: string(hash), line: line, text: text}, true
}
