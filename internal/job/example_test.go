package job_test

import (
	"fmt"

	"github.com/wxnotify/wxnotify/internal/job"
)

func ExampleEncode() {
	data, err := job.Encode(job.Envelope{
		ID: "order-1001-paid", Class: job.Default, To: "oABC", Template: "T1",
		Body: []byte(`{"touser":"oABC","template_id":"T1","data":{}}`),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(string(data))
	// Output:
	// {"v":1,"id":"order-1001-paid","c":"default","to":"oABC","t":"T1"}
	// {"touser":"oABC","template_id":"T1","data":{}}
}

func ExampleClientMsgID() {
	fmt.Println(job.ClientMsgID("order-1001-paid"))
	fmt.Println(job.ClientMsgID("order/1001/paid"))
	// Output:
	// order-1001-paid
	// CNa7nvZVWiFP53bGUWD2C3RD6t0SG58p
}

func ExampleWithRecipient() {
	fmt.Println(string(job.WithRecipient([]byte(`{"template_id":"T1","data":{}}`), "oABC")))
	// Output: {"touser":"oABC","template_id":"T1","data":{}}
}
