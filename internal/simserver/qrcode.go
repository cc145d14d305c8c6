package simserver

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/skip2/go-qrcode"

	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

// qrPixels is the width of a picture; WeChat's are 430 wide.
const qrPixels = 430

// serveQRCode is GET /cgi-bin/showqrcode?ticket=, which WeChat serves on
// mp.weixin.qq.com without an access token: the picture of a QR code, 404 for a ticket
// that is unknown or has expired. WeChat's pictures are JPEG, these are PNG.
func (s server) serveQRCode(w http.ResponseWriter, r *http.Request) {
	ticket := r.URL.Query().Get("ticket")
	for _, a := range s.p.Accounts() {
		codes := a.QRCodes()
		i := slices.IndexFunc(codes, func(q wechattest.QRCode) bool { return q.Ticket == ticket })
		if i < 0 || !codes[i].Expires.IsZero() && time.Now().After(codes[i].Expires) {
			continue
		}
		picture, err := qrcode.Encode(codes[i].URL(), qrcode.Medium, qrPixels)
		if err != nil {
			http.Error(w, fmt.Sprintf("draw the QR code: %v", err), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "image/png")
		w.Write(picture) //nolint:errcheck // the visitor may have gone
		return
	}
	http.Error(w, "no QR code has this ticket, or it has expired; make one with qrcode/create", http.StatusNotFound)
}
