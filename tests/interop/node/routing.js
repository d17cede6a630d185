// SPDX-License-Identifier: Apache-2.0
// Exchanges of every type, bindings between exchanges, alternate exchanges, names and counts.
'use strict';

const assert = require('node:assert/strict');
const { bodies, channelError, exclusiveQueue, expectError, session, unique } = require('./support');

async function exchange(channel, type, options = {}) {
  const name = unique(type);
  await channel.assertExchange(name, type, { durable: false, autoDelete: true, ...options });
  return name;
}

// Publishes [key, headers] pairs with the key as body (or headers.is if it is the headers' turn).
function publishAll(channel, name, pairs) {
  for (const [key, headers] of pairs) {
    channel.publish(name, key, Buffer.from(key), { headers });
  }
}

async function direct_and_fanout() {
  await session(async (channel) => {
    const direct = await exchange(channel, 'direct');
    const fanout = await exchange(channel, 'fanout');
    const red = await exclusiveQueue(channel);
    const blue = await exclusiveQueue(channel);
    await channel.bindQueue(red, direct, 'red');
    await channel.bindQueue(blue, direct, 'blue');
    await channel.bindQueue(red, fanout, '');
    await channel.bindQueue(blue, fanout, 'ignored');
    publishAll(channel, direct, [['red'], ['blue'], ['green']]);
    publishAll(channel, fanout, [['all']]);
    assert.deepEqual(await bodies(channel, red), ['red', 'all']);
    assert.deepEqual(await bodies(channel, blue), ['blue', 'all']);
    await channel.unbindQueue(red, fanout, '');
    publishAll(channel, fanout, [['again']]);
    assert.deepEqual(await bodies(channel, red), []);
    assert.deepEqual(await bodies(channel, blue), ['again']);
  });
}

async function topic() {
  await session(async (channel) => {
    const name = await exchange(channel, 'topic');
    const wanted = {
      'a.*': ['a.b'], '#': ['a.b', 'a.b.c', '', 'b.c'], '*.*.c': ['a.b.c'], '#.c': ['a.b.c', 'b.c'],
    };
    const queues = {};
    for (const pattern of Object.keys(wanted)) {
      queues[pattern] = await exclusiveQueue(channel);
      await channel.bindQueue(queues[pattern], name, pattern);
    }
    publishAll(channel, name, [['a.b'], ['a.b.c'], [''], ['b.c']]);
    for (const [pattern, keys] of Object.entries(wanted)) {
      assert.deepEqual(await bodies(channel, queues[pattern]), keys, pattern);
    }
  });
}

async function headers() {
  await session(async (channel) => {
    const name = await exchange(channel, 'headers');
    const all = await exclusiveQueue(channel);
    const any = await exclusiveQueue(channel);
    await channel.bindQueue(all, name, '', { 'x-match': 'all', kind: 'pdf', pages: 300 });
    await channel.bindQueue(any, name, '', { 'x-match': 'any', kind: 'pdf', pages: 300 });
    publishAll(channel, name, [['both', { kind: 'pdf', pages: 300 }],
      ['wide', { kind: 'txt', pages: { '!': 'int64', value: 300 } }], // equal across widths
      ['text', { pages: '300' }], ['none', {}]]);
    assert.deepEqual(await bodies(channel, all), ['both']);
    assert.deepEqual(await bodies(channel, any), ['both', 'wide']);
  });
}

async function exchange_to_exchange_and_alternate() {
  await session(async (channel) => {
    const alternate = await exchange(channel, 'fanout');
    const source = await exchange(channel, 'direct', { alternateExchange: alternate });
    const target = await exchange(channel, 'fanout');
    const bound = await exclusiveQueue(channel);
    const rest = await exclusiveQueue(channel);
    await channel.bindExchange(target, source, 'key');
    await channel.bindExchange(target, source, 'kept'); // or unbinding deletes the source
    await channel.bindQueue(bound, target, '');
    await channel.bindQueue(rest, alternate, '');
    publishAll(channel, source, [['key'], ['other']]);
    const message = await channel.get(rest, { noAck: true });
    assert.deepEqual([message.fields.exchange, message.fields.routingKey], [source, 'other']);
    assert.deepEqual(await bodies(channel, bound), ['key']);
    await channel.unbindExchange(target, source, 'key');
    publishAll(channel, source, [['key']]);
    assert.deepEqual(await bodies(channel, rest), ['key']);
  });
}

async function internal_and_if_unused() {
  await session(async (channel, connection) => {
    const inner = await exchange(channel, 'fanout', { internal: true });
    const queue = await exclusiveQueue(channel);
    await channel.bindQueue(queue, inner, '');
    expectError(await channelError(connection,
      async (other) => other.publish(inner, '', Buffer.from('x'))), 403,
    `ACCESS_REFUSED - cannot publish to internal exchange '${inner}' in vhost '/'`, [60, 40]);
    expectError(await channelError(connection,
      (other) => other.deleteExchange(inner, { ifUnused: true })), 406,
    `PRECONDITION_FAILED - exchange '${inner}' in vhost '/' in use`, [40, 20]);
  });
}

async function names_and_counts() {
  await session(async (_channel, connection) => {
    const channel = await connection.createConfirmChannel();
    const { queue, messageCount, consumerCount } = await channel.assertQueue('',
      { exclusive: true });
    assert.match(queue, /^amq\.gen-[A-Za-z0-9_-]{22}$/);
    assert.deepEqual([messageCount, consumerCount], [0, 0]);
    for (let number = 0; number < 5; number += 1) {
      channel.sendToQueue(queue, Buffer.from(`${number}`));
    }
    await channel.waitForConfirms();
    assert.equal((await channel.checkQueue(queue)).messageCount, 5);
    assert.equal((await channel.get(queue)).fields.messageCount, 4);
    assert.equal((await channel.purgeQueue(queue)).messageCount, 4);
    channel.sendToQueue(queue, Buffer.from('last'));
    await channel.waitForConfirms();
    expectError(await channelError(connection,
      (other) => other.deleteQueue(queue, { ifEmpty: true })), 406,
    `PRECONDITION_FAILED - queue '${queue}' in vhost '/' not empty`, [50, 40]);
    assert.equal((await channel.deleteQueue(queue)).messageCount, 1);
    assert.equal((await channel.deleteQueue(queue)).messageCount, 0);
  });
}

module.exports = {
  direct_and_fanout, topic, headers, exchange_to_exchange_and_alternate, internal_and_if_unused,
  names_and_counts,
};
