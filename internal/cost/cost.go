// Package cost has what benchmarks share: the messages that they send, and what these cost
// in CPU time of this process and of Redis, and in memory. Its figures need Linux' /proc.
package cost

import (
	"context"
	"fmt"
	"strconv"
	"syscall"

	"github.com/prometheus/procfs"
	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/redisx"
)

// Used is CPU time in seconds.
type Used struct{ Process, Children, Redis float64 }

// Read returns the CPU time that this process, its children that have ended, and Redis have
// used so far.
func Read(ctx context.Context, rdb redis.Cmdable) (Used, error) {
	info, err := redisx.Info(ctx, rdb, "cpu")
	if err != nil {
		return Used{}, err
	}
	var u Used
	for _, field := range []string{"used_cpu_sys", "used_cpu_user"} {
		seconds, err := strconv.ParseFloat(info[field], 64)
		if err != nil {
			return Used{}, fmt.Errorf("info cpu: %s: %w", field, err)
		}
		u.Redis += seconds
	}
	for who, into := range map[int]*float64{syscall.RUSAGE_SELF: &u.Process, syscall.RUSAGE_CHILDREN: &u.Children} {
		var r syscall.Rusage
		if err := syscall.Getrusage(who, &r); err != nil {
			return Used{}, fmt.Errorf("getrusage: %w", err)
		}
		*into = float64(r.Utime.Nano()+r.Stime.Nano()) / 1e9
	}
	return u, nil
}

// Process returns the CPU time of a process, in seconds.
func Process(pid int) (float64, error) {
	p, err := procfs.NewProc(pid)
	if err != nil {
		return 0, fmt.Errorf("process %d: %w", pid, err)
	}
	stat, err := p.Stat()
	if err != nil {
		return 0, fmt.Errorf("process %d: %w", pid, err)
	}
	return stat.CPUTime(), nil
}

// Time is what the cores of the machine did, in seconds.
type Time struct{ Busy, Idle float64 }

// Machine returns what all cores of the machine did so far, those of other virtual machines
// on the same hardware included.
func Machine() (Time, error) {
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return Time{}, fmt.Errorf("machine: %w", err)
	}
	stat, err := fs.Stat()
	if err != nil {
		return Time{}, fmt.Errorf("machine: %w", err)
	}
	c := stat.CPUTotal
	return Time{Busy: c.User + c.Nice + c.System + c.IRQ + c.SoftIRQ + c.Steal, Idle: c.Idle + c.Iowait}, nil // User has Guest
}

// Resident is how many bytes of a process are in memory: now, and at most so far.
type Resident struct{ Now, Most uint64 }

// Memory returns what this process has resident. Unlike getrusage's, the maximum is not its
// parent's.
func Memory() (Resident, error) {
	self, err := procfs.Self()
	if err != nil {
		return Resident{}, fmt.Errorf("memory: %w", err)
	}
	status, err := self.NewStatus()
	if err != nil {
		return Resident{}, fmt.Errorf("memory: %w", err)
	}
	return Resident{Now: status.VmRSS, Most: status.VmHWM}, nil
}
