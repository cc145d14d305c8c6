package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/redisx"
	"github.com/wxnotify/wxnotify/producer"
)

// env is the processes of one scenario: Redis, WeChat, workers; and its producer.
type env struct {
	scenario  *scenario
	seed      uint64
	messages  int
	dir       string
	builds    builds
	ports     *ports
	redis     *deployment
	wechat    *simulator
	workers   []*worker
	services  []*service            // all of the above
	direct    redis.UniversalClient // not through a proxy
	asker     *producer.Producer    // asks for states over direct
	closers   []io.Closer
	load      load
	dailyCap  int64          // of a scenario about the quota; else 0
	midnight  time.Time      // of such a scenario
	listeners *listeners     // of events; nil: none
	starting  sync.WaitGroup // workers that are being started again

	mu       sync.Mutex
	settings map[string]string // environment of all workers
	history  []string          // what was done when
	began    time.Time
	show     func(...any) // prints a line of history
}

// logf appends to the history.
func (e *env) logf(format string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	line := fmt.Sprintf("%6.1fs %s", time.Since(e.began).Seconds(), fmt.Sprintf(format, args...))
	e.history = append(e.history, line)
	e.show(e.scenario.Name + ": " + line)
}

// start starts all processes of the scenario. After an error, close ends those
// that were started.
func (e *env) start(ctx context.Context) error {
	var err error
	for _, w := range e.scenario.Workers { // before the day's turn is chosen: a build takes up to a minute
		if _, err := e.builds[w.Build](); err != nil {
			return err
		}
	}
	if e.dir, err = os.MkdirTemp("", "chaos-"+e.scenario.Name+"-"); err != nil {
		return fmt.Errorf("make a directory: %w", err)
	}
	e.redis = &deployment{topology: e.scenario.Redis, env: e, proxies: map[string]*proxy{}}
	if err := e.redis.start(ctx, e.scenario.RedisArgs); err != nil {
		return err
	}
	flags := slices.Clone(e.scenario.Simulator)
	e.settings = map[string]string{
		"WXNOTIFY_REDIS_URL": e.redis.url(), "WXNOTIFY_APPID": appID, "WXNOTIFY_APPSECRET": appSecret,
		"WXNOTIFY_RATE": "500", "WXNOTIFY_DAILY_QUOTA": "10000000",
	}
	if e.scenario.Days > 0 {
		// The day turns at the beginning of a minute, since offsets are whole minutes.
		e.midnight = time.Now().Add(35 * time.Second).Truncate(time.Minute).Add(time.Minute)
		e.dailyCap = int64(e.messages)*110/100/int64(e.scenario.Days) + 10 // the messages need all the days
		offset, quota := utcOffset(e.midnight, 0), strconv.FormatInt(e.dailyCap, 10)
		if e.scenario.Days == 2 {
			offset = utcOffset(e.midnight, 12*60)
		}
		flags = append(flags, "--quota-utc-offset", offset)
		e.settings["WXNOTIFY_DAILY_QUOTA"], e.settings["WXNOTIFY_QUOTA_UTC_OFFSET"] = quota, offset
	}
	if e.scenario.Events {
		maps.Copy(e.settings, eventsSettings())
	}
	e.wechat = newSimulator(e, flags)
	e.settings["WXNOTIFY_WECHAT_BASE_URL"] = e.wechat.url
	if err := e.wechat.start(ctx); err != nil {
		return err
	}
	e.direct = e.redis.client("")
	through := e.redis.client("producer")
	e.closers = append(e.closers, e.direct, through)
	if e.asker, err = producer.New(e.direct, producer.Config{Account: appID}); err != nil {
		return err
	}
	if e.load.queue, err = producer.New(through, producer.Config{Account: appID}); err != nil {
		return err
	}
	e.closers = append(e.closers, e.asker, e.load.queue)
	for i, spec := range e.scenario.Workers {
		e.workers = append(e.workers, newWorker(e, "worker-"+strconv.Itoa(i), spec))
		if err := e.workers[i].start(ctx); err != nil {
			return err
		}
	}
	if e.scenario.Events {
		return e.listen(ctx)
	}
	return nil
}

// utcOffset is the latest offset of at most so many minutes at which the day
// turns at this moment.
func utcOffset(midnight time.Time, most int) string {
	minutes := -(midnight.UTC().Hour()*60 + midnight.UTC().Minute())
	for minutes+24*60 <= most {
		minutes += 24 * 60
	}
	return midnight.In(time.FixedZone("", minutes*60)).Format("-07:00")
}

// program is a command of a build of wxnotify, with the settings of all workers.
func (e *env) program(build string, args ...string) (*exec.Cmd, error) {
	path, err := e.builds[build]()
	e.mu.Lock()
	defer e.mu.Unlock()
	cmd := exec.Command(path, args...) //nolint:noctx // ended by signals
	cmd.Env = environ(e.settings)
	return cmd, err
}

// command runs wxnotify to its end and returns what it printed.
func (e *env) command(args ...string) string {
	cmd, err := e.program(e.scenario.Workers[0].Build, args...)
	if err != nil {
		return err.Error()
	}
	defer time.AfterFunc(startLimit, func() { _ = cmd.Process.Kill() }).Stop()
	out, err := cmd.CombinedOutput()
	if err != nil {
		out = fmt.Appendf(out, "%v", err)
	}
	return strings.TrimSpace(string(out))
}

// startLater starts a worker and does not wait until it is ready.
func (e *env) startLater(ctx context.Context, w *worker) {
	e.starting.Go(func() {
		if err := w.start(ctx); err != nil {
			e.logf("%v", err)
		}
	})
}

