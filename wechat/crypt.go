package wechat

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"math"
)

// The cipher of 消息加解密说明: AES-256-CBC with the first bytes of the key as vector,
// over 16 random bytes, the length of the document in 4 bytes, the document and
// the appid, padded to a multiple of 32.
const (
	aesKeyLength = 43 // of EncodingAESKey
	padBlock     = 32 // twice the cipher's block
	headLength   = aes.BlockSize + 4
)

var (
	errAESKey     = errors.New("wechat: not an EncodingAESKey: it is 43 letters and digits")
	errCipherText = errors.New("wechat: not a cipher text of WeChat, or made with another EncodingAESKey")
	errOtherAppID = errors.New("wechat: encrypted for another appid")
)

// decodeAESKey ignores the unused bits of the last character, as WeChat does: they
// are not zero in most keys.
func decodeAESKey(encoded Secret) ([]byte, error) {
	text := encoded.Reveal()
	if len(text) != aesKeyLength {
		return nil, errAESKey
	}
	key, err := base64.StdEncoding.DecodeString(text + "=")
	if err != nil || len(key) != 32 {
		return nil, errAESKey
	}
	return key, nil
}

// decrypt returns the document encrypted in text. Its errors are errAESKey,
// errCipherText and errOtherAppID.
func decrypt(encodingAESKey Secret, appid, text string) ([]byte, error) {
	key, err := decodeAESKey(encodingAESKey)
	if err != nil {
		return nil, err
	}
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(data) == 0 || len(data)%padBlock != 0 {
		return nil, errCipherText
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, errAESKey
	}
	cipher.NewCBCDecrypter(block, key[:aes.BlockSize]).CryptBlocks(data, data)
	data, ok := unpad(data)
	if !ok || len(data) < headLength {
		return nil, errCipherText
	}
	length, rest := binary.BigEndian.Uint32(data[aes.BlockSize:]), data[headLength:]
	if uint64(length) > uint64(len(rest)) {
		return nil, errCipherText
	}
	if subtle.ConstantTimeCompare(rest[length:], []byte(appid)) != 1 {
		return nil, errOtherAppID
	}
	return rest[:length:length], nil
}

// unpad removes PKCS#7 padding with blocks of 32: 1 to 32 bytes whose value is
// their number.
func unpad(data []byte) ([]byte, bool) {
	n := int(data[len(data)-1])
	if n < 1 || n > padBlock || n > len(data) {
		return nil, false
	}
	for _, b := range data[len(data)-n:] {
		if int(b) != n {
			return nil, false
		}
	}
	return data[:len(data)-n], true
}

// encrypt encrypts a passive reply.
func encrypt(encodingAESKey Secret, appid string, document []byte) (string, error) {
	var random [aes.BlockSize]byte
	_, _ = rand.Read(random[:]) // never fails
	return encryptWith(random, encodingAESKey, appid, document)
}

func encryptWith(random [aes.BlockSize]byte, encodingAESKey Secret, appid string, document []byte) (string, error) {
	key, err := decodeAESKey(encodingAESKey)
	if err != nil {
		return "", err
	}
	if uint64(len(document)) > math.MaxUint32 {
		return "", errors.New("wechat: the document is longer than its length field allows: shorten it")
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return "", errAESKey
	}
	plain := make([]byte, 0, headLength+len(document)+len(appid)+padBlock)
	plain = append(plain, random[:]...)
	plain = binary.BigEndian.AppendUint32(plain, uint32(len(document)))
	plain = append(plain, document...)
	plain = append(plain, appid...)
	pad := padBlock - len(plain)%padBlock
	for range pad {
		plain = append(plain, byte(pad))
	}
	cipher.NewCBCEncrypter(block, key[:aes.BlockSize]).CryptBlocks(plain, plain)
	return base64.StdEncoding.EncodeToString(plain), nil
}
