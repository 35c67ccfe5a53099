/** The schedule that has migrations looked after while nothing else runs. */

import { Duration, Validations } from 'aws-cdk-lib';
import * as events from 'aws-cdk-lib/aws-events';
import * as targets from 'aws-cdk-lib/aws-events-targets';
import type * as lambda from 'aws-cdk-lib/aws-lambda';
import type { Construct } from 'constructs';

import type { Deployment } from './deployment.ts';

/** Invokes the description's function by its alias. What one pulse misses the next one finds, so none is tried again. */
export function addPulse(scope: Construct, { config, description }: Deployment, alias: lambda.Alias): void {
  const once = { retryAttempts: 0, maxEventAge: Duration.minutes(description.pulse.minutes) };
  alias.configureAsyncInvoke(once);
  const rule = new events.Rule(scope, 'Pulse', {
    ruleName: `${config.name}-pulse`,
    description: `Looks after the migrations of ${config.name}`,
    schedule: events.Schedule.rate(Duration.minutes(description.pulse.minutes)),
    targets: [
      new targets.LambdaFunction(alias, { ...once, event: events.RuleTargetInput.fromObject(description.pulse.input) }),
    ],
  });
  const reason = 'The next pulse finds what this one missed.';
  Validations.of(rule).acknowledge({ id: 'Serverless-EventBusDLQ', reason });
  Validations.of(alias).acknowledge({ id: 'Serverless-LambdaAsyncFailureDestination', reason });
}
