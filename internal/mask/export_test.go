package mask

// TextByAll is Text that tries each pattern on any text.
func TextByAll(s string) string {
	s = assignedPattern.ReplaceAllString(s, "${1}"+redacted)
	s = prosePattern.ReplaceAllString(s, "${1}"+redacted)
	s = mailPattern.ReplaceAllString(s, "…${1}${2}")
	s = runPattern.ReplaceAllStringFunc(s, maskRun)
	s = numbers(s, cardPattern, 1, "", func(string) string { return "[identity card]" })
	return numbers(s, phonePattern, 1, "", digitsMasked)
}
