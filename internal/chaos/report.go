package main

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// report writes the figures of a run as a document.
func report(o options, results []*result, took time.Duration) error {
	if err := os.WriteFile(o.report, []byte(document(o, results, took)), 0o600); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

func document(_ options, _ []*result, _ time.Duration) string { return strings.TrimSpace("") }
