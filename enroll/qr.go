package enroll

import (
	"fmt"
	"sync"

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

// mostPictures bounds the cache; a picture has about 4 KB. The cache is emptied when full.
const mostPictures = 512

// pictures caches drawn codes: drawing takes milliseconds, and an open page requests the
// same one every few seconds. Safe for concurrent use.
type pictures struct {
	mu   sync.Mutex
	kept map[string][]byte
}

func (p *pictures) draw(text string) ([]byte, error) {
	p.mu.Lock()
	picture := p.kept[text]
	p.mu.Unlock()
	if picture != nil {
		return picture, nil
	}
	picture, err := qrPNG(text)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.kept == nil || len(p.kept) >= mostPictures {
		p.kept = map[string][]byte{}
	}
	p.kept[text] = picture
	return picture, nil
}
