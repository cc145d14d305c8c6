package mask_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/wxnotify/wxnotify/internal/mask"
)

const (
	openid  = "oCANARYx7Qk_4-pLmNb0TzYw8dEf"
	openid2 = "o6_bmjrPTlm6_2sgVt7hMZOPfL2M"
	card    = "11010119900307451X"
)

var token = "88_" + strings.Repeat("CANARYtoken", 9)

func TestText(t *testing.T) {
	t.Parallel()
	table := []struct{ explanation, text, want string }{
		{"nothing", "", ""},
		{"nothing personal", "dial tcp 127.0.0.1:6379: connect: connection refused", "dial tcp 127.0.0.1:6379: connect: connection refused"},
		{"an openid", "invalid openid " + openid2, "invalid openid o6_b…2M"},
		{"an openid behind a word", "order-77-" + openid, "orde…Ef"},
		{"an openid before a word", openid + "_paid", "oCAN…id"},
		{"openids side by side", openid + "," + openid2, "oCAN…Ef,o6_b…2M"},
		{"all small letters", "o" + strings.Repeat("x", 27), "oxxx…xx"},
		{"a name of the program", "wxnotify_queue_entries_without_data_of_whom", "wxnotify_queue_entries_without_data_of_whom"},
		{"a UUID", "550e8400-e29b-41d4-a716-446655440000", "550e8400-e29b-41d4-a716-446655440000"},
		{"a hash in hex", strings.Repeat("0123456789abcdef", 4), strings.Repeat("0123456789abcdef", 4)},
		{"a bare token", "got " + token + ".", "got [redacted]."},
		{"a token in a link", "https://h/x?access_token=short&y=1", "https://h/x?access_token=[redacted]&y=1"},
		{"a mobile number in other groups", "138-00-00-45-67, 138.0000.4567", "***-**-**-**-67, ***.****.**67"},
		{"dashes and spaces of a word processor", "138–0000‑4567 or 138\u00a00000\u30004567", "***–****‑**67 or ***\u00a0****\u3000**67"},
		{"characters without a width", "138\u200b0000\ufeff4567", "***\u200b****\ufeff**67"},
		{"a full-width plus sign", "＋８６１３８００００４５６７", "＋***********６７"},
		{"a landline without a separator", "02187654321 (010)87654321 （010）8765 4321", "*********21 (***)******21 （***）**** **21"},
		{"a full-width identity card", "身份证１１０１０１１９９００３０７８５１５", "身份证[identity card]"},
		{"a full-width check character", "11010119900307851Ｘ", "[identity card]"},
		{"an identity card of Hong Kong", "HKID A123456(7)", "HKID [identity card]"},
		{"an address of a machine", "192.168.100.12:6379", "192.168.100.12:6379"},
		{"seconds", "13.800004567 s", "13.800004567 s"},
		{"a part of a longer full-width number", "９１３８００００４５６７", "９１３８００００４５６７"},
		{"a secret in JSON", `{"appsecret": "s3cr3t", "n":1}`, `{"appsecret": "[redacted]", "n":1}`},
		{"a secret of the environment", "WXNOTIFY_APPSECRET=abc", "WXNOTIFY_APPSECRET=[redacted]"},
		{"a ticket in prose", "ticket: gQH47joAAAAAAAAAASxodHRwOi8", "ticket: [redacted]"},
		{"an OAuth code", "/sns/oauth2/access_token?appid=wx1&code=CODE1&state=2", "/sns/oauth2/access_token?appid=wx1&code=[redacted]&state=2"},
		{"a header", "Authorization: Basic bGk6eA==", "Authorization: Basic [redacted]"},
		{"prose about a secret", "no secret: set one", "no secret: set one"},
		{"WeChat's answer", "errcode=40001, code: 40001", "errcode=40001, code: 40001"},
		{"a phone", "call 13812345678 now", "call *********78 now"},
		{"a phone in an ID", "lab-13812345678-1", "lab-*********78-1"},
		{"a phone with blanks", "138 1234 5678", "*** **** **78"},
		{"a phone with hyphens", "138-1234-5678", "***-****-**78"},
		{"a phone of China", "+8613812345678", "+***********78"},
		{"a phone of China with zeros", "008613812345678", "*************78"},
		{"a phone in Chinese", "电话13812345678。", "电话*********78。"},
		{"a phone in full-width digits", "电话１３８１２３４５６７８。", "电话*********７８。"},
		{"a landline", "(010) 8234-5678, 0571-8765432", "(***) ****-**78, ****-*****32"},
		{"a phone of Hong Kong", "+852 9123 4567", "+*** **** **67"},
		{"an identity card", "id " + card + " given", "id [identity card] given"},
		{"an identity card in parts", "110101 19900307 4512", "[identity card]"},
		{"an identity card in an ID", "lab-" + card + "-1", "lab-[identity card]-1"},
		{"an identity card of 15 digits", "110101900307451", "[identity card]"},
		{"a mail address", "to zhang.san+x@mail.example.com.", "to …@mail.example.com."},
		{"a mail address in a URL", "/u/zhang%40example.com/x", "/u/…%40example.com/x"},
		{"a mail address in Chinese", "张三@例子.中国", "…@例子.中国"},
		{"a full-width @", "zhang＠example.com", "…＠example.com"},
		{"a module in a stack", "github.com/hibiken/asynq@v0.26.0/server.go:12", "github.com/hibiken/asynq@v0.26.0/server.go:12"},
		{"a millisecond", "at 1763812345678 ms", "at 1763812345678 ms"},
		{"a msgid", "msgid 2441138123456789012", "msgid 2441138123456789012"},
		{"a time", "2026-11-22T13:38:12.345678901Z", "2026-11-22T13:38:12.345678901Z"},
		{"a time with its zone", "2026-11-22T13:38:12.345678+08:00", "2026-11-22T13:38:12.345678+08:00"},
		{"an order's number", "order-20261126-0001", "order-20261126-0001"},
	}
	for _, row := range table {
		if got := mask.Text(row.text); got != row.want {
			t.Errorf("%s: %q, want %q", row.explanation, got, row.want)
		}
		if once := mask.Text(row.text); mask.Text(once) != once {
			t.Errorf("%s: masked twice it changes: %q", row.explanation, mask.Text(once))
		}
	}
}

