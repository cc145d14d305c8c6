package intake

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/simplifiedchinese"
	utf "golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"

	"github.com/wxnotify/wxnotify/wechat"
)

// Encodings lists the names that NewReader takes.
func Encodings() []string {
	return []string{"utf-8", "gb18030", "gbk", "gb2312", "utf-16", "utf-16le", "utf-16be"}
}

// decoderOf returns nil for UTF-8.
func decoderOf(name string) (*encoding.Decoder, error) {
	switch name {
	case "", "utf-8":
		return nil, nil
	case "gb18030", "gbk", "gb2312": // the first contains the others
		return simplifiedchinese.GB18030.NewDecoder(), nil
	case "utf-16", "utf-16le":
		return utf.UTF16(utf.LittleEndian, utf.UseBOM).NewDecoder(), nil
	case "utf-16be":
		return utf.UTF16(utf.BigEndian, utf.UseBOM).NewDecoder(), nil
	default:
		return nil, fmt.Errorf("the encoding %.20q is not one of %s", name, strings.Join(Encodings(), ", "))
	}
}

func isUTF16(name string) bool { return strings.HasPrefix(name, "utf-16") }

// decoded returns in as UTF-8, without byte order marks at its start. It looks at the
// first four bytes to name what the encoding cannot be. wasGB18030 says that each text is
// to be checked by wasUTF8.
func decoded(in io.Reader, name string) (text *bufio.Reader, wasGB18030 bool, err error) {
	name = strings.ToLower(name)
	decoder, err := decoderOf(name)
	if err != nil {
		return nil, false, err
	}
	text = bufio.NewReaderSize(in, 1<<16)
	head, err := text.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, false, fmt.Errorf("cannot be read: %w", err)
	}
	if err := kindFault(head, name); err != nil {
		return nil, false, err
	}
	if decoder != nil {
		text = bufio.NewReaderSize(transform.NewReader(text, decoder), 1<<16)
	}
	for mark, _ := text.Peek(3); string(mark) == "\xEF\xBB\xBF"; mark, _ = text.Peek(3) {
		_, _ = text.Discard(3) // was peeked at
	}
	return text, decoder != nil && !isUTF16(name), nil
}

// kindFault refuses what is not JSON in the encoding of this name.
func kindFault(head []byte, name string) error {
	starts := func(prefix string) bool { return bytes.HasPrefix(head, []byte(prefix)) }
	wide := func(found string) error {
		if isUTF16(name) {
			return nil
		}
		return fmt.Errorf("is UTF-16: --encoding %s reads it", found)
	}
	switch {
	case starts("\xFF\xFE\x00\x00"), starts("\x00\x00\xFE\xFF"):
		return errors.New("is UTF-32: convert it to UTF-8")
	case starts("\x1F\x8B"):
		return errors.New("is compressed by gzip: decompress it, such as by gunzip -c FILE, and read standard input, -")
	case starts("PK\x03\x04"):
		return errors.New("is a ZIP archive or an Excel workbook: export it as text (CSV, or one JSON message a line)")
	case starts("\xFF\xFE"), starts("\xFE\xFF"):
		return wide("utf-16")
	case len(head) >= 2 && head[0] != 0 && head[1] == 0:
		return wide("utf-16le")
	case len(head) >= 2 && head[0] == 0 && head[1] != 0:
		return wide("utf-16be")
	case isUTF16(name) && len(head) > 0:
		return errors.New("is not UTF-16: leave out --encoding")
	case name != "" && name != "utf-8" && starts("\xEF\xBB\xBF"):
		return errors.New("is UTF-8, as its byte order mark says: leave out --encoding")
	default:
		return nil
	}
}

// notUTF8 is the fault of a text that is not UTF-8.
func notUTF8(text []byte) error {
	message := "is not UTF-8: convert it to UTF-8"
	if out, err := simplifiedchinese.GB18030.NewDecoder().Bytes(text); err == nil && !bytes.ContainsRune(out, utf8.RuneError) {
		message = "is not UTF-8: --encoding gb18030 reads it"
	}
	return &wechat.InvalidError{Faults: []wechat.Fault{{Code: wechat.FaultEncoding, Message: message}}}
}

// wasUTF8 reports that a text was UTF-8 before it was decoded as GB18030, which
// gives a meaning to nearly all bytes, so that Chinese in UTF-8 becomes other
// Chinese.
func wasUTF8(text []byte) error {
	if isASCII(text) {
		return nil
	}
	// The decoder reads two forms of the euro sign, one of which is a byte that
	// stands in UTF-8, too.
	euro := []byte("€")
	for _, sign := range [][]byte{{0x80}, {0xA2, 0xE3}} {
		parts := bytes.Split(text, euro)
		for i, part := range parts {
			raw, err := simplifiedchinese.GB18030.NewEncoder().Bytes(part)
			if err != nil {
				return nil //nolint:nilerr // what cannot be encoded was not UTF-8
			}
			parts[i] = raw
		}
		if raw := bytes.Join(parts, sign); utf8.Valid(raw) && bytes.ContainsFunc(raw, isHan) {
			return &wechat.InvalidError{Faults: []wechat.Fault{{
				Code: wechat.FaultEncoding, Message: "is UTF-8, and would become other text: leave out --encoding",
			}}}
		}
	}
	return nil
}

func isHan(r rune) bool { return unicode.Is(unicode.Han, r) }

func isASCII(text []byte) bool {
	return bytes.IndexFunc(text, func(r rune) bool { return r >= utf8.RuneSelf }) < 0
}
