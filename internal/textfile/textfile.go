// Package textfile reads the files that settings name: secrets, certificates, lists of
// logins, the configuration itself. A wrong path must neither block the start nor fill
// the memory.
package textfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"
)

const (
	// most bounds a file, in bytes: a bundle of certificates has some 300 KB.
	most = 4 << 20
	// patience is how long a pipe may take, such as that of <(vault read …).
	patience = 10 * time.Second
)

// Read returns the content of the file at path: a regular file, or a pipe that a program
// writes to now. The error names the path and none of the content: the file cannot be
// opened, is a folder, has more than 4 MB, is a pipe without a writer, or nothing came
// from it within ten seconds.
func Read(path string) ([]byte, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // #nosec G304 -- the operator names the file; without O_NONBLOCK a pipe without a writer blocks
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the file
	}
	defer func() { _ = file.Close() }()                // it was only read
	_ = file.SetReadDeadline(time.Now().Add(patience)) // a regular file has none
	text, err := io.ReadAll(io.LimitReader(file, most+1))
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, fmt.Errorf("%s: nothing came from it within %s: name a regular file", path, patience)
	case err != nil:
		return nil, err //nolint:wrapcheck // it names the file
	case len(text) > most:
		return nil, fmt.Errorf("%s has more than %d MB: it is another file than the one meant", path, most>>20)
	case len(text) == 0 && isPipe(file):
		return nil, fmt.Errorf("%s is a pipe that no program writes to, or that was read before: name a regular file, which a SIGHUP can read again", path)
	}
	return text, nil
}

func isPipe(file *os.File) bool {
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeNamedPipe != 0
}
