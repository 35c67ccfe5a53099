import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { Match } from 'aws-cdk-lib/assertions';

import { readDescription } from '../lib/description.ts';
import { ConfigError } from '../lib/reader.ts';
import { configured, deployed, named, resources, templates } from './support.ts';

const description = readDescription();
const complete = templates(configured('complete'));
const minimal = templates(configured('minimal'));

test('functions are as the description has them', () => {
  for (const described of description.functions) {
    const { Properties } = named(
      complete.main,
      'AWS::Lambda::Function',
      'FunctionName',
      `orders-kraft-${described.name}`,
    );
    assert.equal(Properties['Runtime'], 'provided.al2023');
    assert.equal(Properties['Handler'], 'bootstrap');
    assert.deepEqual(Properties['Architectures'], ['arm64']);
    assert.equal(Properties['MemorySize'], described.memory_mb);
    assert.equal(Properties['Timeout'], described.timeout_s);
    assert.deepEqual(Properties['EphemeralStorage'], { Size: described.ephemeral_mb });
    assert.equal(Properties['Environment'].Variables.MSK_KRAFT_TABLE, 'orders-kraft-journal');
    assert.doesNotMatch(JSON.stringify(Properties['Environment']), /[{][a-z_]+[}]/, 'no placeholder is left');
  }
  complete.main.resourceCountIs('AWS::Lambda::Function', description.functions.length);
});

test('the evidence gets the version and the hashes of the packages', () => {
  const { Environment } = named(
    complete.main,
    'AWS::Lambda::Function',
    'FunctionName',
    'orders-kraft-evidence',
  ).Properties;
  const { version, commit, functions } = JSON.parse(Environment.Variables.MSK_KRAFT_PACKAGE);
  assert.deepEqual([version, commit, functions.gate], ['1.2.3', 'abc', 'hash of gate']);
  assert.deepEqual(Object.keys(functions).sort(), description.functions.map(({ name }) => name).sort());
  assert(JSON.stringify(Environment).length < 4096, 'Lambda takes no more');
});

test('variables of the configuration come beside those of the description', () => {
  const { main } = templates(configured('minimal', { environment: { RUST_LOG: 'debug', EXTRA: 'yes' } }));
  main.allResourcesProperties('AWS::Lambda::Function', {
    Environment: {
      Variables: Match.objectLike({ EXTRA: 'yes', MSK_KRAFT_TABLE: 'orders-kraft-journal', RUST_LOG: 'debug' }),
    },
  });
});

test('each function has a version that stays, behind the one alias', () => {
  const versions = resources(complete.main, 'AWS::Lambda::Version');
  const aliases = resources(complete.main, 'AWS::Lambda::Alias');
  assert.equal(versions.length, description.functions.length);
  assert.equal(aliases.length, description.functions.length);
  for (const [id, { DeletionPolicy }] of versions) {
    assert.equal(DeletionPolicy, 'Retain', id);
  }
  const ids = new Set(versions.map(([id]) => id));
  for (const [id, { Properties }] of aliases) {
    assert.equal(Properties['Name'], 'live', id);
    assert(ids.has(Properties['FunctionVersion']['Fn::GetAtt'][0]), id);
  }
});

test('logs end after the configured days and are encrypted', () => {
  const groups = resources(complete.main, 'AWS::Logs::LogGroup');
  assert.equal(groups.length, description.functions.length + 1);
  for (const [id, { Properties }] of groups) {
    assert.equal(Properties['RetentionInDays'], 365, id);
    assert(Properties['KmsKeyId'], id);
  }
});

test('only functions that talk to brokers or webhooks join the network', () => {
  const joined = (template: typeof minimal): string[] =>
    resources(template.main, 'AWS::Lambda::Function')
      .filter(([, { Properties }]) => Properties['VpcConfig'] !== undefined)
      .map(([, { Properties }]) => Properties['FunctionName'].replace('orders-kraft-', ''));
  const brokers = ['precheck', 'topology-copy', 'seed-partition', 'tail-batch', 'cutover', 'validate'];
  assert.deepEqual(joined(minimal).sort(), brokers.sort());
  assert.deepEqual(joined(complete).sort(), [...brokers, 'gate'].sort());
  const { VpcConfig } = named(complete.main, 'AWS::Lambda::Function', 'FunctionName', 'orders-kraft-gate').Properties;
  assert.deepEqual(VpcConfig.SubnetIds, [
    'subnet-0a1b2c3d4e5f60001',
    'subnet-0a1b2c3d4e5f60002',
    'subnet-0a1b2c3d4e5f60003',
  ]);
  assert.equal(VpcConfig.SecurityGroupIds.length, 1);
});