func TestNameAndValue(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"": "", "mallory": "…", openid: "oCAN…Ef", "customer-990017": "cust…17", "13812345678": "…",
		"patient-" + card: "…", "zhang.san@example.com": "…", "患者甲乙丙丁": "患…", "\xff\xfe\xfd\xfcabcdefgh": "…gh",
	} {
		if got := mask.Name(name); got != want {
			t.Errorf("name %q: %q, want %q", name, got, want)
		}
	}
	for value, want := range map[string]string{"": "", "张": "…(1)", "司马相如": "…(4)", "Zhang San": "…(9)", "4711.25": "…(7)"} {
		if got := mask.Value(value); got != want {
			t.Errorf("value %q: %q, want %q", value, got, want)
		}
	}
}

func TestMaskedIDsAreDistinctAndStable(t *testing.T) {
	t.Parallel()
	m := mask.NewIDs()
	if got := m.Mask("order-1"); got != "order-1" {
		t.Errorf("an ID without personal data is shown as %q", got)
	}
	first, again, second := m.Mask("lab-13812345678"), m.Mask("lab-13812345678"), m.Mask("lab-13912345678")
	if first != again || first == second || !strings.HasPrefix(first, "lab-*********78~") {
		t.Errorf("%q, %q, %q, want equal ones for equal IDs only", first, again, second)
	}
	if other := mask.NewIDs().Mask("lab-13812345678"); other == first {
		t.Errorf("the suffix of %q is the same in two processes: it could be looked up", other)
	}
	if twice := m.Mask(first); twice != first {
		t.Errorf("a masked ID is masked again: %q", twice)
	}
}

func FuzzText(f *testing.F) {
	for _, s := range []string{"", openid, "x" + openid + "x", token, "access_token=" + token, "138 1234 5678", "\xff\x00" + openid, card, "a@b.cn"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		masked := mask.Text(s)
		if utf8.ValidString(s) && !utf8.ValidString(masked) {
			t.Errorf("%q became invalid: %q", s, masked)
		}
		again := mask.Text(s + " " + openid + " " + token + ", " + card + ", 13812345678")
		for _, canary := range []string{openid, token} {
			if strings.Contains(again, canary) {
				t.Errorf("%q hides a canary behind it: %q", s, again)
			}
		}
	})
}

func BenchmarkTextOfALogField(b *testing.B) {
	for _, s := range []string{"accepted", "order-1001-paid", "message finished", "r001-00000007", "order-20261127-000123", "oABC…AA"} {
		b.Run(s, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				mask.Text(s)
			}
		})
	}
}

// Numbers with the fewest digits that are masked are not taken for texts without a number.
func TestShortestNumbersAreMasked(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"A123456(A)", "+1 2 34 56", "+1-2-34-５６"} {
		for name, masked := range map[string]func(string) string{"Numbers": mask.Numbers, "Text": mask.Text} {
			if got := masked("call " + s); got == "call "+s {
				t.Errorf("%s shows %s", name, s)
			}
		}
	}
}

// Most patterns are left out for most texts. What is masked does not depend on that.
func TestNoPatternIsLeftOutThatWouldMatch(t *testing.T) {
	t.Parallel()
	part := rapid.SampledFrom([]string{
		"secret", "access_token", "Authorization", "basic ", "bearer ", "code", "ticket", "=", ":", `"`, "'", " ", "@", "＠", "%40", "%", ".", "example.com", "li",
		openid, card, "13812345678", "+1 2 34 56", "A123456(A)", "１３８", "-", "_", "x", "order-20261127-000123", "(", ")", "0", "1", "010", "0571", "+86", "4567", "890", "/", "é", "\xff", "123456", "geheim-geheim-geheim",
	})
	rapid.Check(t, func(t *rapid.T) {
		s := strings.Join(rapid.SliceOfN(part, 0, 8).Draw(t, "parts"), "")
		if got, want := mask.Text(s), mask.TextByAll(s); got != want {
			t.Errorf("%q is shown as %q, want %q", s, got, want)
		}
	})
}

// What a page or log shows in place of an ID or name is known again when it is pasted.
func TestMaskedIDsAndNamesAreRecognised(t *testing.T) {
	t.Parallel()
	ids := mask.NewIDs()
	for _, whole := range []string{
		"order-13812345678", "lab-138-1234-5678", "order-77-" + openid, "li@clinic.example-7", "visit-" + card, "ticket=" + token, "t-" + token,
	} {
		if shown := ids.Mask(whole); !mask.Masked(shown) || mask.Masked(whole) {
			t.Errorf("%s is shown as %s: masked %t, whole %t", whole, shown, mask.Masked(shown), mask.Masked(whole))
		}
	}
	for _, name := range []string{openid, "patient-401", "u-1", "张三丰的账号标识"} {
		if shown := mask.Name(name); !mask.Masked(shown) || mask.Masked(name) {
			t.Errorf("%s is shown as %s: masked %t, whole %t", name, shown, mask.Masked(shown), mask.Masked(name))
		}
	}
	if mask.Masked("order*7~1a2b3c4d") {
		t.Error("an ID with a star is taken for a masked one")
	}
}
