package main

import (
	"cmp"
	"fmt"
)

// steps are what to do after init, in this order, with the values to paste. The console's
// names are those of 2025-12: AppSecret, IP list and message push moved to
// developers.weixin.qq.com/platform; the OAuth domain and templates stayed on
// mp.weixin.qq.com (docs: doc/service/guide/dev/migration).
func (s setup) steps(a *app) string {
	const english = `%[1]s is written (mode 0600). Next:

1. developers.weixin.qq.com/platform > 我的业务 > the account > 基础信息 > 开发信息 > API IP 白名单
     add the address from which this machine calls WeChat: %[2]s

2. Start Redis (appendonly yes, maxmemory-policy noeviction), then:
     %[3]s serve --config %[4]s
   and let %[5]s lead to its port 8080, with TLS.

3. The same page 开发信息 > 消息推送配置. WeChat verifies it when it is saved, so step 2 comes first.
     URL              %[5]s/callback/%[6]s
     Token            %[7]s
     EncodingAESKey   %[8]s
     消息加解密方式    安全模式
     数据格式          XML

4. mp.weixin.qq.com > 设置与开发 > 账号设置 > 功能设置 > 网页授权域名
     %[9]s
     put the file MP_verify_….txt that it offers into a folder, and the folder into verify_files of %[1]s.

5. mp.weixin.qq.com > 广告与服务 > 模板消息: add a template; then
     %[3]s templates --config %[4]s

6. See that all is well:
     %[3]s doctor --config %[4]s --public %[5]s

The login of the operators' pages (http://127.0.0.1:9090/) is ops_login in %[1]s.
`
	const chinese = `已写入 %[1]s（权限 0600）。接下来：

1. developers.weixin.qq.com/platform > 我的业务 > 该账号 > 基础信息 > 开发信息 > API IP 白名单
     添加本机调用微信的出口地址：%[2]s

2. 启动 Redis（appendonly yes，maxmemory-policy noeviction），然后：
     %[3]s serve --config %[4]s
   并让 %[5]s 通过 TLS 转到它的 8080 端口。

3. 同一页面 开发信息 > 消息推送配置。保存时微信会立即验证，所以先完成第 2 步。
     URL              %[5]s/callback/%[6]s
     Token            %[7]s
     EncodingAESKey   %[8]s
     消息加解密方式    安全模式
     数据格式          XML

4. mp.weixin.qq.com > 设置与开发 > 账号设置 > 功能设置 > 网页授权域名
     %[9]s
     把页面提供的 MP_verify_….txt 放进一个目录，并在 %[1]s 的 verify_files 中填写该目录。

5. mp.weixin.qq.com > 广告与服务 > 模板消息：添加模板；然后
     %[3]s templates --config %[4]s

6. 检查一切是否正常：
     %[3]s doctor --config %[4]s --public %[5]s

运维页面（http://127.0.0.1:9090/）的登录名和密码是 %[1]s 中的 ops_login。
`
	address := cmp.Or(s.address, a.say("`wxnotify doctor` names it when WeChat refuses it", "若被微信拒绝，`wxnotify doctor` 会给出该地址"))
	return fmt.Sprintf(a.say(english, chinese), s.file, address, a.self(), shellQuote(s.file), cmp.Or(s.public, "https://notify.example.com"), s.appid, s.token, s.aesKey, s.host())
}

// simulateSteps are lines that run as printed, in this order.
func (s setup) simulateSteps(a *app) string {
	addr, file := s.baseURL[len("http://"):], shellQuote(s.file)
	return fmt.Sprintf(a.say(`%s is written. Redis is the one of WXNOTIFY_REDIS_URL, redis://127.0.0.1:6379/0 unless set.
In this directory:

`, `已写入 %s。Redis 是 WXNOTIFY_REDIS_URL 所指的；未设置时为 redis://127.0.0.1:6379/0。
在此目录执行：

`), s.file) + fmt.Sprintf(`  %[1]s simulate --addr %[2]s --callback-url %[3]s/callback/%[4]s --callback-token %[5]s --callback-aes-key %[6]s &
  %[1]s serve --config %[7]s &
  %[1]s send --config %[7]s --to %[8]s %[9]s --wait
  %[1]s doctor --config %[7]s --public %[3]s
`, a.self(), addr, s.public, s.appid, s.token, s.aesKey, file, hintFollower, labResult()) +
		fmt.Sprintf(a.say("\nThe messages that arrive: %s/\n", "\n到达的消息：%s/\n"), s.baseURL)
}
