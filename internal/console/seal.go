package console

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/wxnotify/wxnotify/internal/seal"
)

// errSealed says that a sealed text is of another process or was changed.
var errSealed = errors.New("the page is out of date: it was made before the program was started again")

// sealer encrypts what pages must know and must not show. Its key is that of the
// process, or of the links. Safe for concurrent use.
type sealer struct{ aead cipher.AEAD }

func newSealer() (*sealer, error) {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	return newSealerOf(key)
}

// newLinkSealer has a key that processes with the same secret share.
func newLinkSealer(secret string) (*sealer, error) {
	key, err := hkdf.Key(sha256.New, []byte(secret), nil, "wxnotify console links", 32)
	if err != nil {
		return nil, fmt.Errorf("console: seal: %w", err)
	}
	return newSealerOf(key)
}

func newSealerOf(key []byte) (*sealer, error) {
	aead, err := seal.NewAEAD(key)
	if err != nil {
		return nil, fmt.Errorf("console: seal: %w", err)
	}
	return &sealer{aead}, nil
}

// seal encrypts v. What is sealed for one kind of use cannot be opened for another.
func (s *sealer) seal(kind string, v any) (string, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("console: seal: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(s.aead.Seal(nil, nil, text, []byte(kind))), nil
}

// open decrypts into v. The error is errSealed.
func (s *sealer) open(kind, sealed string, v any) error {
	data, err := base64.RawURLEncoding.DecodeString(sealed)
	if err != nil {
		return errSealed
	}
	text, err := s.aead.Open(nil, nil, data, []byte(kind))
	if err != nil || json.Unmarshal(text, v) != nil {
		return errSealed
	}
	return nil
}
