// Named tests with deadlines for node-zookeeper-client, and promises around its callbacks.
'use strict';
const zookeeper = require('node-zookeeper-client');
const readline = require('readline');

const hosts = (process.env.ZK_HOSTS || '127.0.0.1:2181').split(',');
const runRoot = '/node-' + process.pid + '-' + Date.now();
const tests = [];
const crossing = [];
const totals = [0, 0];

// A test has so many seconds.
function test(seconds, run) {
    tests.push({name: run.name, seconds, run});
}

// A test that lives through the death of a leader: run(leaderDies), where awaiting leaderDies() marks its middle.
function crossingTest(seconds, run) {
    crossing.push({name: run.name, seconds, run});
}

async function until(what, condition, seconds = 10) {
    const end = Date.now() + seconds * 1000;
    for (;;) {
        const value = await condition();
        if (value) return value;
        if (Date.now() > end) throw new Error('waited ' + seconds + ' s in vain: ' + what);
        await new Promise((resolve) => setTimeout(resolve, 10));
    }
}

// A connected client; `node`: only that one (modulo their count).
async function connect(node, options = {}) {
    const where = (node === undefined ? hosts.join(',') : hosts[node % hosts.length]) + (options.chroot || '');
    const client = zookeeper.createClient(where, {sessionTimeout: options.timeout || 10000, spinDelay: 100, retries: 0});
    client.states = [];
    client.on('state', (state) => client.states.push(state.name));
    if (options.session) {
        client.connectionManager.sessionId = options.session.id;
        client.connectionManager.sessionPassword = options.session.password;
    }
    client.connect();
    await until('a connection', () => client.getState() === zookeeper.State.SYNC_CONNECTED, 15);
    return client;
}

// Calls a method whose last argument is callback(error, ...results); gives the results (one: bare).
function call(client, method, ...args) {
    return new Promise((resolve, reject) => {
        client[method](...args, (error, ...results) => {
            if (error) reject(error);
            else resolve(results.length > 1 ? results : results[0]);
        });
    });
}

// Calls until the error is not a lost connection.
async function retry(client, method, ...args) {
    for (;;) {
        try {
            return await call(client, method, ...args);
        } catch (error) {
            const name = error.getCode ? error.name : '';
            if (name !== 'CONNECTION_LOSS' && name !== 'OPERATION_TIMEOUT') throw error;
            await new Promise((resolve) => setTimeout(resolve, 50));
        }
    }
}

// The exception's name that a call must end with.
async function fails(name, promise) {
    let value;
    try {
        value = await promise;
    } catch (error) {
        if (error.name === name) return error;
        throw new Error('wanted ' + name + ', got ' + error);
    }
    throw new Error('wanted ' + name + ', got ' + JSON.stringify(value));
}

// The client has no sync(): a write that changes nothing but a version has the same effect on its own node.
async function catchUp(client) {
    const path = runRoot + '/catch-up';
    await retry(client, 'mkdirp', path);
    await retry(client, 'setData', path, Buffer.from('x'), -1);
}

async function folder(client, name) {
    const path = runRoot + '/' + name;
    await retry(client, 'mkdirp', path);
    return path;
}

function within(seconds, name, promise) {
    let timer;
    const limit = new Promise((_, reject) => {
        timer = setTimeout(() => reject(new Error('over its deadline of ' + seconds + ' s')), seconds * 1000);
    });
    return Promise.race([promise, limit]).finally(() => clearTimeout(timer));
}

async function report(name, began, promise) {
    try {
        await promise;
        totals[0]++;
        console.log('ok   %s (%s s)', name, ((Date.now() - began) / 1000).toFixed(1));
    } catch (error) {
        totals[1]++;
        console.log('FAIL %s\n%s', name, error.stack || error);
    }
}

async function killLeader() {
    console.log('KILL LEADER');
    if (process.env.ZK_MODE) await new Promise((resolve) => readline.createInterface(process.stdin).once('line', resolve));
}

async function main() {
    const wanted = (t) => process.argv.length < 3 || process.argv.slice(2).some((a) => t.name.includes(a));
    for (const t of tests.filter(wanted)) {
        const began = Date.now();
        await report(t.name, began, within(t.seconds, t.name, t.run()));
    }
    let dead;
    const died = new Promise((resolve) => dead = resolve);
    const ready = [];
    const running = crossing.filter(wanted).map((t) => {
        const began = Date.now();
        let reached;
        ready.push(new Promise((resolve) => reached = resolve));
        const leaderDies = () => {
            reached();
            return died;
        };
        return report(t.name, began, within(t.seconds, t.name, t.run(leaderDies)).finally(reached));
    });
    await Promise.all(ready);
    await killLeader();
    dead();
    await Promise.all(running);
    console.log('%d passed, %d failed, 0 skipped', totals[0], totals[1]);
    process.exit(totals[1] ? 1 : 0);
}

process.on('unhandledRejection', (error) => {
    totals[1]++;
    console.log('FAIL unhandled: ' + (error.stack || error));
});

module.exports = {call, catchUp, connect, crossingTest, fails, folder, hosts, main, retry, test, until, zookeeper};