// replaceWorkers stops each worker and starts it with other settings, one after
// the other.
func (e *env) replaceWorkers(ctx context.Context, set map[string]string) error {
	e.mu.Lock()
	maps.Copy(e.settings, set)
	e.mu.Unlock()
	for _, w := range e.workers {
		if err := w.stop(ctx); err != nil {
			return err
		}
		e.startLater(ctx, w)
	}
	return nil
}

// add makes a service of the scenario, which close ends.
func (e *env) add(name string, command func() (*exec.Cmd, error), ready func(ctx context.Context) bool) *service {
	s := &service{name: name, log: filepath.Join(e.dir, name+".log"), command: command, ready: ready}
	e.services = append(e.services, s)
	return s
}

// close ends every process.
func (e *env) close() {
	for _, c := range slices.Backward(e.closers) {
		_ = c.Close()
	}
	for _, s := range e.services {
		s.kill()
	}
}

// startLimit bounds the start and the stop of a process on a busy machine.
const startLimit = 60 * time.Second

// service is a program that a scenario can kill, stop and start again.
type service struct {
	name    string
	log     string // file that its output is appended to
	command func() (*exec.Cmd, error)
	ready   func(ctx context.Context) bool
	proc    atomic.Pointer[process] // nil: it was not started, or was killed or stopped
}

// process is one run of a service.
type process struct {
	*exec.Cmd
	done chan struct{} // closed when it has ended
}

func (p *process) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// start starts the service and waits until it is ready. A process that ends before
// that is started again, as an init system does: a worker that cannot reach Redis
// ends. The process outlives ctx.
func (s *service) start(ctx context.Context) error {
	p, err := s.launch(nil)
	ready := until(ctx, startLimit, 20*time.Millisecond, func() bool {
		if err == nil && s.proc.Load() == p && !p.running() {
			pause(ctx, time.Second/2)
			p, err = s.launch(p)
			return false
		}
		return err != nil || s.proc.Load() != p || s.ready(ctx) && p.running()
	})
	if !ready && err == nil {
		err = errors.New("it is not ready")
	}
	if err != nil {
		return fmt.Errorf("start %s: %w: see %s", s.name, err, s.log)
	}
	return nil
}

// launch starts a process in place of old. It kills it again when a fault ended
// old in the meantime.
func (s *service) launch(old *process) (*process, error) {
	cmd, err := s.command()
	if err != nil {
		return nil, err
	}
	out, err := os.OpenFile(s.log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	defer func() { _ = out.Close() }()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("exec: %w", err)
	}
	p := &process{cmd, make(chan struct{})}
	go func() {
		_ = p.Wait() // its ProcessState tells
		close(p.done)
	}()
	if !s.proc.CompareAndSwap(old, p) {
		_ = p.Process.Kill()
	}
	return p, nil
}

// kill is SIGKILL; it ends a process under SIGSTOP too.
func (s *service) kill() {
	if p := s.proc.Swap(nil); p != nil {
		_ = p.Process.Kill()
		<-p.done
	}
}

// stop is SIGTERM. The error says what was not clean about the end.
func (s *service) stop(ctx context.Context) error {
	p := s.proc.Swap(nil)
	if p == nil || !p.running() {
		return fmt.Errorf("%s ended without a signal", s.name)
	}
	_ = p.Process.Signal(syscall.SIGTERM)
	if !until(ctx, startLimit, 5*time.Millisecond, func() bool { return !p.running() }) {
		_ = p.Process.Kill()
		return fmt.Errorf("%s still ran %s after SIGTERM", s.name, startLimit)
	}
	if !p.ProcessState.Success() {
		return fmt.Errorf("%s after SIGTERM: %s", s.name, p.ProcessState)
	}
	return nil
}

// signal sends sig to the process.
func (s *service) signal(sig syscall.Signal) error {
	return s.proc.Load().Process.Signal(sig) //nolint:wrapcheck // the fault has a name
}

// environ is the environment of a child process, without the caller's own settings.
func environ(set map[string]string) []string {
	list := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.TempDir()} //nolint:forbidigo // a child needs them
	for name, value := range set {
		list = append(list, name+"="+value)
	}
	return list
}

// ports hands out each port once, so that no two services of a run get the same.
type ports struct{ next atomic.Uint32 }

// free returns an address that is free. Its port is below those that outgoing
// connections get, so that a restarted server finds it free again, and so is the
// port 10 000 above it, which the nodes of a cluster use.
func (p *ports) free() string {
	for {
		addr := "127.0.0.1:" + strconv.Itoa(10_000+int(p.next.Add(1)%10_000))
		if l, err := net.Listen("tcp", addr); err == nil { //nolint:noctx // opens at once or fails
			_ = l.Close()
			return addr
		}
	}
}

// request makes an HTTP request and returns the body of a 2xx answer.
func request(ctx context.Context, method, url string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, url, err)
	}
	resp, err := (&http.Client{Timeout: startLimit / 3}).Do(req)
	if err != nil {
		return nil, fmt.Errorf("request: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= http.StatusMultipleChoices {
		err = errors.New(resp.Status)
	}
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w: %s", method, url, err, text)
	}
	return text, nil
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) { _ = redisx.Sleep(ctx, d) }

// until calls ok until it returns true, and reports whether it did within limit.
func until(ctx context.Context, limit, every time.Duration, ok func() bool) bool {
	for end := time.Now().Add(limit); !ok(); pause(ctx, every) {
		if time.Now().After(end) || ctx.Err() != nil {
			return false
		}
	}
	return true
}
