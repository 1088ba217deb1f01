'use strict';

const { describe, describeError, describeSent } = require('./run');

/**
 * Sends `count` messages (`send=sync|async|ordered`), then receives `expect` distinct ones. This
 * client chooses the queues itself, in turn, so `ordered` is `sync`.
 */
module.exports = async run => {
  await send(run);
  await consume(run);
};

async function send(run) {
  const count = run.number('count', 0);
  if (count === 0) return;
  const tags = run.text('tags', 'TagA').split(',');
  const producer = await run.producer();
  const sent = run.list('sent');
  const failed = run.list('failed');
  const one = async i => {
    const key = `${run.text('prefix', 'key')}-${i}`;
    const message = run.message(key, tags[i % tags.length], run.number('size', 100));
    if (run.number('delay', 0) > 0) message.delayTimeLevel = run.number('delay', 0);
    try {
      sent.push(describeSent(key, await producer.send(message)));
    } catch (error) {
      failed.push(describeError(key, error));
    }
  };
  if (run.text('send', 'sync') === 'async') {
    // The first creates the topic; the others are all in flight at once.
    await one(0);
    await Promise.all(Array.from({ length: count - 1 }, (_, i) => one(i + 1)));
  } else {
    for (let i = 0; i < count; i++) await one(i);
  }
  await producer.close();
}

async function consume(run) {
  const expect = run.number('expect', 0);
  if (expect === 0) return;
  const got = run.list('got');
  const keys = new Set();
  const consumer = run.consumer(run.text('group'));
  consumer.subscribe(run.text('topic'), run.text('filter', '*'), async message => {
    got.push(describe(message));
    keys.add(message.keys);
  });
  await run.await(`${expect} distinct messages`, () => keys.size >= expect);
  await consumer.close();
}
