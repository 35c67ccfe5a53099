import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { Statement } from '../lib/description.ts';
import { readDescription } from '../lib/description.ts';
import { configured, named, resources, templates } from './support.ts';
import type { Templates } from './support.ts';

const SOURCE = 'arn:aws:kafka:eu-west-2:123456789012:cluster/orders/0a1b2c3d-0000-4000-8000-000000000001-3';
const TARGET_ROLE = 'arn:aws:iam::210987654321:role/msk-kraft-target';
const SECRET = 'arn:aws:secretsmanager:eu-west-2:123456789012:secret:AmazonMSK_migrator-AbCdEf';
const WEBHOOK_KEY = 'arn:aws:secretsmanager:eu-west-2:123456789012:secret:webhook-key-AbCdEf';
const SIGNING_KEY = 'arn:aws:secretsmanager:eu-west-2:123456789012:secret:evidence-key-AbCdEf';
const OF_RUNS = 'arn:aws:secretsmanager:eu-west-2:123456789012:secret:msk-kraft';
const KEY = 'arn:aws:kms:eu-west-2:123456789012:key/0a1b2c3d-0000-4000-8000-00000000000';
const BACKUP = 'arn:aws:s3:::orders-kraft-backup-123456789012-eu-west-2';
const EVIDENCE = 'arn:aws:s3:::orders-kraft-evidence-123456789012-eu-west-2';
const FUNCTIONS = [
  'precheck',
  'topology-copy',
  'seed-partition',
  'tail-batch',
  'cutover',
  'validate',
  'evidence',
  'gate',
];
const ASKED = ['precheck', 'tail-batch', 'gate', 'topology-copy', 'cutover', 'evidence', 'validate'];
const ofFunction = (name: string): string => `arn:aws:lambda:eu-west-2:123456789012:function:orders-kraft-${name}`;

/** What the symbols stand for in the complete example, written out by hand. */
const EXPECTED: Readonly<Record<string, readonly unknown[]>> = {
  journal: ['arn:aws:dynamodb:eu-west-2:123456789012:table/orders-kraft-journal'],
  'backup-bucket': [BACKUP],
  'backup-objects': [`${BACKUP}/zk-to-kraft/*`],
  manifest: [`${BACKUP}/zk-to-kraft/*/manifests/batches.json`],
  'evidence-bucket': [EVIDENCE],
  'evidence-objects': [`${EVIDENCE}/migrations/*`],
  'locked-evidence': [`${EVIDENCE}/migrations/*`],
  'both-buckets': [BACKUP, EVIDENCE],
  'backup-key': [{ 'Fn::ImportValue': 'orders-kraft-data:ExportsOutputFnGetAttKey961B73FDArn5A860C43' }],
  'source-cluster': [SOURCE],
  clusters: [SOURCE],
  'cluster-roles': [TARGET_ROLE],
  'cluster-roles-for-gate': [TARGET_ROLE],
  'looked-up-clusters': ['*'],
  'looked-up-clusters-for-gate': ['*'],
  'sign-in-secrets': [`${OF_RUNS}/*`, SECRET],
  'sign-in-keys': [`${KEY}3`],
  'source-sign-in-secrets': [`${OF_RUNS}/*`, SECRET],
  'source-sign-in-keys': [`${KEY}3`],
  'signing-key': [SIGNING_KEY],
  'signing-key-keys': [`${KEY}5`],
  'webhook-urls': [`${OF_RUNS}/*/webhook-??????`, `${OF_RUNS}/*/client-switch-webhook-??????`],
  'webhook-key': [WEBHOOK_KEY],
  'webhook-key-keys': [`${KEY}4`],
  'run-secrets': [`${OF_RUNS}/*`],
  'question-secrets': [`${OF_RUNS}/question-*/*`],
  'state-machine': ['arn:aws:states:eu-west-2:123456789012:stateMachine:orders-kraft'],
  executions: ['arn:aws:states:eu-west-2:123456789012:execution:orders-kraft:*'],
  'map-runs': ['arn:aws:states:eu-west-2:123456789012:execution:orders-kraft/*'],
  functions: FUNCTIONS.map((name) => `${ofFunction(name)}:*`),
  'asked-functions': ASKED.map((name) => `${ofFunction(name)}:live`),
  'deployment-parameter': ['arn:aws:ssm:eu-west-2:123456789012:parameter/msk-kraft/orders-kraft'],
  'event-bus': ['arn:aws:events:eu-west-2:123456789012:event-bus/default'],
  everything: ['*'],
  'source-kafka-cluster': [],
  'source-kafka-topics': [],
  'source-kafka-groups': [],
  'source-kafka-transactional-ids': [],
  'target-kafka-cluster': [],
  'target-kafka-topics': [],
  'target-kafka-groups': [],
};

