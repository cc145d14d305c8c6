package tokenstore_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/tokenstore"
)

// memberEnv carries a member's configuration to the process that is one.
const memberEnv = "WXNOTIFY_TOKENSTORE_MEMBER"

// memberConfig configures a process of the fleet.
type memberConfig struct {
	Redis, WeChat       string
	Lease, FetchTimeout time.Duration
}

// order is one line to a member; report is its one line back.
type order struct {
	Do   string // run, send, token
	Name string // send: prefix of the messages' ids
	N    int    // send: goroutines
}

type report struct {
	Sent        int
	Errors      []string
	Generation  int64
	Fingerprint string
	Fetched     []string // fingerprints of what this process fetched so far
}

// member is the code that runs in a process of the fleet.
type member struct {
	store  *tokenstore.Store
	client *wechat.Client
	notes  notes
}

func memberMain(config string, in io.Reader, out io.Writer) error {
	var cfg memberConfig
	if err := json.Unmarshal([]byte(config), &cfg); err != nil {
		return err
	}
	account := wechat.Config{AppID: appID, AppSecret: wechat.NewSecret(secretCanary), BaseURL: cfg.WeChat}
	fetcher, err := wechat.NewTokenFetcher(account)
	if err != nil {
		return err
	}
	m := &member{}
	m.store, err = tokenstore.New(redis.NewClient(&redis.Options{Addr: cfg.Redis, Protocol: 2}), fetcher, tokenstore.Config{
		AppID: appID, Mode: tokenstore.Classic, Lease: cfg.Lease, FetchTimeout: cfg.FetchTimeout,
		RefusedGap: time.Millisecond, OnEvent: m.notes.add,
	})
	if err != nil {
		return err
	}
	if m.client, err = wechat.NewClient(account, m.store); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	orders, reports := json.NewDecoder(in), json.NewEncoder(out)
	for {
		var o order
		if err := orders.Decode(&o); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := reports.Encode(m.execute(ctx, o)); err != nil {
			return err
		}
	}
}

func (m *member) execute(ctx context.Context, o order) report {
	var r report
	switch o.Do {
	case "run":
		go func() { _ = m.store.Run(ctx) }()
	case "send":
		r = m.send(ctx, o)
	case "token":
		token, err := m.store.Token(ctx)
		if err != nil {
			r.Errors = append(r.Errors, err.Error())
			break
		}
		r.Generation, r.Fingerprint = token.Generation, token.Value.Fingerprint()
	}
	for _, e := range m.notes.of(tokenstore.EventFetched) {
		r.Fetched = append(r.Fetched, e.Fingerprint)
	}
	return r
}

func (m *member) send(ctx context.Context, o order) (r report) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range o.N {
		wg.Go(func() {
			_, err := m.client.SendTemplate(ctx, &wechat.TemplateMessage{
				ToUser: "oABCDEFGHIJKLMNOPQRSTUVWXYZ1", TemplateID: "T", ClientMsgID: fmt.Sprintf("%s-%d", o.Name, i),
				Data: map[string]wechat.Field{"thing1": {Value: "x"}},
			})
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				r.Errors = append(r.Errors, err.Error())
				return
			}
			r.Sent++
		})
	}
	wg.Wait()
	return r
}

// process is a member as the test controls it.
type process struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func startMember(t *testing.T, cfg memberConfig) *process {
	t.Helper()
	text, err := json.Marshal(cfg)
	must(t, err)
	self, err := os.Executable()
	must(t, err)
	p := &process{cmd: exec.CommandContext(t.Context(), self)}
	p.cmd.Env = append(os.Environ(), memberEnv+"="+string(text))
	p.cmd.Stderr = os.Stderr
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	must(t, err)
	p.out = bufio.NewReader(out)
	must(t, p.cmd.Start())
	t.Cleanup(func() { p.signal(t, syscall.SIGKILL); _ = p.cmd.Wait() })
	return p
}

// signal sends sig. SIGSTOP has stopped every thread when it returns: the signal itself
// takes effect some time after it was sent.
func (p *process) signal(t *testing.T, sig syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Error(err)
	}
	for sig == syscall.SIGSTOP {
		var status syscall.WaitStatus
		if _, err := syscall.Wait4(p.cmd.Process.Pid, &status, syscall.WUNTRACED, nil); err == nil && status.Stopped() {
			return
		} else if err != nil && !errors.Is(err, syscall.EINTR) {
			t.Fatal(err)
		}
	}
}

func (p *process) send(t *testing.T, o order) {
	t.Helper()
	if err := json.NewEncoder(p.in).Encode(o); err != nil {
		t.Fatalf("send %+v: %v", o, err)
	}
}

func (p *process) receive(t *testing.T) (r report) {
	t.Helper()
	line, err := p.out.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &r)
	}
	if err != nil {
		t.Errorf("a member answered %q: %v", line, err)
	}
	return r
}
