package main

import (
	"os"
	"os/signal"
	"syscall"
)

// endSignals end a command: those that run on drain first. SIGHUP is left alone where it
// is ignored, as under nohup.
func endSignals() []os.Signal {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		signals = append(signals, syscall.SIGHUP)
	}
	return signals
}

// surviveClosedPipes makes a write to a closed stdout or stderr fail instead of ending the
// process: the reader of the logs may end and be started again, and sends are in flight.
// What is logged from then on is lost. Commands that print data do not call it, so that
// they end when their reader has enough.
func surviveClosedPipes() { signal.Ignore(syscall.SIGPIPE) }
