import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { Validations } from 'aws-cdk-lib';
import type { Stack } from 'aws-cdk-lib';
import { PolicyDocument, PolicyStatement, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { AwsSolutionsChecks, ServerlessChecks } from 'cdk-nag';

import type { Config } from '../lib/config.ts';
import { configured, deployed } from './support.ts';

/**
 * Findings of cdk-nag's packs and of CDK's own rules that nobody acknowledged, warnings among them, with what `also` adds to
 * the stack of the functions.
 */
function findings(config: Config, also: (stack: Stack) => void = () => undefined): string[] {
  process.env['CDK_VALIDATION'] = 'true';
  const { app, outdir, main } = deployed(config);
  also(main);
  Validations.of(app).addPlugins(new AwsSolutionsChecks(app), new ServerlessChecks(app));
  try {
    app.synth();
  } catch (error) {
    assert.match(String(error), /Validation failed/);
  }
  const { pluginReports } = JSON.parse(readFileSync(join(outdir, 'validation-report.json'), 'utf8'));
  return pluginReports.flatMap(({ violations }: { violations: any[] }) =>
    violations.flatMap(({ ruleName, violatingConstructs }) =>
      violatingConstructs.map(({ constructPath }: { constructPath: string }) => `${ruleName} ${constructPath}`),
    ),
  );
}

for (const name of ['minimal', 'complete'] as const) {
  test(`the ${name} example has no finding without a reason`, () => assert.deepEqual(findings(configured(name)), []));
}

test('findings are found, with a stand-in as well', () => {
  const wide = (stack: Stack): void => {
    new Role(stack, 'Wide', {
      assumedBy: new ServicePrincipal('lambda.amazonaws.com'),
      inlinePolicies: {
        wide: new PolicyDocument({ statements: [new PolicyStatement({ actions: ['s3:*'], resources: ['*'] })] }),
      },
    });
  };
  assert.deepEqual(findings(configured('local')), []);
  const found = findings(configured('local'), wide);
  assert.ok(found.includes('AwsSolutions-IAM5[Resource::*] local/Wide/Resource'), found.join('\n'));
  assert.ok(found.includes('Serverless-LambdaStarPermissions local/Wide/Resource'), found.join('\n'));
});
