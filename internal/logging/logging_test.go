package logging_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/wxnotify/wxnotify/internal/logging"
)

func TestLogFormats(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		format string
		isJSON bool
	}{{"", true}, {"json", true}, {"console", false}} { // a buffer is no terminal
		var out bytes.Buffer
		logging.New(&out, "info", c.format).Info("sent", zap.Duration("latency", 1500*time.Microsecond))
		var line struct {
			Level   string  `json:"level"`
			Msg     string  `json:"msg"`
			Latency float64 `json:"latency"`
		}
		err := json.Unmarshal(out.Bytes(), &line)
		if c.isJSON && (err != nil || line.Level != "info" || line.Msg != "sent" || line.Latency != 0.0015) {
			t.Errorf("%q: %v, want JSON with the latency in seconds: %s", c.format, err, &out)
		}
		if !c.isJSON && (err == nil || !strings.Contains(out.String(), "sent") || !strings.Contains(out.String(), "1.5ms")) {
			t.Errorf("%q: want a line for people: %s", c.format, &out)
		}
	}
}

func TestLogLevelDropsWhatIsBelow(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := logging.New(&out, "warn", "")
	log.Info("less")
	log.Warn("more")
	if strings.Contains(out.String(), "less") || !strings.Contains(out.String(), "more") {
		t.Errorf("at warn: %s", &out)
	}
}

func TestFirstOfKindDropsRepetitions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		core, seen := observer.New(zap.DebugLevel)
		log := logging.FirstOfKind(zap.New(core))
		for i := range 5 {
			log.Warn("no answer", zap.Int("try", i))
		}
		log.Error("no answer")
		log.Warn("another")
		if n := seen.Len(); n != 3 {
			t.Errorf("%d lines, want one of each level and message: %v", n, seen.All())
		}
		time.Sleep(10 * time.Second) // virtual
		log.Warn("no answer")
		if n := seen.Len(); n != 4 {
			t.Errorf("%d lines, want a further one after 10 s", n)
		}
	})
}

func TestOnlyACharacterDeviceIsATerminal(t *testing.T) {
	t.Parallel()
	file, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	if logging.IsTerminal(file) || logging.IsTerminal(new(bytes.Buffer)) {
		t.Error("a file or a buffer is taken for a terminal")
	}
}
