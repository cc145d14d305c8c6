package ops

// Mask is the built-in mask, for tests.
func Mask(text string) string { return newMasker(nil).text(text) }

// ShowPayload is how a payload is shown, for tests.
func ShowPayload(taskType string, data []byte) string { return newMasker(nil).payload(taskType, data) }

// ShowResult is how a result is shown, for tests.
func ShowResult(data []byte) string { return newMasker(nil).result("", data) }

// FilterJSON masks a JSON document, for tests.
func FilterJSON(doc []byte) ([]byte, error) {
	m := newMasker(nil)
	names, err := newAliases(m)
	if err != nil {
		return nil, err
	}
	return (&filter{mask: m, aliases: names}).json(doc)
}

// Alias returns an ID as it is shown, and what the shown one is opened to.
func Alias(id string) (shown, opened string, err error) {
	names, err := newAliases(newMasker(nil))
	if err != nil {
		return "", "", err
	}
	shown = names.hide(id)
	return shown, names.open(shown), nil
}
