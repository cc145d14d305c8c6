// Command wxnotify sends WeChat Official Account template messages. It runs the
// workers, the public endpoint, a simulator to test against, and the tools to
// look at the queues.
package main

import (
	"context"
	"os"
	"os/signal"
	"strings"

	redislog "github.com/redis/go-redis/v9/logging"
)

//go:generate go test -run ^TestGolden -update .

func main() {
	redislog.Disable() // every failure reaches us as an error, with its remedy
	ctx, stop := signal.NotifyContext(context.Background(), endSignals()...)
	defer stop()
	env := map[string]string{}
	for _, pair := range os.Environ() {
		name, value, _ := strings.Cut(pair, "=")
		env[name] = value
	}
	os.Exit(run(ctx, os.Args[1:], environment{
		Program: os.Args[0], Env: env, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, HangUp: hangUps(),
	}))
}
