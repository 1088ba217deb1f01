'use strict';

const { describe, describeSent } = require('./run');

/**
 * One consumer fails every delivery of a message whose tag is `Poison` and takes the others;
 * `retries` later the poisoned one must be in the dead letter queue, where a second consumer reads
 * it.
 */
module.exports = async run => {
  const topic = run.text('topic');
  const group = run.text('group');
  const retries = run.number('retries', 2);
  const producer = await run.producer();
  const sent = run.list('sent');
  for (const tag of ['Poison', 'Sound']) {
    const message = run.message('key-' + tag, tag, 100);
    sent.push(describeSent(message.keys, await producer.send(message)));
  }

  const attempts = run.list('attempts');
  const got = run.list('got');
  const failing = run.consumer(group, { maxReconsumeTimes: retries });
  failing.subscribe(topic, '*', async message => {
    const poison = message.tags === 'Poison';
    (poison ? attempts : got).push(describeAttempt(message));
    if (poison) throw new Error('poisoned');
  });
  await run.await('the last attempt', () => attempts.length > retries);

  const dead = run.list('dead');
  const undertaker = run.consumer(group + '_dead');
  undertaker.subscribe('%DLQ%' + group, '*', async message => {
    dead.push(describeAttempt(message));
  });
  await run.await('the dead letter', () => dead.length > 0);
};

function describeAttempt(message) {
  const properties = Object.assign({}, message.properties);
  return Object.assign(describe(message), { at: Date.now(), properties });
}