/** Rules of a template that lead out of or into groups, in short. */
function rules({ main }: typeof minimal, kind: 'Egress' | 'Ingress'): string[] {
  const inline = resources(main, 'AWS::EC2::SecurityGroup').flatMap(
    ([, { Properties }]) => Properties[`SecurityGroup${kind}`] ?? [],
  );
  const apart = resources(main, `AWS::EC2::SecurityGroup${kind}`).map(([, { Properties }]) => Properties);
  const text = (value: unknown): string => (typeof value === 'string' ? value : 'own group');
  return [...inline, ...apart]
    .map((rule) => {
      const other =
        rule.CidrIp ?? rule.DestinationPrefixListId ?? rule.DestinationSecurityGroupId ?? rule.SourceSecurityGroupId;
      return `${rule.GroupId === undefined ? '' : `${text(rule.GroupId)} <-> `}${text(other)}:${rule.FromPort}-${rule.ToPort}`;
    })
    .sort();
}

test('functions are let out to the ports of brokers and to AWS, and nowhere else', () => {
  assert.deepEqual(rules(minimal, 'Egress'), [
    '0.0.0.0/0:443-443',
    // What CDK writes for a group that lets nothing out, that of the endpoints.
    '255.255.255.255/32:252-86',
    'sg-0a1b2c3d4e5f60001:14001-14001',
    'sg-0a1b2c3d4e5f60001:9098-9098',
    'sg-0a1b2c3d4e5f60002:14001-14001',
    'sg-0a1b2c3d4e5f60002:9098-9098',
  ]);
});

test('brokers let functions in at the same ports, when that is wanted', () => {
  const brokers = rules(minimal, 'Ingress').filter((rule) => rule.includes('sg-'));
  assert.deepEqual(brokers, [
    'sg-0a1b2c3d4e5f60001 <-> own group:14001-14001',
    'sg-0a1b2c3d4e5f60001 <-> own group:9098-9098',
    'sg-0a1b2c3d4e5f60002 <-> own group:14001-14001',
    'sg-0a1b2c3d4e5f60002 <-> own group:9098-9098',
  ]);
  assert.deepEqual(rules(complete, 'Ingress'), []);
});

test('clusters behind the same security group and port have one rule each way', () => {
  const { source, target } = configured('minimal');
  const together = configured('minimal', { target: { ...target, securityGroupIds: source.securityGroupIds } });
  const ways = (kind: 'Egress' | 'Ingress'): string[] =>
    rules(templates(together), kind).filter((rule) => rule.includes('sg-'));
  assert.deepEqual(ways('Egress'), ['sg-0a1b2c3d4e5f60001:14001-14001', 'sg-0a1b2c3d4e5f60001:9098-9098']);
  assert.equal(ways('Ingress').length, 2);
});

test('with prefix lists and endpoints, and no webhooks, there is no way out to any address', () => {
  const webhooks = { enabled: false, secretArn: undefined, secretKeyArns: [], acknowledgeUrl: false };
  const narrow = rules(templates(configured('complete', { webhooks })), 'Egress');
  assert.deepEqual(narrow, [
    '10.40.0.0/16:14001-14001',
    '10.40.0.0/16:9098-9098',
    'own group <-> pl-0a1b2c3d4e5f60001:443-443',
    'own group <-> pl-0a1b2c3d4e5f60002:443-443',
    'own group <-> sg-0a1b2c3d4e5f60003:443-443',
    'sg-0a1b2c3d4e5f60001:14001-14001',
    'sg-0a1b2c3d4e5f60001:9096-9096',
  ]);
});

