import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Match } from 'aws-cdk-lib/assertions';

import { readDescription } from '../lib/description.ts';
import { configured, named, resources, templates } from './support.ts';

const description = readDescription();
const { main } = templates(configured('minimal'));
const alarms = new Map(
  resources(main, 'AWS::CloudWatch::Alarm').map(([, { Properties }]) => [
    Properties['AlarmName'] as string,
    Properties,
  ]),
);

test('there is an alarm for everything that an alarm is about', () => {
  const count = { deployment: 1, function: description.functions.length, cluster: 2 };
  assert.equal(
    alarms.size,
    description.alarms.reduce((sum, { scope }) => sum + count[scope], 0),
  );
});

test('alarms are as the description has them, and tell the topic', () => {
  for (const described of description.alarms) {
    const suffix = { deployment: '', function: '-gate', cluster: '-orders-v2' }[described.scope];
    const alarm = alarms.get(`orders-kraft-${described.name}${suffix}`);
    assert(alarm, described.name);
    assert.equal(alarm['Threshold'], described.threshold);
    assert.equal(alarm['ComparisonOperator'], described.comparison);
    assert.equal(alarm['TreatMissingData'], described.treat_missing_data);
    assert.equal(alarm['EvaluationPeriods'], described.evaluation_periods);
    assert.equal(alarm['DatapointsToAlarm'], described.datapoints);
    assert.deepEqual(
      alarm['AlarmActions'].map(({ Ref }: { Ref: string }) => Ref.startsWith('NoticesTopic')),
      [true],
    );
    assert(alarm['AlarmDescription'].includes(described.runbook));
    // A period where CloudWatch wants it: of the alarm, of each metric, or of a query that has no metrics.
    const periods = JSON.stringify(alarm).match(/"Period":\d+/g);
    assert.equal(periods?.length, Math.max(1, described.metrics.length), described.name);
    assert.doesNotMatch(JSON.stringify(alarm), /[{][a-z_]+[}]/, 'no placeholder is left');
  }
});

test('an alarm on one metric has its dimensions', () => {
  assert.deepEqual(alarms.get('orders-kraft-migration-failed')?.['Dimensions'], [
    { Name: 'StateMachineArn', Value: 'arn:aws:states:eu-west-2:123456789012:stateMachine:orders-kraft' },
  ]);
  const near = alarms.get('orders-kraft-function-near-timeout-tail-batch');
  assert.deepEqual(near?.['Dimensions'], [{ Name: 'FunctionName', Value: 'orders-kraft-tail-batch' }]);
  assert.equal(near?.['ExtendedStatistic'], 'p99');
  assert.equal(near?.['Statistic'], undefined);
});

test('an alarm with an expression returns that alone', () => {
  const metrics = alarms.get('orders-kraft-tail-stalled')?.['Metrics'] as Array<Record<string, unknown>>;
  assert.deepEqual(
    metrics.filter(({ ReturnData }) => ReturnData).map(({ Id }) => Id),
    ['value'],
  );
  const query = alarms.get('orders-kraft-cluster-cpu-orders')?.['Metrics'];
  assert.match(query[0].Expression, /"Cluster Name" = 'orders'$/);
});

test('clusters that no alarm of this region can see have none', () => {
  const elsewhere = templates(configured('complete')).main;
  const named = resources(elsewhere, 'AWS::CloudWatch::Alarm').map(
    ([, { Properties }]) => Properties['AlarmName'] as string,
  );
  assert(named.includes('orders-kraft-cluster-cpu-orders'));
  assert(!named.some((name) => name.endsWith('-orders-v2')), 'the target is in another account');
});

test('the dashboard has every graph', () => {
  const { DashboardBody } = named(
    main,
    'AWS::CloudWatch::Dashboard',
    'DashboardName',
    'orders-kraft-eu-west-2',
  ).Properties;
  const text =
    typeof DashboardBody === 'string'
      ? DashboardBody
      : DashboardBody['Fn::Join'][1].map((part: unknown) => (typeof part === 'string' ? part : 'token')).join('');
  const { widgets } = JSON.parse(text) as { widgets: Array<{ properties: { title: string; metrics: unknown[] } }> };
  assert.deepEqual(
    widgets.map(({ properties }) => properties.title),
    description.dashboard.map(({ title }) => title),
  );
  for (const { properties } of widgets) {
    assert(properties.metrics.length > 0, properties.title);
  }
});

