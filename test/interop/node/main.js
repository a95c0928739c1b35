// node-zookeeper-client (pure JavaScript) against the servers in ZK_HOSTS.
'use strict';
const assert = require('assert');
const {call, catchUp, connect, crossingTest, fails, folder, hosts, main, retry, test, until, zookeeper} = require('./kit');

const {ACL, CreateMode, Event, Id, Permission} = zookeeper;
const text = Buffer.from;

test(15, async function createGetSetRemove() {
    const c = await connect();
    const at = await folder(c, 'basic');
    assert.strictEqual(await call(c, 'create', at + '/a', text('one')), at + '/a');
    const [data, stat] = await call(c, 'getData', at + '/a');
    assert.strictEqual(data.toString(), 'one');
    assert.strictEqual(stat.version, 0);
    assert.strictEqual(stat.dataLength, 3);
    assert.deepStrictEqual(stat.czxid, stat.mzxid);
    const after = await call(c, 'setData', at + '/a', text('more'), -1);
    assert.strictEqual(after.version, 1);
    assert.deepStrictEqual(await call(c, 'exists', at + '/a'), after);
    await call(c, 'remove', at + '/a', 1);
    assert.strictEqual(await call(c, 'exists', at + '/a'), null);
    c.close();
});

test(15, async function errors() {
    const c = await connect();
    const at = await folder(c, 'errors');
    await fails('NO_NODE', call(c, 'getData', at + '/none'));
    await fails('NO_NODE', call(c, 'setData', at + '/none', text('')));
    await fails('NO_NODE', call(c, 'remove', at + '/none'));
    await fails('NO_NODE', call(c, 'getChildren', at + '/none'));
    await fails('NO_NODE', call(c, 'create', at + '/none/x'));
    await call(c, 'create', at + '/a');
    await fails('NODE_EXISTS', call(c, 'create', at + '/a'));
    await fails('BAD_VERSION', call(c, 'setData', at + '/a', text(''), 5));
    await fails('BAD_VERSION', call(c, 'remove', at + '/a', 5));
    await fails('NOT_EMPTY', call(c, 'remove', at));
    await call(c, 'create', at + '/e', CreateMode.EPHEMERAL);
    await fails('NO_CHILDREN_FOR_EPHEMERALS', call(c, 'create', at + '/e/x'));
    await fails('INVALID_ACL', call(c, 'create', at + '/b', [new ACL(Permission.ALL, new Id('nosuch', 'x'))]));
    assert.strictEqual(c.getState(), zookeeper.State.SYNC_CONNECTED);
    c.close();
});

test(15, async function sequencesAndEphemerals() {
    const a = await connect(0);
    const b = await connect(1);
    const at = await folder(a, 'modes');
    for (let k = 0; k < 3; k++) {
        const made = await call(a, 'create', at + '/s-', CreateMode.EPHEMERAL_SEQUENTIAL);
        assert.strictEqual(made, at + '/s-000000000' + k);
    }
    assert.strictEqual(await call(a, 'create', at + '/p-', CreateMode.PERSISTENT_SEQUENTIAL), at + '/p-0000000003');
    await catchUp(b);
    const [, stat] = await call(b, 'getData', at + '/s-0000000000');
    assert.deepStrictEqual(stat.ephemeralOwner, a.getSessionId());
    a.close();
    await until('the ephemerals end', async () => (await call(b, 'getChildren', at))[0].length === 1);
    b.close();
});

test(15, async function emptyAndLargeData() {
    const c = await connect();
    const at = await folder(c, 'data');
    const large = Buffer.alloc(900000, 'parley');
    await call(c, 'create', at + '/large', large);
    assert(large.equals((await call(c, 'getData', at + '/large'))[0]));
    await call(c, 'create', at + '/null');
    assert.strictEqual((await call(c, 'getData', at + '/null'))[0], undefined);
    await call(c, 'create', at + '/grüße-数据', text('ü'));
    assert((await call(c, 'getChildren', at))[0].includes('grüße-数据'));
    c.close();
});

