package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/wxnotify/wxnotify/internal/usage"
	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/wechat"
)

// open opens the file at path, or stdin for "-". name is what its errors call it. The error
// names the file. Ctrl-C ends the wait for its content, and that for the program that
// writes to a pipe.
func (a *app) open(ctx context.Context, path string) (in io.ReadCloser, name string, err error) {
	if path == "-" {
		return io.NopCloser(untilDone(ctx, a.Stdin)), "standard input", nil
	}
	type result struct {
		file *os.File
		err  error
	}
	opened := make(chan result, 1)
	go func() {
		file, err := os.Open(path) // #nosec G304 -- the operator names the file
		opened <- result{file, err}
	}()
	select {
	case r := <-opened:
		if r.err != nil {
			return nil, path, r.err
		}
		return struct {
			io.Reader
			io.Closer
		}{untilDone(ctx, r.file), r.file}, path, nil
	case <-ctx.Done():
		return nil, path, fmt.Errorf("open %s: %w", path, context.Cause(ctx))
	}
}

// fromStdin returns value, or for "-" the first line of stdin: every user of the machine
// can list the arguments of a command.
func (a *app) fromStdin(ctx context.Context, value string) (string, error) {
	if value != "-" {
		return value, nil
	}
	line, err := bufio.NewReader(io.LimitReader(untilDone(ctx, a.Stdin), 4096)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read standard input: %w", err)
	}
	if line = strings.TrimSpace(line); line == "" {
		return "", usage.Errorf("-: the first line of standard input is empty")
	}
	return line, nil
}

// checkNames refuses what can be no openid, user or template id, such as a masked one that
// was copied from a list: a command would do nothing, and say that it is done. Empty ones
// are not given.
func (a *app) checkNames(openid, user, template string) error {
	var faults []error
	check := func(name string, err error) {
		if invalid, ok := errors.AsType[*wechat.InvalidError](err); ok {
			faults = append(faults, fmt.Errorf("%s %s", name, invalid.Faults[0].MessageIn(a.lang)))
		}
	}
	if openid != "" {
		check(a.say("the openid", "此 openid"), wechat.ValidateOpenID(openid))
	}
	if user != "" {
		check("--user", producer.CheckUser(user))
	}
	if template != "" {
		check("--template", wechat.ValidateTemplateID(template))
	}
	if len(faults) > 0 {
		return usage.Wrap(errors.Join(faults...))
	}
	return nil
}

// readerFunc is an io.Reader made of a function.
type readerFunc func([]byte) (int, error)

// Read implements io.Reader.
func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// untilDone reads from in until ctx ends: Ctrl-C ends a command that waits for its
// input.
func untilDone(ctx context.Context, in io.Reader) io.Reader {
	type result struct {
		data []byte
		err  error
	}
	return readerFunc(func(p []byte) (int, error) {
		done := make(chan result, 1)
		go func() {
			data := make([]byte, len(p)) // p is the caller's again when ctx ends
			n, err := in.Read(data)
			done <- result{data[:n], err}
		}()
		select {
		case r := <-done:
			return copy(p, r.data), r.err
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	})
}