test('queries go over the logs of all functions', () => {
  main.resourceCountIs('AWS::Logs::QueryDefinition', description.queries.length);
  for (const { name, query } of description.queries) {
    const { Properties } = named(main, 'AWS::Logs::QueryDefinition', 'Name', `orders-kraft/${name}`);
    assert.equal(Properties['QueryString'], query);
    assert.deepEqual(
      Properties['LogGroupNames'],
      description.functions.map(({ name }) => `/aws/lambda/orders-kraft-${name}`),
    );
  }
});

test('executions, phases and waiting gates of this deployment are told, without the data of executions', () => {
  const rules = new Map(
    resources(main, 'AWS::Events::Rule').map(([, { Properties }]) => [Properties['Name'] as string, Properties]),
  );
  assert.deepEqual(
    [...rules.keys()].sort(),
    ['executions', 'gates', 'phases', 'pulse'].map((name) => `orders-kraft-${name}`),
  );
  assert.deepEqual(rules.get('orders-kraft-executions')?.['EventPattern'], {
    source: ['aws.states'],
    'detail-type': ['Step Functions Execution Status Change'],
    detail: { stateMachineArn: ['arn:aws:states:eu-west-2:123456789012:stateMachine:orders-kraft'] },
  });
  const own = { source: ['msk-kraft'], detail: { deployment: ['orders-kraft'] } };
  assert.deepEqual(rules.get('orders-kraft-phases')?.['EventPattern'], {
    ...own,
    'detail-type': ['Migration Phase Changed'],
  });
  assert.deepEqual(rules.get('orders-kraft-gates')?.['EventPattern'], { ...own, 'detail-type': ['Migration Waits'] });
  const fields = (name: string): unknown =>
    Object.values(rules.get(`orders-kraft-${name}`)?.['Targets'][0].InputTransformer.InputPathsMap).sort();
  assert.deepEqual(fields('executions'), ['$.detail.name', '$.detail.status']);
  assert.deepEqual(fields('phases'), ['$.detail.at', '$.detail.migration_id', '$.detail.to']);
  assert.deepEqual(fields('gates'), ['$.detail.command', '$.detail.migration_id', '$.detail.since']);
});

test('the topic is encrypted, and only alarms of this account and rules publish', () => {
  main.hasResourceProperties('AWS::SNS::Topic', { KmsMasterKeyId: Match.anyValue() });
  const [[, policy] = []] = resources(main, 'AWS::SNS::TopicPolicy');
  const statements = policy?.Properties['PolicyDocument'].Statement as Array<Record<string, unknown>>;
  assert.deepEqual(
    statements.map(({ Action, Condition, Effect, Principal }) => ({ Action, Condition, Effect, Principal })),
    [
      {
        Action: 'sns:Publish',
        Condition: { Bool: { 'aws:SecureTransport': 'false' } },
        Effect: 'Deny',
        Principal: '*',
      },
      {
        Action: 'sns:Publish',
        Condition: { StringEquals: { 'aws:SourceAccount': '123456789012' } },
        Effect: 'Allow',
        Principal: { Service: 'cloudwatch.amazonaws.com' },
      },
      // EventBridge publishes under no policy with a condition.
      { Action: 'sns:Publish', Condition: undefined, Effect: 'Allow', Principal: { Service: 'events.amazonaws.com' } },
    ],
  );
  main.hasResourceProperties('AWS::SNS::Subscription', { Protocol: 'email', Endpoint: 'platform@example.com' });
});

test('a topic that is there is told in place of a new one', () => {
  const topicArn = 'arn:aws:sns:eu-west-2:123456789012:ours';
  const { main } = templates(configured('minimal', { notifications: { emails: [], topicArn } }));
  main.resourceCountIs('AWS::SNS::Topic', 0);
  main.resourceCountIs('AWS::SNS::TopicPolicy', 0);
  main.allResourcesProperties('AWS::CloudWatch::Alarm', { AlarmActions: [topicArn] });
  main.hasResourceProperties('AWS::Events::Rule', { Targets: [Match.objectLike({ Arn: topicArn })] });
});
