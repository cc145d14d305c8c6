package wechattest

// EncryptWith is encrypt with a known random head, for the published vectors.
func EncryptWith(random, encodingAESKey, appid, text string) (string, error) {
	return encryptWith([16]byte([]byte(random)), encodingAESKey, appid, text)
}

// Sign is the one formula of all signatures.
func Sign(parts ...string) string { return sign(parts...) }

// Decrypt opens a passive reply, for the published vectors.
func Decrypt(encodingAESKey, appid, text string) (string, error) {
	return decrypt(encodingAESKey, appid, text)
}

// SetPathQuota changes the number of calls a day to one API path.
func (a *Account) SetPathQuota(path string, limit int64) {
	defer a.p.locked()()
	a.limits[path] = limit
}
