package broker

// TaskID is the one bridge to a test of its own: a parser of foreign bytes.
func TaskID(message string) (string, bool) { return taskID(message) }
