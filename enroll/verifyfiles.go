package enroll

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"regexp"
)

// maxVerifyFile bounds a file by which WeChat verifies a domain. WeChat's have 16
// bytes.
const maxVerifyFile = 4 << 10

var verifyName = regexp.MustCompile(`^MP_verify_[A-Za-z0-9]{1,64}\.txt$`)

// ReadVerifyFiles reads the files MP_verify_….txt of a folder, by which WeChat
// verifies that the account owns the domain (docs: 网页授权域名), for
// Config.VerifyFiles. Other names and folders are left out. An error names what
// cannot be read: a folder that is missing or has no such file, a file of more than
// 4 KB, a link that leads out of the folder.
func ReadVerifyFiles(folder string) (map[string][]byte, error) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, fmt.Errorf("enroll: the folder of MP_verify_*.txt cannot be opened: %w", err)
	}
	defer func() { _ = root.Close() }() // it was only read
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return nil, fmt.Errorf("enroll: the folder of MP_verify_*.txt cannot be read: %w", err)
	}
	files := map[string][]byte{}
	for _, entry := range entries {
		if !verifyName.MatchString(entry.Name()) {
			continue
		}
		if files[entry.Name()], err = readVerifyFile(root, entry.Name()); err != nil {
			return nil, fmt.Errorf("enroll: %s: %w", entry.Name(), err)
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("enroll: %s holds no file MP_verify_….txt: download it from the account's console under 网页授权域名", folder)
	}
	return files, nil
}

func readVerifyFile(root *os.Root, name string) ([]byte, error) {
	info, err := root.Stat(name) // before it is opened: to open a pipe blocks
	if err != nil {
		return nil, err //nolint:wrapcheck // the caller names the file
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("is not a regular file")
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, err //nolint:wrapcheck // the caller names the file
	}
	defer func() { _ = f.Close() }() // it was only read
	content, err := io.ReadAll(io.LimitReader(f, maxVerifyFile+1))
	if err != nil {
		return nil, err //nolint:wrapcheck // the caller names the file
	}
	if len(content) > maxVerifyFile {
		return nil, errors.New("is longer than 4 KB, which no file of WeChat's is")
	}
	return content, nil
}

// serveVerifyFiles adds a route for each file of Config.VerifyFiles.
func (s *Service) serveVerifyFiles(mux *http.ServeMux) {
	for name, content := range s.cfg.VerifyFiles {
		mux.HandleFunc("GET /"+name, func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, string(content)) })
	}
}
