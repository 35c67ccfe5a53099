import assert from 'node:assert/strict';
import { test } from 'node:test';

import { parseConfig, readConfig } from '../lib/config.ts';
import { ConfigError } from '../lib/reader.ts';
import { example } from './support.ts';

/** The problems of a text. */
function problems(text: string): readonly string[] {
  try {
    parseConfig(text, 'deployment.yaml');
  } catch (error) {
    assert(error instanceof ConfigError, String(error));
    return error.problems;
  }
  return [];
}

/** The problems of the minimal example with lines of it changed. */
function changed(...changes: ReadonlyArray<readonly [from: string | RegExp, to: string]>): readonly string[] {
  const text = changes.reduce((text, [from, to]) => {
    assert.notEqual(text.search(from), -1, `the example has no ${from}`);
    return text.replace(from, to);
  }, example('minimal'));
  return problems(text);
}

test('the examples can be used', () => {
  for (const name of ['minimal', 'complete', 'local'] as const) {
    assert.deepEqual(problems(example(name)), [], name);
  }
});

test('what is left out has its default', () => {
  const config = parseConfig(example('minimal'), '/somewhere/deployment.yaml');
  assert.equal(config.terminationProtection, true);
  assert.equal(config.local, false);
  assert.equal(config.encryptionKey, 'create');
  assert.equal(config.runSecrets, false, 'both sides sign in with IAM');
  assert.equal(config.evidence.objectLock, true);
  assert.equal(config.backup.expireDays, 90);
  assert.equal(config.logRetentionDays, 90);
  assert.equal(config.network?.endpoints, 'create');
  assert.match(config.packages.directory, /target\/package\/arm64$/);
});

test('a folder of packages is found from the file', () => {
  const text = `${example('minimal')}\npackages: {directory: ../built}\n`;
  assert.equal(parseConfig(text, '/somewhere/below/deployment.yaml').packages.directory, '/somewhere/built');
});

test('secrets of runs are wanted unless both sides do without', () => {
  const text = example('minimal').replace('auth: iam', 'auth: scram-sha-512');
  assert.equal(parseConfig(text, 'deployment.yaml').runSecrets, true);
  assert.equal(parseConfig(`${text}\nrun_secrets: false\n`, 'deployment.yaml').runSecrets, false);
});

test('an empty file is told everything that it needs, once', () => {
  assert.deepEqual(problems(''), [
    'the file: has to be a section of fields, and is empty',
    'source: is required and missing: add this section (see examples/)',
    'target: is required and missing: add this section (see examples/)',
    'name: is required and missing: give a name of 3 to 24 small letters, digits and hyphens that begins with a letter, such as orders-kraft',
    'account: is required and missing: give an account of twelve digits, in quotes',
    'region: is required and missing: give a region such as eu-west-2',
  ]);
});

