//go:build !unix

package main

import "errors"

var errSystem = errors.New("this system has no getrusage: run the benchmark on Linux or macOS")

func ownUse() (cpu float64, peak int64, err error) { return 0, 0, errSystem }

func treeUse() (float64, error) { return 0, errSystem }
