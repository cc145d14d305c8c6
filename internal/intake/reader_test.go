package intake_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/unicode"

	"github.com/wxnotify/wxnotify/internal/intake"
)

// read prints what a stream holds as "line id" or "line faults", and the error that
// ended it.
func read(in io.Reader, encodingName string) string {
	r, err := intake.NewReader(in, encodingName)
	if err != nil {
		return "unreadable: " + err.Error()
	}
	var parts []string
	for {
		line, err := r.Next()
		switch {
		case errors.Is(err, io.EOF):
			return strings.Join(parts, " | ")
		case err != nil:
			return strings.Join(append(parts, "ends: "+err.Error()), " | ")
		case line.Err != nil:
			parts = append(parts, fmt.Sprint(line.Number, " ", faultsOf(line.Err)))
		default:
			parts = append(parts, fmt.Sprint(line.Number, " ", line.Request.ID, " ", line.Request.Message.Message.Data["thing1"].Value))
		}
	}
}

func ours(id, value string) string {
	return `{"id":"` + id + `","message":{"touser":"o1","template_id":"T","data":{"thing1":{"value":"` + value + `"}}}}`
}

func in(t *testing.T, e encoding.Encoding, text string) string {
	t.Helper()
	out, err := e.NewEncoder().String(text)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestReaderReadsLinesArraysAndDocuments(t *testing.T) {
	t.Parallel()
	a, b := ours("a", "一"), ours("b", "二")
	pretty := strings.NewReplacer("{", "{\n  ", ",", ",\n  ").Replace
	for name, tt := range map[string]struct{ text, want string }{
		"lines":                        {a + "\n" + b + "\n", "1 a 一 | 2 b 二"},
		"no line break at the end":     {a + "\n" + b, "1 a 一 | 2 b 二"},
		"BOM and CRLF":                 {"\xEF\xBB\xBF" + a + "\r\n" + b + "\r\n", "1 a 一 | 2 b 二"},
		"blank lines":                  {"\r\n\n  " + a + "\n\n\t\n" + b + "\n\n", "3 a 一 | 6 b 二"},
		"two BOMs":                     {"\xEF\xBB\xBF\xEF\xBB\xBF" + a + "\n" + b, "1 a 一 | 2 b 二"},
		"files with BOM, joined":       {"\xEF\xBB\xBF" + a + "\n\xEF\xBB\xBF" + b, "1 a 一 | 2 b 二"},
		"an array in one line":         {"[" + a + "," + b + "]", "1 a 一 | 1 b 二"},
		"an array of lines":            {"\xEF\xBB\xBF\n[\n" + a + ",\n\n" + b + "\n]\n", "3 a 一 | 5 b 二"},
		"a document of many lines":     {pretty(a), "1 a 一"},
		"documents of many lines":      {"\n" + pretty(a) + "\n" + pretty(b), "2 a 一 | 10 b 二"},
		"documents in one line":        {a + b, "1 a 一 | 1 b 二"},
		"a fault does not hide others": {a + "\n{\"id\":\n" + b + "\n\"x\"\n[" + a + "]\n", "1 a 一 | 2  not-json | 3 b 二 | 4  not-json | 5  not-json"},
		"the first line has a fault":   {"{\"id\":\n" + a, "1  not-json | 2 a 一"},
		"a long line":                  {a + "\n{" + strings.Repeat(" ", 1<<20) + "}\n" + b, "1 a 一 | 2  body-too-large | 3 b 二"},
		"lines that are not UTF-8":     {a + "\n" + ours("c", "\xca\xd6\xb3\xe5") + "\n" + b, "1 a 一 | 2  not-utf8 | 3 b 二"},
		"an array with faults":         {"[" + a + ",7,\n" + ours("c", "\xca\xd6") + "]", "1 a 一 | 1  not-json | 2  not-utf8"},
		"typographic quotes":           {"[{“id”:1}]", "ends: is not JSON on line 1: a character outside its texts is not ASCII, such as “ ” ： or ，: write the ASCII one; the rest was not read"},
		"an array that does not end":   {"[" + a + ",\n", "1 a 一 | ends: is not JSON: the text ends too early, in what begins on line 1 or after it"},
		"text after an array":          {"[" + a + "]\n[" + b + "]", "1 a 一 | ends: has text after the array, on line 2, which was not read: write one array with all messages"},
		"syntax in an array":           {"[" + a + "\n" + b + "]", "1 a 一 | ends: is not JSON on line 2: expected comma after array element; the rest was not read"},
		"GBK in a document, with \\":   {"[\n" + ours("a", "\x81\x5c") + "]", "ends: is not UTF-8 on line 2: --encoding gb18030 reads the Chinese of Windows; else convert it to UTF-8; the rest was not read"},
		"a value without end":          {"[\"" + strings.Repeat("x", 2<<20), "ends: has on line 1 a value longer than 1048576 bytes; the rest was not read"},
	} {
		if got := read(strings.NewReader(tt.text), ""); got != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, tt.want)
		}
		if len(tt.text) < 1<<16 {
			if got := read(iotest.OneByteReader(strings.NewReader(tt.text)), "utf-8"); got != tt.want {
				t.Errorf("%s, byte by byte:\n got %s\nwant %s", name, got, tt.want)
			}
		}
	}
}

