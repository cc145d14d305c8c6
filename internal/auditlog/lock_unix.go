//go:build unix

package auditlog

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// lock keeps other processes from writing the file, until it is closed.
func lock(file *os.File) error {
	err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) //nolint:gosec // a descriptor is small
	switch {
	case errors.Is(err, syscall.EWOULDBLOCK):
		return ErrInUse
	case errors.Is(err, errors.ErrUnsupported):
		return nil // a file system or a device without locks
	case err != nil:
		return fmt.Errorf("lock: %w", err)
	}
	return nil
}
