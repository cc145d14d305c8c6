package intake_test

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/wxnotify/wxnotify/internal/intake"
	"github.com/wxnotify/wxnotify/wechat"
)

// A request of the HTTP API has all its faults, each with a JSON pointer.
func ExampleParse() {
	_, err := intake.Parse([]byte(`{"id":1001,"not_before":"tomorrow","message":{"touser":"o1","page":"p","data":{"number1":{"value":10}}}}`))
	var invalid *wechat.InvalidError
	if errors.As(err, &invalid) {
		for _, f := range invalid.Faults {
			fmt.Println(f.Pointer(), f.Code)
		}
	}
	// Output:
	// /id field-type
	// /message/data/number1/value field-type
	// /message/page other-kind
	// /not_before field-type
}

func ExampleParseBody() {
	results, _, err := intake.ParseBody([]byte(`{"messages":[{"id":"a","message":{"touser":"o1","template_id":"T","data":{}}},{"id":"b"}]}`), 1000)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, r := range results {
		fmt.Println(r.Request.ID, r.Err)
	}
	// Output:
	// a <nil>
	// b wechat: message refused: message is missing: give {"touser":…,"template_id":…,"data":{…}} (message-missing)
}

func ExampleReader() {
	r, err := intake.NewReader(strings.NewReader("{\"id\":\"a\",\"message\":{\"data\":{}}}\n\n{\"id\":\"b\",\"message\":{\"data\":7}}\n"), "")
	if err != nil {
		fmt.Println("the file", err)
		return
	}
	for {
		line, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			fmt.Println("the file", err)
			return
		}
		fmt.Println(line.Number, line.Request.ID, line.Err)
	}
	// Output:
	// 1 a <nil>
	// 3 b wechat: message refused: message.data is not an object: write it as {"thing1":{"value":"…"}} (field-type)
}