func TestReaderNamesWhatIsNoJSON(t *testing.T) {
	t.Parallel()
	utf16 := unicode.UTF16(unicode.LittleEndian, unicode.UseBOM)
	for name, tt := range map[string]struct{ text, encoding, want string }{
		"nothing":             {"", "", "it is empty"},
		"blanks":              {"\xEF\xBB\xBF \r\n\n", "", "it is empty"},
		"an empty array":      {"[ ]", "", "the array is empty"},
		"CSV":                 {"openid,thing1\no1,x\n", "", "looks like CSV"},
		"CSV with quotes":     {"\"openid\",\"thing1\"\n", "", "looks like CSV"},
		"CSV in GBK":          {"openid,\xd0\xd5\xc3\xfb\n", "", "looks like CSV"},
		"XML":                 {"<xml/>", "", "is XML"},
		"words":               {"hello", "", "is not JSON: write"},
		"null":                {"null", "", "is not a JSON object: write"},
		"a text":              {"\"a,b\"\n", "", "is not a JSON object: write"},
		"a number":            {"12 \n" + ours("a", "一"), "", "is not a JSON object: write"},
		"a hidden blank":      {"\u200b" + ours("a", "一"), "", "begins with the character U+200B, which is not seen: remove it"},
		"a wide blank":        {"\u3000[" + ours("a", "一") + "]", "", "begins with the character U+3000, which is not seen: remove it"},
		"a hidden blank only": {"\u00a0", "", "begins with the character U+00A0, which is not seen"},
		"quotes of a shell":   {"'" + ours("a", "一") + "'", "", "is not JSON: write"},
		"UTF-16 with a mark":  {in(t, utf16, ours("a", "一")), "", "--encoding utf-16 reads it"},
		"UTF-16 for GB18030":  {in(t, utf16, ours("a", "一")), "gb18030", "--encoding utf-16 reads it"},
		"UTF-16 without":      {"{\x00}\x00", "", "--encoding utf-16le reads it"},
		"UTF-16, big end":     {"\x00{\x00}", "", "--encoding utf-16be reads it"},
		"UTF-32":              {"\xFF\xFE\x00\x00{\x00\x00\x00", "", "is UTF-32"},
		"gzip":                {"\x1f\x8b\x08", "", "gunzip"},
		"Excel":               {"PK\x03\x04", "", "Excel"},
		"not UTF-16":          {ours("a", "一"), "utf-16", "is not UTF-16: leave out --encoding"},
		"a mark for GB18030":  {"\xEF\xBB\xBF" + ours("a", "一"), "gb18030", "leave out --encoding"},
		"an unknown encoding": {ours("a", "一"), "latin1", `the encoding "latin1" is not one of utf-8, gb18030`},
		"a broken pipe":       {"", "broken", "closed pipe"},
	} {
		var text io.Reader = strings.NewReader(tt.text)
		if tt.encoding == "broken" {
			text, tt.encoding = iotest.ErrReader(io.ErrClosedPipe), ""
		}
		if got := read(text, tt.encoding); !strings.HasPrefix(got, "unreadable: ") && name != "an empty array" || !strings.Contains(got, tt.want) {
			t.Errorf("%s: %s, want %q", name, got, tt.want)
		}
	}
	if got := read(io.MultiReader(strings.NewReader(ours("a", "一")+"\n"), iotest.ErrReader(io.ErrClosedPipe)), ""); !strings.HasPrefix(got, "1 a 一 | ends: cannot be read: ") {
		t.Errorf("a stream that breaks off: %s", got)
	}
}

