package enroll_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"image"
	"image/png"
	"strings"
	"testing"

	"github.com/wxnotify/wxnotify/enroll"
)

func TestQRCode(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 20, 120, 300, 1000, 2000} {
		text := strings.Repeat("https://e.cn/?t=aZ_0-", n/20+1)[:n]
		one, err := enroll.QRPNG(text)
		if err != nil {
			t.Fatal(err)
		}
		if two, _ := enroll.QRPNG(text); !bytes.Equal(one, two) {
			t.Errorf("%d bytes: drawn differently the second time", n)
		}
		picture, err := png.Decode(bytes.NewReader(one))
		if err != nil {
			t.Fatal(err)
		}
		size := picture.Bounds().Dx()
		if size < 400 || size > 620 || picture.Bounds().Dy() != size || len(one) > 16<<10 {
			t.Errorf("%d bytes: %v, %d bytes of PNG", n, picture.Bounds(), len(one))
		}
		frame, module := quiet(picture)
		if frame != 4*module || size%module != 0 || (size/module-8-17)%4 != 0 {
			t.Errorf("%d bytes: a module of %d px, a quiet zone of %d px, %d px in all", n, module, frame, size)
		}
	}
	for _, text := range []string{"", strings.Repeat("x", 3000)} {
		if _, err := enroll.QRPNG(text); err == nil || strings.Contains(err.Error(), "xxx") {
			t.Errorf("%d bytes: %v", len(text), err)
		}
	}
}

// quiet measures the white frame, and a module by the finder in the corner,
// whose top edge is seven of them.
func quiet(picture image.Image) (frame, module int) {
	dark := func(x, y int) bool { r, _, _, _ := picture.At(x, y).RGBA(); return r < 0x8000 }
	for !dark(frame, frame) {
		frame++
	}
	edge := frame
	for dark(edge, frame) {
		edge++
	}
	return frame, (edge - frame) / 7
}

// The library is old and still: what it draws for a text must never change,
// or the codes that are printed and those on screens would part.
func TestQRCodeIsTheSameEverywhere(t *testing.T) {
	t.Parallel()
	b, err := enroll.QRPNG("https://notify.example.com/enroll/wx0123456789abcdef?ticket=abc")
	if err != nil {
		t.Fatal(err)
	}
	picture, err := png.Decode(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.New()
	for y := range picture.Bounds().Dy() {
		for x := range picture.Bounds().Dx() {
			r, _, _, _ := picture.At(x, y).RGBA()
			sum.Write([]byte{byte(r >> 8)})
		}
	}
	if got := hex.EncodeToString(sum.Sum(nil)[:8]); got != "ca9bc951f51aa93c" {
		t.Errorf("drawn as %s", got)
	}
}
