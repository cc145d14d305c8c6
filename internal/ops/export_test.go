package ops

import "github.com/wxnotify/wxnotify/internal/job"

// Mask is the built-in mask, for tests.
func Mask(text string) string { return newMasker().text(text) }

// ShowPayload is how a payload is shown, for tests.
func ShowPayload(taskType string, data []byte) string { return newMasker().payload(taskType, data) }

// ShowResult is how a result is shown, for tests.
func ShowResult(data []byte) string { return newMasker().result("", data) }

// MaskAnswer masks an answer of asynqmon's, for tests.
func MaskAnswer(doc []byte) ([]byte, error) {
	m := newMasker()
	masked, err := m.json(doc, m.answerLeaf)
	if err != nil {
		return nil, err
	}
	return encodeJSON(masked)
}

// MaskIDs masks task IDs as one process does, for tests.
func MaskIDs(ids ...string) []string {
	m := newMasker()
	var shown []string
	for _, id := range ids {
		shown = append(shown, m.id(id))
	}
	return shown
}

// PreparePage is how asynqmon's page is prepared, for tests.
func PreparePage(page string) error {
	_, _, err := preparePage([]byte(page))
	return err
}

// ShowTerms is how the terms of an envelope are shown, for tests.
func ShowTerms(e job.Envelope) map[string]any { return newMasker().terms(e) }
