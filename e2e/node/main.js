// Programs that drive the unmodified Node client, each as its namesake in e2e/java/client does.
'use strict';

const { Run } = require('./run');

const programs = {
  Load: require('./load'),
  Member: require('./member'),
  Retry: require('./retry'),
  Roundtrip: require('./roundtrip'),
};

const [name, ...args] = process.argv.slice(2);
if (!programs[name]) {
  console.error(`no program ${name}`);
  process.exit(2);
}
const run = new Run(args);
programs[name](run).then(() => run.finish(), error => {
  console.error(error);
  process.exit(1);
});
