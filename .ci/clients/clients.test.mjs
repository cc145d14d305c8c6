// Clients of WeChat's API that other projects wrote, unchanged, against
// `wxnotify simulate`, and a business's server behind `wxnotify serve`. What they
// expect of WeChat, and we did not write, the simulator must do.
//
// WXNOTIFY is the program. Needs redis-server.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, test } from 'node:test';

import wechat from 'co-wechat';
import API from 'co-wechat-api';
import OAuth from 'co-wechat-oauth';
import Koa from 'koa';
import CallbackAPI from 'wechat-api';
import WXBizMsgCrypt from 'wechat-crypto';

import { aesKey, eventually, openid, order, orderTemplate, run, simulate, startRedis, stops, token } from './harness.mjs';

let env; // what simulate printed for serve
let base;
let control;

// say is the follower who writes to the account; the result is the push with the reply.
async function say(text) {
  await control('followers', { openids: [openid], do: 'say', text });
  const { pushes } = await eventually(() => control('pushes'), ({ pushes }) => pushes.some((p) => p.content === text), text);
  return pushes.find((p) => p.content === text);
}

// business is a server made with co-wechat, which answers each text.
async function business(config, heard) {
  const app = new Koa();
  app.use(wechat(config).middleware(async (message) => {
    heard.push(message);
    return message.MsgType === 'text' ? `you said ${message.Content}` : '';
  }));
  app.silent = true;
  const server = app.listen(0, '127.0.0.1');
  await once(server, 'listening');
  stops.push(() => { server.closeAllConnections(); server.close(); });
  return `http://127.0.0.1:${server.address().port}/`;
}

before(async () => {
  ({ env, base, control } = await simulate());
});

after(async () => {
  for (const stop of stops.reverse()) await stop();
});

function api() {
  const client = new API(env.WXNOTIFY_APPID, env.WXNOTIFY_APPSECRET);
  client.prefix = `${base}/cgi-bin/`;
  client.mpPrefix = `${base}/cgi-bin/`;
  return client;
}

test('co-wechat-api fetches a token and sends', async () => {
  const client = api();
  assert.match((await client.ensureAccessToken()).accessToken, /^.{100,512}$/);
  const sent = await client.sendTemplate(openid, orderTemplate, 'https://shop.example/', '#173177', order);
  assert.equal(sent.errcode, 0);
  const { messages } = await control(`messages?openid=${openid}`);
  assert.equal(String(sent.msgid), messages.at(-1).msgid, 'msgid is longer than a number of JavaScript holds');
  assert.equal(messages.at(-1).lines[0].value, '红富士苹果');
});

test('co-wechat-api fetches another token when its own is refused', async () => {
  const client = api();
  await client.ensureAccessToken();
  await control('tokens/kill', {});
  assert.equal((await client.sendTemplate(openid, orderTemplate, '', '', order)).errcode, 0);
});

test('co-wechat-api gets the errcode of a refusal', async () => {
  const client = api();
  await assert.rejects(client.sendTemplate('no openid', orderTemplate, '', '', order), { code: 40003 });
  await assert.rejects(client.sendTemplate(openid, 'unknown', '', '', order), { code: 40037 });
  await assert.rejects(client.request(`${base}/cgi-bin/no/such/path`), { code: 40066 });
});

test('co-wechat-api adds, lists and deletes templates', async () => {
  const client = api();
  const { template_id: id } = await client.addTemplate('TM00015');
  const ids = async () => (await client.getAllPrivateTemplate()).template_list.map((t) => t.template_id);
  assert.ok((await ids()).includes(id));
  assert.equal((await client.delPrivateTemplate(id)).errcode, 0);
  assert.ok(!(await ids()).includes(id));
  const industry = await client.getIndustry();
  assert.ok(industry.primary_industry.first_class);
});

test('co-wechat-api reads followers', async () => {
  const client = api();
  const user = await client.getUser({ openid, lang: 'en' });
  assert.equal(user.subscribe, 1);
  const { user_info_list: list } = await client.batchGetUsers([openid, 'oSIM6t0follower0000000000002']);
  assert.equal(list.length, 2);
  const followers = await client.getFollowers();
  for (const { openid } of list) assert.ok(followers.data.openid.includes(openid), openid);
  await control('followers', { openids: ['oGone'], do: 'unfollow' });
  assert.equal((await client.getUser('oGone')).subscribe, 0);
});

