// Package skewed has the clock of the build with a wrong clock: this file is put into each
// package that reads the wall clock, with skewedNow for time.Now.
package skewed

import (
	"os"
	"strconv"
	"time"
	"unsafe"
)

// skewedNow is time.Now with a wall clock that is off by the seconds in
// CHAOS_CLOCK_SECONDS. As on a machine with such a clock, the monotonic reading is right:
// a time.Time that has one keeps the seconds in its first word from bit 30 on.
func skewedNow() time.Time {
	t := time.Now()
	seconds, _ := strconv.ParseInt(os.Getenv("CHAOS_CLOCK_SECONDS"), 10, 64) //nolint:forbidigo // in place of a wrong clock
	*(*uint64)(unsafe.Pointer(&t)) += uint64(seconds) << 30                  //nolint:gosec // see above; negative seconds are taken off
	return t
}
