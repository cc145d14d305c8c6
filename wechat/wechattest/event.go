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

// Event is an event, or a follower's message, that the platform pushes to an
// account's server. Empty fields are left out of the document.
type Event struct {
	Name    string           `json:"event,omitempty"` // such as wechat.EventSubscribe
	OpenID  string           `json:"openid"`          // FromUserName
	Key     string           `json:"event_key,omitempty"`
	Ticket  string           `json:"-"`                      // of a QR code
	MsgID   wechat.MessageID `json:"msgid,omitempty,string"` // of a receipt's message, or of the follower's own
	Status  string           `json:"status,omitempty"`       // of a receipt
	MsgType string           `json:"msgtype"`                // default "event"; "text" is a follower's message
	Content string           `json:"content,omitempty"`      // of a text
	Subject string           `json:"subject,omitempty"`      // the OpenID element: whose consent ended
	Extra   string           `json:"-"`                      // more elements, as XML
}

// The statuses of receipts, byte for byte as WeChat sends them.
const (
	ReceiptSuccess      = "success"
	ReceiptUserBlock    = "failed:user block"
	ReceiptSystemFailed = "failed: system failed"
	ReceiptFreqLimit    = "failed:freq limit"
)

// fields is the document's inner XML. to is the account's gh_ id.
func (e Event) fields(to string, now time.Time) string {
	var b strings.Builder
	element := func(name, value string) {
		b.WriteString("<" + name + ">" + value + "</" + name + ">")
	}
	element("ToUserName", cdata(to))
	element("FromUserName", cdata(e.OpenID))
	element("CreateTime", strconv.FormatInt(now.Unix(), 10))
	if e.MsgType != wechat.MsgTypeEvent {
		element("MsgType", cdata(e.MsgType))
		element("Content", cdata(e.Content))
		element("MsgId", e.MsgID.String())
		b.WriteString(e.Extra)
		return b.String()
	}
	element("MsgType", cdata(e.MsgType))
	element("Event", cdata(e.Name))
	if e.Key != "" || e.Name == wechat.EventSubscribe {
		element("EventKey", cdata(e.Key))
	}
	if e.Ticket != "" {
		element("Ticket", cdata(e.Ticket))
	}
	if e.Name == wechat.EventTemplateFinished {
		element("MsgID", e.MsgID.String())
		element("Status", cdata(e.Status))
	}
	if e.Subject != "" {
		element("OpenID", cdata(e.Subject))
	}
	b.WriteString(e.Extra)
	return b.String()
}

func cdata(s string) string {
	return "<![CDATA[" + strings.ReplaceAll(s, "]]>", "]]]]><![CDATA[>") + "]]>"
}

// encrypt is the platform's half of 消息加解密: 16 random bytes, the length, the text
// and the appid, padded to a multiple of 32, in AES-256-CBC with the first bytes
// of the key as vector. encrypt, decrypt and sign share no code with package
// wechat, so that each tests the other.
func encrypt(encodingAESKey, appid, text string) (string, error) {
	var random [aes.BlockSize]byte
	rand.Read(random[:])
	return encryptWith(random, encodingAESKey, appid, text)
}

func encryptWith(random [aes.BlockSize]byte, encodingAESKey, appid, text string) (string, error) {
	key, block, err := newCipher(encodingAESKey)
	if err != nil {
		return "", err
	}
	plain := append([]byte(nil), random[:]...)
	plain = binary.BigEndian.AppendUint32(plain, uint32(len(text))) //nolint:gosec // an event is short
	plain = append(plain, text...)
	plain = append(plain, appid...)
	pad := padTo - len(plain)%padTo
	plain = append(plain, strings.Repeat(string(rune(pad)), pad)...)
	cipher.NewCBCEncrypter(block, key[:aes.BlockSize]).CryptBlocks(plain, plain)
	return base64.StdEncoding.EncodeToString(plain), nil
}

// padTo is the block length of the padding in bytes.
const padTo = 32

func newCipher(encodingAESKey string) (key []byte, block cipher.Block, err error) {
	key, err = base64.StdEncoding.DecodeString(encodingAESKey + "=")
	if err != nil || len(key) != 32 {
		return nil, nil, errors.New("wechattest: EncodingAESKey is not 43 letters and digits; copy it from the server configuration")
	}
	block, err = aes.NewCipher(key)
	if err != nil {
		return nil, nil, errors.New("wechattest: EncodingAESKey does not make a key")
	}
	return key, block, nil
}

var errReply = errors.New("wechattest: the passive reply is not encrypted for this account")

// decrypt decrypts the Encrypt element of a passive reply.
func decrypt(encodingAESKey, appid, text string) (string, error) {
	key, block, err := newCipher(encodingAESKey)
	if err != nil {
		return "", err
	}
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(data) == 0 || len(data)%padTo != 0 {
		return "", errReply
	}
	cipher.NewCBCDecrypter(block, key[:aes.BlockSize]).CryptBlocks(data, data)
	plain := string(data)
	pad := plain[len(plain)-1:]
	for range int(pad[0]) {
		var ok bool
		if plain, ok = strings.CutSuffix(plain, pad); !ok {
			return "", errReply
		}
	}
	const head = aes.BlockSize + 4
	plain, ok := strings.CutSuffix(plain, appid)
	if !ok || int(pad[0]) > padTo || len(plain) < head ||
		int(binary.BigEndian.Uint32([]byte(plain[aes.BlockSize:head]))) != len(plain)-head {
		return "", errReply
	}
	return plain[head:], nil
}
