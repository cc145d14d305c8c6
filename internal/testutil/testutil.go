// Package testutil has what tests of processes and of real time share: a wait that is
// far longer than any promise, and addresses that no other test uses.
package testutil

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// patience is above all that a program promises (at most six minutes: the last attempt
// of a message) and below the ten minutes of `go test`: a wait fails because something
// never happens, not because a machine is slow.
const patience = 7 * time.Minute

// Until asks ok again and again, with pauses of 2 to 100 ms, until it returns true. The
// test fails after seven minutes. It is for states that no signal tells of.
func Until(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	began := time.Now()
	for pause := 2 * time.Millisecond; !ok(); pause = min(2*pause, 100*time.Millisecond) {
		if time.Since(began) > patience {
			tb.Fatalf("not within %s: %s", patience, what)
		}
		<-time.After(pause)
	}
}

// Receive returns the next value of a channel, or the zero value when it is closed. The
// test fails after seven minutes.
func Receive[T any](tb testing.TB, what string, from <-chan T) T {
	tb.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		tb.Fatalf("not within %s: %s", patience, what)
		return *new(T)
	}
}

// Concurrently calls do with the n numbers from from on, in 64 goroutines.
func Concurrently(from, n int, do func(i int)) {
	var next atomic.Int64
	var group sync.WaitGroup
	for range 64 {
		group.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				do(from + int(i) - 1)
			}
		})
	}
	group.Wait()
}

// Ports of FreeAddr begin here. They and the ports 10 000 above them, which a Redis
// cluster listens on too, and those of FreeWildcard above, are below those that Linux
// gives to clients: 32768.
const firstPort, ports, wildcards = 10_000, 10_000, 2_700

// given counts the ports that FreeAddr tried.
var given atomic.Uint32 //nolint:gochecknoglobals // a port is given to one test of the process

// Host returns the loopback address of this process: `go test` runs the tests of
// packages side by side, and on Linux all of 127.0.0.0/8 is loopback. Elsewhere it is
// 127.0.0.1.
func Host(tb testing.TB) string {
	tb.Helper()
	pid := os.Getpid()
	host := fmt.Sprintf("127.%d.%d.%d", 0x80|pid>>16&0x7f, pid>>8&0xff, pid&0xff)
	if !isFree(tb, host+":0") {
		return "127.0.0.1"
	}
	return host
}

// FreeAddr returns host and port of a loopback address that nothing listens at. It
// returns each once: a test may listen there later, and again after a restart.
func FreeAddr(tb testing.TB) string {
	tb.Helper()
	return freeAddr(tb, Host(tb), firstPort, ports)
}

// FreeWildcard is as FreeAddr, on all addresses of the machine: its port is none that
// FreeAddr gives in another process, on another address.
func FreeWildcard(tb testing.TB) string {
	tb.Helper()
	return freeAddr(tb, "0.0.0.0", firstPort+2*ports, wildcards)
}

func freeAddr(tb testing.TB, host string, first, count uint32) string {
	tb.Helper()
	for range count {
		port := first + (given.Add(1)+uint32(os.Getpid())*7919)%count //nolint:gosec // any start will do
		if addr := net.JoinHostPort(host, strconv.Itoa(int(port))); isFree(tb, addr) {
			return addr
		}
	}
	tb.Fatal("no port is free")
	return ""
}

func isFree(tb testing.TB, addr string) bool {
	tb.Helper()
	l, err := new(net.ListenConfig).Listen(context.WithoutCancel(tb.Context()), "tcp", addr)
	if err == nil {
		_ = l.Close()
	}
	return err == nil
}

// File puts text into a file of a directory of its own, and returns its path.
func File(tb testing.TB, name, text string) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}

// Golden fails the test where the file at path is not want, or with update writes it.
func Golden(tb testing.TB, update bool, path, want string) {
	tb.Helper()
	got, err := os.ReadFile(path) // #nosec G304 -- a test names it
	if err == nil && string(got) == want {
		return
	}
	if !update {
		tb.Fatalf("%s differs from what the code makes of it (%v): run `go generate` in the directory of this test, and read the difference", path, err)
	}
	if err := os.WriteFile(path, []byte(want), 0o600); err != nil {
		tb.Fatal(err)
	}
}
