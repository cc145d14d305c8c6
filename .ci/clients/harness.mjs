// What the tests of other projects' clients share.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const openid = 'oSIM6t0follower0000000000001';
export const token = 'clientsToken0123456789';
export const aesKey = 'abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG';
export const order = {
  thing1: { value: '红富士苹果' }, time2: { value: '2024年5月1日 10:00' }, amount3: { value: '¥10.00' },
};
export const orderTemplate = 'sim-order-paid-T0aXc9mB3kQvR7yLwEzH1uJdGpN2';

export const stops = []; // what to end, newest last

// run starts a program until the tests end, and returns what it prints until it
// prints the text.
export async function run(command, args, text, extra = {}) {
  const child = spawn(command, args, { env: { PATH: process.env.PATH, HOME: process.env.HOME, ...extra } });
  stops.push(async () => {
    if (child.exitCode === null) {
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
  });
  let out = '';
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', () => reject(new Error(`${command} ended: ${out}`)));
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (data) => {
        out += data;
        if (out.includes(text)) resolve(out);
      });
    }
  });
}

export async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

export async function eventually(ask, ok, what, within = 100_000) {
  for (const limit = Date.now() + within; Date.now() < limit; ) {
    const answer = await ask();
    if (ok(answer)) return answer;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`not within ${within} ms: ${what}`);
}

// simulate starts WeChat's platform; control calls its control API.
export async function simulate() {
  const publicURL = `http://127.0.0.1:${await freePort()}`;
  const out = await run(process.env.WXNOTIFY, ['simulate', '--addr', '127.0.0.1:0', '--public-url', publicURL], 'sim-delivery');
  const env = Object.fromEntries([...out.matchAll(/export (\w+)=(\S+)/g)].map(([, name, value]) => [name, value]));
  const base = env.WXNOTIFY_WECHAT_BASE_URL;
  const control = async (path, body) => {
    const response = await fetch(`${base}/_sim/${path}`, body && { method: 'POST', body: JSON.stringify(body) });
    const answer = await response.json();
    if (response.status !== 200) throw new Error(`${path}: ${JSON.stringify(answer)}`);
    return answer;
  };
  return { env, base, control };
}

// startRedis returns the address of a Redis of its own.
export async function startRedis() {
  const dir = mkdtempSync(join(tmpdir(), 'clients-'));
  stops.push(() => rmSync(dir, { recursive: true, force: true }));
  const port = await freePort();
  await run('redis-server', ['--port', String(port), '--bind', '127.0.0.1', '--dir', dir, '--appendonly', 'yes', '--save', ''], 'Ready to accept connections');
  return `redis://127.0.0.1:${port}/0`;
}
