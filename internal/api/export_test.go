package api

// Patterns lists the patterns that the server serves.
func Patterns() (out []string) {
	for _, r := range (&server{}).routes() {
		out = append(out, r.pattern)
	}
	return out
}