const REFUSED: ReadonlyArray<readonly [what: string, from: string | RegExp, to: string, ...says: string[]]> = [
  [
    'an unknown field',
    'notifications:',
    'notification:',
    'notification: is not a known field; did you mean notifications?',
  ],
  [
    'an unknown field in a section',
    'emails:',
    'mails:',
    'notifications.mails: is not a known field; did you mean emails?',
  ],
  [
    'an account without quotes',
    '"123456789012"',
    '123456789012',
    'account: is a number, and has to be an account of twelve digits, in quotes: put it in quotes',
  ],
  [
    'a way to sign in that there is not',
    'auth: iam',
    'auth: scram',
    'source.auth: is "scram", and has to be one of plaintext, tls, mtls, scram-sha-512, iam',
  ],
  [
    'a cluster that is none',
    /cluster\/orders\/\S+/,
    'topic/orders',
    'source.cluster_arns[0]: is "arn:aws:kafka:eu-west-2:123456789012:topic/orders", and has to be the ARN of a cluster: arn:aws:kafka:REGION:ACCOUNT:cluster/NAME/UUID',
  ],
  [
    'a network without a way to the brokers',
    /  security_group_ids: \[sg-0a1b2c3d4e5f60001\]\n/,
    '',
    'source.security_group_ids: is needed with network, to let functions out to nothing but the brokers: give security_group_ids (of brokers in this VPC or a peered one) or cidrs',
  ],
  [
    'zones that do not match',
    /\[eu-west-2a, eu-west-2b\]/,
    '[eu-west-2a]',
    'network.availability_zones: needs the zone of each subnet, in the order of subnet_ids',
  ],
  [
    'gateways without route tables',
    /  route_table_ids: .*\n/,
    '',
    'network.route_table_ids: is needed for the gateway endpoints: give those of the subnets, or endpoints: existing',
  ],
  [
    'prefix lists with no way to the rest of AWS',
    'vpc_id:',
    'endpoints: none\n  prefix_list_ids: [pl-0a1b2c3d4e5f60001]\n  vpc_id:',
    'network.prefix_list_ids: let functions out to S3 and DynamoDB alone, so the rest needs endpoints: say endpoints: create, or endpoints: existing and their endpoint_security_group_ids',
  ],
  [
    'a text for a flag',
    'name: orders-kraft',
    'name: orders-kraft\ntermination_protection: "no"',
    'termination_protection: is "no", and has to be true or false, without quotes',
  ],
  [
    'days that CloudWatch does not take',
    'name: orders-kraft',
    'name: orders-kraft\nlog_retention_days: 100',
    'log_retention_days: is 100, and has to be one of 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653',
  ],
  [
    'a local deployment with a network',
    'name: orders-kraft',
    'name: orders-kraft\nlocal: true',
    'network: does not go with local: true, which deploys no network: leave one of them out',
  ],
  [
    'a fence against IAM',
    'name: orders-kraft',
    'name: orders-kraft\nwrite_fence: true',
    'write_fence: does not go with source.auth: iam, whose clients no ACL of Kafka holds: leave it out',
  ],
  [
    'a key of another region',
    'name: orders-kraft',
    'name: orders-kraft\nencryption_key: arn:aws:kms:us-east-1:123456789012:key/1',
    'encryption_key: is a key of us-east-1: S3, DynamoDB and logs take keys of their own region, eu-west-2',
  ],
  [
    'an alias in place of a key',
    'name: orders-kraft',
    'name: orders-kraft\nencryption_key: alias/orders',
    'encryption_key: is "alias/orders", and has to be create, none, or the ARN of a key that is there: arn:aws:kms:REGION:ACCOUNT:key/ID',
  ],
  [
    'acknowledgements without a key',
    'name: orders-kraft',
    'name: orders-kraft\nwebhooks: {enabled: true, acknowledge_url: true}',
    'webhooks.secret_arn: is required with acknowledge_url: acknowledgements are accepted by their signature alone',
  ],
  [
    'a prefix without its end',
    'name: orders-kraft',
    'name: orders-kraft\nbackup: {prefix: segments}',
    'backup.prefix: is "segments", and has to be a prefix that ends with /, such as zk-to-kraft/ (leave it out for the whole bucket)',
  ],
  [
    'a lifecycle for a bucket of theirs',
    'name: orders-kraft',
    'name: orders-kraft\nbackup: {bucket: ours, expire_days: 30}',
    'backup.expire_days: is for a bucket that is created here: set the lifecycle of yours, or leave bucket out',
  ],
  [
    'half a retention',
    'name: orders-kraft',
    'name: orders-kraft\nevidence: {retention: {days: 1}}',
    'evidence.retention.mode: and days are both required: compliance (nobody can shorten it) or governance, and how many days',
  ],
  [
    'mails for a topic of theirs',
    'emails:',
    'topic_arn: arn:aws:sns:eu-west-2:123456789012:ours\n  emails:',
    'notifications.emails: are for the topic that is created here: subscribe them to topic_arn yourself, or leave that out',
  ],
  [
    'a migration onto itself',
    /orders-v2\/\S+/,
    'orders/0a1b2c3d-0000-4000-8000-000000000001-3',
    'target.cluster_arns: has arn:aws:kafka:eu-west-2:123456789012:cluster/orders/0a1b2c3d-0000-4000-8000-000000000001-3, which is a source too: a cluster is migrated to another one',
  ],
  [
    'a list that is none',
    /\[platform@example.com\]/,
    'platform@example.com',
    'notifications.emails: is a string, and has to be a list: write each as "- value"',
  ],
];

for (const [what, from, to, ...says] of REFUSED) {
  test(`${what} is refused, with the field and the way out`, () => assert.deepEqual(changed([from, to]), says));
}

test('several problems are told together', () => {
  const said = changed(
    ['auth: iam', 'auth: scram'],
    ['vpc-0a1b2c3d4e5f60001', 'vpc'],
    [/region: .*/, 'region: London'],
  );
  assert.equal(said.length, 3);
});

test('what is no YAML is told with its place', () => {
  assert.match(problems('name: [a')[0] ?? '', /^is no YAML: .* at line 1, column 9/);
});

test('a file that is not there is told by its name', () => {
  assert.throws(
    () => readConfig('/nowhere/deployment.yaml'),
    /^ConfigError: \/nowhere\/deployment.yaml cannot be used:\n {2}cannot be read \(ENOENT\)/,
  );
});
