package enroll

import (
	"fmt"

	"github.com/skip2/go-qrcode"
)

// qrPNG draws a text as a QR code that survives 15 % of damage, black on
// white with its quiet zone, about 512 px wide. Each module is a whole number
// of pixels, so that its edges stay sharp.
func qrPNG(text string) ([]byte, error) {
	const wide, quiet = 512, 4
	code, err := qrcode.New(text, qrcode.Medium)
	if err != nil {
		return nil, fmt.Errorf("QR code of %d bytes: %w", len(text), err)
	}
	modules := 17 + 4*code.VersionNumber + 2*quiet
	scale := max(1, (wide+modules/2)/modules)
	picture, err := code.PNG(-scale)
	if err != nil {
		return nil, fmt.Errorf("QR code of %d bytes: %w", len(text), err)
	}
	return picture, nil
}
