'use strict';

const fs = require('fs');
const { describe, say, sleep } = require('./run');

/**
 * Sends and receives without pause while the server comes and goes. Prints `ACKED n` lines; when
 * the file `stop` appears, stops sending, waits until everything acknowledged has arrived, and
 * prints what is missing or arrived elsewhere than acknowledged.
 */
module.exports = async run => {
  const stop = run.text('stop');
  const acked = new Map();
  const places = new Map();
  const damaged = [];
  let failures = 0;
  let deliveries = 0;
  const producer = await run.producer();

  const send = async key => {
    try {
      const result = await producer.send(run.message(key, 'TagA', run.number('size', 200)));
      if (result.sendStatus === 'SEND_OK') {
        acked.set(key, `${Number(result.messageQueue.queueId)}:${result.queueOffset}`);
      }
    } catch (error) {
      // Unknown outcome: the message may or may not arrive.
      failures++;
      await sleep(20);
    }
  };
  await send('first');

  const consumer = run.consumer(run.text('group'), { pullTimeDelayMillsWhenException: 200 });
  consumer.subscribe(run.text('topic'), '*', async message => {
    deliveries++;
    const seen = places.get(message.keys) || new Set();
    places.set(message.keys, seen.add(`${message.queueId}:${Number(message.queueOffset)}`));
    if (!describe(message).intact) damaged.push(message.keys);
  });

  let sending = true;
  const senders = Array.from({ length: run.number('senders', 4) }, async (_, i) => {
    for (let n = 0; !fs.existsSync(stop) && !run.expired(); n++) await send(`s${i}-${n}`);
  });
  const sent = Promise.all(senders).then(() => { sending = false; });
  while (sending) {
    say(`ACKED ${acked.size} RECEIVED ${places.size}`);
    await Promise.race([sent, sleep(100)]);
  }

  const missing = () => Array.from(acked.keys()).filter(key => !places.has(key));
  const report = () => Object.assign(run.results, {
    missing: missing(),
    moved: Array.from(acked).filter(([key, place]) => places.has(key) && !places.get(key).has(place))
      .map(([key, place]) => `${key}@${place} seen at ${Array.from(places.get(key))}`),
    damaged,
    acked: acked.size,
    failures,
    deliveries,
    distinct: places.size,
  });
  await run.await('all acknowledged messages', () => {
    const all = missing().length === 0;
    if (all || run.expired()) report();
    return all;
  });
};
