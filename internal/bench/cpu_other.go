//go:build !unix

package main

import "errors"

func ownUse() (cpu float64, peak int64, err error) {
	return 0, 0, errors.New("this system has no getrusage: run the benchmark on Linux or macOS")
}
