package ops

import (
	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/mask"
)

// ShowPayload is how a payload is shown, for tests.
func ShowPayload(taskType string, data []byte) string { return newMasker().payload(taskType, data) }

// ShowResult is how a result is shown, for tests.
func ShowResult(data []byte) string { return newMasker().result("", data) }

// MaskAnswer masks an answer of asynqmon's, for tests.
func MaskAnswer(doc []byte) ([]byte, error) {
	return mask.JSON(doc, newMasker().answerLeaf)
}

// PreparePage is how asynqmon's page is prepared, for tests.
func PreparePage(page string) error {
	_, _, err := preparePage([]byte(page))
	return err
}

// ShowTerms is how the terms of an envelope are shown, for tests.
func ShowTerms(e job.Envelope) map[string]any { return newMasker().terms(e) }
