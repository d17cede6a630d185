// SPDX-License-Identifier: Apache-2.0
// Connections for the checks, deliveries to be awaited, and errors in one shape:
// {code, text, ids} as the broker sent them.
'use strict';

const assert = require('node:assert/strict');
const { randomUUID } = require('node:crypto');

const CHECK_TIMEOUT_MS = 30000;
const isHarrier = process.env.AMQP_PRODUCT === 'harrier';
const address = {
  protocol: 'amqp',
  hostname: process.env.AMQP_HOST,
  port: Number(process.env.AMQP_PORT),
  username: process.env.AMQP_USER,
  password: process.env.AMQP_PASSWORD,
  vhost: process.env.AMQP_VHOST,
};

let library = null;

class Skip extends Error {}

function useLibrary(name) {
  library = { promises: require(name), callbacks: require(`${name}/callback_api`) };
  // package.json is not exported by the newer version; the lock file says what was installed.
  return require('./package-lock.json').packages[`node_modules/${name}`].version;
}

const callbackApi = () => library.callbacks;

function unique(prefix) {
  return `interop.${prefix}.${randomUUID().slice(0, 12)}`;
}

// Every connection has an 'error' listener from the start: without one an error ends the process.
async function connect(overrides = {}, socketOptions = {}) {
  const connection = await library.promises.connect({ ...address, ...overrides },
    { noDelay: true, ...socketOptions });
  connection.on('error', () => {});
  return connection;
}

// body(channel, connection); the connection is gone afterwards, and all exclusive queues with it.
async function session(body, overrides = {}) {
  const connection = await connect(overrides);
  try {
    await body(await openChannel(connection), connection);
  } finally {
    await connection.close().catch(() => {}); // it may be closed already: that is for body to judge
  }
}

async function openChannel(connection, method = 'createChannel') {
  const channel = await connection[method]();
  channel.on('error', () => {});
  return channel;
}

// events.once() is no use here: it takes an 'error' before the awaited event for a failure.
function nextEvent(emitter, name) {
  return new Promise((resolve) => { emitter.once(name, resolve); });
}

// amqplib puts code and ids into properties and the broker's text into a sentence of its own.
function described(error) {
  const text = /with message "([^]*)"$/.exec(error.message);
  return { code: error.code, text: text ? text[1] : error.message,
    ids: [error.classId, error.methodId] };
}

// action(channel) on a new channel must make the broker close it.
async function channelError(connection, action) {
  const channel = await openChannel(connection);
  const closed = nextEvent(channel, 'close');
  const failed = nextEvent(channel, 'error');
  await Promise.resolve(action(channel)).catch(() => {}); // pending replies reject as well
  const error = await failed;
  await closed;
  return described(error);
}

// action(channel) on a new connection must make the broker close the whole of it.
async function connectionError(action) {
  const connection = await connect();
  const failed = nextEvent(connection, 'error');
  const closed = nextEvent(connection, 'close');
  const channel = await openChannel(connection);
  await Promise.resolve(action(channel)).catch(() => {});
  const error = await failed;
  await closed;
  return described(error);
}

function expectError(error, code, text, ids) {
  assert.equal(error.code, code, `reply code of ${JSON.stringify(error)}`);
  assert.ok(error.text.includes(text), `"${text}" in ${JSON.stringify(error)}`);
  if (ids) {
    assert.deepEqual(error.ids, ids, `class and method id of ${JSON.stringify(error)}`);
  }
}

async function exclusiveQueue(channel) {
  return (await channel.assertQueue('', { exclusive: true })).queue;
}

async function bodies(channel, queue) {
  const found = [];
  for (let message = await channel.get(queue, { noAck: true }); message;
    message = await channel.get(queue, { noAck: true })) {
    found.push(message.content.toString());
  }
  return found;
}

// Deliveries of one consumer; take(n) waits for the next n. null stands for a cancel by the broker.
class Consumer {
  constructor() {
    this.arrived = [];
    this.waiting = null;
  }

  static async start(channel, queue, options) {
    const consumer = new Consumer();
    const { consumerTag } = await channel.consume(queue, (message) => {
      consumer.arrived.push(message);
      if (consumer.waiting) consumer.waiting();
    }, options);
    consumer.tag = consumerTag;
    return consumer;
  }

  async take(count) {
    while (this.arrived.length < count) {
      await new Promise((resolve) => { this.waiting = resolve; });
    }
    return this.arrived.splice(0, count);
  }
}

const texts = (messages) => messages.map((message) => message.content.toString());

module.exports = {
  CHECK_TIMEOUT_MS, Consumer, Skip, address, bodies, callbackApi, channelError, connect,
  connectionError, exclusiveQueue, expectError, isHarrier, nextEvent, openChannel, session, texts,
  unique, useLibrary,
};
