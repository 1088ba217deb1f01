'use strict';

const { say, sleep } = require('./run');

/**
 * A member of a group that prints `OWNED [queues]` whenever what it owns has changed, and `GOT key`
 * for each message, until it is killed or its time is up. With `model=broadcasting` it owns all.
 */
module.exports = async run => {
  const topic = run.text('topic');
  const isBroadcast = run.text('model', 'clustering') === 'broadcasting';
  const consumer = run.consumer(run.text('group'), { isBroadcast, instanceName: String(process.pid) });
  consumer.subscribe(topic, '*', async message => say('GOT ' + message.keys));
  let before;
  while (!run.expired()) {
    const queues = Array.from(consumer.processQueueTable.values(), entry => entry.messageQueue);
    const owned = queues.filter(queue => queue.topic === topic).map(queue => queue.queueId);
    const text = JSON.stringify(owned.sort((a, b) => a - b));
    if (text !== before) say('OWNED ' + text);
    before = text;
    await sleep(10);
  }
};
