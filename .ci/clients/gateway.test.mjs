// Programs with an SDK of WeChat's that other projects wrote, unchanged but for base URL
// and secret, through wxnotify's gateway: token, send, receipt, menu, user info, upload.
//
// WXNOTIFY is the program. Needs redis-server.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';

import wechat from 'co-wechat';
import API from 'co-wechat-api';
import Koa from 'koa';
import CallbackAPI from 'wechat-api';

import { aesKey, eventually, freePort, openid, order, orderTemplate, run, simulate, startRedis, stops, token } from './harness.mjs';

// A receipt that comes before the answer to its send is recorded waits a minute.
const receiptWithin = 300_000;

const heard = []; // receipts that the business got
let env;
let control;
let gateway; // base URL
let secret; // an API key

// tokenFetches counts the token calls at WeChat.
async function tokenFetches() {
  const { calls } = await control('stats');
  return Object.entries(calls).filter(([path]) => path.endsWith('token')).reduce((sum, [, c]) => sum + (c.total ?? c), 0);
}

before(async () => {
  let base;
  ({ env, base, control } = await simulate());
  const app = new Koa();
  app.use(wechat({ token, appid: env.WXNOTIFY_APPID }).middleware(async (message) => {
    heard.push(message);
    return '';
  }));
  app.silent = true;
  const server = app.listen(0, '127.0.0.1');
  await once(server, 'listening');
  stops.push(() => { server.closeAllConnections(); server.close(); });
  const api = await freePort();
  const settings = {
    ...env, WXNOTIFY_REDIS_URL: await startRedis(), WXNOTIFY_PUBLIC_ADDR: new URL(env.WXNOTIFY_PUBLIC_URL).host, WXNOTIFY_OPS_ADDR: '-',
    WXNOTIFY_API_ADDR: `127.0.0.1:${api}`, WXNOTIFY_GATEWAY: 'true', WXNOTIFY_CALLBACK_TOKEN: token, WXNOTIFY_ENCODING_AES_KEY: aesKey,
    WXNOTIFY_FORWARD_URL: `http://127.0.0.1:${server.address().port}/`,
  };
  await run(process.env.WXNOTIFY, ['serve'], 'api started', settings);
  gateway = `http://127.0.0.1:${api}`;
  const made = await promisify(execFile)(process.env.WXNOTIFY, ['api', 'keys', 'create', '--name', 'shop', '--scopes', 'gateway,send', '--paths', '/cgi-bin/'], { env: { ...process.env, ...settings } });
  secret = made.stdout.trim();
  await control('callback', { url: `${env.WXNOTIFY_PUBLIC_URL}/callback/${env.WXNOTIFY_APPID}`, mode: 'secure', token, encoding_aes_key: aesKey, delay: '1s' });
  await control('callback/verify', {});
});

after(async () => {
  for (const stop of stops.reverse()) await stop();
});

function client() {
  const c = new API(env.WXNOTIFY_APPID, secret);
  c.prefix = `${gateway}/cgi-bin/`;
  c.mpPrefix = `${gateway}/cgi-bin/`;
  return c;
}

function callbackClient() {
  const c = new CallbackAPI(env.WXNOTIFY_APPID, secret);
  c.endpoint = gateway;
  return (name, ...args) => new Promise((resolve, reject) => {
    c[name](...args, (err, result) => (err ? reject(err) : resolve(result)));
  });
}

const menu = { button: [{ type: 'click', name: '订单', key: 'orders' }] };

function picture() {
  const dir = mkdtempSync(join(tmpdir(), 'clients-'));
  stops.push(() => rmSync(dir, { recursive: true, force: true }));
  writeFileSync(join(dir, 'a.png'), Buffer.alloc(70_000, 'PNG'));
  return join(dir, 'a.png');
}

test('co-wechat-api sends through the gateway and hears the receipt under its msgid', async () => {
  const c = client();
  assert.match((await c.ensureAccessToken()).accessToken, /^wxg_/);
  const sent = await c.sendTemplate(openid, orderTemplate, 'https://shop.example/', '#173177', order);
  assert.equal(sent.errcode, 0);
  assert.ok(Number.isSafeInteger(Number(sent.msgid)));
  const receipt = await eventually(async () => heard.find((m) => m.MsgID === String(sent.msgid)), Boolean, 'the receipt', receiptWithin);
  assert.equal(receipt.Event, 'TEMPLATESENDJOBFINISH');
  assert.equal(receipt.Status, 'success');
  assert.equal(receipt.FromUserName, openid);
  await assert.rejects(c.sendTemplate('no openid', orderTemplate, '', '', order), { code: 40003 });
});

test('co-wechat-api reads users, keeps a menu and uploads through the gateway', async () => {
  const c = client();
  assert.equal((await c.getUser({ openid, lang: 'zh_CN' })).openid, openid);
  assert.ok((await c.getFollowers()).data.openid.length > 0);
  assert.equal((await c.createMenu(menu)).errcode, 0);
  assert.equal((await c.getMenu()).menu.button[0].name, '订单');
  assert.ok((await c.uploadMedia(picture(), 'image')).media_id);
  await control('tokens/kill', {}); // WeChat revokes the fleet's token: no program sees it
  assert.equal((await c.getUser({ openid })).openid, openid);
});

test('wechat-api does the same', async () => {
  const call = callbackClient();
  const sent = await call('sendTemplate', openid, orderTemplate, 'https://shop.example/2', order);
  assert.equal(sent.errcode, 0);
  await eventually(async () => heard.find((m) => m.MsgID === String(sent.msgid)), Boolean, 'the receipt', receiptWithin);
  assert.equal((await call('getUser', openid)).openid, openid);
  assert.equal((await call('createMenu', menu)).errcode, 0);
  assert.equal((await call('getMenu')).menu.button[0].key, 'orders');
  assert.ok((await call('uploadMedia', picture(), 'image')).media_id);
});

test('a path that the key does not have, and a wrong secret, are refused as WeChat does', async () => {
  const wrong = new API(env.WXNOTIFY_APPID, env.WXNOTIFY_APPSECRET);
  wrong.prefix = `${gateway}/cgi-bin/`;
  await assert.rejects(wrong.ensureAccessToken(), { code: 40125 });
  const answer = await fetch(`${gateway}/wxa/getwxacode?access_token=${(await client().ensureAccessToken()).accessToken}`);
  assert.equal((await answer.json()).errcode, 48001);
});

test('8 processes at once cause one token fetch at WeChat', async () => {
  await control('tokens/kill', {});
  const before = await tokenFetches();
  const program = `
    import API from 'co-wechat-api';
    const c = new API(process.env.APPID, process.env.SECRET);
    c.prefix = process.env.GATEWAY + '/cgi-bin/';
    const user = await c.getUser({ openid: process.env.OPENID });
    console.log(user.openid);`;
  const done = await Promise.all(Array.from({ length: 8 }, () => promisify(execFile)(process.execPath, ['--input-type=module', '-e', program], {
    env: { ...process.env, APPID: env.WXNOTIFY_APPID, SECRET: secret, GATEWAY: gateway, OPENID: openid },
  })));
  for (const { stdout } of done) assert.equal(stdout.trim(), openid);
  assert.equal(await tokenFetches() - before, 1);
});
