/** Who is told: a topic for alarms and for what becomes of executions. */

import { Validations } from 'aws-cdk-lib';
import * as events from 'aws-cdk-lib/aws-events';
import * as iam from 'aws-cdk-lib/aws-iam';
import type * as kms from 'aws-cdk-lib/aws-kms';
import * as sns from 'aws-cdk-lib/aws-sns';
import * as subscriptions from 'aws-cdk-lib/aws-sns-subscriptions';
import { Construct } from 'constructs';

import type { Config } from './config.ts';
import type { Deployment } from './deployment.ts';

const NOTHING_IS_LOST = 'A notice that does not arrive is in the journal all the same: msk-kraft status tells it.';

/** An event that is told. */
interface Told {
  readonly name: string;
  readonly description: string;
  readonly pattern: events.EventPattern;
  readonly message: string;
}

/** The topic, and the rules that tell it of executions and migrations. */
export class Notices extends Construct {
  readonly topic: sns.ITopic;

  constructor(scope: Construct, deployment: Deployment, key: kms.IKey | undefined) {
    super(scope, 'Notices');
    this.topic = this.findOrCreate(deployment.config, key);
    for (const { name, description, pattern, message } of told(deployment)) {
      const rule = new events.Rule(this, name, {
        ruleName: `${deployment.config.name}-${name}`,
        description,
        eventPattern: pattern,
        // The bare target: who may publish is said below, and CDK widens neither the topic's policy nor the key's.
        targets: [{ bind: () => ({ arn: this.topic.topicArn, input: events.RuleTargetInput.fromText(message) }) }],
      });
      Validations.of(rule).acknowledge({ id: 'Serverless-EventBusDLQ', reason: NOTHING_IS_LOST });
    }
  }

  private findOrCreate({ name, account, notifications }: Config, key: kms.IKey | undefined): sns.ITopic {
    if (notifications.topicArn !== undefined) {
      return sns.Topic.fromTopicArn(this, 'Topic', notifications.topicArn);
    }
    const topic = new sns.Topic(this, 'Topic', {
      topicName: `${name}-notices`,
      displayName: `msk-kraft ${name}`,
      enforceSSL: true,
      masterKey: key,
    });
    Validations.of(topic).acknowledge({ id: 'Serverless-SNSRedrivePolicy', reason: NOTHING_IS_LOST });
    topic.addToResourcePolicy(
      new iam.PolicyStatement({
        sid: 'AlarmsOfThisAccount',
        principals: [new iam.ServicePrincipal('cloudwatch.amazonaws.com')],
        actions: ['sns:Publish'],
        resources: [topic.topicArn],
        conditions: { StringEquals: { 'aws:SourceAccount': account } },
      }),
    );
    // EventBridge publishes under no policy that has a condition.
    topic.addToResourcePolicy(
      new iam.PolicyStatement({
        sid: 'EventsOfThisAccount',
        principals: [new iam.ServicePrincipal('events.amazonaws.com')],
        actions: ['sns:Publish'],
        resources: [topic.topicArn],
      }),
    );
    for (const email of notifications.emails) {
      topic.addSubscription(new subscriptions.EmailSubscription(email));
    }
    if (key === undefined) {
      const reason = 'encryption_key: none. Alarms cannot be published under the key that SNS keeps itself.';
      Validations.of(topic).acknowledge(
        { id: 'AwsSolutions-SNS2', reason },
        { id: 'Serverless-SNSEncryptedKMS', reason },
      );
    }
    return topic;
  }
}

/** What is told, without the input and output of executions, which have no place in a mail. */
function told({ config, names, description: { pulse } }: Deployment): Told[] {
  const field = (path: string): string => events.EventField.fromPath(`$.detail.${path}`);
  const own = (detailType: string): events.EventPattern => ({
    source: [pulse.event_source],
    detailType: [detailType],
    detail: { deployment: [config.name] },
  });
  const begin = `msk-kraft ${config.name} in ${config.region}:`;
  return [
    {
      name: 'executions',
      description: `Executions of ${config.name} that begin and end`,
      pattern: {
        source: ['aws.states'],
        detailType: ['Step Functions Execution Status Change'],
        detail: { stateMachineArn: [names.stateMachineArn] },
      },
      message: `${begin} execution ${field('name')} is ${field('status')}. msk-kraft status tells where its migration stands.`,
    },
    {
      name: 'phases',
      description: `Migrations of ${config.name} that go on to another phase`,
      pattern: own(pulse.phase_changed),
      message: `${begin} migration ${field('migration_id')} is in ${field('to')} since ${field('at')}. msk-kraft status tells why.`,
    },
    {
      name: 'gates',
      description: `Migrations of ${config.name} that wait for a person`,
      pattern: own(pulse.waits),
      message: `${begin} migration ${field('migration_id')} waits since ${field('since')} for: ${field('command')}`,
    },
  ];
}
