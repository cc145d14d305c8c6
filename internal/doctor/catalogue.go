package doctor

import (
	"maps"
	"slices"

	"github.com/wxnotify/wxnotify/wechat"
)

//go:generate go test -run ^TestGolden -update .

// row is the text of one kind of finding. Braces name what a check fills in.
type row struct {
	severity          Severity
	what, why, remedy text
}

// Codes lists every code, sorted.
func Codes() []Code { return slices.Sorted(maps.Keys(catalogue)) }

// SeverityOf is the severity of a code of Codes.
func SeverityOf(c Code) Severity { return catalogue[c].severity }

// Texts are what, why and remedy of a code of Codes, with the braces that a check fills in.
func Texts(c Code) map[wechat.Lang][3]string {
	r := catalogue[c]
	return map[wechat.Lang][3]string{
		wechat.English: {r.what.en, r.why.en, r.remedy.en},
		wechat.Chinese: {r.what.zh, r.why.zh, r.remedy.zh},
	}
}

// catalogue is the only list of findings; docs/doctor.md is made from it.
//
//nolint:gochecknoglobals // never changed
var catalogue = map[Code]row{
	// Of the checks themselves.
	"check-slow": {
		Fatal,
		text{"No answer within 3 s.", "3 秒内没有回应。"},
		text{"The program waits for the same answer, and sends nothing until it comes.", "程序同样要等待回应，期间不发送消息。"},
		text{"Look for a network that drops packets, or a server that is overloaded.", "检查网络是否丢包，或服务器是否过载。"},
	},
	"check-broken": {
		Fatal,
		text{"The check itself failed: {cause}", "检查本身出错：{cause}"},
		text{"What it looks at is not known to work.", "无法得知该项是否正常。"},
		text{"Report it as a fault of wxnotify.", "请作为 wxnotify 的缺陷报告。"},
	},

	// Settings and files.
	"setting-fault": {
		Fatal,
		text{"A setting is wrong: {cause}", "设置有误：{cause}"},
		text{"No command that uses it starts.", "用到它的命令都无法启动。"},
		text{"Correct the setting as the text says; `wxnotify config` shows all of them.", "按上文更正该设置；`wxnotify config` 显示全部设置。"},
	},
	"setting-warning": {
		Warning,
		text{"A setting is probably a mistake: {cause}", "设置可能有误：{cause}"},
		text{"It is accepted, and may do something else than intended.", "它会被接受，但效果可能与预期不同。"},
		text{"Correct or remove it.", "更正或删除它。"},
	},
	"no-account": {
		Fatal,
		text{"No account is configured.", "没有配置账号。"},
		text{"Nothing can be sent.", "无法发送任何消息。"},
		text{"Run `wxnotify init` and name its file by --config or WXNOTIFY_CONFIG, or set WXNOTIFY_APPID.", "运行 `wxnotify init`，并用 --config 或 WXNOTIFY_CONFIG 指定它写出的文件；或设置 WXNOTIFY_APPID。"},
	},
	"appsecret-missing": {
		Fatal,
		text{"The AppSecret is missing.", "没有 AppSecret。"},
		text{"Without it there is no access token, and nothing is sent.", "没有它就取不到 access token，无法发送。"},
		text{"Set WXNOTIFY_APPSECRET or WXNOTIFY_APPSECRET_FILE, or appsecret_file in the account's entry.", "设置 WXNOTIFY_APPSECRET 或 WXNOTIFY_APPSECRET_FILE，或账号条目中的 appsecret_file。"},
	},
	"file-readable": {
		Warning,
		text{"Other users of this machine can read {path}, which holds {what} (mode {mode}).", "本机其他用户可以读取 {path}，其中有 {what}（权限 {mode}）。"},
		text{"Who reads it can act as the account, or read its messages.", "读到它的人可以冒用账号，或读取消息。"},
		text{"Run chmod 600 {path}, as the user of wxnotify.", "以运行 wxnotify 的用户执行 chmod 600 {path}。"},
	},
	"file-writable": {
		Warning,
		text{"Other users of this machine can change {path} (mode {mode}).", "本机其他用户可以修改 {path}（权限 {mode}）。"},
		text{"Who changes it can send the account's calls, AppSecret included, to another server.", "修改它的人可以把包括 AppSecret 在内的调用引向别的服务器。"},
		text{"Run chmod 600 {path}, as the user of wxnotify.", "以运行 wxnotify 的用户执行 chmod 600 {path}。"},
	},

	// Redis.
	"redis-refused": {
		Fatal,
		text{"{cause}", "Redis 不可用：{cause}"},
		text{"Nothing can be enqueued or sent.", "无法入队，也无法发送。"},
		text{"Do what the text says; docs/redis.md has the rights and settings.", "按上文处理；所需权限和设置见 docs/redis.md。"},
	},
	"redis-refuses-writes": {
		Fatal,
		text{"Redis refuses every write for the moment: {cause}", "Redis 目前拒绝一切写入：{cause}"},
		text{"Nothing can be enqueued or sent.", "无法入队，也无法发送。"},
		text{"Free disk space (MISCONF) or bring back its replicas (NOREPLICAS), and look at the log of Redis.", "清理磁盘（MISCONF）或恢复副本（NOREPLICAS），并查看 Redis 日志。"},
	},
	"redis-silent": {
		Warning,
		text{"Redis does not tell its version, memory and persistence: the user may not call INFO.", "Redis 不提供版本、内存和持久化信息：该用户无权调用 INFO。"},
		text{"A Redis that evicts or forgets is not noticed.", "Redis 淘汰或丢失数据时无法察觉。"},
		text{"Run ACL SETUSER {user} +info there.", "在 Redis 上执行 ACL SETUSER {user} +info。"},
	},
	"redis-evicts": {
		Fatal,
		text{"Redis may evict data (maxmemory-policy {policy}).", "Redis 可能淘汰数据（maxmemory-policy {policy}）。"},
		text{"When its memory is full it deletes queued messages and records: messages are lost or sent twice, unnoticed.", "内存用满时会删除排队的消息和记录：消息会无声丢失或重复发送。"},
		text{"Run CONFIG SET maxmemory-policy noeviction, and write it into Redis' configuration file.", "执行 CONFIG SET maxmemory-policy noeviction，并写入 Redis 配置文件。"},
	},
	"redis-forgets": {
		Warning,
		text{"Redis keeps no log of writes (appendonly no).", "Redis 没有开启写日志（appendonly no）。"},
		text{"When it restarts, queued messages, records and the roster since its last snapshot are lost.", "重启时，上次快照之后的排队消息、记录和名册都会丢失。"},
		text{"Run CONFIG SET appendonly yes, and write it into Redis' configuration file.", "执行 CONFIG SET appendonly yes，并写入 Redis 配置文件。"},
	},
	"redis-not-saved": {
		Fatal,
		text{"Redis could not write to its disk ({line}).", "Redis 无法写入磁盘（{line}）。"},
		text{"What it took since then is lost when it restarts, or it refuses writes.", "此后的数据在重启时会丢失，或者 Redis 拒绝写入。"},
		text{"Free disk space, and look at the log of Redis.", "清理磁盘，并查看 Redis 日志。"},
	},
	"redis-full": {
		Fatal,
		text{"Redis uses {used} of {max} MB, which is over 75 %.", "Redis 已用 {used} / {max} MB，超过 75%。"},
		text{"New messages are refused; at 100 % the workers stop too.", "新消息会被拒绝；用满后 worker 也会停止。"},
		text{"Raise maxmemory, or wait until the queues are shorter.", "调大 maxmemory，或等待队列变短。"},
	},
	"redis-small": {
		Warning,
		text{"Redis has room for about {room} more messages, and the accounts may send {day} more today.", "Redis 大约还能容纳 {room} 条消息，而各账号今天还可发 {day} 条。"},
		text{"A backlog of the whole day does not fit: new messages would be refused.", "全天的积压放不下：新消息会被拒绝。"},
		text{"Give Redis {need} MB more (maxmemory), about 1.5 KB a message.", "给 Redis 增加 {need} MB 内存（maxmemory），每条消息约 1.5 KB。"},
	},
	"redis-clock": {
		Fatal,
		text{"The clock of this machine is {off} {direction} Redis'.", "本机时钟比 Redis {direction} {off}。"},
		text{"Workers whose clock is off by more than 10 s fetch nothing.", "时钟相差超过 10 秒的 worker 不取任务。"},
		text{"Set the clocks of both machines by NTP (timedatectl set-ntp true).", "用 NTP 校准两台机器的时钟（timedatectl set-ntp true）。"},
	},
	"redis-any-password": {
		Warning,
		text{"Redis accepts every password, since its user default has none.", "Redis 接受任何密码：它的 default 用户没有密码。"},
		text{"Who reaches it reads openids, messages and the access token.", "能连上它的人可以读取 openid、消息和 access token。"},
		text{"Set requirepass, or an ACL user, on the server.", "在服务器上设置 requirepass 或 ACL 用户。"},
	},
	"redis-no-password": {
		Warning,
		text{"Redis demands no password, and other machines may reach it.", "Redis 不要求密码，其他机器可能连上它。"},
		text{"Who reaches it reads openids, messages and the access token.", "能连上它的人可以读取 openid、消息和 access token。"},
		text{"Set requirepass or an ACL user on the server, and the password in WXNOTIFY_REDIS_URL.", "在服务器上设置 requirepass 或 ACL 用户，并把密码写入 WXNOTIFY_REDIS_URL。"},
	},

	// WeChat.
	"wechat-unreachable": {
		Fatal,
		text{"WeChat does not answer: {cause}", "微信没有回应：{cause}"},
		text{"Nothing is sent; messages wait.", "无法发送；消息会等待。"},
		text{"Correct the network, the proxy (WXNOTIFY_WECHAT_PROXY) or WXNOTIFY_WECHAT_BASE_URL; docs/network.md lists the hosts.", "检查网络、代理（WXNOTIFY_WECHAT_PROXY）或 WXNOTIFY_WECHAT_BASE_URL；主机名见 docs/network.md。"},
	},
	"appsecret-wrong": {
		Fatal,
		text{"WeChat refuses the AppSecret: {cause}", "微信拒绝 AppSecret：{cause}"},
		text{"Without it there is no access token, and nothing is sent.", "没有它就取不到 access token，无法发送。"},
		text{"{remedy}", "{remedy}"},
	},
	"appid-wrong": {
		Fatal,
		text{"WeChat does not know the appid: {cause}", "微信不认识该 appid：{cause}"},
		text{"Without it there is no access token, and nothing is sent.", "没有它就取不到 access token，无法发送。"},
		text{"{remedy}", "{remedy}"},
	},
	"ip-not-listed": {
		Fatal,
		text{"WeChat refuses the address from which this machine calls ({address}): {cause}", "微信拒绝本机的出口地址（{address}）：{cause}"},
		text{"Workers at this address are suspended: they fetch nothing.", "该地址上的 worker 会被挂起，不取任务。"},
		text{"{remedy}", "{remedy}"},
	},
	"wechat-refuses": {
		Fatal,
		text{"WeChat refuses: {cause}", "微信拒绝：{cause}"},
		text{"What was asked is needed to send.", "发送消息需要该调用。"},
		text{"{remedy}", "{remedy}"},
	},
	"wechat-not-told": {
		Warning,
		text{"WeChat does not tell: {cause}", "微信没有提供：{cause}"},
		text{"What was asked cannot be checked; sending does not need it.", "该项无法检查；发送消息不需要它。"},
		text{"{remedy}", "{remedy}"},
	},
	"templates-none": {
		Warning,
		text{"WeChat lists no template of the account.", "微信没有列出该账号的任何模板。"},
		text{"Every message is answered 40037, unless its template is one that WeChat does not list (类目模板).", "除微信不列出的类目模板外，每条消息都会返回 40037。"},
		text{"Add a template on mp.weixin.qq.com under 模板消息, and use its id.", "在 mp.weixin.qq.com 的“模板消息”中添加模板，并使用它的 ID。"},
	},
	"template-unknown": {
		Warning,
		text{"WeChat does not list the template {template}, which {messages}.", "微信没有列出模板 {template}，{messages}。"},
		text{"A message with a template that was deleted is answered 40037 and is not delivered.", "使用已删除模板的消息会返回 40037，不会送达。"},
		text{"Compare the id with `wxnotify templates` and with 模板消息 > 我的模板 on mp.weixin.qq.com. WeChat may leave category templates (类目模板) out of its list.", "对照 `wxnotify templates` 和 mp.weixin.qq.com 的“模板消息 > 我的模板”核对 ID。微信的列表可能不含类目模板。"},
	},
	"quota-used-up": {
		Fatal,
		text{"WeChat says that today's quota is used up ({used} of {limit}).", "微信答复今日配额已用完（{used} / {limit}）。"},
		text{"Nothing is sent until midnight in China; messages wait.", "北京时间零点之前不再发送；消息会等待。"},
		text{"Wait, or clear the count in the console (10 times a month), or apply for a larger quota.", "等待，或在后台清零（每月 10 次），或申请提高配额。"},
	},
	"quota-setting": {
		Warning,
		text{"WXNOTIFY_DAILY_QUOTA is {ours}, and WeChat's limit is {limit}.", "WXNOTIFY_DAILY_QUOTA 是 {ours}，而微信的上限是 {limit}。"},
		text{"The last messages of the day run into WeChat's limit (45009), and the reserve for critical does not exist.", "当天最后的消息会触及微信上限（45009），为 critical 保留的配额也不存在。"},
		text{"Set WXNOTIFY_DAILY_QUOTA to {limit}, or to 0, which asks WeChat.", "把 WXNOTIFY_DAILY_QUOTA 设为 {limit}，或设为 0（询问微信）。"},
	},

	// What the fleet knows, from Redis.
	"token-fails": {
		Fatal,
		text{"The last fetch of the access token failed: {cause}", "上次获取 access token 失败：{cause}"},
		text{"When the current token ends, nothing is sent.", "当前 token 到期后将无法发送。"},
		text{"{remedy}", "{remedy}"},
	},
	"token-war": {
		Fatal,
		text{"Another program fetches tokens of the account: {refusals} fresh tokens were refused within the hour.", "另一个程序在获取该账号的 token：一小时内有 {refusals} 个新 token 被拒绝。"},
		text{"Each of its fetches ends our token, and ours end its: sends fail and are repeated.", "双方每次获取都会使对方的 token 失效：发送会失败并重试。"},
		text{"Set WXNOTIFY_TOKEN_MODE=stable (stable_token), or have only one program fetch tokens.", "设置 WXNOTIFY_TOKEN_MODE=stable（stable_token），或只让一个程序获取 token。"},
	},
	"token-classic": {
		Warning,
		text{"token_mode is classic: tokens come from /cgi-bin/token.", "token_mode 是 classic：token 来自 /cgi-bin/token。"},
		text{"Every other program that fetches there ends our token.", "其他程序在该接口获取 token 都会使我们的失效。"},
		text{"Set WXNOTIFY_TOKEN_MODE=stable, unless another program needs the same token.", "设置 WXNOTIFY_TOKEN_MODE=stable，除非别的程序需要同一个 token。"},
	},
	"gate-quota": {
		Fatal,
		text{"The account sends nothing: today's quota is used up by our count ({detail}), until {until}.", "账号停发：按我们的计数今日配额已用完（{detail}），直到 {until}。"},
		text{"Messages wait until the quota's day ends; those of class critical go on with their reserve.", "消息等到配额换日；critical 继续使用保留配额。"},
		text{"Wait. `wxnotify quota --ask` corrects the count by WeChat's.", "等待。`wxnotify quota --ask` 按微信的计数更正。"},
	},
	"gate-account": {
		Fatal,
		text{"The account sends nothing, since WeChat refuses it: {detail}", "账号停发，因为微信拒绝它：{detail}"},
		text{"Messages wait.", "消息会等待。"},
		text{"Do what the text says; a worker asks again each minute and opens the gate.", "按上文处理；worker 每分钟重试一次，成功后恢复发送。"},
	},
	"gate-token": {
		Fatal,
		text{"The account sends nothing, since there is no access token: {detail}", "账号停发，因为没有 access token：{detail}"},
		text{"Messages wait.", "消息会等待。"},
		text{"Mend the cause, then run `wxnotify token refresh`.", "排除原因后执行 `wxnotify token refresh`。"},
	},
	"gate-address": {
		Fatal,
		text{"The account sends nothing, since WeChat refuses the addresses of all workers: {detail}", "账号停发，因为微信拒绝所有 worker 的地址：{detail}"},
		text{"Messages wait.", "消息会等待。"},
		text{"Add the addresses to API IP 白名单 under 基础信息 > 开发信息 on developers.weixin.qq.com/platform.", "把地址加入 developers.weixin.qq.com/platform 的“基础信息 > 开发信息 > API IP 白名单”。"},
	},
	"gate-manual": {
		Warning,
		text{"An admin has stopped the account: {detail}", "管理员已停止该账号：{detail}"},
		text{"Messages wait until an admin opens the gate.", "消息等待管理员恢复。"},
		text{"Open the gate when the reason is gone.", "原因消除后恢复发送。"},
	},
	"gate-closed": {
		Warning,
		text{"The account waits ({reason}): {detail}", "账号正在等待（{reason}）：{detail}"},
		text{"Messages wait; sending resumes without an action of yours.", "消息会等待；无需操作，稍后恢复发送。"},
		text{"Look again in some minutes; docs/operations.md explains each reason.", "几分钟后再看；各原因见 docs/operations.zh-CN.md。"},
	},
	"class-paused": {
		Warning,
		text{"Class {class} is paused: {detail}", "类别 {class} 已暂停：{detail}"},
		text{"Its messages wait.", "该类别的消息会等待。"},
		text{"Run `wxnotify queues resume {class}` when the reason is gone.", "原因消除后执行 `wxnotify queues resume {class}`。"},
	},
	"seal-key-missing": {
		Fatal,
		text{"Messages wait that are sealed with key {key}, which WXNOTIFY_SEAL_KEYS does not have: {count}.", "有 {count} 条等待的消息用密钥 {key} 加密，而 WXNOTIFY_SEAL_KEYS 中没有该密钥。"},
		text{"A process with these settings cannot read them: its worker leaves them on the queue, and they go out late or expire.", "使用这些设置的进程无法读取它们：worker 会把它们留在队列中，消息会延迟发出或过期。"},
		text{"Add the key to WXNOTIFY_SEAL_KEYS, behind the first one; `wxnotify seal status` lists the keys that are in use.", "把该密钥加到 WXNOTIFY_SEAL_KEYS 的第一个密钥之后；`wxnotify seal status` 列出正在使用的密钥。"},
	},
	"seal-clear": {
		Warning,
		text{"Messages wait in clear, though WXNOTIFY_SEAL_KEYS is set: {count}.", "已设置 WXNOTIFY_SEAL_KEYS，但仍有 {count} 条等待的消息是明文。"},
		text{"Who reads Redis, its dumps or its backups sees their values and recipients.", "能读取 Redis、其快照或备份的人可以看到内容和接收者。"},
		text{"Set WXNOTIFY_SEAL_KEYS in each process that enqueues, then run `wxnotify seal rotate`.", "在每个入队的进程中设置 WXNOTIFY_SEAL_KEYS，然后运行 `wxnotify seal rotate`。"},
	},
	"names-mixed": {
		Fatal,
		text{"Openids and users are sealed in another way than these settings say: in Redis {there}, here {here}.", "openid 和用户的加密方式与这些设置不同：Redis 中为 {there}，此处为 {here}。"},
		text{"No process with these settings starts: it would miss suppressions.", "使用这些设置的进程不会启动：它会漏掉抑制名单。"},
		text{"Set WXNOTIFY_SEAL_NAME_KEYS as all other processes have it; to change how they lie, stop all processes of the account and run `wxnotify seal names`.", "把 WXNOTIFY_SEAL_NAME_KEYS 设置为与其他进程相同；若要改变保存方式，请停止该账号的所有进程并运行 `wxnotify seal names`。"},
	},
	"names-converting": {
		Fatal,
		text{"A conversion of openids and users in Redis is not complete.", "Redis 中 openid 和用户的转换尚未完成。"},
		text{"No process of the account starts until it is.", "完成之前，该账号的任何进程都不会启动。"},
		text{"Run `wxnotify seal names` again with the same WXNOTIFY_SEAL_NAME_KEYS.", "用相同的 WXNOTIFY_SEAL_NAME_KEYS 再次运行 `wxnotify seal names`。"},
	},
	"tasks-without-data": {
		Fatal,
		text{"Queue {queue} has tasks whose data is gone.", "队列 {queue} 中有任务数据已丢失。"},
		text{"These messages are lost: Redis evicted them, or they were deleted by hand.", "这些消息已丢失：被 Redis 淘汰，或被人删除。"},
		text{"Set maxmemory-policy noeviction; enqueue the messages again by their IDs.", "设置 maxmemory-policy noeviction；用原来的 ID 重新入队。"},
	},
	"worker-none": {
		Fatal,
		text{"No worker of the account runs; messages that wait: {waiting}; the last worker reported {last}.", "该账号没有 worker 在运行；{waiting} 条消息在等待，上次 worker 报告于 {last}。"},
		text{"Nothing is sent.", "无法发送。"},
		text{"Start `wxnotify worker` (or `wxnotify serve`) and read its log.", "启动 `wxnotify worker`（或 `wxnotify serve`）并查看日志。"},
	},
	"worker-never": {
		Warning,
		text{"No worker of the account has run yet.", "该账号还没有运行过 worker。"},
		text{"Messages that are enqueued wait.", "入队的消息会等待。"},
		text{"Start `wxnotify serve`, or `wxnotify worker`.", "启动 `wxnotify serve` 或 `wxnotify worker`。"},
	},
	"worker-suspended": {
		Warning,
		text{"The worker on {host} is suspended: WeChat refuses its address ({address}, errcode {errcode}) since {since}.", "{host} 上的 worker 已被挂起：微信自 {since} 起拒绝它的地址（{address}，返回码 {errcode}）。"},
		text{"It fetches nothing; the other workers do its share.", "它不取任务；由其他 worker 承担。"},
		text{"Add {address} to API IP 白名单 under 基础信息 > 开发信息 on developers.weixin.qq.com/platform, or give all workers one egress address.", "把 {address} 加入 developers.weixin.qq.com/platform 的“基础信息 > 开发信息 > API IP 白名单”，或让所有 worker 使用同一出口地址。"},
	},
	"worker-all-suspended": {
		Fatal,
		text{"Every worker of the account is suspended: WeChat refuses their addresses ({address}).", "该账号的所有 worker 都被挂起：微信拒绝它们的地址（{address}）。"},
		text{"Nothing is sent.", "无法发送。"},
		text{"Add the addresses to API IP 白名单 under 基础信息 > 开发信息 on developers.weixin.qq.com/platform; workers resume within a minute after it acts.", "把地址加入 developers.weixin.qq.com/platform 的“基础信息 > 开发信息 > API IP 白名单”；生效后一分钟内恢复。"},
	},
	"worker-clock": {
		Fatal,
		text{"The clock of the worker on {host} is {off} {direction} Redis'.", "{host} 上 worker 的时钟比 Redis {direction} {off}。"},
		text{"A worker whose clock is off by more than 10 s fetches nothing.", "时钟相差超过 10 秒的 worker 不取任务。"},
		text{"Set its clock by NTP.", "用 NTP 校准它的时钟。"},
	},
	"worker-versions": {
		Warning,
		text{"Workers of different versions run: {versions}.", "运行着不同版本的 worker：{versions}。"},
		text{"An older one may not read what a newer one writes.", "旧版本可能读不了新版本写的数据。"},
		text{"Finish the upgrade, oldest first.", "完成升级，先升级最旧的。"},
	},

	// The public address.
	"callback-missing": {
		Warning,
		text{"WeChat's pushes are refused: no callback Token is configured.", "微信的推送会被拒绝：没有配置回调 Token。"},
		text{"No receipts: what was delivered stays `accepted`. Nor is it known who follows or leaves.", "没有回执：送达的消息停在 `accepted`，也不知道谁关注或取消关注。"},
		text{"Set WXNOTIFY_CALLBACK_TOKEN and WXNOTIFY_ENCODING_AES_KEY to the values of 消息推送配置.", "把 WXNOTIFY_CALLBACK_TOKEN 和 WXNOTIFY_ENCODING_AES_KEY 设为消息推送配置中的值。"},
	},
	"callback-fault": {
		Fatal,
		text{"The callback's settings are wrong: {cause}", "回调设置有误：{cause}"},
		text{"WeChat's pushes cannot be read: no receipts, no followers.", "无法读取微信的推送：没有回执和关注事件。"},
		text{"Copy Token, EncodingAESKey and 消息加解密方式 of 消息推送配置.", "复制消息推送配置中的 Token、EncodingAESKey 和消息加解密方式。"},
	},
	"links-missing": {
		Warning,
		text{"Followers cannot enrol: {missing} is not set.", "关注者无法绑定：没有设置 {missing}。"},
		text{"No links can be made by which users become recipients.", "无法生成让用户绑定的链接。"},
		text{"Set it, unless your program knows the openids itself.", "请设置，除非你的程序自己掌握 openid。"},
	},
	"public-unreachable": {
		Fatal,
		text{"{url} does not answer: {cause}", "{url} 没有回应：{cause}"},
		text{"WeChat's pushes and followers do not arrive.", "微信的推送和关注者的访问都无法到达。"},
		text{"Start `wxnotify serve` or `wxnotify enroll`, and look at DNS, firewall, certificate and the proxy in front of it.", "启动 `wxnotify serve` 或 `wxnotify enroll`，并检查 DNS、防火墙、证书和前面的代理。"},
	},
	"public-no-redis": {
		Fatal,
		text{"The process behind {url} does not reach its Redis.", "{url} 的进程连不上它的 Redis。"},
		text{"WeChat's pushes are not acknowledged, and links do not work.", "微信的推送得不到确认，链接也无法使用。"},
		text{"Look at WXNOTIFY_REDIS_URL of that process, and at the server.", "检查该进程的 WXNOTIFY_REDIS_URL 和 Redis 服务器。"},
	},
	"public-other": {
		Fatal,
		text{"{url} answers, but not as wxnotify does (HTTP {status}).", "{url} 有回应，但不是 wxnotify（HTTP {status}）。"},
		text{"WeChat's pushes and followers arrive elsewhere.", "微信的推送和关注者的访问到了别处。"},
		text{"Let the proxy pass /healthz, /callback/, /enroll/ and /MP_verify_*.txt of this host to WXNOTIFY_PUBLIC_ADDR, without redirects.", "让代理把该域名的 /healthz、/callback/、/enroll/ 和 /MP_verify_*.txt 转到 WXNOTIFY_PUBLIC_ADDR，不要重定向。"},
	},
	"public-differs": {
		Warning,
		text{"{url} is asked, and WXNOTIFY_PUBLIC_URL is {setting}.", "检查的是 {url}，而 WXNOTIFY_PUBLIC_URL 是 {setting}。"},
		text{"Links lead followers to the other address.", "链接会把关注者带到另一个地址。"},
		text{"Set WXNOTIFY_PUBLIC_URL to the address that followers reach.", "把 WXNOTIFY_PUBLIC_URL 设为关注者能访问的地址。"},
	},
	"public-shows-operators": {
		Fatal,
		text{"{url} is open to the internet.", "{url} 对公网开放。"},
		text{"The operators' pages show queues and counts, and let everyone try passwords.", "运维页面会暴露队列和计数，任何人都能尝试密码。"},
		text{"Let the proxy pass the public paths to WXNOTIFY_PUBLIC_ADDR only, never to WXNOTIFY_OPS_ADDR.", "让代理只转发公开路径到 WXNOTIFY_PUBLIC_ADDR，不要转到 WXNOTIFY_OPS_ADDR。"},
	},
	"callback-unknown": {
		Fatal,
		text{"{url} has no callback of this account.", "{url} 上没有该账号的回调。"},
		text{"WeChat's pushes are answered 404.", "微信的推送会得到 404。"},
		text{"Give the process behind the address this account with its callback Token, and start it again.", "在该地址的进程里配置此账号及其回调 Token，然后重启。"},
	},
	"callback-token": {
		Fatal,
		text{"The process behind {url} has another callback Token than this configuration.", "{url} 的进程使用的回调 Token 与此配置不同。"},
		text{"One of the two refuses WeChat's pushes.", "两者之一会拒绝微信的推送。"},
		text{"Give both the Token of 消息推送配置 under 基础信息 > 开发信息 on developers.weixin.qq.com/platform, and start the process again.", "都改成 developers.weixin.qq.com/platform“基础信息 > 开发信息 > 消息推送配置”中的 Token，并重启进程。"},
	},
	"callback-aes-key": {
		Fatal,
		text{"The process behind {url} has another EncodingAESKey than this configuration.", "{url} 的进程使用的 EncodingAESKey 与此配置不同。"},
		text{"One of the two cannot decrypt WeChat's pushes.", "两者之一无法解密微信的推送。"},
		text{"Give both the EncodingAESKey of 消息推送配置 under 基础信息 > 开发信息 on developers.weixin.qq.com/platform, and start the process again.", "都改成 developers.weixin.qq.com/platform“基础信息 > 开发信息 > 消息推送配置”中的 EncodingAESKey，并重启进程。"},
	},
	"callback-mode": {
		Fatal,
		text{"The process behind {url} has another callback mode than this configuration ({mode}).", "{url} 的进程使用的回调模式与此配置（{mode}）不同。"},
		text{"One of the two refuses WeChat's pushes.", "两者之一会拒绝微信的推送。"},
		text{"Set WXNOTIFY_CALLBACK_MODE of both to 消息加解密方式 of 消息推送配置: 明文模式 plain, 兼容模式 compat, 安全模式 secure.", "把两者的 WXNOTIFY_CALLBACK_MODE 设为消息推送配置的“消息加解密方式”：明文模式 plain，兼容模式 compat，安全模式 secure。"},
	},
	"callback-stale": {
		Fatal,
		text{"The process behind {url} refuses the query as signed at another time.", "{url} 的进程认为请求的签名时间不对。"},
		text{"Its clock, or this machine's, is off by more than ten minutes: WeChat's pushes are refused.", "它或本机的时钟相差超过十分钟：微信的推送会被拒绝。"},
		text{"Set the clocks of both machines by NTP.", "用 NTP 校准两台机器的时钟。"},
	},
	"callback-other": {
		Fatal,
		text{"{url} answers HTTP {status} to a signed call: {answer}", "{url} 对签名的请求返回 HTTP {status}：{answer}"},
		text{"WeChat's pushes are probably not taken.", "微信的推送可能不会被接受。"},
		text{"Let the proxy pass method, query and body unchanged; read the log of the process behind it.", "让代理原样转发方法、查询串和正文；查看其后进程的日志。"},
	},
	"verify-file": {
		Warning,
		text{"{url} does not show the file of the folder verify_files (HTTP {status}).", "{url} 没有返回 verify_files 目录中的文件（HTTP {status}）。"},
		text{"The console refuses the domain as 网页授权域名.", "后台不会接受该域名作为网页授权域名。"},
		text{"Let the proxy pass /MP_verify_*.txt of the host's root to WXNOTIFY_PUBLIC_ADDR.", "让代理把域名根目录的 /MP_verify_*.txt 转到 WXNOTIFY_PUBLIC_ADDR。"},
	},
}
