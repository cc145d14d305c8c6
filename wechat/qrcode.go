package wechat

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"
)

// The bounds of a temporary QR code.
const (
	SceneLimit     = 64 // bytes
	ShortestQRLife = time.Second
	LongestQRLife  = 30 * 24 * time.Hour
)

// QRCode is a temporary QR code of the account's.
type QRCode struct {
	Ticket    string    // comes back in the events of its scans
	URL       string    // what the picture says; render it locally
	ExpiresAt time.Time // by WeChat's word
}

// CreateQR calls POST /cgi-bin/qrcode/create (docs: 生成带参数的二维码) for a
// temporary code. Who scans it makes WeChat push scene in a SCAN or subscribe
// event, see Event.Scene. scene is 1 to 64 bytes of text; life is a second to 30
// days, the fraction of a second is dropped. At most 100 000 a day. Errors as of
// Client.SendTemplate; a scene or a life outside its bounds is refused without
// a call. scene may be a one-time secret: no error quotes it.
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
		Ticket  looseString `json:"ticket"`
		URL     looseString `json:"url"`
		Seconds looseInt    `json:"expire_seconds"`
	}
	asked := time.Now() // the life counts from before the answer travelled
	if err := c.do(ctx, call{op: op, body: body, known: quoting(scene)}, &answer, nil); err != nil {
		return QRCode{}, err
	}
	if answer.Ticket == "" || !isWebURL(string(answer.URL)) {
		return QRCode{}, unreadable(op, "the answer has no ticket or no url")
	}
	if answer.Seconds > 0 && answer.Seconds <= looseInt(LongestQRLife/time.Second) {
		life = time.Duration(answer.Seconds) * time.Second
	}
	return QRCode{
		Ticket: string(answer.Ticket), URL: string(answer.URL),
		ExpiresAt: asked.Add(life.Truncate(time.Second)),
	}, nil
}

func checkQR(scene string, life time.Duration) error {
	var faults []error
	switch {
	case scene == "":
		faults = append(faults, errors.New("wechat: CreateQR: scene is empty: give the text that the scan brings back"))
	case len(scene) > SceneLimit:
		faults = append(faults, fmt.Errorf("wechat: CreateQR: scene has %d bytes, and WeChat takes %d: shorten it", len(scene), SceneLimit))
	case !utf8.ValidString(scene) || hasControl(scene, false):
		faults = append(faults, errors.New("wechat: CreateQR: scene holds control characters or is no UTF-8: write letters and digits"))
	}
	if life < ShortestQRLife || life > LongestQRLife {
		faults = append(faults, errors.New("wechat: CreateQR: life is not between a second and 30 days"))
	}
	return errors.Join(faults...)
}
