package wechat

import "crypto/aes"

// FaultCodes lists every code of the table in its order: faults of a message,
// warnings.
func FaultCodes() []FaultCode {
	var codes []FaultCode
	for _, row := range faultTable {
		codes = append(codes, row.code)
	}
	return codes
}

// Meaning is what is wrong, the end of a sentence that starts with a path.
func (c FaultCode) Meaning(lang Lang) string { row, _ := c.row(); return row.means.in(lang) }

// Remedy is what to do, without capital and full stop.
func (c FaultCode) Remedy(lang Lang) string { row, _ := c.row(); return row.do.in(lang) }

// CallbackFaults lists every fault of a callback in the order of the checks.
func CallbackFaults() []CallbackFault {
	var faults []CallbackFault
	for _, row := range callbackFaults {
		faults = append(faults, row.fault)
	}
	return faults
}

// Meaning is one sentence about what was wrong.
func (f CallbackFault) Meaning(lang Lang) string { return f.row().meaning.in(lang) }

// Signature is signature, for the published vectors.
func Signature(parts ...string) string { return signature(parts...) }

// Decrypt decrypts Encrypt, for the published vectors and for fuzzing.
func Decrypt(encodingAESKey, appid, text string) ([]byte, error) {
	return decrypt(NewSecret(encodingAESKey), appid, text)
}

// EncryptWith makes Encrypt with these first 16 bytes.
func EncryptWith(random [aes.BlockSize]byte, encodingAESKey, appid string, document []byte) (string, error) {
	return encryptWith(random, NewSecret(encodingAESKey), appid, document)
}

// ParseDocument is parseDocument, for fuzzing.
func ParseDocument(data []byte) (map[string]string, error) { return parseDocument(data) }