test(15, async function children() {
    const c = await connect();
    const at = await folder(c, 'children');
    await Promise.all(Array.from({length: 200}, (_, k) => call(c, 'create', at + '/c' + k)));
    const [names, stat] = await call(c, 'getChildren', at);
    assert.strictEqual(names.length, 200);
    assert.strictEqual(stat.numChildren, 200);
    await call(c, 'mkdirp', at + '/deep/er');
    // This client's own listing of a subtree goes one level down, and so does its removal.
    assert((await call(c, 'listSubTreeBFS', at)).includes(at + '/deep'));
    await call(c, 'remove', at + '/deep/er');
    await call(c, 'removeRecursive', at);
    assert.strictEqual(await call(c, 'exists', at), null);
    c.close();
});

test(15, async function requestsKeepTheirOrder() {
    const c = await connect();
    const at = await folder(c, 'order');
    await call(c, 'create', at + '/n');
    const order = [];
    await Promise.all(Array.from({length: 300}, (_, k) => call(c, 'setData', at + '/n', text('' + k)).then((stat) => {
        assert.strictEqual(stat.version, k + 1);
        order.push(k);
    })));
    assert.deepStrictEqual(order, Array.from({length: 300}, (_, k) => k));
    c.close();
});

test(15, async function watches() {
    const c = await connect(0);
    const other = await connect(1);
    const at = await folder(other, 'watches');
    await catchUp(c);
    const events = [];
    const note = (event) => events.push(event.getName() + ' ' + event.getPath());
    const comes = async (name, path) => {
        await until(name, () => events.length > 0);
        assert.deepStrictEqual(events.splice(0), [name + ' ' + path]);
    };
    assert.strictEqual(await call(c, 'exists', at + '/n', note), null);
    await call(other, 'create', at + '/n');
    await comes('NODE_CREATED', at + '/n');
    await call(c, 'getData', at + '/n', note);
    await call(other, 'setData', at + '/n', text('1'));
    await comes('NODE_DATA_CHANGED', at + '/n');
    await call(other, 'setData', at + '/n', text('2'));
    await call(c, 'getChildren', at, note);
    await call(other, 'create', at + '/m');
    await comes('NODE_CHILDREN_CHANGED', at);
    await call(c, 'exists', at + '/n', note);
    await call(other, 'remove', at + '/n');
    await comes('NODE_DELETED', at + '/n');
    assert.strictEqual(Event.NODE_DELETED, 2);
    c.close();
    other.close();
});

test(15, async function transactions() {
    const c = await connect();
    const at = await folder(c, 'multi');
    await call(c, 'create', at + '/a', text('1'));
    await call(c, 'setData', at + '/a', text('2'));
    const good = c.transaction().check(at + '/a', 1).create(at + '/b', text('b')).setData(at + '/a', text('3'), 1)
        .create(at + '/s-', CreateMode.PERSISTENT_SEQUENTIAL).remove(at + '/b');
    const results = await call(good, 'commit');
    assert.strictEqual(results.length, 5);
    assert.strictEqual(results[1].path, at + '/b');
    assert.strictEqual(results[2].stat.version, 2);
    assert.strictEqual(results[3].path, at + '/s-0000000002');
    const bad = c.transaction().create(at + '/x').setData(at + '/a', text('4'), 1).remove(at + '/a');
    await fails('BAD_VERSION', call(bad, 'commit'));
    assert.strictEqual(await call(c, 'exists', at + '/x'), null);
    assert((await call(c, 'exists', at + '/a')));
    c.close();
});

test(15, async function aclAndLogin() {
    const c = await connect();
    const other = await connect();
    const at = await folder(c, 'acl');
    c.addAuthInfo('digest', text('ann:pw'));
    await call(c, 'create', at + '/n', text('p'), ACL.CREATOR_ALL_ACL, CreateMode.PERSISTENT);
    const [acls] = await call(c, 'getACL', at + '/n');
    assert.strictEqual(acls.length, 1);
    assert.strictEqual(acls[0].id.scheme, 'digest');
    assert(acls[0].id.id.startsWith('ann:'));
    await catchUp(other);
    await fails('NO_AUTH', call(other, 'getData', at + '/n'));
    await fails('NO_AUTH', call(other, 'setACL', at + '/n', ACL.OPEN_ACL_UNSAFE));
    assert(await call(other, 'exists', at + '/n'));
    other.addAuthInfo('digest', text('ann:pw'));
    assert.strictEqual((await call(other, 'getData', at + '/n'))[0].toString(), 'p');
    const stat = await call(c, 'setACL', at + '/n', ACL.READ_ACL_UNSAFE, -1);
    assert.strictEqual(stat.aversion, 1);
    await fails('NO_AUTH', call(c, 'setData', at + '/n', text('')));
    c.close();
    other.close();
});

