//go:build unix

package main

import (
	"fmt"
	"runtime"
	"syscall"
)

// ownUse is the processor seconds of this process and the most bytes that it
// had resident.
func ownUse() (cpu float64, peak int64, err error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, 0, fmt.Errorf("getrusage: %w", err)
	}
	peak = int64(u.Maxrss) //nolint:unconvert // 32 bits on some machines
	if runtime.GOOS != "darwin" {
		peak *= 1024 // kilobytes but on macOS
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9, peak, nil
}

// treeUse is the processor seconds of this process and of its children that have
// ended.
func treeUse() (float64, error) {
	var sum float64
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if err := syscall.Getrusage(who, &u); err != nil {
			return 0, fmt.Errorf("getrusage: %w", err)
		}
		sum += float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
	}
	return sum, nil
}