test('endpoints are made for what functions in the network call themselves', () => {
  const endpoints = (config: ReturnType<typeof configured>): string[] =>
    resources(templates(config).main, 'AWS::EC2::VPCEndpoint').map(([, { Properties }]) =>
      JSON.stringify(Properties['ServiceName']).replace(/^.*\.([a-z0-9]+)"?.*$/, '$1'),
    );
  assert.deepEqual(endpoints(configured('minimal')).sort(), ['dynamodb', 'kafka', 's3']);
  const network = { ...configured('minimal').network!, endpoints: 'create' as const };
  const webhooks = { ...configured('complete').webhooks };
  const more = configured('minimal', { network, webhooks, runSecrets: true });
  assert.deepEqual(endpoints(more).sort(), ['dynamodb', 'events', 'kafka', 's3', 'secretsmanager', 'states']);
  assert.deepEqual(endpoints(configured('complete')), []);
});

test('interface endpoints let in the functions alone', () => {
  minimal.main.hasResourceProperties('AWS::EC2::VPCEndpoint', {
    VpcEndpointType: 'Interface',
    PrivateDnsEnabled: true,
    SecurityGroupIds: [{ 'Fn::GetAtt': [Match.stringLikeRegexp('EndpointSecurityGroup'), 'GroupId'] }],
  });
  assert.deepEqual(
    rules(minimal, 'Ingress').filter((rule) => rule.endsWith(':443-443')),
    ['own group <-> own group:443-443'],
  );
});

test('the CLI finds the deployment by its parameter', () => {
  const { Properties } = named(complete.main, 'AWS::SSM::Parameter', 'Name', '/msk-kraft/orders-kraft');
  const [before, url, after] = Properties['Value']['Fn::Join'][1];
  assert.match(url['Fn::GetAtt'].join('.'), /^gateAlias.*\.FunctionUrl$/);
  assert.deepEqual(JSON.parse(`${before}URL${after}`), {
    schema: 1,
    name: 'orders-kraft',
    version: '1.2.3',
    region: 'eu-west-2',
    account: '123456789012',
    state_machine_arn: 'arn:aws:states:eu-west-2:123456789012:stateMachine:orders-kraft',
    table: 'orders-kraft-journal',
    function_prefix: 'orders-kraft-',
    qualifier: 'live',
    backup_bucket: 'orders-kraft-backup-123456789012-eu-west-2',
    evidence_bucket: 'orders-kraft-evidence-123456789012-eu-west-2',
    acknowledge_url: 'URL',
  });
  const other = named(minimal.main, 'AWS::SSM::Parameter', 'Name', '/msk-kraft/orders-kraft').Properties;
  assert.equal(JSON.parse(other['Value']).acknowledge_url, null);
});

test('the gate has a URL when it is wanted, and only the gate', () => {
  minimal.main.resourceCountIs('AWS::Lambda::Url', 0);
  complete.main.resourceCountIs('AWS::Lambda::Url', 1);
  complete.main.hasResourceProperties('AWS::Lambda::Url', { AuthType: 'NONE', Qualifier: 'live' });
  complete.main.hasResourceProperties('AWS::Lambda::Permission', {
    Action: 'lambda:InvokeFunctionUrl',
    FunctionUrlAuthType: 'NONE',
    Principal: '*',
  });
  complete.main.hasResourceProperties('AWS::Lambda::Permission', {
    Action: 'lambda:InvokeFunction',
    InvokedViaFunctionUrl: true,
    Principal: '*',
  });
  // The third one is the schedule's.
  complete.main.resourceCountIs('AWS::Lambda::Permission', 3);
});

test('tags are on what takes them', () => {
  const { main, data } = deployed(configured('complete'));
  assert.deepEqual(
    [main, data].map((stack) => stack?.tags.tagValues()),
    [{ team: 'platform' }, { team: 'platform' }],
  );
});

test('the pulse invokes its function by the alias, once a minute, and never tries again', () => {
  const { ScheduleExpression, Targets } = named(
    minimal.main,
    'AWS::Events::Rule',
    'Name',
    'orders-kraft-pulse',
  ).Properties;
  assert.equal(ScheduleExpression, 'rate(1 minute)');
  assert.equal(Targets.length, 1);
  assert.match(Targets[0].Arn.Ref, /^gateAlias/);
  assert.deepEqual(JSON.parse(Targets[0].Input), { op: 'pulse' });
  assert.deepEqual(Targets[0].RetryPolicy, { MaximumEventAgeInSeconds: 60, MaximumRetryAttempts: 0 });
  minimal.main.resourceCountIs('AWS::Lambda::Permission', 1);
  minimal.main.hasResourceProperties('AWS::Lambda::Permission', {
    Action: 'lambda:InvokeFunction',
    FunctionName: { Ref: Match.stringLikeRegexp('^gateAlias') },
    Principal: 'events.amazonaws.com',
    SourceArn: { 'Fn::GetAtt': [Match.stringLikeRegexp('^Pulse'), 'Arn'] },
  });
  minimal.main.hasResourceProperties('AWS::Lambda::EventInvokeConfig', {
    MaximumEventAgeInSeconds: 60,
    MaximumRetryAttempts: 0,
    Qualifier: { 'Fn::Select': [7, { 'Fn::Split': [':', { Ref: Match.stringLikeRegexp('^gateAlias') }] }] },
  });
});

test('packages that are missing are named, with the way out', () => {
  const config = configured('minimal');
  rmSync(join(config.packages.directory, 'gate.zip'));
  const refused = (error: unknown): boolean =>
    error instanceof ConfigError &&
    error.problems[0] === 'has no gate.zip: build them with make package, or name another folder in packages.directory';
  assert.throws(() => deployed(config), refused);
});

test('packages for another architecture are refused', () => {
  const { packages } = configured('minimal');
  const refused = (error: unknown): boolean =>
    error instanceof ConfigError &&
    error.problems[0] === 'has packages for arm64: say packages.architecture: arm64, or build them for x86_64';
  assert.throws(() => deployed(configured('minimal', { packages: { ...packages, architecture: 'x86_64' } })), refused);
});

test('another partition has its own ARNs', () => {
  const { main } = templates(configured('minimal', { region: 'cn-north-1', network: undefined }));
  const text = JSON.stringify(main.toJSON());
  assert.match(text, /arn:aws-cn:states:cn-north-1:123456789012:stateMachine:orders-kraft/);
  assert.doesNotMatch(text, /arn:aws:(states|s3|dynamodb|logs|lambda|ssm):/);
});
