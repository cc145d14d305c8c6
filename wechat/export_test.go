package wechat

import "crypto/aes"

// Signature is the formula of all signatures, for the published vectors.
func Signature(parts ...string) string { return signature(parts...) }

// Decrypt opens Encrypt, for the published vectors and for fuzzing.
func Decrypt(encodingAESKey, appid, text string) ([]byte, error) {
	return decrypt(NewSecret(encodingAESKey), appid, text)
}

// EncryptWith makes Encrypt with these first 16 bytes.
func EncryptWith(random [aes.BlockSize]byte, encodingAESKey, appid string, document []byte) (string, error) {
	return encryptWith(random, NewSecret(encodingAESKey), appid, document)
}

// ParseDocument is what an envelope is read with.
func ParseDocument(data []byte) (map[string]string, error) { return parseDocument(data) }
