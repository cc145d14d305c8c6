package wechat

import (
	"context"
	"errors"
	"time"
	"unicode/utf8"
)

// The limits of a temporary QR code.
const (
	sceneLimit     = 64 // bytes
	shortestQRLife = time.Second
	longestQRLife  = 30 * 24 * time.Hour
)

// QRCode is a temporary QR code of the account.
type QRCode struct {
	Ticket    string    // Event.Ticket of its scans
	URL       string    // the content of the picture; render it locally
	ExpiresAt time.Time // as WeChat says
}

// CreateQR calls POST /cgi-bin/qrcode/create (docs: 生成带参数的二维码) for a
// temporary code. WeChat pushes scene in a SCAN or subscribe event when the code
// is scanned, see Event.Scene. scene is 1 to 64 bytes of text. life is a second to
// 30 days, in whole seconds. At most 100 000 calls a day. Errors are those of
// Client.SendTemplate, and an error without a call for a scene or life beyond its
// limits. scene may be a one-time secret: no error quotes it.
func (c *Client) CreateQR(ctx context.Context, scene string, life time.Duration) (QRCode, error) {
	const op = "/cgi-bin/qrcode/create"
	if err := checkQR(scene, life); err != nil {
		return QRCode{}, err
	}
	type sceneText struct {
		Text string `json:"scene_str"`
	}
	type actionInfo struct {
		Scene sceneText `json:"scene"`
	}
	body, err := marshalRaw(struct {
		Seconds int64      `json:"expire_seconds"`
		Action  string     `json:"action_name"`
		Info    actionInfo `json:"action_info"`
	}{int64(life / time.Second), "QR_STR_SCENE", actionInfo{sceneText{scene}}})
	if err != nil {
		return QRCode{}, err
	}
	var answer struct {
		status
		Ticket  looseString `json:"ticket"`
		URL     looseString `json:"url"`
		Seconds looseInt    `json:"expire_seconds"`
	}
	asked := time.Now() // expire_seconds counts from WeChat's answer at the earliest
	if err := c.do(ctx, call{op: op, body: body, secrets: []string{scene}}, &answer); err != nil {
		return QRCode{}, err
	}
	if answer.Ticket == "" || !isWebURL(string(answer.URL)) {
		return QRCode{}, unreadable(op, "the answer has no ticket or no url")
	}
	if answer.Seconds > 0 && answer.Seconds <= looseInt(longestQRLife/time.Second) {
		life = time.Duration(answer.Seconds) * time.Second
	}
	return QRCode{
		Ticket: string(answer.Ticket), URL: string(answer.URL),
		ExpiresAt: asked.Add(life.Truncate(time.Second)),
	}, nil
}

func checkQR(scene string, life time.Duration) error {
	var faults configFaults
	faults.check(scene != "", "CreateQR: scene is empty: give the text that the scan's event returns")
	faults.check(len(scene) <= sceneLimit, "CreateQR: scene has %d bytes, and WeChat accepts %d: shorten it", len(scene), sceneLimit)
	faults.check(utf8.ValidString(scene) && !hasControl(scene, false),
		"CreateQR: scene has control characters or is not UTF-8: use letters and digits")
	faults.check(life >= shortestQRLife && life <= longestQRLife, "CreateQR: life is not between a second and 30 days")
	return errors.Join(faults...)
}
