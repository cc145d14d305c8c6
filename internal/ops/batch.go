package ops

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
)

// readBatch reads the IDs of a batch, aliases opened.
func (m *monitor) readBatch(w http.ResponseWriter, r *http.Request, act *action) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return refuse(http.StatusRequestEntityTooLarge, "Refused: the list of tasks is longer than %d bytes.", maxBody)
	}
	if err != nil {
		return refuse(http.StatusBadRequest, "Refused: the list of tasks broke off.")
	}
	var batch struct {
		IDs []string `json:"task_ids"`
	}
	if err := json.Unmarshal(body, &batch); err != nil {
		return refuse(http.StatusBadRequest, `Refused: the list of tasks is not {"task_ids": […]}.`)
	}
	if len(batch.IDs) > maxAtOnce {
		return refuse(http.StatusForbidden, "Refused: %d tasks at once; the limit is %d.", len(batch.IDs), maxAtOnce)
	}
	act.tasks = make([]string, len(batch.IDs)) // never nil: that is what makes it a batch
	for i, id := range batch.IDs {
		act.tasks[i] = m.filter.aliases.open(id)
	}
	return nil
}

// batch acts on each task and answers as asynqmon does. asynqmon's own handlers
// would print the IDs of what failed to the process' standard log, unmasked.
func (m *monitor) batch(a *answer, act action) {
	do, done, failed := m.tasks.DeleteTask, "deleted_ids", "failed_ids"
	switch act.verb {
	case "batch_run":
		do, done, failed = m.tasks.RunTask, "pending_ids", "error_ids"
	case "batch_archive":
		do, done, failed = m.tasks.ArchiveTask, "archived_ids", "error_ids"
	case "batch_cancel":
		do = func(_, id string) error { return m.tasks.CancelProcessing(id) }
		done, failed = "canceled_ids", "error_ids"
	}
	result := map[string][]string{done: {}, failed: {}} // empty lists, not null
	for _, id := range act.tasks {
		name := done
		if err := do(act.queue, id); err != nil {
			name = failed // which is all that asynqmon's page shows
		}
		result[name] = append(result[name], id)
	}
	body, err := json.Marshal(result)
	if err != nil {
		say(a, http.StatusInternalServerError, err.Error())
		return
	}
	_, _ = a.Write(body) // a buffer: never fails
}
