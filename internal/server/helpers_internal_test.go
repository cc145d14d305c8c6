package server

import "testing"

const (
	canarySecret = "c0ffee0decade0c0ffee0decade0beef"            // has the form of an AppSecret
	canaryAESKey = "canary0Jd8sLq0ZpW7xVt2Nb5Mc9RfYh1Gu6TaEoQiS" // 43 letters and digits
	sealKey      = "c84e2b7f90a1d36e5528fb47091cde6a3b7f80e2941d5ac6f0739be81d24a65f"
	nameKey      = "9e21b7cf80a4d36e1728fb4705ecd96a3b7f82e0941d5ac6f0736be8d124a65c"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