// P06: text of Windows is read by --encoding, and refused when that is the wrong one.
func TestReaderReadsOtherEncodings(t *testing.T) {
	t.Parallel()
	text := ours("a", "手冲咖啡") + "\r\n" + ours("b", "你好") + "\r\n"
	want := "1 a 手冲咖啡 | 2 b 你好"
	utf16 := unicode.UTF16(unicode.LittleEndian, unicode.UseBOM)
	for name, tt := range map[string]struct{ text, encoding, want string }{
		"GB18030":               {in(t, simplifiedchinese.GB18030, text), "gb18030", want},
		"GBK":                   {in(t, simplifiedchinese.GBK, text), "GBK", want},
		"UTF-16":                {in(t, utf16, text), "utf-16", want},
		"UTF-16, an array":      {in(t, utf16, "["+strings.TrimSpace(strings.Replace(text, "\r\n", ",\r\n", 1))+"]"), "utf-16", want},
		"UTF-16, no mark":       {in(t, unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM), text), "utf-16le", want},
		"UTF-16, big end":       {in(t, unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM), text), "utf-16be", want},
		"ASCII":                 {ours("a", "x"), "gb18030", "1 a x"},
		"UTF-8 taken for GBK":   {text, "gb18030", "1  not-utf8 | 2  not-utf8"},
		"UTF-8 with byte 0x80":  {ours("a", "一"), "gb18030", "1  not-utf8"},
		"a euro sign":           {in(t, simplifiedchinese.GB18030, ours("a", "一€")) + "\n" + ours("b", "\x80"), "gb18030", "1 a 一€ | 2 b €"},
		"GBK, two characters":   {in(t, simplifiedchinese.GBK, ours("a", "娌垮")), "gbk", "1 a 娌垮"},
		"damaged GB18030":       {ours("a", "\xca\xff"), "gb18030", "1 message.data.thing1.value text-replaced"},
		"half a pair in UTF-16": {in(t, utf16, `{"id":"a`) + "\x3d\xd8" + in(t, unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM), `","message":`+body+`}`), "utf-16", "1 id text-replaced"},
	} {
		if got := read(strings.NewReader(tt.text), tt.encoding); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
}

func TestReaderSaysWhichEncodingReadsALine(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		ours("a", "\xca\xd6\xb3\xe5"): "--encoding gb18030 reads it",
		ours("a", "\xff"):             "convert it to UTF-8",
	} {
		r, err := intake.NewReader(strings.NewReader(text), "")
		if err != nil {
			t.Fatal(err)
		}
		if line, _ := r.Next(); line.Err == nil || !strings.Contains(line.Err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, line.Err, want)
		}
	}
}

// FuzzReader checks that any stream ends, in order.
func FuzzReader(f *testing.F) {
	f.Add([]byte(ours("a", "一")+"\n"+ours("b", "二")), "")
	f.Add([]byte("[\n"+ours("a", "一")+",\n"+ours("b", "二")+"]"), "gbk")
	f.Add([]byte("\xff\xfe{\x00}\x00"), "utf-16")
	f.Add([]byte("{\n}\n{\n\xca\n}"), "utf-8")
	f.Fuzz(func(t *testing.T, data []byte, encodingName string) {
		r, err := intake.NewReader(strings.NewReader(string(data)), encodingName)
		if err != nil {
			return
		}
		last := 0
		for range 2 * len(data) {
			line, err := r.Next()
			if err != nil {
				return
			}
			if line.Number < last || line.Number > strings.Count(string(data), "\n")+1 {
				t.Fatalf("line %d after %d of %q", line.Number, last, data)
			}
			last = line.Number
		}
		t.Fatalf("%q has no end", data)
	})
}