test(15, async function chroot() {
    const plain = await connect(0);
    const at = await folder(plain, 'chroot');
    const c = await connect(0, {chroot: at});
    assert.strictEqual(await call(c, 'create', '/a', text('1')), '/a');
    assert.strictEqual((await call(plain, 'getData', at + '/a'))[0].toString(), '1');
    const events = [];
    await call(c, 'getData', '/a', (event) => events.push(event.getPath()));
    await call(plain, 'setData', at + '/a', text('2'));
    await until('the event', () => events.length);
    assert.deepStrictEqual(events, ['/a']);
    c.close();
    plain.close();
});

test(20, async function aCutConnectionKeepsTheSession() {
    const c = await connect();
    const other = await connect();
    const at = await folder(c, 'cut');
    await call(c, 'create', at + '/e', CreateMode.EPHEMERAL);
    const session = c.getSessionId();
    const events = [];
    await call(c, 'exists', at + '/n', (event) => events.push(event.getName()));
    c.states.length = 0;
    c.connectionManager.socket.destroy();
    await until('back', () => c.states.includes('SYNC_CONNECTED'));
    assert.deepStrictEqual(c.states, ['DISCONNECTED', 'SYNC_CONNECTED']);
    assert.deepStrictEqual(c.getSessionId(), session);
    await catchUp(other);
    assert(await call(other, 'exists', at + '/e'));
    await call(other, 'create', at + '/n');
    await until('the watch was set again', () => events.length);
    assert.deepStrictEqual(events, ['NODE_CREATED']);
    c.close();
    other.close();
});

test(20, async function aSessionIsTakenOver() {
    const first = await connect(0);
    const at = await folder(first, 'taken');
    await call(first, 'create', at + '/e', CreateMode.EPHEMERAL);
    const session = {id: first.getSessionId(), password: first.getSessionPassword()};
    first.connectionManager.connect = () => {}; // it must not come back
    first.connectionManager.socket.destroy();
    const second = await connect(1, {session});
    assert.deepStrictEqual(second.getSessionId(), session.id);
    await catchUp(second);
    assert.deepStrictEqual((await call(second, 'exists', at + '/e')).ephemeralOwner, session.id);
    second.close();
    const third = await connect();
    await until('its end', async () => !(await call(third, 'exists', at + '/e')));
    third.close();
});

test(20, async function anUnknownSessionIsExpired() {
    const c = zookeeper.createClient(hosts[0], {sessionTimeout: 4000, retries: 0});
    const states = [];
    c.on('state', (state) => states.push(state.name));
    c.connectionManager.sessionId = Buffer.from('0123456789abcdef', 'hex');
    c.connectionManager.sessionPassword = Buffer.alloc(16, 1);
    c.connect();
    await until('expired', () => states.includes('EXPIRED'));
    c.close();
});

test(20, async function pingsKeepAnIdleSession() {
    const c = await connect(undefined, {timeout: 4000});
    assert.strictEqual(c.getSessionTimeout(), 4000);
    const at = await folder(c, 'idle');
    await call(c, 'create', at + '/e', CreateMode.EPHEMERAL);
    const other = await connect();
    await catchUp(other);
    const began = Date.now();
    while (Date.now() - began < 6000) {
        assert(await call(other, 'exists', at + '/e'));
        await new Promise((resolve) => setTimeout(resolve, 200));
    }
    assert.deepStrictEqual(c.states, ['SYNC_CONNECTED']);
    c.close();
    other.close();
});