const forSecrets = (...secrets: string[]) => ({
  StringEquals: {
    'kms:EncryptionContext:SecretARN': secrets,
    'kms:ViaService': ['secretsmanager.eu-west-2.amazonaws.com'],
  },
});
const CONDITIONS: Readonly<Record<string, unknown>> = {
  'through-s3': { StringEquals: { 'kms:ViaService': ['s3.eu-west-2.amazonaws.com'] } },
  'for-sign-in-secrets': forSecrets(SECRET),
  'for-source-sign-in-secrets': forSecrets(SECRET),
  'for-webhook-key': forSecrets(WEBHOOK_KEY),
  'for-signing-key': forSecrets(SIGNING_KEY),
};

const complete = templates(configured('complete'));
const description = readDescription();

/** IAM takes one text for a list of one, and CDK writes it so. */
const one = (list: readonly unknown[]): unknown => (list.length === 1 ? list[0] : list);

/** The statements in IAM's words. */
function expected(statements: readonly Statement[], own: Readonly<Record<string, readonly unknown[]>> = {}): unknown[] {
  return statements.flatMap(({ sid, actions, resources, condition }) => {
    const arns = own[resources] ?? EXPECTED[resources];
    assert(arns, `${resources} is not expected`);
    const Condition = condition === undefined ? {} : { Condition: CONDITIONS[condition] };
    assert(condition === undefined || CONDITIONS[condition], `${condition} is not expected`);
    return arns.length === 0
      ? []
      : [{ Action: one(actions), ...Condition, Effect: 'Allow', Resource: one(arns), Sid: sid }];
  });
}

/** The statements of the only policy of a role. */
function inline({ main }: Templates, name: string): unknown[] {
  const { Policies } = named(main, 'AWS::IAM::Role', 'RoleName', `orders-kraft-eu-west-2-${name}`).Properties;
  assert.equal(Policies.length, 1, name);
  return Policies[0].PolicyDocument.Statement;
}

test('every symbol of the description is expected here', () => {
  const known = [...Object.keys(EXPECTED), 'log-streams', 'network'];
  assert.deepEqual(
    Object.keys(description.resources).filter((symbol) => !known.includes(symbol)),
    [],
  );
});

for (const { name, statements } of description.functions) {
  test(`${name} may do what the description says, and nothing else`, () => {
    const own = {
      'log-streams': [`arn:aws:logs:eu-west-2:123456789012:log-group:/aws/lambda/orders-kraft-${name}:*`],
      network: name === 'evidence' ? [] : ['*'],
    };
    assert.deepEqual(inline(complete, name), expected(statements, own));
  });
}

test('the state machine may do what the description says, and nothing else', () => {
  assert.deepEqual(inline(complete, 'state-machine'), expected(description.state_machine.statements));
});

for (const kind of ['operator', 'auditor'] as const) {
  test(`an ${kind} may do what the description says, and nothing else`, () => {
    const policy = named(
      complete.main,
      'AWS::IAM::ManagedPolicy',
      'ManagedPolicyName',
      `orders-kraft-eu-west-2-${kind}`,
    );
    assert.deepEqual(policy.Properties['PolicyDocument'].Statement, expected(description.roles[kind].statements));
    const role = named(complete.main, 'AWS::IAM::Role', 'RoleName', `orders-kraft-eu-west-2-${kind}`).Properties;
    assert.equal(role['Policies'], undefined);
    assert.equal(role['ManagedPolicyArns'].length, 1);
  });
}

test('no policy stands beside those of the roles', () => {
  for (const config of ['minimal', 'complete'] as const) {
    const { main } = templates(configured(config));
    main.resourceCountIs('AWS::IAM::Policy', 0);
    main.resourceCountIs('AWS::IAM::ManagedPolicy', 2);
  }
});

test('no action has a wildcard', () => {
  const documents = [
    ...resources(complete.main, 'AWS::IAM::Role').flatMap(([, { Properties }]) => Properties['Policies'] ?? []),
    ...resources(complete.main, 'AWS::IAM::ManagedPolicy').map(([, { Properties }]) => Properties),
  ];
  assert.equal(documents.length, 11);
  for (const action of documents
    .flatMap(({ PolicyDocument }) => PolicyDocument.Statement)
    .flatMap(({ Action }) => Action)) {
    assert.match(action, /^[a-z0-9-]+:[A-Za-z0-9]+$/);
  }
});

test('the policies of a role fit into what IAM takes', () => {
  const length = (value: unknown): number => JSON.stringify(value).replace(/\s/g, '').length;
  for (const [id, { Properties }] of resources(complete.main, 'AWS::IAM::Role')) {
    assert(length(Properties['Policies'] ?? []) < 10_240, `${id} is too long`);
  }
  for (const [id, { Properties }] of resources(complete.main, 'AWS::IAM::ManagedPolicy')) {
    assert(length(Properties['PolicyDocument']) < 6_144, `${id} is too long`);
  }
});

