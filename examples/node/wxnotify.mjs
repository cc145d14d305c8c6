// The HTTP API with Node's own modules (18 or later). See ../README.md.
import { createHmac, timingSafeEqual } from 'node:crypto';
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

const api = process.env.API_URL ?? 'http://127.0.0.1:8081';
const ends = new Set(['delivered', 'rejected', 'expired', 'cancelled', 'unknown', 'dead']);

async function call(method, path, body) {
  const answer = await fetch(api + path, {
    method,
    headers: { Authorization: `Bearer ${process.env.API_KEY}`, 'Content-Type': 'application/json' },
    body: body && JSON.stringify(body),
    signal: AbortSignal.timeout(30_000),
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`HTTP ${answer.status}: ${text}`); // problem+json
  return JSON.parse(text);
}

// The same id again sends nothing twice.
async function send(to, id, notBefore) {
  const message = {
    touser: to, template_id: 'sim-order-paid-T0aXc9mB3kQvR7yLwEzH1uJdGpN2',
    data: { thing1: { value: '咖啡' }, time2: { value: '2026-11-25 10:00' }, amount3: { value: '¥10.00' } },
  };
  return (await call('POST', '/v1/messages', { id, message, ...(notBefore && { not_before: notBefore }) })).state;
}

// Waits for the end of a message. Webhooks tell it without polling.
async function poll(id) {
  for (;;) {
    const { state } = await call('GET', `/v1/messages/${encodeURIComponent(id)}`);
    if (ends.has(state)) return state;
    await sleep(500);
  }
}

// Reports whether wxnotify signed this webhook within the last five minutes.
function verified(secret, headers, body) {
  const at = Number(headers['webhook-timestamp']);
  if (!(Math.abs(Date.now() / 1000 - at) <= 300)) return false;
  const want = createHmac('sha256', Buffer.from(secret.replace(/^whsec_/, ''), 'base64'))
    .update(`${headers['webhook-id']}.${headers['webhook-timestamp']}.`).update(body).digest();
  return String(headers['webhook-signature']).split(' ').some((signature) => { // several while the secret is rotated
    const given = Buffer.from(signature.replace(/^v1,/, ''), 'base64');
    return signature.startsWith('v1,') && given.length === want.length && timingSafeEqual(given, want);
  });
}

function webhook(port) {
  createServer(async (request, answer) => {
    const parts = [];
    for await (const part of request) parts.push(part);
    const body = Buffer.concat(parts);
    if (!verified(process.env.WEBHOOK_SECRET, request.headers, body)) return answer.writeHead(401).end();
    // An event may come twice: remember its webhook-id. Answer within seconds.
    console.log(JSON.parse(body).type);
    answer.writeHead(204).end();
  }).listen(port, '127.0.0.1');
}

const [command, ...args] = process.argv.slice(2);
const commands = {
  send, poll, webhook,
  cancel: async (id) => (await call('DELETE', `/v1/messages/${encodeURIComponent(id)}`)).state,
  link: async (user) => (await call('POST', '/v1/enroll-links', { user })).url,
};
const said = await commands[command](...args);
if (said) console.log(said);
