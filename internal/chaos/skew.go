package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// skewedSource has skewedNow.
//
//go:embed skewed/skewed.go
var skewedSource string

const asynqModule = "github.com/hibiken/asynq"

// skew returns the source files of the program and of asynq that read the wall clock, by
// their paths, with skewedNow in place of time.Now, and a go.mod to build them with. An
// edit of package time itself would cost a build of the whole standard library.
func skew(ctx context.Context, dir string) (texts map[string]string, modfile string, err error) {
	modfile = filepath.Join(dir, "skewed.mod")
	if err := replaceAsynq(ctx, modfile, filepath.Join(dir, "asynq")); err != nil {
		return nil, "", fmt.Errorf("copy asynq: %w", err)
	}
	list, err := goTool(ctx, "list", "-modfile", modfile, "-deps", "-f", `{{with .Module}}{{if or .Main (eq .Path "`+asynqModule+
		`")}}{{range $.GoFiles}}{{$.Name}} {{$.Dir}}/{{.}}{{"\n"}}{{end}}{{end}}{{end}}`, module+"/cmd/wxnotify")
	if err != nil {
		return nil, "", err
	}
	clock := strings.NewReplacer("time.Now()", "skewedNow()", "time.Since(", "skewedNow().Sub(", "time.Until(", "-skewedNow().Sub(")
	texts = map[string]string{}
	for line := range strings.Lines(list) {
		name, path, _ := strings.Cut(strings.TrimSpace(line), " ")
		if path == "" {
			continue
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return nil, "", fmt.Errorf("skew: %w", err)
		}
		text := clock.Replace(string(source))
		if text == string(source) {
			continue
		}
		texts[path] = text + "\nvar _ time.Time // the file may have no other use of its import\n"
		texts[filepath.Join(filepath.Dir(path), "skewed.go")] = strings.Replace(skewedSource, "package skewed", "package "+name, 1)
	}
	return texts, modfile, nil
}

// replaceAsynq copies asynq, because the go command edits nothing in the module cache, and
// writes a go.mod that takes the copy.
func replaceAsynq(ctx context.Context, modfile, to string) error {
	from, err := goTool(ctx, "list", "-m", "-f", "{{.Dir}}", asynqModule)
	if err != nil {
		return err
	}
	gomod, err := goTool(ctx, "env", "GOMOD")
	if err != nil {
		return err
	}
	text, err := os.ReadFile(gomod)                               //nolint:gosec // our own
	sums, missing := os.ReadFile(filepath.Dir(gomod) + "/go.sum") //nolint:gosec // our own
	return errors.Join(err, missing, os.CopyFS(to, os.DirFS(from)),
		os.WriteFile(modfile, fmt.Appendf(text, "\nreplace %s => %s\n", asynqModule, to), 0o600),
		os.WriteFile(strings.TrimSuffix(modfile, ".mod")+".sum", sums, 0o600))
}
