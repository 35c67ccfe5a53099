import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { Match } from 'aws-cdk-lib/assertions';
import validate from 'asl-validator';

import { DEFINITION } from '../lib/state-machine.ts';
import { configured, resources, templates } from './support.ts';

const { main, deployment } = templates(configured('complete'));
const [[, stateMachine] = []] = resources(main, 'AWS::StepFunctions::StateMachine');
assert(stateMachine);
const substitutions = stateMachine.Properties['DefinitionSubstitutions'] as Record<string, { Ref: string }>;
const definition = readFileSync(DEFINITION, 'utf8');

test('the definition calls numbered versions, each of the function that its placeholder names', () => {
  for (const [placeholder, name] of Object.entries(deployment.description.state_machine.substitutions)) {
    const version = main.toJSON()['Resources'][substitutions[placeholder]?.Ref ?? ''];
    assert.equal(version.Type, 'AWS::Lambda::Version', placeholder);
    const called = main.toJSON()['Resources'][version.Properties.FunctionName.Ref];
    assert.equal(called.Properties.FunctionName, `orders-kraft-${name}`);
  }
});

test('every placeholder of the definition is filled in, and there are no others', () => {
  const placeholders = new Set([...definition.matchAll(/\$\{(\w+)\}/g)].map(([, name]) => name));
  assert.deepEqual(Object.keys(substitutions).sort(), [...placeholders].sort());
});

test('the definition is valid once it is filled in', () => {
  const arn = 'arn:aws:lambda:eu-west-2:123456789012:function:orders-kraft-gate:7';
  const { isValid, errorsText } = validate(JSON.parse(definition.replaceAll(/\$\{\w+\}/g, arn)));
  assert(isValid, errorsText());
});

test('a definition that is not valid would be found', () => {
  const broken = JSON.parse(definition.replace('"Next": "Route"', '"Next": "Nowhere"'));
  assert(!validate(broken).isValid);
});

test('executions are logged without their data, and traced', () => {
  main.hasResourceProperties('AWS::StepFunctions::StateMachine', {
    StateMachineName: 'orders-kraft',
    LoggingConfiguration: {
      Level: 'ALL',
      IncludeExecutionData: false,
      Destinations: [
        {
          CloudWatchLogsLogGroup: { LogGroupArn: { 'Fn::GetAtt': [Match.stringLikeRegexp('StateMachineLog'), 'Arn'] } },
        },
      ],
    },
    TracingConfiguration: { Enabled: true },
  });
  main.hasResourceProperties('AWS::Logs::LogGroup', { LogGroupName: '/aws/vendedlogs/states/orders-kraft' });
});

test('the role is there with its rights before the state machine is', () => {
  assert(stateMachine.DependsOn?.some((id) => id.startsWith('StateMachineRole')));
});
