package cost_test

import (
	"encoding/json"
	"testing"

	"github.com/wxnotify/wxnotify/internal/cost"
)

func TestTheBodyOfAMessageTellsItsNumber(t *testing.T) {
	t.Parallel()
	for _, i := range []int{0, 7, 12_345_678, 10_012_345_678} {
		m := cost.Message(i)
		if err := m.Validate(); err != nil {
			t.Error(err)
		}
		body, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if got := cost.NumberIn(body); got != i {
			t.Errorf("message %d is read as %d: %s", i, got, body)
		}
	}
	if got := cost.NumberIn([]byte(`{"touser":"oABC"}`)); got != 0 {
		t.Errorf("a body without a number is read as %d", got)
	}
}
