package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
)

// profileRate is a sample in so many bytes: finer than Go's own, since a child
// lives for seconds.
const profileRate = 16 << 10

// profiled runs do and writes where the child's processor time and its memory
// went, for go tool pprof.
func profiled(t task, do func() error) (err error) {
	if t.Profile == "" {
		return do()
	}
	runtime.MemProfileRate = profileRate
	name := filepath.Join(t.Profile, t.Role+"-"+t.Variant)
	cpu, err := os.Create(name + ".cpu")
	if err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	defer func() { err = errors.Join(err, cpu.Close()) }()
	if err := pprof.StartCPUProfile(cpu); err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	err = do()
	pprof.StopCPUProfile()
	memory, failed := os.Create(name + ".mem")
	if failed != nil {
		return errors.Join(err, failed)
	}
	return errors.Join(err, pprof.Lookup("allocs").WriteTo(memory, 0), memory.Close())
}