crossingTest(40, async function sessionsAndWatchesOutliveTheLeader(leaderDies) {
    const crowd = await Promise.all([0, 1, 2, 3].map((k) => connect(k)));
    const other = await connect();
    const at = await folder(other, 'outlive');
    const fired = [];
    await retry(other, 'create', at + '/w', text('0'));
    for (const [k, c] of crowd.entries()) {
        await catchUp(c);
        await retry(c, 'create', at + '/e' + k, CreateMode.EPHEMERAL);
        await retry(c, 'getData', at + '/w', (event) => fired.push(k + event.getName()));
    }
    const sessions = crowd.map((c) => c.getSessionId());
    await leaderDies();
    await retry(other, 'setData', at + '/w', text('after'));
    await until('all watches fire', () => fired.length >= 4, 20);
    assert.deepStrictEqual(fired.sort(), [0, 1, 2, 3].map((k) => k + 'NODE_DATA_CHANGED'));
    for (const [k, c] of crowd.entries()) {
        assert.deepStrictEqual((await retry(c, 'exists', at + '/e' + k)).ephemeralOwner, sessions[k]);
        assert.deepStrictEqual(c.getSessionId(), sessions[k]);
        assert(!c.states.includes('EXPIRED'));
        c.close();
    }
    other.close();
});

crossingTest(40, async function acknowledgedWritesOutliveTheLeader(leaderDies) {
    const writers = await Promise.all([0, 1, 2].map((k) => connect(k)));
    const at = await folder(writers[0], 'writers');
    const wrote = [[], [], []];
    let stop = false;
    const work = writers.map(async (c, k) => {
        await catchUp(c);
        for (let n = 0; !stop; n++) {
            const name = 'w' + k + '-' + n;
            try {
                await retry(c, 'create', at + '/' + name);
            } catch (error) {
                if (error.name !== 'NODE_EXISTS') throw error; // else: applied, its reply lost
            }
            wrote[k].push(name);
        }
    });
    await until('some writes', () => wrote.every((w) => w.length > 50));
    await leaderDies();
    const before = wrote.map((w) => w.length);
    await until('more writes', () => wrote.every((w, k) => w.length > before[k] + 50), 25);
    stop = true;
    await Promise.all(work);
    for (const k of hosts.keys()) {
        const c = await connect(k);
        await catchUp(c);
        assert.deepStrictEqual((await retry(c, 'getChildren', at))[0].sort(), wrote.flat().sort());
        c.close();
    }
    writers.forEach((c) => c.close());
});

crossingTest(40, async function aLockOutlivesTheLeader(leaderDies) { // the recipe by hand: this client brings none
    const clients = await Promise.all([0, 1, 2].map((k) => connect(k)));
    const at = await folder(clients[0], 'lock');
    let inside = 0;
    let turns = 0;
    let stop = false;
    const work = clients.map(async (c, k) => {
        await catchUp(c);
        while (!stop) {
            const name = 'id' + k + '-' + turns + '-';
            let mine;
            while (!mine) { // the name tells our node again when the reply of create was lost
                const [names] = await retry(c, 'getChildren', at);
                const left = names.find((n) => n.startsWith('id' + k + '-'));
                if (left) {
                    mine = left;
                    break;
                }
                try {
                    const made = await call(c, 'create', at + '/' + name, CreateMode.EPHEMERAL_SEQUENTIAL);
                    mine = made.slice(at.length + 1);
                } catch (error) {
                    if (error.name !== 'CONNECTION_LOSS' && error.name !== 'OPERATION_TIMEOUT') throw error;
                    await catchUp(c);
                }
            }
            const number = (n) => n.slice(-10);
            for (;;) {
                const [names] = await retry(c, 'getChildren', at);
                const ahead = names.filter((n) => number(n) < number(mine)).sort((x, y) => number(x) < number(y) ? -1 : 1);
                if (!ahead.length) break;
                await new Promise((resolve, reject) => {
                    retry(c, 'exists', at + '/' + ahead[ahead.length - 1], resolve).then((stat) => stat || resolve(), reject);
                });
            }
            assert.strictEqual(++inside, 1, 'holders at once');
            turns++;
            await retry(c, 'exists', at);
            inside--;
            try {
                await retry(c, 'remove', at + '/' + mine);
            } catch (error) {
                if (error.name !== 'NO_NODE') throw error;
            }
        }
    });
    const failed = Promise.all(work).then(() => false);
    await Promise.race([until('turns', () => turns > 20), failed]);
    await leaderDies();
    const before = turns;
    await Promise.race([until('more turns', () => turns > before + 20, 25), failed]);
    stop = true;
    await failed;
    clients.forEach((c) => c.close());
});

main();