test('co-wechat-api makes QR codes and shows their pictures', async () => {
  const client = api();
  for (const code of [await client.createTmpQRCode('scene', 60), await client.createTmpQRCode(7, 60), await client.createLimitQRCode('for ever')]) {
    assert.match(code.url, /^http:\/\/weixin\.qq\.com\/q\//);
    const picture = await fetch(client.showQRCodeURL(code.ticket));
    assert.equal(picture.status, 200);
    assert.match(picture.headers.get('content-type'), /^image\//);
    assert.ok((await picture.arrayBuffer()).byteLength > 200);
  }
});

test('wechat-api, of the time of callbacks, sends and reads', async () => {
  const client = new CallbackAPI(env.WXNOTIFY_APPID, env.WXNOTIFY_APPSECRET);
  client.endpoint = base;
  const call = (name, ...args) => new Promise((resolve, reject) => {
    client[name](...args, (err, result) => (err ? reject(err) : resolve(result)));
  });
  assert.equal((await call('sendTemplate', openid, orderTemplate, 'https://shop.example/', order)).errcode, 0);
  assert.ok((await call('getAllPrivateTemplate')).template_list.length >= 3);
  const { template_id: id } = await call('addTemplate', 'TM00015');
  await call('delPrivateTemplate', id);
  assert.equal((await call('getUser', openid)).openid, openid);
  assert.ok((await call('getFollowers')).data.openid.includes(openid));
  assert.ok((await call('createTmpQRCode', 10000, 1800)).ticket);
});

test('co-wechat-oauth exchanges a code', async () => {
  const client = new OAuth(env.WXNOTIFY_APPID, env.WXNOTIFY_APPSECRET);
  const { request } = client;
  client.request = function toSimulator(url, opts) { // its address of WeChat is fixed
    return request.call(this, url.replace('https://api.weixin.qq.com', base), opts);
  };
  const page = client.getAuthorizeURL('http://shop.example/back', 'state1', 'snsapi_base')
    .replace('https://open.weixin.qq.com/connect/oauth2/authorize', env.WXNOTIFY_WECHAT_AUTHORIZE_URL);
  const redirect = await fetch(page, { redirect: 'manual', headers: { cookie: `wxsim_openid=${openid}` } });
  const back = new URL(redirect.headers.get('location'));
  assert.equal(back.searchParams.get('state'), 'state1');
  const code = back.searchParams.get('code');
  assert.equal((await client.getAccessToken(code)).data.openid, openid);
  await assert.rejects(client.getAccessToken(code), { code: 40163 });

  const profile = await control('oauth/code', { openid, scope: 'snsapi_userinfo' });
  const granted = await client.getAccessToken(profile.code);
  const user = await client.getUser({ openid, lang: 'zh_CN' });
  assert.equal(user.openid, openid);
  assert.equal(typeof user.nickname, 'string');
  assert.equal((await client.refreshAccessToken(granted.data.refresh_token)).data.openid, openid);
});

test('wechat-crypto and the simulator read each other', async () => {
  const heard = [];
  const url = await business({ token, appid: env.WXNOTIFY_APPID, encodingAESKey: aesKey }, heard);
  await control('callback', { url, mode: 'secure', token, encoding_aes_key: aesKey });
  await control('callback/verify', {});
  const push = await say('encrypted 你好');
  assert.equal(heard.at(-1).Content, 'encrypted 你好');
  assert.equal(heard.at(-1).FromUserName, openid);
  assert.ok(push.taken);
  assert.match(push.reply, /you said encrypted 你好/);
  assert.ok(!push.answer.includes('you said'), 'the answer is encrypted');
  const encrypted = push.answer.match(/<Encrypt><!\[CDATA\[(.+?)\]\]><\/Encrypt>/)[1];
  assert.equal(new WXBizMsgCrypt(token, aesKey, env.WXNOTIFY_APPID).decrypt(encrypted).id, env.WXNOTIFY_APPID);
});

test('co-wechat behind WXNOTIFY_FORWARD_URL replies to the follower', async () => {
  const redis = await startRedis();
  const heard = [];
  const forward = await business(token, heard);
  await run(process.env.WXNOTIFY, ['serve'], 'enroll started', {
    ...env, WXNOTIFY_REDIS_URL: redis, WXNOTIFY_PUBLIC_ADDR: new URL(env.WXNOTIFY_PUBLIC_URL).host,
    WXNOTIFY_OPS_ADDR: '-', WXNOTIFY_API_ADDR: '-', WXNOTIFY_CALLBACK_TOKEN: token, WXNOTIFY_ENCODING_AES_KEY: aesKey, WXNOTIFY_FORWARD_URL: forward,
  });
  const url = `${env.WXNOTIFY_PUBLIC_URL}/callback/${env.WXNOTIFY_APPID}`;
  await control('callback', { url, mode: 'secure', token, encoding_aes_key: aesKey });
  await control('callback/verify', {});
  const push = await say('forwarded 你好');
  assert.equal(heard.at(-1).Content, 'forwarded 你好');
  assert.ok(push.taken);
  assert.match(push.reply, /you said forwarded 你好/);
  await control('followers', { openids: [openid], do: 'subscribe' });
  await eventually(async () => heard.at(-1), (m) => m.Event === 'subscribe', 'the business hears of a follower');
});
