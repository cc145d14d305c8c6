package cost

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"github.com/wxnotify/wxnotify/wechat"
)

const (
	// TemplateID is that of each Message.
	TemplateID   = "ngqIpbwh8bUfcSsECmogfXcV14J0tQlEpBO27izEYtY"
	openIDPrefix = "oBenchFollower"
	// lettersAbove is from a digit to the letter that stands for it in an openid. WeChat's
	// openids are random: a run of six digits, in which mask looks for a phone number, is
	// in one of a few thousand.
	lettersAbove = 'A' - '0'
)

// Message is number i of those that benchmarks send. Its openid tells the number.
func Message(i int) *wechat.TemplateMessage {
	return &wechat.TemplateMessage{
		ToUser: OpenID(i), TemplateID: TemplateID,
		URL: fmt.Sprintf("https://shop.example.com/orders/%08d", i),
		Data: map[string]wechat.Field{
			"thing1": {Value: "红富士苹果 5 kg"}, "time2": {Value: "2026-11-22 08:30"}, "amount3": {Value: "¥128.50"},
		},
	}
}

// OpenID is the recipient of message i.
func OpenID(i int) string {
	return openIDPrefix + strings.Map(func(digit rune) rune { return digit + lettersAbove }, fmt.Sprintf("%014d", i))
}

// NumberIn is the number of the message whose body this is; 0 without one.
func NumberIn(body []byte) int {
	_, rest, _ := bytes.Cut(body, []byte(openIDPrefix))
	letters, _, _ := bytes.Cut(rest, []byte(`"`))
	n, _ := strconv.Atoi(string(bytes.Map(func(letter rune) rune { return letter - lettersAbove }, letters)))
	return n
}
