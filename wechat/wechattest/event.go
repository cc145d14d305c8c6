package wechattest

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/wxnotify/wxnotify/wechat"
)

// Event is what the platform tells an account's server. Empty fields are left
// out of the document.
type Event struct {
	Name   string // TEMPLATESENDJOBFINISH, subscribe, unsubscribe, SCAN …
	OpenID string
	Key    string // EventKey: the scene of a QR code
	Ticket string
	MsgID  wechat.MessageID
	Status string // of a receipt
	Extra  string // more elements, as XML
}

// receiptEvent is the name of a template message's receipt.
const receiptEvent = "TEMPLATESENDJOBFINISH"

// The statuses of receipts, byte for byte as WeChat sends them.
const (
	ReceiptSuccess      = "success"
	ReceiptUserBlock    = "failed:user block"
	ReceiptSystemFailed = "failed: system failed"
	ReceiptFreqLimit    = "failed:freq limit"
)

// fields is the document's inner XML.
func (e Event) fields(originalID string, now time.Time) string {
	var b strings.Builder
	element := func(name, value string) {
		b.WriteString("<" + name + ">" + value + "</" + name + ">")
	}
	element("ToUserName", cdata(originalID))
	element("FromUserName", cdata(e.OpenID))
	element("CreateTime", strconv.FormatInt(now.Unix(), 10))
	element("MsgType", cdata("event"))
	element("Event", cdata(e.Name))
	if e.Key != "" || e.Name == "subscribe" {
		element("EventKey", cdata(e.Key))
	}
	if e.Ticket != "" {
		element("Ticket", cdata(e.Ticket))
	}
	if e.Name == receiptEvent {
		element("MsgID", e.MsgID.String())
		element("Status", cdata(e.Status))
	}
	b.WriteString(e.Extra)
	return b.String()
}

func cdata(s string) string {
	return "<![CDATA[" + strings.ReplaceAll(s, "]]>", "]]]]><![CDATA[>") + "]]>"
}

// encrypt is the platform's half of 消息加解密: random 16 bytes, the length, the
// text and the appid, padded to 32, AES-256-CBC with the key's head as vector.
func encrypt(encodingAESKey, appid, text string) (string, error) {
	var random [aes.BlockSize]byte
	rand.Read(random[:])
	return encryptWith(random, encodingAESKey, appid, text)
}

func encryptWith(random [aes.BlockSize]byte, encodingAESKey, appid, text string) (string, error) {
	key, err := base64.StdEncoding.DecodeString(encodingAESKey + "=")
	if err != nil || len(key) != 32 {
		return "", errors.New("wechattest: EncodingAESKey is not 43 letters and digits; copy it from the server configuration")
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return "", errors.New("wechattest: EncodingAESKey does not make a key")
	}
	plain := append([]byte(nil), random[:]...)
	plain = binary.BigEndian.AppendUint32(plain, uint32(len(text))) //nolint:gosec // an event is short
	plain = append(plain, text...)
	plain = append(plain, appid...)
	const padTo = 32
	pad := padTo - len(plain)%padTo
	plain = append(plain, strings.Repeat(string(rune(pad)), pad)...)
	cipher.NewCBCEncrypter(block, key[:aes.BlockSize]).CryptBlocks(plain, plain)
	return base64.StdEncoding.EncodeToString(plain), nil
}
