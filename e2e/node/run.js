'use strict';

const fs = require('fs');
const { Consumer, Producer, Message } = require('ali-ons');

const quiet = { debug() {}, info() {}, warn: console.error, error: console.error };

const sleep = millis => new Promise(resolve => setTimeout(resolve, millis));

/** What every program here shares: arguments, clients, bodies that can be checked, results. */
class Run {
  /** Arguments have the form `name=value`. */
  constructor(args) {
    this.args = new Map(args.map(arg => {
      const split = arg.indexOf('=');
      return [arg.slice(0, split), arg.slice(split + 1)];
    }));
    this.results = {};
    this.end = Date.now() + this.number('limit', 60) * 1000;
  }

  text(name, otherwise) {
    const value = this.args.get(name);
    if (value === undefined && otherwise === undefined) throw new Error(`argument ${name} is missing`);
    return value === undefined ? otherwise : value;
  }

  number(name, otherwise) {
    return Number(this.text(name, String(otherwise)));
  }

  /** Intervals of the client are shortened: what takes 10 to 30 s by default takes 1 s here. */
  options() {
    return {
      nameSrv: this.text('namesrv').split(';'),
      // Only used to look up name servers, which are given here.
      httpclient: {},
      logger: quiet,
      clientIP: '127.0.0.1',
      pollNameServerInteval: 1000,
      heartbeatBrokerInterval: 1000,
      persistConsumerOffsetInterval: 1000,
      rebalanceInterval: 1000,
    };
  }

  async producer() {
    const producer = new Producer(Object.assign(this.options(), {
      producerGroup: this.text('group') + '_producer',
      defaultTopicQueueNums: this.number('queues', 4),
      sendMsgTimeout: this.number('sendTimeout', 10000),
      compressMsgBodyOverHowmuch: this.number('compressOver', 2 ** 30),
    }));
    producer.on('error', error => console.error(error));
    await producer.ready();
    return producer;
  }

  /** Starts where `from` says: `first`, `last` or milliseconds of a time. */
  consumer(group, options = {}) {
    const from = this.text('from', 'first');
    const start = { consumeFromWhere: 'CONSUME_FROM_TIMESTAMP' };
    if (from === 'first' || from === 'last') {
      start.consumeFromWhere = `CONSUME_FROM_${from.toUpperCase()}_OFFSET`;
    } else {
      start.consumeTimestamp = localTime(new Date(Number(from)));
    }
    const all = Object.assign(this.options(), start, { consumerGroup: group }, options);
    const consumer = new Consumer(all);
    consumer.on('error', error => console.error(error));
    return consumer;
  }

  /** A message whose body follows from its key and its properties, so that a reader can check it. */
  message(key, tag, size) {
    const message = new Message(this.text('topic'), tag, body(key, size));
    message.keys = [key];
    message.properties.fill = 'text';
    message.properties.size = String(size);
    return message;
  }

  list(name) {
    this.results[name] = [];
    return this.results[name];
  }

  /** Waits until the condition holds; at the time limit the results so far are printed. */
  async await(what, condition) {
    while (!await condition()) {
      if (this.expired()) {
        this.results.timeout = what;
        this.finish();
      }
      await sleep(5);
    }
  }

  expired() {
    return Date.now() > this.end;
  }

  /** Prints the results and ends the program, whatever timers a client may have left. */
  finish() {
    say('RESULT ' + JSON.stringify(this.results));
    process.exit(0);
  }
}

function body(key, size) {
  return Buffer.from(`${key} `.repeat(size / (key.length + 1) + 1)).subarray(0, size);
}

function describe(message) {
  const { fill, size } = message.properties;
  return {
    key: message.keys,
    tag: message.tags,
    topic: message.topic,
    id: message.msgId,
    queue: message.queueId,
    offset: Number(message.queueOffset),
    reconsumed: message.reconsumeTimes,
    stored: message.storeSize,
    held: Number(message.storeTimestamp) - Number(message.bornTimestamp),
    intact: fill === 'text' && message.body.equals(body(message.keys, Number(size))),
  };
}

function describeSent(key, result) {
  return {
    key,
    status: result.sendStatus,
    id: result.msgId,
    offsetId: result.msgId,
    queue: Number(result.messageQueue.queueId),
    offset: result.queueOffset,
  };
}

function describeError(key, error) {
  return { key, code: Number.isInteger(error.code) ? error.code : -1, error: String(error) };
}

function localTime(date) {
  const two = number => String(number).padStart(2, '0');
  return date.getFullYear() + [date.getMonth() + 1, date.getDate(), date.getHours(),
    date.getMinutes(), date.getSeconds()].map(two).join('');
}

/** Written at once, also when the program is killed right after. */
function say(line) {
  fs.writeSync(1, line + '\n');
}

module.exports = { Run, describe, describeError, describeSent, say, sleep };
