package api

// Patterns lists the patterns that the server serves.
func Patterns() (out []string) {
	for _, r := range (&server{}).routes() {
		out = append(out, r.pattern)
	}
	return out
}

// Chinese is the table of texts.
func Chinese(text string) string { return chinese.Say(text) }
