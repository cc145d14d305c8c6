package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// endSignals end a command: those that run on drain first.
func endSignals() []os.Signal { return []os.Signal{os.Interrupt, syscall.SIGTERM} }

// hangUps receives SIGHUP, but where it is ignored, as under nohup.
func hangUps() <-chan os.Signal {
	received := make(chan os.Signal, 1)
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(received, syscall.SIGHUP)
	}
	return received
}

// reloads is the annotation of a command that reads its configuration again at SIGHUP.
const reloads = "reloads"

// endOnHangUp ends cmd's context at SIGHUP.
func (a *app) endOnHangUp(cmd *cobra.Command) {
	if a.HangUp == nil {
		return
	}
	ctx, cancel := context.WithCancel(cmd.Context())
	go func() {
		defer cancel()
		select {
		case <-a.HangUp:
		case <-ctx.Done():
		}
	}()
	cmd.SetContext(ctx)
}

// surviveClosedPipes makes a write to a closed stdout or stderr fail instead of ending the
// process: the reader of the logs may end and be started again, and sends are in flight.
// What is logged from then on is lost. Commands that print data do not call it, so that
// they end when their reader has enough.
func surviveClosedPipes() { signal.Ignore(syscall.SIGPIPE) }
