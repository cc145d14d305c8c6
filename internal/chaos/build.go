package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

const program = "github.com/wxnotify/wxnotify/cmd/wxnotify"

// Variants of the program, each a real build of this very code.
const (
	plainBuild = "wxnotify"
	// newerBuild writes and reads the next version of the envelope.
	newerBuild = "wxnotify-newer"
	// skewedBuild has a wall clock that is off by the seconds in skewVariable.
	skewedBuild = "wxnotify-skewed"
)

const skewVariable = "CHAOS_CLOCK_SECONDS"

// builds makes each variant once, when it is first wanted.
type builds struct {
	dir  string
	mu   sync.Mutex
	made map[string]*built
}

type built struct {
	once sync.Once
	path string
	err  error
}

func newBuilds(dir string) *builds { return &builds{dir: dir, made: map[string]*built{}} }

func (b *builds) get(ctx context.Context, variant string) (string, error) {
	b.mu.Lock()
	v := b.made[variant]
	if v == nil {
		v = &built{}
		b.made[variant] = v
	}
	b.mu.Unlock()
	v.once.Do(func() { v.path, v.err = b.make(ctx, variant) })
	return v.path, v.err
}

func (b *builds) make(ctx context.Context, variant string) (string, error) {
	out := filepath.Join(b.dir, variant)
	args := []string{"build", "-o", out}
	var replaced, text string
	var err error
	switch variant {
	case newerBuild:
		replaced, text, err = newerSource(ctx)
	case skewedBuild:
		replaced, text, err = skewedSource(ctx)
	}
	if err != nil {
		return "", err
	}
	if replaced != "" {
		overlay, err := b.overlay(variant, replaced, text)
		if err != nil {
			return "", err
		}
		args = append(args, "-overlay", overlay)
	}
	if _, err := tool(ctx, append(args, program)...); err != nil {
		return "", fmt.Errorf("build %s: %w", variant, err)
	}
	return out, nil
}

// overlay has the compiler read text in place of one source file.
func (b *builds) overlay(variant, replaced, text string) (string, error) {
	source := filepath.Join(b.dir, variant+".go.txt")
	list, err := json.Marshal(map[string]map[string]string{"Replace": {replaced: source}})
	if err != nil {
		return "", fmt.Errorf("overlay: %w", err)
	}
	path := filepath.Join(b.dir, variant+".json")
	err = errors.Join(os.WriteFile(source, []byte(text), 0o600), os.WriteFile(path, list, 0o600))
	if err != nil {
		return "", fmt.Errorf("overlay: %w", err)
	}
	return path, nil
}

// newerSource is the envelope's file with the version raised by one.
func newerSource(ctx context.Context) (path, text string, err error) {
	dir, err := tool(ctx, "list", "-f", "{{.Dir}}", "github.com/wxnotify/wxnotify/internal/job")
	if err != nil {
		return "", "", err
	}
	path = filepath.Join(dir, "envelope.go")
	text, err = edited(path, "\nconst Version = 1\n", "\nconst Version = 2\n")
	return path, text, err
}

// skewedSource is the standard library's clock with an offset: the process lives
// on a machine whose clock is wrong, and its timers run as ever.
func skewedSource(ctx context.Context) (path, text string, err error) {
	root, err := tool(ctx, "env", "GOROOT")
	if err != nil {
		return "", "", err
	}
	path = filepath.Join(root, "src", "time", "time.go")
	const first = "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n"
	text, err = edited(path, first, first+"\tsec += wallOffset\n")
	if err != nil {
		return "", "", err
	}
	text += `
var wallOffset = func() int64 {
	text, _ := syscall.Getenv("` + skewVariable + `")
	n, err := atoi(text)
	if err != nil {
		return 0
	}
	return int64(n)
}()
`
	text, err = replace(text, "import (\n", "import (\n\t\"syscall\"\n", path)
	return path, text, err
}

func edited(path, old, with string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read the source: %w", err)
	}
	return replace(string(text), old, with, path)
}

func replace(text, old, with, path string) (string, error) {
	if strings.Count(text, old) != 1 {
		return "", fmt.Errorf("%s does not have %q once: teach build.go its new form", path, old)
	}
	return strings.Replace(text, old, with, 1), nil
}

// tool runs go and returns what it printed.
func tool(ctx context.Context, args ...string) (string, error) {
	var out, said bytes.Buffer
	// Behind whatever runs already.
	cmd := exec.CommandContext(ctx, "nice", append([]string{"go"}, args...)...)
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("go %s: %w\n%s", args[0], err, said.String())
	}
	return strings.TrimSpace(out.String()), nil
}
