package wechattest

// EncryptWith is encrypt with these first 16 bytes, for the published vectors.
func EncryptWith(random, encodingAESKey, appid, text string) (string, error) {
	return encryptWith([16]byte([]byte(random)), encodingAESKey, appid, text)
}

// Sign is sign.
func Sign(parts ...string) string { return sign(parts...) }

// Decrypt is decrypt, for the published vectors.
func Decrypt(encodingAESKey, appid, text string) (string, error) {
	return decrypt(encodingAESKey, appid, text)
}

// SetPathQuota changes the number of calls a day to one API path.
func (a *Account) SetPathQuota(path string, limit int64) {
	defer a.p.locked()()
	a.limits[path] = limit
}
