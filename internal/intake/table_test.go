package intake_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"golang.org/x/text/encoding/simplifiedchinese"

	"github.com/wxnotify/wxnotify/internal/intake"
)

// rows reads a table of users as text, a line each.
func rows(in io.Reader, encoding string) (string, error) {
	t, err := intake.NewTable(in, encoding, []string{"user", "openid", "unionid"}, 2)
	if err != nil {
		return "", err
	}
	var out []string
	for {
		row, err := t.Next()
		if errors.Is(err, io.EOF) {
			return strings.Join(out, "\n"), nil
		} else if err != nil {
			return strings.Join(out, "\n"), err
		}
		line := fmt.Sprint(row.Number, " ", strings.Join(row.Values, "|"))
		if row.Err != nil {
			line = fmt.Sprint(row.Number, " ", strings.TrimPrefix(row.Err.Error(), "wechat: message refused: "))
		}
		out = append(out, line)
	}
}

func TestTableReadsWhatSpreadsheetsWrite(t *testing.T) {
	t.Parallel()
	gbk, err := simplifiedchinese.GB18030.NewEncoder().String("用户1,o1\r\n用户2,o2\r\n")
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct{ in, encoding, want string }{
		"plain":                       {"u1,o1\nu2,o2,x2\n", "", "1 u1|o1|\n2 u2|o2|x2"},
		"no line break at the end":    {"u1,o1\nu2,o2", "", "1 u1|o1|\n2 u2|o2|"},
		"byte order mark, CRLF":       {"\ufeffu1,o1\r\n\r\nu2,o2\r\n", "", "1 u1|o1|\n3 u2|o2|"},
		"byte order mark and a quote": {"\ufeff\"u1\",\"o1\"\n", "", "1 u1|o1|"},
		"a header says the order":     {"OpenID, user\no1,u1\n", "", "2 u1|o1|"},
		"quoted":                      {"\"u,1\",o1\n\"u\"\"2\",o2\n", "", "1 u,1|o1|\n2 u\"2|o2|"},
		"GBK":                         {gbk, "gbk", "1 用户1|o1|\n2 用户2|o2|"},
		"a line with a fault":         {"u1,o1\nu2\nu3,o3,x,y\nu4,o\x00\nu5,o5\n", "", "1 u1|o1|\n2 message has 1 values: the columns are user, openid, unionid (field-unknown)\n" + "3 message has 4 values: the columns are user, openid, unionid (field-unknown)\n" + "4 message has a line break or another control character in a value: remove it (control-character)\n5 u5|o5|"},
		"a line break in a value":     {"\"u\n1\",o1\nu2,o2\n", "", "1 message has a line break or another control character in a value: remove it (control-character)\n3 u2|o2|"},
		"GBK read as UTF-8":           {gbk, "", "1 message is not UTF-8: --encoding gb18030 reads it (not-utf8)\n2 message is not UTF-8: --encoding gb18030 reads it (not-utf8)"},
		"GBK, wrongly separated":      {"\xd0\xd5\xa3\xaco1\n", "", "1 message is not UTF-8: --encoding gb18030 reads it (not-utf8)"},
		"UTF-8 read as GBK":           {"用户,o1\n", "gbk", "1 message is UTF-8, and would become other text: leave out --encoding (not-utf8)"},
		"a bare quote":                {"u\"1,o1\nu2,o2\n", "", "1 message is not CSV: a value with a quote or a comma is written in quotes, and a quote in it twice (\"\") (not-json)\n2 u2|o2|"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got, err := rows(strings.NewReader(tt.in), tt.encoding); got != tt.want || err != nil {
				t.Errorf("%q, %v\nwant %q", got, err, tt.want)
			}
		})
	}
}

func TestTableNamesWhatIsNoSuchTable(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ in, want string }{
		"empty":             {"", "has no lines"},
		"semicolons":        {"u1;o1\n", `is separated by ';'`},
		"tabs":              {"u1\to1\n", `is separated by '\t'`},
		"an unknown column": {"user,openid,phone\n", `the column "phone"`},
		"a column twice":    {"user,openid,user\n", "the column user twice"},
		"a column missing":  {"user,unionid\n", "has no column openid"},
		"a GBK column":      {"\xd0\xd5\xc3\xfb,openid\n", "has a first line that is not UTF-8: --encoding gb18030 reads it"},
		"a lost column":     {"�,openid\n", "has a first line that has the sign �"},
		"UTF-16":            {"\xff\xfeu\x00,\x00", "--encoding utf-16"},
		"a workbook":        {"PK\x03\x04", "an Excel workbook"},
		"an endless quote":  {"u1,o1\n\"u2,o2\n" + strings.Repeat("u3,o3\n", 50_000), "a quote that is not closed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := rows(strings.NewReader(tt.in), ""); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}
