package intake_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/wxnotify/wxnotify/internal/intake"
	"github.com/wxnotify/wxnotify/wechat"
)

// A body of 8 MB has room for 700 000 fields: what each costs must not grow with their
// number.
func TestTheFaultsOfADocumentAreBounded(t *testing.T) {
	t.Parallel()
	const n = 20_000
	distinct := func(field string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, field+",", i)
		}
		return b.String()
	}
	message := func(fields string) string {
		return `{"touser":"o","template_id":"t","data":{` + fields + `"thing1":{"value":"x"}}}`
	}
	for what, body := range map[string]string{
		"distinct unknown fields of WeChat's body": `{` + distinct(`"n%d":1`) + `"touser":"o"}`,
		"distinct unknown fields of our form":      `{` + distinct(`"n%d":1`) + `"id":"x","message":{}}`,
		"distinct fields of data":                  message(distinct(`"n%d":1`)),
		"distinct fields of a value":               message(`"thing2":{` + distinct(`"n%d":1`) + `"value":"x"},`),
		"distinct fields of a mini program":        `{"miniprogram":{` + distinct(`"n%d":1`) + `"appid":"x"}}`,
		"distinct damaged texts":                   `{"id":"x",` + distinct(`"n%d":"\ud800"`) + `"message":{}}`,
		"one unknown field":                        `{` + strings.Repeat(`"x":1,`, n) + `"touser":"o"}`,
		"one damaged name":                         `{` + strings.Repeat(`"\ud800":1,`, n) + `"touser":"o"}`,
		"a batch with distinct unknown fields":     `{` + distinct(`"n%d":1`) + `"messages":[]}`,
	} {
		results, _, err := intake.ParseBody([]byte(body), 1)
		var invalid *wechat.InvalidError
		if !errors.As(err, &invalid) || len(invalid.Faults) == 0 || len(invalid.Faults) > 1100 {
			t.Errorf("%s: %d results, error of type %T with %d faults", what, len(results), err, len(invalid.Faults))
		}
	}
}