test('every role has the boundary', () => {
  const roles = resources(complete.main, 'AWS::IAM::Role');
  assert.equal(roles.length, 11);
  for (const [id, { Properties }] of roles) {
    assert.equal(Properties['PermissionsBoundary'], 'arn:aws:iam::123456789012:policy/platform-boundary', id);
  }
});

test("the state machine's role can be taken for this account alone", () => {
  const role = named(complete.main, 'AWS::IAM::Role', 'RoleName', 'orders-kraft-eu-west-2-state-machine');
  assert.deepEqual(role.Properties['AssumeRolePolicyDocument'].Statement, [
    {
      Action: 'sts:AssumeRole',
      Condition: { StringEquals: { 'aws:SourceAccount': '123456789012' } },
      Effect: 'Allow',
      Principal: { Service: 'states.amazonaws.com' },
    },
  ]);
});

test('functions that sign in with IAM reach the cluster, its topics, groups and transactional ids', () => {
  const { main } = templates(configured('minimal'));
  const role = named(main, 'AWS::IAM::Role', 'RoleName', 'orders-kraft-eu-west-2-cutover').Properties;
  const statements = role['Policies'][0].PolicyDocument.Statement as Array<{ Sid: string; Resource: unknown }>;
  const kafka = statements.filter(({ Sid }) => /The(Source|Target)$/.test(Sid));
  const target = '0a1b2c3d-0000-4000-8000-000000000002-3';
  const within = (kind: string, cluster: string): string => `arn:aws:kafka:eu-west-2:123456789012:${kind}/${cluster}/*`;
  assert.deepEqual(Object.fromEntries(kafka.map(({ Sid, Resource }) => [Sid, Resource])), {
    CutoverSignInToTheSource: SOURCE,
    CutoverTopicsOfTheSource: within('topic', 'orders/0a1b2c3d-0000-4000-8000-000000000001-3'),
    CutoverGroupsOfTheSource: within('group', 'orders/0a1b2c3d-0000-4000-8000-000000000001-3'),
    CutoverTransactionsOfTheSource: within('transactional-id', 'orders/0a1b2c3d-0000-4000-8000-000000000001-3'),
    CutoverSignInToTheTarget: `arn:aws:kafka:eu-west-2:123456789012:cluster/orders-v2/${target}`,
    CutoverTopicsOfTheTarget: within('topic', `orders-v2/${target}`),
    CutoverGroupsOfTheTarget: within('group', `orders-v2/${target}`),
  });
});

test('a cluster that a role is assumed for is left to the role', () => {
  const { source } = configured('complete');
  const roleArn = 'arn:aws:iam::123456789012:role/msk-kraft-source';
  const { main } = templates(configured('complete', { source: { ...source, roleArn } }));
  const text = JSON.stringify(named(main, 'AWS::IAM::Role', 'RoleName', 'orders-kraft-eu-west-2-cutover'));
  assert.doesNotMatch(text, /:cluster\/orders|AmazonMSK_migrator|GetBootstrapBrokers/);
  assert(text.includes(roleArn) && text.includes(TARGET_ROLE) && text.includes('sts:AssumeRole'));
});

test('what is not wanted makes no statement', () => {
  const config = configured('complete', {
    writeFence: false,
    runSecrets: false,
    webhooks: { enabled: false, secretArn: undefined, secretKeyArns: [], acknowledgeUrl: false },
    encryptionKey: 'none',
  });
  const gate = inline(templates(config), 'gate') as Array<{ Action: string | string[] }>;
  const services = new Set(gate.flatMap(({ Action }) => Action).map((action) => action.split(':')[0]));
  assert.deepEqual([...services].sort(), ['dynamodb', 'events', 'logs', 's3', 'states']);
});

test("keys that are not named are any of the secrets' accounts, for these secrets alone", () => {
  const { source } = configured('complete');
  const { main } = templates(configured('complete', { source: { ...source, secretKeyArns: [] } }));
  const role = named(main, 'AWS::IAM::Role', 'RoleName', 'orders-kraft-eu-west-2-cutover').Properties;
  const keys = role['Policies'][0].PolicyDocument.Statement.filter(({ Sid }: { Sid: string }) =>
    /DecryptTheSecrets/.test(Sid),
  );
  assert.deepEqual(
    keys.map(({ Resource }: { Resource: unknown }) => Resource),
    ['arn:aws:kms:eu-west-2:123456789012:key/*'],
  );
  assert.deepEqual(keys[0].Condition, CONDITIONS['for-sign-in-secrets']);
});
